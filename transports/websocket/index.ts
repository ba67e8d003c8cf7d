/**
 * Calls with a context over a WebSocket. The context of a call lives on the far side as long as the call: it ends when the
 * caller's ends, with the same kind and cause, and when the connection is lost.
 */
import { type Channel, Link, type LinkHandle, type LinkLimits, linkLimits, type LinkStats } from '../../lib/bridge/link.ts'
import { background, type CancelableContext, type Context, createRoot } from '../../lib/context.ts'
import type { LinkLostError } from '../../lib/errors.ts'
import { isContext } from '../../lib/foreign.ts'
import { isKey, type Key, named } from '../../lib/key.ts'
import { race } from '../../lib/wait.ts'
import { isText } from '../../lib/wire/text.ts'
import { byteCodec } from './msgpackr.ts'
import { isServer, longestMessage, onConnection, openChannel, openSocket, type WebSocketServer } from './ws.ts'

export type { LinkHandle, LinkLimits, LinkStats } from '../../lib/bridge/link.ts'

/** What can be called over a link: methods that take a context first. */
export type Remote<T> = {
  readonly [K in keyof T as T[K] extends (ctx: Context, ...args: never[]) => unknown ? K : never]: T[K] extends (
    ctx: Context,
    ...args: infer A
  ) => infer R
    ? (ctx: Context, ...args: A) => Promise<Awaited<R>>
    : never
}

export interface LinkSettings {
  /** The portable keys whose values are taken from the peer; values of others are dropped. */
  readonly keys?: readonly Key<unknown>[]
  /** Who this is: the peer sees it in the paths of contexts. At most 256 characters. */
  readonly name?: string
  /** What this side takes; each has a default. */
  readonly limits?: Partial<LinkLimits>
}

export interface ConnectOptions extends LinkSettings {
  /** Bounds the connecting, until the peer has greeted; its later end does nothing. Default: no bound. */
  readonly context?: Context
  /** What the server may call here. */
  readonly serve?: object
}

/** A connection, and the link on it. Ends everything that is open on it when it is closed or lost. */
export interface Connection extends Disposable {
  /** The peer's name as it gave it. Proves nothing. */
  readonly peerName: string
  /** Resolves when the link is over, with the reason; never rejects. */
  readonly closed: Promise<LinkLostError>
  /**
   * A handle for `ctx`, to be sent in a message of one's own. It survives JSON and `structuredClone`, and may arrive before or after what the connection
   * itself sends; on the other side `import` makes a context of it. Everything that is below `ctx` and called over this connection is ended
   * with it by one frame.
   *
   * It is held until `ctx` ends, the last import on the other side has ended or was collected, or the connection is over.
   *
   * @throws TypeError when `ctx` is no context
   * @throws BridgeError `ERR_LIMIT` when the peer takes no more contexts, `ERR_LINK_LOST` when the connection is over
   */
  export(ctx: Context): LinkHandle
  /**
   * The context that a handle of the other side stands for: it ends when that one does, with the connection, by its deadline, or by its own `cancel`,
   * which the other side's context does not feel. Import a handle once, and cancel the import when it is not needed any more.
   *
   * Never throws: a handle is from outside. One that is of no use gives a context that is done, with a `BridgeError` as its cause.
   */
  import(handle: unknown): CancelableContext
  /** Closes it; all calls that are open on it reject with a `LinkLostError`. */
  close(): void
  stats(): LinkStats
}

const links = new WeakMap<Connection, Link>()

class LinkConnection implements Connection {
  readonly closed: Promise<LinkLostError>
  readonly #link: Link

  constructor(link: Link, closed: Promise<LinkLostError>) {
    this.#link = link
    this.closed = closed
    links.set(this, link)
  }

  get peerName(): string {
    return this.#link.peerName
  }

  export(ctx: Context): LinkHandle {
    return this.#link.export(ctx)
  }

  import(handle: unknown): CancelableContext {
    return this.#link.import(handle)
  }

  close(): void {
    this.#link.close()
  }

