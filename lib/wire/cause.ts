/**
 * Causes as data: why something ended, in a form that JSON and msgpack can both carry.
 *
 * A cause can be anything that somebody threw or gave to a cancel. On the wire it is an array that begins with its tag:
 *
 * | tag | elements behind the tag | is |
 * |---:|---|---|
 * | 0 | data | null, a boolean, a finite number, a text; or arrays and maps of these |
 * | 1 | `undefined`, `NaN`, `Infinity`, `-Infinity` or `-0` | that value |
 * | 2 | digits | a bigint of at most 1,024 bits, in decimal, with `-` in front where negative, without zeros in front |
 * | 3 | cause or nil | a context was cancelled |
 * | 4 | cause or nil | a context's deadline passed |
 * | 5 | message, cause or nil | the link to the other side was lost |
 * | 6 | name, message, code, cause or nil | any other error; code is a text, a finite number, or nil without one |
 * | 7 | name, message, code, stack, cause or nil | the same, of a sender who has been told to send stacks |
 *
 * The cause in the last place of 3 to 7 is that error's own; nil says that it has none. The tag alone says what an error is:
 * no name chooses a class.
 *
 * {@link CauseLimits} hold on both sides. What is over them is made to fit by the sender, and refused by the receiver. The size of
 * a cause is the sum over all values in it, arrays, maps, keys and tags included: 8 each, and for a text its UTF-8 bytes more.
 */

import {
  BridgeError,
  type BridgeErrorCode,
  CanceledError,
  DeadlineExceededError,
  LinkLostError,
  RemoteError,
  withoutStack,
} from '../errors.ts'
import { utf8Length } from './text.ts'

export const DATA = 0
export const SPECIAL = 1
export const BIGINT = 2
export const CANCELED = 3
export const DEADLINE = 4
export const LINK_LOST = 5
export const ERROR = 6
export const TRACED = 7

/** A cause as data. Made by {@link describeCause} and {@link parseCause} alone: what is in it is frozen, or nobody else's. */
export type WireCause = WireLeaf | WireError

/** A cause that has no cause. */
export type WireLeaf =
  | readonly [tag: typeof DATA, data: WireData]
  | readonly [tag: typeof SPECIAL, name: WireSpecial]
  | readonly [tag: typeof BIGINT, digits: string]

/** A cause that may have one itself. */
export type WireError =
  | readonly [tag: typeof CANCELED, cause: WireCause | null]
  | readonly [tag: typeof DEADLINE, cause: WireCause | null]
  | readonly [tag: typeof LINK_LOST, message: string, cause: WireCause | null]
  | readonly [tag: typeof ERROR, name: string, message: string, code: string | number | null, cause: WireCause | null]
  | readonly [
      tag: typeof TRACED,
      name: string,
      message: string,
      code: string | number | null,
      stack: string,
      cause: WireCause | null,
    ]

export type WireData = null | boolean | number | string | readonly WireData[] | { readonly [key: string]: WireData }

/** What JSON has no number for. */
export type WireSpecial = 'undefined' | 'NaN' | 'Infinity' | '-Infinity' | '-0'

export interface CauseLimits {
  /** Errors in a chain of causes. What stands at its end, if it is no error, is not counted. */
  readonly maxChain: number
  /** A message, and every text in data, in bytes of UTF-8. A text that was cut ends with `…`. */
  readonly maxText: number
  /** The name of an error, and its code where that is a text, in bytes of UTF-8. */
  readonly maxName: number
  /** A stack, in bytes of UTF-8. */
  readonly maxStack: number
  /** How many arrays and maps of data may be inside each other. With a chain before them they fit into a message's nesting. */
  readonly maxDepth: number
  /** The size of the whole. */
  readonly maxSize: number
}

export const causeLimits: CauseLimits = Object.freeze({
  maxChain: 8,
  maxText: 1_024,
  maxName: 256,
  maxStack: 2_048,
  maxDepth: 4,
  maxSize: 4_096,
})

