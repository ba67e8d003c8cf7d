/** The side that is connected to: its links, and what it does with connections that come. How they come, a transport knows. */

import { disposable } from '../dispose.ts'
import { after } from '../clock.ts'
import { type Context, withValue } from '../context.ts'
import type { LinkLostError } from '../errors.ts'
import type { Key } from '../key.ts'
import type { Link } from './link.ts'
import { Acceptor, type Refusal } from './link-acceptor.ts'
import { type CloseOptions, type Connection, graceOf, LinkConnection } from './link-connection.ts'
import type { Receiver } from './link-dial.ts'
import { type LinkEvents, type LinkHost, type LinkSettings, makeLink, maxMessageOf } from './link-host.ts'
import { inspectAsText, show } from './link-show.ts'
import { type Channel, closeCode, type LinkOptions } from './link-types.ts'

export interface ServiceSettings extends LinkSettings {
  /** How long a peer may take to greet, in milliseconds; and before that, how long it may take to judge its request. Default: 10,000. */
  readonly helloTimeout?: number
  /**
   * How many peers may be served at once, those included whose connection broke and who may come back. More are closed with 1013 when they greet. Beside them as many
   * connections may be open whose peer has not greeted yet, and as many requests may wait to be judged: more are refused with 503. Default: 10,000.
   */
  readonly maxConnections?: number
}

/** How contexts that come in say who it is that they come from. */
interface Identified {
  readonly identity?: Key<unknown>
}

/** A server's links. */
export interface Service extends Disposable {
  /** The connections whose peer has greeted, from before the first of its calls until the end. `wrap` works on them. */
  readonly connections: ReadonlySet<Connection>
  /** Turns new connections away and closes those that are open. What they came through stays the caller's. */
  close(): void
  /** As `close` of each connection with a grace. Until it resolves, who loses a connection may come back to its session, so leave open what they come through. */
  close(options: CloseOptions): Promise<void>
  /** The sums over all connections, those included whose peer has not greeted yet. */
  stats(): {
    readonly connections: number
    readonly calls: number
    readonly handlers: number
    readonly waiting: number
    readonly contexts: number
  }
  /** As `close()`: all connections are closed, and what is open on them ends with a `LinkLostError`. The server is not closed. */
  [Symbol.dispose](): void
}

const full: Refusal = { code: closeCode.tooSlow, reason: 'connections: no more are taken' }
const late: Refusal = { code: closeCode.silent, reason: 'hello: not in time' }
const goingAway: Refusal = { code: closeCode.goingAway, reason: 'going away' }

export class LinkService<M = Uint8Array> implements Service {
  declare readonly [Symbol.dispose]: () => void
  readonly connections: Set<Connection> = new Set()
  readonly helloTimeout: number
  readonly maxConnections: number
  readonly #host: LinkHost<M>
  readonly #links = new Set<Link<M>>()
  readonly #acceptor: Acceptor<M>
  readonly #stop: () => void
  /** Connections whose peer has not greeted. */
  #waiting = 0
  readonly #early = new Set<() => void>()
  /** New peers are turned away. Those whose connection broke may still come back to what they have here. */
  #closing = false

  /** @param stop lets no connections come any more; may be called again */
  constructor(host: LinkHost<M>, methods: object, settings: ServiceSettings & Identified, stop: () => void) {
    const { identity: key, helloTimeout = 10_000, maxConnections = 10_000 } = settings
    this.#host = host
    this.#stop = stop
    this.helloTimeout = helloTimeout
    this.maxConnections = maxConnections
    this.#acceptor = new Acceptor({
      codec: host.codec(settings.limits?.maxMessage),
      maxMessage: maxMessageOf(settings),
      token: () => host.id(),
      refusal: () => (this.#closing ? goingAway : this.#links.size < maxConnections ? undefined : full),
      link: (channel, session, identity) => {
        const dress = key === undefined ? undefined : (root: Context): Context => withValue(root, key, identity)
        return this.#make(channel, settings, methods, session, dress)
      },
    })
  }

  #make(
    channel: Channel<M>,
    settings: LinkSettings,
    methods: object,
    session: LinkOptions<M>['session'],
    dress: ((root: Context) => Context) | undefined,
  ): Link<M> {
    let over!: (reason: LinkLostError) => void
    const closed = new Promise<LinkLostError>((resolve) => (over = resolve))
    const events: LinkEvents = {
      onOpen: () => this.connections.add(connection),
      onClose: (reason) => {
        this.#links.delete(link)
        this.#acceptor.forget(link)
        this.connections.delete(connection)
        over(reason)
      },
    }
    const link: Link<M> = makeLink(this.#host, channel, settings, methods, session, events, dress)
    const connection = new LinkConnection(link, closed)
    this.#links.add(link)
    return link
  }

  /**
   * A connection has come.
   * @param identity who it is: a session goes on only for the one who opened it
   */
  accept(channel: Channel<M>, identity: unknown): Receiver<M> {
    // Who has not greeted yet may come back to a session that is counted already.
    if (this.#waiting >= this.maxConnections) {
      channel.close(full.code, full.reason)
      return { receive: () => undefined, lost: () => undefined }
    }
    const turnAway = (): void => connected.refuse(goingAway)
    const connected = this.#acceptor.connect(channel, identity, () => {
      if (!this.#early.delete(turnAway)) return
      this.#waiting--
      forget()
    })
    this.#waiting++
    this.#early.add(turnAway)
    const forget = after(this.#host.clock, this.helloTimeout, false, () => connected.refuse(late))
    return connected
  }

  close(): void
  close(options: CloseOptions): Promise<void>
  close(options?: CloseOptions): Promise<void> | undefined {
    const grace = options === undefined ? undefined : graceOf(options)
    this.#closing = true
    if (grace !== undefined) return Promise.all([...this.#links].map((link) => link.shutdown(grace))).then(() => this.#leave())
    this.#leave()
    for (const link of this.#links) link.close()
    return undefined
  }

  /** Takes no connection any more. */
  #leave(): void {
    this.#stop()
    for (const turnAway of this.#early) turnAway()
  }

  /** Makes room for another service where this one is being closed: then nobody comes back to it. False where it is not. */
  giveWay(): boolean {
    if (this.#closing) this.#leave()
    return this.#closing
  }

  stats(): ReturnType<Service['stats']> {
    let [calls, handlers, waiting, contexts] = [0, 0, 0, 0]
    for (const link of this.#links) {
      const stats = link.stats()
      calls += stats.calls
      handlers += stats.handlers
      waiting += stats.waiting
      contexts += stats.exports + stats.imports
    }
    return { connections: this.#waiting + this.#links.size, calls, handlers, waiting, contexts }
  }

  static {
    disposable<LinkService<unknown>>(this.prototype, function () {
      this.close()
    })
  }

  toString(): string {
    return show('Service', '', this.stats())
  }

  toJSON(): string {
    return String(this)
  }

  static {
    inspectAsText(this.prototype)
  }
}
