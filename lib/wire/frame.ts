/**
 * The frames of the protocol: what TypeScript sees of them, and what the wire has. `frame-codec.ts` is the way between the two.
 *
 * A message is one array of 1 to 1,024 frames. A frame is an array that begins with its type, a number, and has exactly the
 * elements that its type says. `nil` is msgpack's nil, null here.
 *
 * | type | frame | elements behind the type | sent by | id of |
 * |---:|---|---|---|---|
 * | 1 | hello | version, limits, name, link; and session, where sessions are spoken of | both, first | |
 * | 2 | call | id, method, context, arguments | caller | sender |
 * | 3 | cancel | id, kind, cause or nil | caller, exporter | sender |
 * | 4 | result | id, value; or id alone, when the method returned nothing | callee | receiver |
 * | 5 | error | id, cause | callee | receiver |
 * | 6 | export | id, context | exporter | sender |
 * | 7 | release | id, grant | importer | receiver |
 * | 8 | ping | n | both | |
 * | 9 | pong | n | both | |
 * | 10 | goaway | reason | both | |
 * | 11 | retract | id | exporter | sender |
 * | 12 | stream | id | callee | receiver |
 * | 13 | item | id, value; or id alone, for undefined | callee | receiver |
 * | 14 | credit | id, n | caller | sender |
 * | 15 | ack | n | both | |
 * | 16 | cancels | ids, kind, cause or nil | caller, exporter | sender |
 * | 64-127 | none yet | anything | | |
 *
 * Each side numbers its own calls and exports, in one sequence; the last column says whose sequence an id is of. A receiver skips
 * frames of the types 64 to 127, so that later versions can add what an older peer may miss. All other types are refused.
 */

import type { Kind } from '../errors.ts'
import type { WireCause } from './cause.ts'

/** The version of the protocol that this is. A hello of any other version is refused, whatever else is in it. */
export const PROTOCOL_VERSION = 1

/** First of each side: what it speaks and what it takes. */
export interface HelloFrame {
  readonly type: 'hello'
  /** Integer from 1. */
  readonly version: number
  readonly limits: HelloLimits
  /** Who this is, for logs: 0 to 256 UTF-16 units, possibly with control characters. Proves nothing. */
  readonly name: string
  /** Tells this end of the link from all others, so that a handle of another link is recognised: 1 to 64 UTF-16 units. No secret. */
  readonly link: string
  /** Undefined, on the wire a hello that ends with `link`: neither wanted nor offered. */
  readonly session: HelloSession | undefined
}

/** What the sender of a hello takes. Integers up to 2^53-1. */
export interface HelloLimits {
  /** The longest message, in bytes: from 1,024, so that all frames without data of a user's fit. */
  readonly maxMessage: number
  /** How many calls may be open at once: from 0, which is said by one that serves nothing. */
  readonly maxCalls: number
  /** How many exported contexts may be open at once: from 0. */
  readonly maxContexts: number
  /** How many items of a stream may come before a credit: from 1. */
  readonly window: number
  /** After so many milliseconds of silence the sender gives the receiver up: from 0, which says never. */
  readonly lease: number
}

/** A link that goes on over another connection. */
export interface HelloSession {
  /**
   * From who connects: the token of the session to go on with, or empty where it wants a new one. From who accepts: the token with which
   * it can be gone on with the next time. 0 to 64 UTF-16 units; a secret.
   */
  readonly token: string
  /** How many messages of the session have come in so far: an integer from 0. */
  readonly received: number
}

/** Calls a method of what the receiver serves. */
export interface CallFrame {
  readonly type: 'call'
  /** Integer from 1 to 2^53-1. The sender's ids only grow. */
  readonly id: number
  /** 1 to 256 UTF-16 units. */
  readonly method: string
  readonly context: WireContext
  /** Plain data, as {@link checkSendable} gives it. */
  readonly args: readonly unknown[]
}

/** The context of a call, or an exported one, is done. Nothing is answered. */
export interface CancelFrame {
  readonly type: 'cancel'
  readonly id: number
  /** On the wire 0 is 'canceled', and 1 is 'deadline': the sender's clock found the deadline passed. */
  readonly kind: Kind
  /** What was given as the reason; undefined, on the wire nil, where nothing was. */
  readonly cause: WireCause | undefined
}

