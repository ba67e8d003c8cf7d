/** What a link is given, and what it tells. */

import type { Context } from '../context.ts'
import type { LinkLostError } from '../errors.ts'
import type { Key } from '../key.ts'
import type { Frame, HelloLimits } from '../wire/frame.ts'
import type { Result } from '../wire/result.ts'
import { scanLimits } from '../wire/scan.ts'
import type { ReportValue } from '../wire/values.ts'
import type { LinkLease } from './link-liveness.ts'

/**
 * What carries a link's messages: one connection. Whole messages, in order; what it calls back is `receive` and `lost`. A message is of the form `M`
 * that the codec makes: bytes, or a plain value for a channel that clones it.
 */
export interface Channel<M = Uint8Array> {
  /** Queues a message; never throws. The message is the channel's from here on. */
  send(message: M): void
  /** How many bytes wait for the peer to read, by an estimate; 0 where that is not known. */
  queued(): number
  /**
   * Calls `f` once, later, when fewer bytes wait or may wait; asked only while some do, and again only after `f` was called. Where the connection is gone it may
   * never be called: `lost` is.
   */
  drained(f: () => void): void
  /** Closes the connection with a code and a reason of at most 100 characters, and sees to it that it is gone soon after. */
  close(code: number, reason: string): void
  /** Drops the connection without a word: the peer sees that it broke. */
  terminate(): void
}

/** Messages as they travel. No function throws. */
export interface LinkCodec<M = Uint8Array> {
  encode(frames: readonly Frame[]): M
  /** The frames of a message from outside, of which nothing is known. */
  decode(message: M): Result<Frame[]>
  /** The size of a message in bytes, by an estimate where it has none. */
  size(message: M): number
  /** `encode` of the cancel of an id, without a cause or with a text that `isShortText`, alone: it is made while others wait for it. */
  encodeCancel(id: number, text: string | undefined): M
  /** The id, where the message is such a cancel; 0 where it may be anything. */
  decodeCancel(message: M): number
  /** The text that is the cause of one that `decodeCancel` gave the id of. */
  cancelText(message: M): string | undefined
}

type CloseName =
  | 'normal'
  | 'goingAway'
  | 'notBinary'
  | 'tooBig'
  | 'tooSlow'
  | 'badFrame'
  | 'noSession'
  | 'silent'
  | 'replaced'
  | 'tooMuch'

/** Close codes of this protocol, beside those of WebSocket (RFC 6455, section 7.4). */
export const closeCode: Readonly<Record<CloseName, number>> = Object.freeze({
  /** Closed on purpose. */
  normal: 1000,
  /** The server goes away, or the page. */
  goingAway: 1001,
  /** A message that is not binary. */
  notBinary: 1003,
  /** A message over the limit. */
  tooBig: 1009,
  /** The peer does not read what is sent to it. */
  tooSlow: 1013,
  /** A message or frame that the protocol does not allow. */
  badFrame: 4400,
  /** A session to go on with that is not known, or not to who asks for it. */
  noSession: 4401,
  /** No greeting in time, or nothing at all for longer than the lease. */
  silent: 4408,
  /** The session goes on over another connection. */
  replaced: 4409,
  /** More of something than this side takes, and has said that it takes. */
  tooMuch: 4429,
})

export interface LinkLimits {
  /** The longest message to take, in bytes. */
  readonly maxMessage: number
  /**
   * How many handlers may run at once for the peer, which may have no more calls open than that. A cancelled call counts until its handler has finished: so a call that comes meanwhile may have to
   * wait for that. As many may wait as may run, with no more than `maxBacklog` bytes of arguments; more are refused with `ERR_LIMIT`.
   */
  readonly maxCalls: number
  /**
   * How many calls and exports may be opened and abandoned at once: each costs one when it is opened, and gives it back when its handler has answered, or when the
   * export is retracted. Cancels cost nothing. Calls beyond it are refused; who opens as many again in spite of that is closed.
   * Default: 50 for each of `maxCalls`, and 50,000 at least.
   */
  readonly maxAbandoned: number
  /** How many of these come back in a second. Default: a tenth of `maxAbandoned`. */
  readonly abandonedPerSecond: number
  /** How many contexts the peer may have exported to here at once. */
  readonly maxContexts: number
  /** How many items of a stream may wait here for their reader. */
  readonly window: number
  /**
   * How many bytes may wait here, for the peer to read, or to say that it has read them; at least 65,536. Calls and results beyond it are refused with `ERR_LIMIT`,
   * streams wait. Where twice as many wait, of what cannot be refused, the peer is given up.
   */
  readonly maxBacklog: number
}

