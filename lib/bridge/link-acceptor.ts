/**
 * The side that connections come to: which of them begins a link, and which goes on with one.
 *
 * A session belongs to whoever holds its token and was recognised as the one who opened it. The token of a session changes with each of its
 * connections; the one before it is good until something has come that its holder can only have sent with the newer one in hand.
 */

import type { LinkLostError } from '../errors.ts'
import type { HelloFrame } from '../wire/frame.ts'
import { isPlain } from '../wire/sendable.ts'
import type { Link } from './link.ts'
import { type Channel, closeCode, type LinkCodec, type LinkOptions } from './link-types.ts'

/** How a connection is closed. */
export interface Refusal {
  readonly code: number
  readonly reason: string
}

export interface AcceptorOptions<M> {
  readonly codec: LinkCodec<M>
  /** Longer messages are not even decoded. */
  readonly maxMessage: number
  /** Gives a token that nobody can guess: 1 to 64 characters. */
  readonly token: () => string
  /** Why no new peer is taken; undefined where one is. One that goes on with its session is not asked about. */
  readonly refusal?: () => Refusal | undefined
  /** Makes the link of a new peer. */
  readonly link: (channel: Channel<M>, session: LinkOptions<M>['session'], identity: unknown) => Link<M>
}

interface Session<M> {
  readonly link: Link<M>
  readonly identity: unknown
  /** Those that are good, the newest last: two at most. */
  readonly tokens: string[]
}

/** A connection, as the transport tells of it. */
export interface Connected<M> {
  /** The link that is on it now; undefined before the greeting, and when its session has gone elsewhere. */
  readonly link: Link<M> | undefined
  receive(message: M): void
  /** It is gone. `final`: the peer closed it on purpose, and will not come back. */
  lost(reason: LinkLostError, final: boolean): void
  /** Turns away a peer that has not greeted: whatever it still says is not heard. */
  refuse(refusal: Refusal): void
}

export class Acceptor<M> {
  readonly #options: AcceptorOptions<M>
  readonly #sessions = new Map<string, Session<M>>()
  /** Which connection a link is on. */
  readonly #current = new Map<Link<M>, Connection<M>>()

  constructor(options: AcceptorOptions<M>) {
    this.#options = options
  }

  /** How many tokens are good at present. */
  get tokens(): number {
    return this.#sessions.size
  }

  /**
   * @param identity who it is that has connected: a primitive, plain data, or the same object each time
   * @param known called once, when its peer has greeted, or it is gone
   */
  connect(channel: Channel<M>, identity: unknown, known: () => void = () => undefined): Connected<M> {
    return new Connection(this, channel, identity, known)
  }

  /** The first message of a connection; undefined while the greeting has not come. */
  begin(connection: Connection<M>, message: M): Link<M> | 'refused' | undefined {
    const { codec, maxMessage, link: make } = this.#options
    const size = codec.size(message)
    const frames = size <= maxMessage ? codec.decode(message) : undefined
    if (frames?.ok === true && frames.value.length === 0) return undefined
    const hello = frames?.ok === true ? frames.value[0] : undefined
    if (hello?.type === 'hello' && hello.session !== undefined && hello.session.token !== '') {
      return this.#resume(connection, hello, hello.session.token)
    }
    const refusal = this.#options.refusal?.()
    if (refusal !== undefined) {
      connection.channel.close(refusal.code, refusal.reason)
      return 'refused'
    }
    // Whatever is wrong with it, the link says so.
    const link =
      hello?.type === 'hello' && hello.session !== undefined
        ? this.#open(connection)
        : make(connection.channel, undefined, connection.identity)
    this.#current.set(link, connection)
    if (frames?.ok === true) link.receiveFrames(frames.value, size)
    else link.receive(message)
    return link
  }