/** Several calls' contexts, or exported ones, are done in one turn, of one kind and with one cause. As many cancels, in this order. */
export interface CancelsFrame {
  readonly type: 'cancels'
  /** One at least. */
  readonly ids: number[]
  readonly kind: Kind
  readonly cause: WireCause | undefined
}

/** What a method returned. */
export interface ResultFrame {
  readonly type: 'result'
  readonly id: number
  /** Plain data; undefined where the method returned nothing, and then the frame on the wire ends with the id. */
  readonly value: unknown
}

/** What a method threw. */
export interface ErrorFrame {
  readonly type: 'error'
  readonly id: number
  readonly error: WireCause
}

/** Lends a context to the receiver. */
export interface ExportFrame {
  readonly type: 'export'
  readonly id: number
  readonly context: WireContext
}

/** The receiver of an export has no more use for it, as far as it has seen handles. The exporter decides: it retracts, or does nothing. */
export interface ReleaseFrame {
  readonly type: 'release'
  readonly id: number
  /** The highest grant that a handle of this export had: an integer from 1. */
  readonly grant: number
}

/** The exporter has no more use for an export. What the receiver made of it goes on, without end from here. */
export interface RetractFrame {
  readonly type: 'retract'
  readonly id: number
}

/** The method returned a stream: items follow, and at last a result or an error. */
export interface StreamFrame {
  readonly type: 'stream'
  readonly id: number
}

export interface ItemFrame {
  readonly type: 'item'
  readonly id: number
  readonly value: unknown
}

/** The callee may send so many items more than it was told before. */
export interface CreditFrame {
  readonly type: 'credit'
  readonly id: number
  /** Integer from 1 to 2^53-1. */
  readonly n: number
}

/** How many messages of the session have come in so far: the peer need not keep them any longer. */
export interface AckFrame {
  readonly type: 'ack'
  /** Integer from 0 to 2^53-1. */
  readonly n: number
}

/** Asks for a pong with the same number. */
export interface PingFrame {
  readonly type: 'ping'
  /** Integer from 0 to 2^53-1. */
  readonly n: number
}

export interface PongFrame {
  readonly type: 'pong'
  readonly n: number
}

/** The sender takes no new calls. */
export interface GoawayFrame {
  readonly type: 'goaway'
  /** For logs: 0 to 256 UTF-16 units, possibly with control characters. */
  readonly reason: string
}

/** What a context is on the wire: `[left, why, values]`, or `[left, why, values, under]`. */
export interface WireContext {
  /**
   * Milliseconds left until the deadline when the message was made: a finite number, of which fractions count. 0 and below: it
   * has passed. Undefined, on the wire nil: there is none.
   */
  readonly left: number | undefined
  /** The reason that was given with the deadline; undefined, on the wire nil, without one. Nil when `left` is. */
  readonly why: WireCause | undefined
  /** The values of portable keys, 0 to 64 of them, no name twice. */
  readonly values: readonly WirePair[]
  /**
   * The id of an export of the sender's that has neither ended nor been retracted: then this is a context below that one. It ends with it, and has
   * its deadline and its values besides those given here. Undefined, on the wire nothing: it stands alone.
   */
  readonly under: number | undefined
}

/** A key's name, 1 to 256 UTF-16 units, and what its codec made of the value; the name alone hides a value of the context that this is under. */
export type WirePair = WireValue | readonly [name: string]

export type WireValue = readonly [name: string, data: unknown]

export type Frame =
  | HelloFrame
  | CallFrame
  | CancelFrame
  | ResultFrame
  | ErrorFrame
  | ExportFrame
  | ReleaseFrame
  | PingFrame
  | PongFrame
  | GoawayFrame
  | RetractFrame
  | StreamFrame
  | ItemFrame
  | CreditFrame
  | AckFrame
  | CancelsFrame

export interface FrameLimits {
  /** Frames in a message, of which those that are skipped count. */
  readonly maxFrames: number
  /** Values of a context. */
  readonly maxValues: number
}

export const frameLimits: FrameLimits = Object.freeze({ maxFrames: 1_024, maxValues: 64 })

/** How many exports may stand under each other: what is open keeps all that it stands under, also what is closed by then. */
export const maxUnder = 8

/** Longest id of a link, and longest token of a session, in UTF-16 units. */
export const maxToken = 64

/** Longest name of a method, a peer or a key, and longest reason of a goaway, in UTF-16 units. */
export const maxName = 256