/** The bits that a bigint may have. To print one takes quadratic time, so there is a limit. */
export const maxBigintBits = 1_024

/** Stands where a chain was cut. */
export const cutMark: WireCause = Object.freeze([DATA, '…'] as const)

const specials: Record<WireSpecial, number | undefined> = {
  undefined: undefined,
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
  '-0': -0,
}

export function isSpecial(name: unknown): name is WireSpecial {
  return typeof name === 'string' && Object.hasOwn(specials, name)
}

/**
 * The value that a cause is on this side: the very primitive; data, frozen; `CanceledError`, `DeadlineExceededError` and
 * `LinkLostError`; and a `RemoteError` for every other error. Each has the property `cause` exactly where the sender's had it,
 * and the sender's stack or none, since frames of this side's would not tell anything.
 *
 * What describes the result again makes the same cause of it, with the stack where that is wanted again.
 */
export function reviveCause(cause: WireCause): unknown {
  switch (cause[0]) {
    case DATA:
      return cause[1]
    case SPECIAL:
      return specials[cause[1]]
    case BIGINT:
      return BigInt(cause[1])
    case CANCELED:
    case DEADLINE:
    case LINK_LOST:
    case ERROR:
    case TRACED:
      return withoutStack(() => reviveError(cause))
  }
}

/**
 * As {@link reviveCause}, for what answers a call: a `BridgeError` of a code that the protocol has for answers is one here, too. The peer gains nothing by that, since any error
 * fails the call, and those that this side makes itself, such as that of a lost link, are not among them.
 */
export function reviveAnswer(cause: WireCause): unknown {
  if ((cause[0] !== ERROR && cause[0] !== TRACED) || cause[1] !== 'BridgeError' || !answers.has(cause[3]))
    return reviveCause(cause)
  return withoutStack(() => {
    const error = new BridgeError(cause[3] as BridgeErrorCode, cause[2], optionsOf(cause))
    return cause[0] === TRACED ? traced(error, cause[4]) : error
  })
}

const answers: ReadonlySet<unknown> = new Set<BridgeErrorCode>(['ERR_NO_METHOD', 'ERR_LIMIT', 'ERR_UNSENDABLE', 'ERR_GOING_AWAY'])

function optionsOf(error: WireError): ErrorOptions | undefined {
  const inner = causeOf(error)
  return inner === null ? undefined : { cause: isError(inner) ? reviveError(inner) : reviveCause(inner) }
}

/** As the platform has it: what prints an error prints this. */
function traced<E extends Error>(error: E, stack: string): E {
  return Object.defineProperty(error, 'stack', { value: stack, writable: true, configurable: true })
}

function reviveError(error: WireError): Error {
  const options = optionsOf(error)
  switch (error[0]) {
    case CANCELED:
      return new CanceledError(options)
    case DEADLINE:
      return new DeadlineExceededError(options)
    case LINK_LOST:
      return new LinkLostError(error[1], options)
    case ERROR:
      return new RemoteError(error[1], error[2], error[3] ?? undefined, options)
    case TRACED:
      return traced(new RemoteError(error[1], error[2], error[3] ?? undefined, options), error[4])
  }
}

export function isError(cause: WireCause): cause is WireError {
  return cause[0] >= CANCELED
}

export function causeOf(error: WireError): WireCause | null {
  return error[error.length - 1] as WireCause | null
}

export function withCause(error: WireError, cause: WireCause | null): WireError {
  return [...error.slice(0, -1), cause] as unknown as WireError
}

/** The size of a cause, or of a part of one, as the limits count it. */
export function causeSize(part: WireCause | WireData): number {
  if (typeof part === 'string') return valueSize + utf8Length(part)
  if (typeof part !== 'object' || part === null) return valueSize
  let size = valueSize
  for (const element of Array.isArray(part) ? (part as readonly WireData[]) : Object.values(part)) size += causeSize(element)
  if (!Array.isArray(part)) for (const key of Object.keys(part)) size += causeSize(key)
  return size
}

export const valueSize = 8
