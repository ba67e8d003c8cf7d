/**
 * What differs between the threads of Node and those of browsers, found at run time: no module of Node is imported, so the same
 * files run in both, whoever bundles them.
 */

type NodeThreads = typeof import('node:worker_threads')

const { process: node } = globalThis as { readonly process?: NodeJS.Process }

/** Node's threads, where this is Node. */
export const threads: NodeThreads | undefined =
  node?.versions?.node === undefined ? undefined : node.getBuiltinModule('node:worker_threads')

/** Whether this is the thread that a program begins with: it is not to be blocked. */
export const isMainThread: boolean =
  threads?.isMainThread ?? typeof (globalThis as { WorkerGlobalScope?: unknown }).WorkerGlobalScope === 'undefined'

/** Whether other threads can be given memory of this one. A page that is not cross-origin isolated may have the class, and yet not share it. */
export function canShare(): boolean {
  return (
    typeof SharedArrayBuffer === 'function' && (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated !== false
  )
}

// Taken at import, as lib/clock.ts takes its own.
const hrtime = threads === undefined ? undefined : node?.hrtime

/** Now, in ms, by a clock that all threads of the process share. Browsers have none. */
export const sharedNow: (() => number) | undefined = hrtime && (() => Number(hrtime.bigint()) / 1e6)

/** A random Int32 that is not negative. */
export function randomId(): number {
  return (crypto.getRandomValues(new Int32Array(1))[0] ?? 0) & 0x7fffffff
}

/** Calls `f` when this thread ends by itself, or by `process.exit()`, unless it is the main one, with which all others end. Nobody tells of a `terminate()`, and a browser of no end. */
export function beforeExit(f: () => void): void {
  if (!isMainThread) node?.on?.('exit', f)
}

/** Says something to the developer that is nobody's rejection. */
export function warn(message: string): void {
  if (typeof node?.emitWarning === 'function') node.emitWarning(message, { type: 'CtxbridgeWarning' })
  // oxlint-disable-next-line no-console -- where else would a browser say it?
  else console.warn(`ctxbridge: ${message}`)
}

/** What a port tells. */
export interface PortListener {
  readonly message: (data: unknown) => void
  /** The other side is closed, or its thread is gone. Not every browser tells. */
  readonly closed: () => void
  /** A message came that could not be read. */
  readonly garbled: (error: unknown) => void
}

/** What the two ends of a channel hold while they live, each its own, where a browser tells of a thread's end in no other way. */
interface Lives {
  readonly mine: string
  readonly theirs: string
}

/** Sent when the sender has its lock, and as the answer to THERE: nothing is concluded before. A thread that is busy may have asked for its lock, and not be in line for it, for as long as that takes. */
const ALIVE = 'ctxbridge: alive'
/** Sent when the lock of somebody who said ALIVE is not seen. */
const THERE = 'ctxbridge: there?'

/** One end of a channel of our own, of Node or of the web. */
export class Port {
  /** Whether `take` can tell that nothing has come. */
  static readonly takes: boolean = threads !== undefined

  readonly #port: MessagePort | BroadcastChannel
  readonly #gone = new AbortController()
  #stop: (() => void) | undefined
  /** Resolves when the other end will be told of this one's death, or nothing can tell it. Undefined where the platform tells. */
  readonly ready: Promise<void> | undefined

  /** Takes ownership of the port. It alone keeps no thread alive. */
  constructor(port: MessagePort | BroadcastChannel, listener: PortListener, lives?: Lives) {
    this.#port = port
    const locks = threads === undefined ? (navigator as { locks?: LockManager }).locks : undefined
    const isWatched = locks !== undefined && lives !== undefined
    this.#stop = listenTo(port, isWatched ? this.#watched(locks, lives, listener) : listener)
    ;(port as { unref?: () => void }).unref?.()
    this.ready = isWatched ? this.#live(locks, lives.mine) : undefined
  }

  /** Holds its lock until it is closed; resolves as `ready`. A lock goes to the next in line when its holder lets go of it, or dies. */
  #live(locks: LockManager, mine: string): Promise<void> {
    const { signal } = this.#gone
    return new Promise((resolve) => {
      const granted = (): unknown => {
        resolve()
        if (signal.aborted) return undefined
        this.post(ALIVE)
        return new Promise((release) => signal.addEventListener('abort', release))
      }
      // Rejects when the port is closed, or the page may not use locks: then nobody hears ALIVE.
      locks.request(mine, { signal }, granted).catch(resolve)
    })
  }

  /**
   * The listener, which is told of the other end's death where both ends have the same locks. Between two origins, or two partitions of one, each end has its own, and
   * opaque origins have none: there the lock of an end that lives is not seen, and nothing is concluded from that.
   */
  #watched(locks: LockManager, { theirs }: Lives, { message, closed, garbled }: PortListener): PortListener {
    const { signal } = this.#gone
    let [wonders, settled] = [false, false]
    const look = async (): Promise<void> => {
      const { held = [], pending = [] } = await locks.query()
      if (settled || signal.aborted) return
      if ([...held, ...pending].some(({ name }) => name === theirs)) {
        settled = true
        await locks.request(theirs, { signal }, closed)
      } else if (!wonders) {
        // It has died within these milliseconds, and will not answer; or it lives, and its lock is elsewhere.
        wonders = true
        this.post(THERE)
      } else settled = true
    }
    const heard = (data: unknown): void => {
      // Rejects when the port is closed, or the page may not use locks: then nobody tells of an end.
      if (data === ALIVE) void look().catch(() => (settled = true))
      else if (data === THERE) this.post(ALIVE)
      else message(data)
    }
    return { message: heard, closed, garbled }
  }

  post(message: unknown): void {
    this.#port.postMessage(message)
  }

  /** The next message that has come and was not handled; undefined when there is none, or where only waiting can tell. */
  take(): { readonly message: unknown } | undefined {
    return threads?.receiveMessageOnPort(this.#port as never)
  }

  close(): void {
    this.#stop?.()
    this.#stop = undefined
    this.#gone.abort()
    this.#port.close()
  }
}

/** As much of Node's emitters and of the web's targets as is used here. */
export interface Emitter {
  on?(event: string, listener: (value: unknown) => void): unknown
  off?(event: string, listener: (value: unknown) => void): unknown
  addEventListener(event: string, listener: (event: { data?: unknown }) => void): void
  removeEventListener(event: string, listener: (event: { data?: unknown }) => void): void
  start?(): void
}

/** Listens to a port, or to what is like one; returns what stops that. */
export function listenTo(port: Emitter, { message, closed, garbled }: PortListener): () => void {
  if (typeof port.on === 'function') {
    port.on('message', message)
    port.on('close', closed)
    port.on('messageerror', garbled)
    return () => {
      port.off?.('message', message)
      port.off?.('close', closed)
      port.off?.('messageerror', garbled)
    }
  }
  const onMessage = (event: { data?: unknown }): void => message(event.data)
  const onGarbled = (): void => garbled(undefined)
  port.addEventListener('message', onMessage)
  port.addEventListener('close', closed)
  port.addEventListener('messageerror', onGarbled)
  port.start?.()
  return () => {
    port.removeEventListener('message', onMessage)
    port.removeEventListener('close', closed)
    port.removeEventListener('messageerror', onGarbled)
  }
}
