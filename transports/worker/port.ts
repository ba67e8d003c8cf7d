/** One end of a channel of our own, of Node or of the web. In browsers, which tell of no end, the two ends tell each other. */

import { listenTo } from '../../lib/bridge/port.ts'
import { threads } from './host.ts'
import { hold, isLife, isSeen, type Life, watch } from './lives.ts'
import { ALIVE, type ChannelMessage, isMessage, OVER, THERE } from './messages.ts'

/** What a channel's port tells. */
export interface ChannelListener {
  readonly message: (data: unknown) => void
  /** The other end is closed; or, as only a browser tells by itself, its thread has died. */
  readonly closed: (hasDied: boolean) => void
}

/** Closes an end of a channel, and tells the other end where the platform does not. */
function closePort(port: MessagePort | BroadcastChannel): void {
  if (threads === undefined) port.postMessage([OVER] satisfies ChannelMessage)
  port.close()
}

/** Closes a port that was to go to another thread, unless it has: WebKit breaks the channel of one that is closed behind that. */
export function closeUnsent(port: MessagePort): void {
  if (threads !== undefined) return port.close()
  try {
    // Throws where it has.
    const [mine] = structuredClone([port], { transfer: [port] })
    if (mine !== undefined) closePort(mine)
  } catch {
    // It is the other thread's.
  }
}

export class Port {
  /** Whether `take` can tell that nothing has come. */
  static readonly takes: boolean = threads !== undefined

  readonly #port: MessagePort | BroadcastChannel
  readonly #closed: (hasDied: boolean) => void
  #stop: (() => void) | undefined
  #life: Life | undefined
  /** The name of the other end's lock, as far as it is known. */
  #theirs: string | undefined
  /** Whether it was not seen, and asked for. */
  #wonders = false
  #unwatch: (() => void) | undefined
  #ready: Promise<void> | undefined
  /** Whether anything has come: then somebody has the other end. */
  wasHeard = false

  /** Takes ownership of the port. It alone keeps no thread alive. */
  constructor(port: MessagePort | BroadcastChannel, { message, closed }: ChannelListener) {
    this.#port = port
    this.#closed = closed
    this.#stop = listenTo(port, {
      message: (data) => {
        this.wasHeard = true
        if (threads === undefined) this.#hear(data, message)
        else message(data)
      },
      // Of an end that was closed a browser has told by `OVER`.
      closed: () => closed(threads === undefined),
      garbled: () => undefined,
    })
    ;(port as { unref?: () => void }).unref?.()
  }

  /**
   * Lets the other end hear of this thread's death, and this one of the other's. Between two origins, or two partitions of one, neither sees the other's lock, and nothing is concluded from that.
   *
   * @param theirs what the other end said that its lock is called
   * @returns what this thread's is called. Undefined where there are no locks, or none are needed.
   */
  live(theirs?: unknown): string | undefined {
    if (isLife(theirs)) this.#theirs = theirs
    if (this.#life === undefined && this.#stop !== undefined) {
      this.#life = hold()
      this.#ready = this.#life && this.#sayAlive(this.#life)
    }
    return this.#life?.name
  }

  /** Resolves when the other end will be told of this thread's death, or nothing can tell it. Undefined where that needs no time. */
  get ready(): Promise<void> | undefined {
    return this.#ready
  }

  async #sayAlive({ name, granted }: Life): Promise<void> {
    if (!(await granted)) return
    const theirs = this.#theirs
    const sees = theirs !== undefined && (await isSeen(theirs))
    this.post([ALIVE, name, sees])
    if (sees) this.#watch(theirs)
  }

  #hear(data: unknown, message: (data: unknown) => void): void {
    if (isMessage(data, OVER)) this.#closed(false)
    else if (isMessage(data, ALIVE)) void this.#heardAlive(data[1], data[2] === true)
    else if (!isMessage(data, THERE)) message(data)
    else if (this.#life !== undefined) void this.#sayAlive(this.#life)
  }

  /** @param isSeenThere whether both ends have the same locks for sure: then one that is not seen is that of the dead */
  async #heardAlive(name: unknown, isSeenThere: boolean): Promise<void> {
    if (!isLife(name)) return
    this.#theirs = name
    if (isSeenThere || (await isSeen(name))) {
      this.#watch(name)
    } else if (!this.#wonders) {
      // It has died within these milliseconds, and will not answer; or it lives, and its lock is elsewhere.
      this.#wonders = true
      this.post([THERE])
    }
  }

  #watch(name: string): void {
    if (this.#stop === undefined) return
    this.#unwatch ??= watch(name, () => this.#closed(true))
  }

  post(message: ChannelMessage): void {
    this.#port.postMessage(message)
  }

  /** The next message that has come and was not handled; undefined when there is none, or where only waiting can tell. */
  take(): { readonly message: unknown } | undefined {
    return threads?.receiveMessageOnPort(this.#port as never)
  }

  close(): void {
    if (this.#stop === undefined) return
    this.#stop()
    this.#stop = undefined
    this.#unwatch?.()
    this.#life?.release()
    closePort(this.#port)
  }
}