  stats(): LinkStats {
    return this.#link.stats()
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/**
 * Connects to a server and waits until it has greeted.
 *
 * Rejects with the socket's error where there is nobody or no such server, with a `LinkLostError` where the peer does not speak the
 * protocol, and with `err()` of the context in the options.
 *
 * @throws TypeError at once when the options are not of the stated form
 */
export function connect(url: string | URL, options: ConnectOptions = {}): Promise<Connection> {
  checkSettings('connect', options)
  const { context = background(), serve: methods } = options
  if (!isContext(context)) throw new TypeError(`connect() needs its option 'context' to be a context, but got ${named(context)}.`)
  if (methods !== undefined) checkMethods('connect', methods)
  return open(new URL(url), context, options, methods)
}

async function open(url: URL, context: Context, settings: LinkSettings, methods: object | undefined): Promise<Connection> {
  context.throwIfDone()
  const giveUp = new AbortController()
  const socket = await race(context, openSocket(url, { ...linkLimits, ...settings.limits }.maxMessage, giveUp.signal)).catch(
    (error: unknown) => {
      giveUp.abort()
      throw error
    },
  )
  let greeted!: () => void
  const opened = new Promise<void>((resolve) => (greeted = resolve))
  const { link, closed } = openChannel(socket, (channel) => new Wire(channel, settings, methods, greeted))
  try {
    await race(context, Promise.race([opened, closed.then((reason) => Promise.reject(reason))]))
  } catch (error) {
    link.close()
    throw error
  }
  return new LinkConnection(link, closed)
}

/** Contexts that were imported: what is to be done when one is collected. */
const dropped = new FinalizationRegistry<() => void>((f) => f())

/** A link with its end. */
class Wire {
  readonly link: Link
  readonly closed: Promise<LinkLostError>

  constructor(channel: Channel, settings: LinkSettings, methods: object | undefined, onOpen: () => void) {
    let onClose!: (reason: LinkLostError) => void
    this.closed = new Promise((resolve) => (onClose = resolve))
    this.link = new Link({
      channel,
      codec: byteCodec(settings.limits?.maxMessage),
      id: crypto.randomUUID(),
      onDropped: (target, f) => dropped.register(target, f),
      root: (peerName) => createRoot({ name: peerName === '' ? 'Link' : `Link(${JSON.stringify(peerName)})` }),
      defer: queueMicrotask,
      serve: methods,
      keys: settings.keys,
      name: settings.name,
      limits: settings.limits,
      report: warnOnce(),
      onOpen,
      onClose,
    })
  }

  receive(bytes: Uint8Array): void {
    this.link.receive(bytes)
  }

  lost(reason: LinkLostError): void {
    this.link.lost(reason)
  }
}

/**
 * Reports by a warning of the process that a context's value was left out: once for each key and connection, since it may be the peer that
 * causes it; on one line; and never with a throw.
 */
function warnOnce(): (error: unknown, name: string) => void {
  const warned = new Set<string>()
  return (error, name) => {
    if (warned.has(name)) return
    warned.add(name)
    process.emitWarning(`The value of the context key ${named(name)} was left out: ${shown(error)}`, { type: 'CtxbridgeWarning' })
  }
}

function shown(error: unknown): string {
  try {
    return JSON.stringify(String(error instanceof Error ? error.message : error).slice(0, 100))
  } catch {
    return 'what was thrown cannot be shown'
  }
}

/**
 * The methods of the other side, as those of a local object: `await reports.build(ctx, id)`. Each takes a context first, and rejects
 * with `ctx.err()` as soon as that is done; with what the method threw; or with a `BridgeError`.
 *
 * @throws TypeError when `connection` is not from `connect`
 */
export function wrap<T extends object>(connection: Connection): Remote<T> {
  const link = links.get(connection)
  if (link === undefined) throw new TypeError(`wrap() needs a connection from connect(), but got ${named(connection)}.`)
  const methods = new Map<string, (ctx: Context, ...args: unknown[]) => Promise<unknown>>()
  return new Proxy(Object.create(null) as Remote<T>, {
    get(_target, name) {
      // A proxy that is awaited, printed or compared must not call the peer.
      if (typeof name !== 'string' || name === 'then' || name === 'toJSON' || name === 'constructor') return undefined
      let method = methods.get(name)
      if (method === undefined) methods.set(name, (method = (ctx, ...args) => link.call(ctx, name, args)))
      return method
    },
  })
}

/** A server's links. */
export interface Service extends Disposable {
  /** The connections whose peer has greeted, from before the first of its calls until the end. `wrap` works on them. */
  readonly connections: ReadonlySet<Connection>
  /** Turns new connections away and closes those that are open. The `WebSocketServer` stays the caller's. */
  close(): void
  /** The sums over all connections, those included whose peer has not greeted yet. */
  stats(): { readonly connections: number; readonly calls: number; readonly handlers: number }
}

/**
 * Serves the own methods of an object to everybody who connects. A method gets the context of the call, then the caller's arguments; what
 * it returns and throws goes back. It never sees methods that are inherited, begin with `__`, or are called `constructor` or `then`.
 *
 * The server stays the caller's; give it `perMessageDeflate: false` and a `maxPayload`, since ws takes 100 MiB from anybody otherwise. Peers are told
 * the smaller one of `maxPayload` and the limit `maxMessage`.
 *
 * @throws TypeError when `server` is no WebSocketServer, or `methods` no object with methods of its own
 */
export function serve(server: WebSocketServer, methods: object, settings: LinkSettings = {}): Service {
  if (!isServer(server)) throw new TypeError(`serve() needs a WebSocketServer, but got ${named(server)}.`)
  checkMethods('serve', methods)
  checkSettings('serve', settings)
  const limits = { ...linkLimits, ...settings.limits }
  const own = {
    ...settings,
    limits: { ...limits, maxMessage: Math.max(leastMessage, Math.min(limits.maxMessage, longestMessage(server))) },
  }
  const all = new Set<Link>()
  const connections = new Set<Connection>()
  const stop = onConnection(server, (socket) => {
    const { link, closed } = openChannel(socket, (channel) => new Wire(channel, own, methods, () => connections.add(connection)))
    const connection = new LinkConnection(link, closed)
    all.add(link)
    void closed.then(() => {
      all.delete(link)
      connections.delete(connection)
    })
  })
  const close = (): void => {
    stop()
    for (const link of all) link.close()
  }
  return {
    connections,
    close,
    stats() {
      let calls = 0
      let handlers = 0
      for (const link of all) {
        const stats = link.stats()
        calls += stats.calls
        handlers += stats.handlers
      }
      return { connections: all.size, calls, handlers }
    },
    [Symbol.dispose]: close,
  }
}

function checkMethods(caller: string, methods: object): void {
  const own = typeof methods === 'object' && methods !== null ? Object.values(Object.getOwnPropertyDescriptors(methods)) : []
  if (!own.some(({ value }) => typeof value === 'function')) {
    throw new TypeError(
      `${caller}() needs an object with methods of its own to serve, but got ${named(methods)}. Methods of a class are inherited.`,
    )
  }
}

/** The least that every peer must take, in bytes. */
const leastMessage = 1_024

function checkSettings(caller: string, settings: LinkSettings): void {
  if (typeof settings !== 'object' || settings === null)
    throw new TypeError(`${caller}() needs its options to be an object, but got ${named(settings)}.`)
  const { keys = [], name = '', limits = {} } = settings
  if (!Array.isArray(keys) || !keys.every((key: unknown) => isKey(key) && key.portable !== undefined)) {
    throw new TypeError(`${caller}() needs its option 'keys' to be portable keys, made by createKey(name, { portable: ... }).`)
  }
  if (!isText(name, 0, 256)) {
    throw new TypeError(
      `${caller}() needs its option 'name' to be well-formed text of at most 256 characters, but got ${named(name)}.`,
    )
  }
  for (const [limit, value] of Object.entries(limits)) {
    if (!(limit in linkLimits)) throw new TypeError(`${caller}() knows no limit of the name ${named(limit)}.`)
    const least = limit === 'maxMessage' ? leastMessage : 0
    if (!Number.isSafeInteger(value) || value < least) {
      throw new TypeError(
        `${caller}() needs the limit ${limit} to be a whole number of at least ${least}, but got ${named(value)}.`,
      )
    }
  }
}
