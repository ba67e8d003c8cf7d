/** From anything that somebody threw to a cause that can be sent. */

import { type Kind } from '../errors.ts'
import { named } from '../given.ts'
import {
  BIGINT,
  CANCELED,
  type CauseLimits,
  causeLimits,
  causeSize,
  cutMark,
  DATA,
  DEADLINE,
  ERROR,
  LINK_LOST,
  maxBigintBits,
  SPECIAL,
  TRACED,
  valueSize,
  type WireCause,
  type WireData,
  type WireError,
  type WireLeaf,
  withCause,
} from './cause.ts'
import { shortenCause } from './cause-shorten.ts'
import { isPlain } from './sendable.ts'
import { cutText, utf8Length } from './text.ts'

/** The brand of `errors.ts`. Asked of an object alone, where `kindOf` asks its whole chain. */
const kindBrand: unique symbol = Symbol.for('ctxbridge.kind') as never

/**
 * `cause` as data, whatever it is. Never throws, also where a getter or a proxy does, and takes time that `limits` bound; but to list the keys of an object, which takes as long as it has keys.
 *
 * - A primitive stays what it is. A symbol cannot, and is described; so are a text and a bigint over the limits.
 * - An error keeps kind or name, message, code and chain of causes, and its stack only with `stacks`. What is wrong with one of these is left out.
 *   An `AggregateError` names the first of its errors in its message. A chain that is too long or cyclic ends with `…`.
 * - Arrays and plain objects are copied: members that are undefined are left out, array elements that are become null, `-0`
 *   becomes 0, and what is not plain in them is described.
 * - All else is described in a few words, such as `an object of class Foo that cannot be sent`, and arrives as that text. So
 *   do arrays and objects over the limits.
 *
 * Lone surrogates become U+FFFD.
 */
export function describeCause(cause: unknown, limits: CauseLimits = causeLimits, stacks = false): WireCause {
  try {
    const errors: WireError[] = []
    const seen: object[] = []
    let tail: WireCause | null = null
    for (let at = cause; ; ) {
      const error = describeError(at, limits, stacks)
      if (error === undefined) {
        tail = describeLeaf(at, limits)
        break
      }
      if (errors.length >= limits.maxChain || seen.includes(at as object)) {
        tail = cutMark
        break
      }
      errors.push(error)
      seen.push(at as object)
      const inner = read(at as object, 'cause')
      if (inner === undefined && !hasOwn(at as object, 'cause')) break
      at = inner
    }
    const whole = errors.reduceRight<WireCause | null>((inner, error) => withCause(error, inner), tail) ?? cutMark
    return shortenCause(whole, (shorter) => causeSize(shorter) <= limits.maxSize)
  } catch {
    // Such as a stack overflow: the caller was near the end of its stack already.
    return cutMark
  }
}

/** The error that `value` is, without its cause; undefined if it is none. */
function describeError(value: unknown, limits: CauseLimits, stacks: boolean): WireError | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const kind = read(value, kindBrand) as Kind | 'lost' | undefined
  if (kind === 'canceled') return [CANCELED, null]
  if (kind === 'deadline') return [DEADLINE, null]
  if (!isErrorObject(value)) return undefined
  const message = cutText(messageOf(value), limits.maxText)
  if (kind === 'lost') return [LINK_LOST, message, null]
  const name = cutText(nameOf(value), limits.maxName)
  const given = read(value, 'code')
  const code = isCode(given, limits) ? normal(given) : null
  const stack = stacks ? read(value, 'stack') : undefined
  // One of a single line has no frames, and tells nothing new.
  if (typeof stack !== 'string' || !stack.includes('\n')) return [ERROR, name, message, code, null]
  return [TRACED, name, message, code, cutText(stack, limits.maxStack), null]
}

function isCode(code: unknown, limits: CauseLimits): code is string | number {
  if (typeof code === 'number') return Number.isFinite(code)
  return typeof code === 'string' && code.length <= limits.maxName && within(utf8Length(code), limits.maxName)
}

function within(bytes: number, max: number): boolean {
  return bytes >= 0 && bytes <= max
}

function nameOf(error: object): string {
  const name = read(error, 'name')
  return typeof name === 'string' ? name : 'Error'
}