  #open(connection: Connection<M>): Link<M> {
    const tokens: string[] = []
    const accept = (): string => {
      const token = this.#options.token()
      tokens.push(token)
      // The first one is asked for while the link is made.
      if (made.session !== undefined) this.#sessions.set(token, made.session)
      return token
    }
    const made: { session?: Session<M> } = {}
    const { identity } = connection
    const link = this.#options.link(connection.channel, { accept }, identity)
    made.session = { link, identity, tokens }
    for (const token of tokens) this.#sessions.set(token, made.session)
    return link
  }

  #resume(connection: Connection<M>, hello: HelloFrame, token: string): Link<M> | 'refused' {
    const session = this.#sessions.get(token)
    const refuse = (): 'refused' => {
      connection.channel.close(closeCode.noSession, 'session: not known')
      return 'refused'
    }
    if (session === undefined || !isSame(session.identity, connection.identity)) return refuse()
    const { link, tokens } = session
    const before = this.#current.get(link)
    const wasThere = before?.link === link
    before?.leave()
    this.#current.set(link, connection)
    if (!link.resume(connection.channel, hello)) {
      // It may be over by now.
      if (before !== undefined && this.#sessions.has(token)) {
        this.#current.set(link, before)
        if (wasThere) before.carry(link)
      }
      return refuse()
    }
    // The token that was used stays good, and the new one is.
    for (const old of tokens.splice(0, tokens.length - 1)) if (old !== token) this.#sessions.delete(old)
    tokens.unshift(token)
    return link
  }

  /** Something has come on a connection of the link that was resumed: its holder has the newest token. */
  confirmed(link: Link<M>): void {
    const session = this.#sessions.get(link.token)
    if (session === undefined) return
    for (const old of session.tokens.splice(0, session.tokens.length - 1)) this.#sessions.delete(old)
  }

  /** The link is over: its session is of no use any more. */
  forget(link: Link<M>): void {
    this.#current.get(link)?.leave()
    this.#current.delete(link)
    const session = this.#sessions.get(link.token)
    for (const token of session?.tokens ?? []) this.#sessions.delete(token)
  }
}

/** Whether two identities are one: the same value, or plain data of the same content. What throws when it is read is nobody's. */
function isSame(a: unknown, b: unknown, depth = 0): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null || depth === maxDepth) return false
  try {
    if (Array.isArray(a) !== Array.isArray(b) || !(Array.isArray(a) || (isPlain(a) && isPlain(b)))) return false
    const keys = Reflect.ownKeys(a)
    if (keys.length !== Reflect.ownKeys(b).length) return false
    return keys.every((key) => Object.hasOwn(b, key) && isSame(Reflect.get(a, key), Reflect.get(b, key), depth + 1))
  } catch {
    return false
  }
}

/** Of what is within each other in an identity. */
const maxDepth = 8

class Connection<M> implements Connected<M> {
  readonly channel: Channel<M>
  readonly identity: unknown
  readonly #acceptor: Acceptor<M>
  #known: (() => void) | undefined
  #link: Link<M> | undefined
  #confirmed = false
  /** Whether nothing is to be done any more with what comes. */
  #over = false

  constructor(acceptor: Acceptor<M>, channel: Channel<M>, identity: unknown, known: () => void) {
    this.#acceptor = acceptor
    this.channel = channel
    this.identity = identity
    this.#known = known
  }

  get link(): Link<M> | undefined {
    return this.#link
  }

  /** The link is on another connection, or over. */
  leave(): void {
    this.#link = undefined
    this.#over = true
  }

  /** The link is on this one. */
  carry(link: Link<M>): void {
    this.#link = link
    this.#over = false
  }

  receive(message: M): void {
    if (this.#link === undefined || !this.#confirmed) this.#receiveEarly(message)
    else this.#link.receive(message)
  }

  /** What comes until it is known who it is. */
  #receiveEarly(message: M): void {
    const link = this.#link
    if (link !== undefined) {
      link.receive(message)
      this.#acceptor.confirmed(link)
      this.#confirmed = true
      return
    }
    if (this.#over) return
    const begun = this.#acceptor.begin(this, message)
    if (begun === 'refused') this.#over = true
    // It may be over by now.
    else if (begun !== undefined && !this.#over) {
      this.#link = begun
      this.#isKnown()
    }
  }

  #isKnown(): void {
    const known = this.#known
    this.#known = undefined
    known?.()
  }

  lost(reason: LinkLostError, final: boolean): void {
    const link = this.#link
    this.leave()
    this.#isKnown()
    if (final) link?.lost(reason)
    else link?.detached(reason)
  }

  refuse({ code, reason }: Refusal): void {
    if (this.#link !== undefined || this.#over) return
    this.#over = true
    this.channel.close(code, reason)
  }
}
