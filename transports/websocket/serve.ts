/** The side that is connected to. */
import type { IncomingMessage } from 'node:http'
import { type Channel, closeCode, type Link, linkLimits, type LinkOptions } from '../../lib/bridge/link.ts'
import { Acceptor } from '../../lib/bridge/link-acceptor.ts'
import type { LinkLostError } from '../../lib/errors.ts'
import { named } from '../../lib/key.ts'
import { checkMethods, checkSettings, leastMessage } from './check.ts'
import { type CloseOptions, type Connection, graceOf, LinkConnection } from './connection.ts'
import { type LinkSettings, makeLink } from './link.ts'
import { byteCodec } from './msgpackr.ts'
import type { Receiver } from './receiver.ts'
import { isServer, judgeUpgrades, longestMessage, onConnection, openChannel, type Refusal, type WebSocketServer } from './ws.ts'

export interface ServeSettings extends LinkSettings {
  /**
   * Asked for each request to upgrade, before there is a socket. Gives who it is, by a value that is the same for the same one, such as a user's
   * name: a session that broke goes on only for that one. False, and what is thrown, refuses the request, with 401 and with 500. Compare secrets in
   * constant time, and take no token from the URL, which is logged.
   *
   * Default: everybody, and a session goes on for whoever has its token.
   */
  readonly authorize?: (request: IncomingMessage) => unknown
  /**
   * The origins of pages that may connect, such as `https://example.com`; `'*'` for all. A request without an origin is of no page, and passes. Others are
   * refused with 403. Default: pages of the same host and port as the request.
   */
  readonly allowedOrigins?: readonly string[] | '*'
  /** How long a peer may take to greet, in milliseconds. Default: 10,000. */
  readonly helloTimeout?: number
  /** How many connections may be open at once. More are closed with 1013. Default: 10,000. */
  readonly maxConnections?: number
}

/** A server's links. */
export interface Service extends Disposable {
  /** The connections whose peer has greeted, from before the first of its calls until the end. `wrap` works on them. */
  readonly connections: ReadonlySet<Connection>
  /** Turns new connections away and closes those that are open. The `WebSocketServer` stays the caller's. */
  close(): void
  /** As `close` of each connection with a grace. */
  close(options: CloseOptions): Promise<void>
  /** The sums over all connections, those included whose peer has not greeted yet. */
  stats(): { readonly connections: number; readonly calls: number; readonly handlers: number; readonly contexts: number }
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
export function serve(server: WebSocketServer, methods: object, settings: ServeSettings = {}): Service {
  if (!isServer(server)) throw new TypeError(`serve() needs a WebSocketServer, but got ${named(server)}.`)
  checkMethods('serve', methods)
  checkSettings('serve', settings)
  checkServeSettings(settings)
  return new WebSocketService(server, methods, settings)
}

class WebSocketService implements Service {
  readonly connections = new Set<Connection>()
  readonly #links = new Set<Link>()
  readonly #acceptor: Acceptor<Uint8Array>
  readonly #helloTimeout: number
  readonly #maxConnections: number
  readonly #stop: () => void
  /** Who has been let in, until there is a socket. */
  readonly #identities = new WeakMap<IncomingMessage, unknown>()
  /** Connections whose peer has not greeted. */
  #waiting = 0
  readonly #early = new Set<() => void>()

  constructor(server: WebSocketServer, methods: object, settings: ServeSettings) {
    const { authorize, allowedOrigins, helloTimeout = 10_000, maxConnections = 10_000 } = settings
    const limits = { ...linkLimits, ...settings.limits }
    const maxMessage = Math.max(leastMessage, Math.min(limits.maxMessage, longestMessage(server)))
    const own = { ...settings, limits: { ...limits, maxMessage } }
    this.#helloTimeout = helloTimeout
    this.#maxConnections = maxConnections
    this.#acceptor = new Acceptor({
      codec: byteCodec(maxMessage),
      maxMessage,
      token: () => crypto.randomUUID(),
      link: (channel, session) => this.#make(channel, own, methods, session),
    })
    const giveBack = judgeUpgrades(server, (request) => this.#judge(request, authorize, allowedOrigins))
    const stop = onConnection(server, (socket, request) => {
      openChannel(socket, (channel) => this.#receiver(channel, this.#identities.get(request)))
    })
    this.#stop = () => {
      stop()
      giveBack()
    }
  }