export const linkLimits: LinkLimits = Object.freeze({
  maxMessage: scanLimits.maxBytes,
  maxCalls: 1_000,
  maxAbandoned: 50_000,
  abandonedPerSecond: 5_000,
  maxContexts: 1_000,
  window: 16,
  maxBacklog: 16 * 1_048_576,
})

/** With the defaults for what is not given: who may have many calls open may end as many, again and again. */
export function limitsOf(given: Partial<LinkLimits> = {}): LinkLimits {
  const { maxCalls = linkLimits.maxCalls } = given
  const { maxAbandoned = Math.max(linkLimits.maxAbandoned, 50 * maxCalls) } = given
  return { ...linkLimits, abandonedPerSecond: maxAbandoned / 10, ...given, maxAbandoned }
}

/** A served method: gets the context of the call, then the caller's arguments. */
export type Method = (ctx: Context, ...args: never[]) => unknown

export interface LinkOptions<M = Uint8Array> {
  readonly channel: Channel<M>
  readonly codec: LinkCodec<M>
  /** Tells this end from every other end of a link: 1 to 64 characters, such as 128 random bits. No secret. */
  readonly id: string
  /** Makes the parent of all contexts that come in, once; its clock is the link's. The peer's name is not to be trusted, and empty where it has not greeted yet. */
  readonly root: (peerName: string) => Context
  /** Calls a function after the code that runs now: a microtask. All frames of that time leave in one message. */
  readonly defer: (f: () => void) => void
  /**
   * Calls `f` some time after `target` was collected: a `FinalizationRegistry`. Must not hold `target`. Without it an import is given back
   * when it ends, and not when it is dropped.
   */
  readonly onDropped?: ((target: object, f: () => void) => void) | undefined
  /** The object whose own methods the peer may call. */
  readonly serve?: object | undefined
  /** The longest time in milliseconds that a context of the peer's may have; default: as long as it says. */
  readonly maxTimeout?: number | undefined
  /** Whether errors go to the peer with their stacks, which name files of this side: default false. */
  readonly stacks?: boolean | undefined
  /** The portable keys whose values are taken from the peer. */
  readonly keys?: readonly Key<unknown>[] | undefined
  /** Who this is, for the peer's logs. */
  readonly name?: string | undefined
  readonly limits?: Partial<LinkLimits> | undefined
  /** Is told what could not be delivered and is nobody's rejection: a context's value of that name. Must not throw. */
  readonly report: ReportValue
  /** How long silence may last; undefined: for ever, where the channel tells of every loss. */
  readonly lease?: Partial<LinkLease> | undefined
  /** While more bytes than this wait in the channel, only what is urgent is given to it: cancels, and what else is small and of what the peer knows. Default: 65,536. */
  readonly ahead?: number | undefined
  /** Calls `f` after what has arrived and not been read was given to `receive`. Default: the clock's next timer. */
  readonly afterReading?: ((f: () => void) => void) | undefined
  /**
   * Lets the link outlive its connection. `connect`: this side connects, and asks for a session. `accept`: it accepts, and offers one with a token that
   * nobody can guess, of which it makes a new one for each connection. `acknowledge`: no other connection, but each side says what it has read, for a channel
   * that does not tell what waits in it.
   */
  readonly session?: 'connect' | 'acknowledge' | { readonly accept: () => string } | undefined
  /** Called when the connection is gone and the link waits for another: {@link Link.resume}, {@link Link.reconnected}. */
  readonly onSuspend?: (reason: LinkLostError) => void
  /** Called once, when the peer has greeted. */
  readonly onOpen?: () => void
  /** Called once, when the link is over, after everything on it has ended. */
  readonly onClose?: (reason: LinkLostError) => void
}

export interface LinkStats {
  readonly state: 'opening' | 'open' | 'suspended' | 'closed'
  /** Calls that wait for an answer of the peer. */
  readonly calls: number
  /** Handlers that run for the peer. */
  readonly handlers: number
  /** Calls of the peer that wait for a handler to finish, since as many run as may. */
  readonly waiting: number
  /** Contexts of this side that the peer knows: by handles, or since several calls are under them. */
  readonly exports: number
  /** Contexts of the peer that are known here, those awaited included. */
  readonly imports: number
  /** Frames that wait for the end of this turn, or for the peer to read what was sent before. */
  readonly queued: number
  /** Frames about what was over already: crossings, not faults. */
  readonly late: number
}

/** What is known of a peer. Until it has greeted, what any peer takes. */
export interface Peer {
  readonly name: string
  /** The id of its end; empty before it has greeted. */
  readonly link: string
  readonly limits: HelloLimits
}

/** What a peer did that is not allowed: the reason, with the close code where that is not `badFrame`. */
export type Fault = string | { readonly code: number; readonly reason: string }