function messageOf(error: object): string {
  const message = read(error, 'message')
  const own = typeof message === 'string' ? message : ''
  if (!isInstance(error, AggregateError)) return own
  const errors = read(error, 'errors')
  const first = typeof errors === 'object' && errors !== null ? read(errors, '0') : undefined
  const count = typeof errors === 'object' && errors !== null ? read(errors, 'length') : undefined
  if (first === undefined || typeof count !== 'number') return own
  const inner = `${count > 1 ? `first of ${count}: ` : ''}${cutText(describeLeafText(first), maxAggregate)}`
  return own === '' ? inner : `${cutText(own, maxAggregate)} (${inner})`
}

/** So that both halves of an aggregate's message are seen, also when one is long. */
const maxAggregate = 480

function describeLeaf(value: unknown, limits: CauseLimits): WireLeaf {
  switch (typeof value) {
    case 'undefined':
      return [SPECIAL, 'undefined']
    case 'boolean':
      return [DATA, value]
    case 'number':
      if (Object.is(value, -0)) return [SPECIAL, '-0']
      if (Number.isFinite(value)) return [DATA, value]
      return [SPECIAL, Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity']
    case 'bigint':
      return BigInt.asIntN(maxBigintBits, value) === value ? [BIGINT, String(value)] : [DATA, describeLeafText(value)]
    case 'object':
      try {
        return [DATA, toData(value, limits, { left: limits.maxSize - 2 * valueSize }, 0)]
      } catch {
        // Over the limits, or something of the value's own threw.
      }
      break
    case 'string':
      return [DATA, cutText(value, limits.maxText)]
    case 'function':
    case 'symbol':
  }
  return [DATA, cutText(describeLeafText(value), limits.maxText)]
}

/** A copy of plain data. Throws where it is over the limits, and whatever getters and proxies throw. */
function toData(value: unknown, limits: CauseLimits, budget: { left: number }, depth: number): WireData {
  const spend = (size: number) => {
    budget.left -= size
    if (budget.left < 0) throw new RangeError('too large')
  }
  spend(valueSize)
  const text = (raw: string) => {
    const cut = cutText(raw, limits.maxText)
    spend(utf8Length(cut))
    return cut
  }
  if (value === null || typeof value === 'boolean') return value
  if (typeof value === 'number' && Number.isFinite(value)) return normal(value)
  if (typeof value === 'string') return text(value)
  if (typeof value !== 'object') return text(describeLeafText(value))
  const isArray = Array.isArray(value)
  if (!isArray && !isPlain(value)) return text(describeLeafText(value))
  if (depth >= limits.maxDepth) throw new RangeError('too deep')
  if (isArray) {
    // Before the copy is made, since an array may be long and empty.
    if (value.length * valueSize > budget.left) throw new RangeError('too large')
    const elements = Array.from(value as unknown[], (element) => {
      return toData(element === undefined ? null : element, limits, budget, depth + 1)
    })
    return Object.freeze(elements)
  }
  const copy: Record<string, WireData> = {}
  for (const key of Object.keys(value)) {
    const member = value[key]
    if (member === undefined || key === '__proto__') continue
    spend(valueSize)
    // A key that would have to be changed could become that of another member.
    if (!within(utf8Length(key), limits.maxText)) throw new RangeError('too large')
    copy[text(key)] = toData(member, limits, budget, depth + 1)
  }
  return Object.freeze(copy)
}

/** A few words for what cannot be sent as it is. */
function describeLeafText(value: unknown): string {
  try {
    if (typeof value === 'bigint') return BigInt.asIntN(maxBigintBits, value) === value ? `${value}n` : 'a bigint of many digits'
    if (typeof value === 'number' || typeof value === 'symbol' || typeof value === 'string') return String(value)
    if (typeof value === 'object' && value !== null && isErrorObject(value)) {
      const message = read(value, 'message')
      return typeof message === 'string' && message !== '' ? `${nameOf(value)}: ${message}` : nameOf(value)
    }
    return `${named(value)} that cannot be sent`
  } catch {
    return 'an object that cannot be sent'
  }
}

function normal(value: number | string): number | string {
  return value === 0 ? 0 : value
}

function read(object: object, key: string | symbol): unknown {
  try {
    return (object as Record<string | symbol, unknown>)[key]
  } catch {
    return undefined
  }
}

function hasOwn(object: object, key: string): boolean {
  try {
    return Object.hasOwn(object, key)
  } catch {
    return false
  }
}

function isErrorObject(value: object): boolean {
  if (isInstance(value, Error)) return true
  try {
    // The errors of another realm.
    return Object.prototype.toString.call(value) === '[object Error]'
  } catch {
    return false
  }
}

function isInstance(value: object, type: new (...args: never[]) => object): boolean {
  try {
    return value instanceof type
  } catch {
    return false
  }
}