  async #judge(
    request: IncomingMessage,
    authorize: ServeSettings['authorize'],
    allowed: ServeSettings['allowedOrigins'],
  ): Promise<Refusal | undefined> {
    if (!isAllowed(request, allowed)) return { status: 403 }
    if (authorize === undefined) return undefined
    const identity: unknown = await authorize(request)
    if (identity === false || identity === undefined || identity === null) return { status: 401 }
    this.#identities.set(request, identity)
    return undefined
  }

  #make(channel: Channel, settings: LinkSettings, methods: object, session: LinkOptions['session']): Link {
    let over!: (reason: LinkLostError) => void
    const closed = new Promise<LinkLostError>((resolve) => (over = resolve))
    const link: Link = makeLink(channel, settings, methods, session, {
      onOpen: () => this.connections.add(connection),
      onClose: (reason) => {
        this.#links.delete(link)
        this.#acceptor.forget(link)
        this.connections.delete(connection)
        over(reason)
      },
    })
    const connection = new LinkConnection(link, closed)
    this.#links.add(link)
    return link
  }

  #receiver(channel: Channel, identity: unknown): Receiver {
    if (this.#waiting + this.#links.size >= this.#maxConnections) {
      channel.close(closeCode.tooSlow, 'connections: no more are taken')
      return { receive: () => undefined, lost: () => undefined }
    }
    const connected = this.#acceptor.connect(channel, identity)
    this.#waiting++
    const timer = setTimeout(() => connected.overdue(), this.#helloTimeout).unref()
    const turnAway = (): void => channel.close(closeCode.goingAway, 'going away')
    this.#early.add(turnAway)
    const greeted = (): void => {
      if (!this.#early.delete(turnAway)) return
      this.#waiting--
      clearTimeout(timer)
    }
    return {
      receive: (bytes) => {
        connected.receive(bytes)
        if (connected.link !== undefined) greeted()
      },
      lost: (reason, final) => {
        greeted()
        connected.lost(reason, final)
      },
    }
  }

  close(): void
  close(options: CloseOptions): Promise<void>
  close(options?: CloseOptions): Promise<void> | undefined {
    const grace = options === undefined ? undefined : graceOf(options)
    this.#stop()
    for (const turnAway of this.#early) turnAway()
    if (grace !== undefined) return Promise.all([...this.#links].map((link) => link.shutdown(grace))).then(() => undefined)
    for (const link of this.#links) link.close()
    return undefined
  }

  stats(): { readonly connections: number; readonly calls: number; readonly handlers: number; readonly contexts: number } {
    let [calls, handlers, contexts] = [0, 0, 0]
    for (const link of this.#links) {
      const stats = link.stats()
      calls += stats.calls
      handlers += stats.handlers
      contexts += stats.exports + stats.imports
    }
    return { connections: this.#waiting + this.#links.size, calls, handlers, contexts }
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** Whether a page of that origin may connect. What is no browser sends none. */
function isAllowed({ headers: { origin, host } }: IncomingMessage, allowed: ServeSettings['allowedOrigins']): boolean {
  if (origin === undefined || allowed === '*') return true
  if (allowed !== undefined) return allowed.includes(origin)
  try {
    return new URL(origin).host === host
  } catch {
    return false
  }
}

function checkServeSettings({ authorize, allowedOrigins, helloTimeout = 1, maxConnections = 1 }: ServeSettings): void {
  if (authorize !== undefined && typeof authorize !== 'function') {
    throw new TypeError(`serve() needs its option 'authorize' to be a function, but got ${named(authorize)}.`)
  }
  const isList = Array.isArray(allowedOrigins) && allowedOrigins.every((origin: unknown) => typeof origin === 'string')
  if (allowedOrigins !== undefined && allowedOrigins !== '*' && !isList) {
    throw new TypeError(
      `serve() needs its option 'allowedOrigins' to be '*' or an array of origins, but got ${named(allowedOrigins)}.`,
    )
  }
  for (const [name, value] of Object.entries({ helloTimeout, maxConnections })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new TypeError(`serve() needs its option '${name}' to be a whole number of at least 1, but got ${named(value)}.`)
    }
  }
}
