/** What may be an argument, a result or the data of a context's value: plain data, and no more than limits allow. */

import { accept, type Accepted, type Refused, refuse } from './result.ts'
import { utf8Length } from './text.ts'

export interface SendableLimits {
  /** How many arrays and objects may be inside each other. */
  readonly maxDepth: number
  /** How many values, arrays, objects, their elements and keys there may be, all counted alike. */
  readonly maxElements: number
  /** The size in msgpack, in bytes. */
  readonly maxBytes: number
}

/**
 * For the array of a call's arguments, or for a result: what is within them fits into a message of the default limits, together with
 * the rest of its frame.
 */
export const sendableLimits: SendableLimits = Object.freeze({ maxDepth: 12, maxElements: 16_000, maxBytes: 1_000_000 })

/** A copy to send, which shares nothing with what was given, and what it costs: see {@link SendableLimits}. */
export interface Sendable extends Accepted<unknown> {
  readonly elements: number
  readonly bytes: number
}

/**
 * A copy of `value` that can be sent, or why there is none. Never throws.
 *
 * Sendable are null, booleans, finite numbers, strings without lone surrogates, `Uint8Array`s, and arrays and plain objects of
 * these. Changed on the way are: `undefined` as a member of an object, which is left out; `undefined` elsewhere and holes in
 * arrays, which become null; `-0`, which becomes 0; a `Buffer`, which becomes a `Uint8Array`. Symbol keys and what is not
 * enumerable are left out. Getters are read.
 *
 * Refused is all else: functions, symbols, bigints, numbers that are not finite, instances of classes, `Map`, `Set`, `Date`,
 * other views and buffers, cycles, the key `__proto__`, and what is over the limits. The reason is what is refused, and
 * where: `an object of class Date at .items[2].when`.
 */
export function checkSendable(value: unknown, limits: SendableLimits = sendableLimits): Sendable | Refused {
  // What most calls have, and most answers.
  if (limits === sendableLimits) {
    if (typeof value === 'number' && Number.isFinite(value))
      return { ok: true, value: value === 0 ? 0 : value, elements: 1, bytes: numberBytes(value) }
    if (Array.isArray(value) && value.length === 0) return { ok: true, value: [], elements: 1, bytes: 1 }
  }
  const copier = new Copier(limits)
  try {
    const copy = copier.copy(value)
    return { ...accept(copy), elements: copier.elements, bytes: copier.bytes }
  } catch (error) {
    return refuse(copier.explain(error instanceof Refusal ? error.message : 'what throws when it is read'))
  }
}

/** How many values `data` is, as the limits of messages and {@link SendableLimits} count them. For what is sendable already. */
export function countElements(data: unknown): number {
  if (typeof data !== 'object' || data === null || ArrayBuffer.isView(data)) return 1
  let count = 1
  if (Array.isArray(data)) for (const element of data as unknown[]) count += countElements(element)
  else for (const member of Object.values(data)) count += 1 + countElements(member)
  return count
}

/** Leaves the copier, and this file never. */
class Refusal extends Error {}

class Copier {
  readonly #limits: SendableLimits
  /** The arrays and objects that are being copied, each inside the one before it, and the way to where the copier is. */
  readonly #open: unknown[] = []
  readonly #path: (string | number)[] = []
  elements = 0
  bytes = 0

  constructor(limits: SendableLimits) {
    this.#limits = limits
  }

  copy(value: unknown): unknown {
    switch (typeof value) {
      case 'undefined':
        this.#spend(1)
        return null
      case 'boolean':
        this.#spend(1)
        return value
      case 'number':
        if (!Number.isFinite(value)) throw new Refusal(`the number ${value}`)
        this.#spend(numberBytes(value))
        return value === 0 ? 0 : value
      case 'string':
        return this.#text(value)
      case 'object':
        return this.#object(value)
      case 'bigint':
      case 'function':
      case 'symbol':
        throw new Refusal(`a ${typeof value}`)
    }
  }

  explain(what: string): string {
    let where = ''
    for (const step of this.#path) where += typeof step === 'number' ? `[${step}]` : `.${/^\w{1,20}$/.test(step) ? step : '…'}`
    if (where.length > 30) where = `…${where.slice(-30)}`
    return where === '' ? what : `${what} at ${where}`
  }

  #text(value: string): string {
    // Before its bytes are counted, which are no fewer than its units.
    if (value.length > this.#limits.maxBytes) throw new Refusal(tooLarge(this.#limits))
    const length = utf8Length(value)
    if (length < 0) throw new Refusal('a string with a lone surrogate')
    this.#spend((length < 32 ? 1 : length < 256 ? 2 : length < 65_536 ? 3 : 5) + length)
    return value
  }

  #object(value: object | null): unknown {
    if (value === null) {
      this.#spend(1)
      return null
    }
    if (ArrayBuffer.isView(value)) return this.#view(value)
    const isArray = Array.isArray(value)
    if (!isArray && !isPlain(value)) throw new Refusal(describeClass(value))
    if (this.#open.includes(value)) throw new Refusal('a cycle')
    if (this.#open.length >= this.#limits.maxDepth) throw new Refusal(`what is nested deeper than ${this.#limits.maxDepth}`)
    this.#open.push(value)
    const copy = isArray ? this.#array(value as unknown[]) : this.#members(value)
    this.#open.pop()
    return copy
  }

  #array(array: readonly unknown[]): unknown[] {
    const length = array.length
    this.#spend(headBytes(length))
    // Before the loop, since an array may be long and empty.
    if (length > this.#limits.maxElements - this.elements) throw new Refusal(tooMany(this.#limits))
    const copy: unknown[] = []
    for (let i = 0; i < length; i++) {
      this.#path.push(i)
      copy.push(this.copy(array[i]))
      this.#path.pop()
    }
    return copy
  }

  #members(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
    const copy: Record<string, unknown> = {}
    let count = 0
    for (const key of Object.keys(object)) {
      this.#path.push(key)
      const member = object[key]
      if (member !== undefined) {
        // The peer refuses it, since assigning it would set a prototype.
        if (key === '__proto__') throw new Refusal('the key __proto__')
        copy[this.#text(key)] = this.copy(member)
        count++
      }
      this.#path.pop()
    }
    // Only now is it known how many there are.
    this.#spend(headBytes(count))
    return copy
  }

  #view(view: ArrayBufferView): Uint8Array {
    // Not instanceof: the bytes may be of another realm. The tag is a getter of the platform's that cannot be lied to.
    if ((view as Uint8Array)[Symbol.toStringTag] !== 'Uint8Array') throw new Refusal(describeClass(view))
    const length = view.byteLength
    this.#spend((length < 256 ? 2 : length < 65_536 ? 3 : 5) + length)
    return new Uint8Array(view as Uint8Array)
  }

  #spend(bytes: number): void {
    this.elements++
    this.bytes += bytes
    if (this.elements > this.#limits.maxElements) throw new Refusal(tooMany(this.#limits))
    if (this.bytes > this.#limits.maxBytes) throw new Refusal(tooLarge(this.#limits))
  }
}

/** How a reason begins that says what somebody tried to send as data, though there is another way. */
export const aContext = 'a context'
export const aSignal = 'an AbortSignal'

/** With the number where it is the whole limit. Other limits are what is left of one that only the caller knows. */
function tooMany(limits: SendableLimits): string {
  return `what has more values than ${limits === sendableLimits ? `the limit of ${limits.maxElements}` : 'the limit'}`
}

function tooLarge(limits: SendableLimits): string {
  return `what is larger than ${limits === sendableLimits ? `the limit of ${limits.maxBytes} bytes` : 'the limit'}`
}

/** Of the head of an array or a map. */
function headBytes(length: number): number {
  return length < 16 ? 1 : length < 65_536 ? 3 : 5
}

function numberBytes(value: number): number {
  if (!Number.isInteger(value) || value > 0xffff_ffff || value < -0x8000_0000) return 9
  if (value >= 0) return value < 128 ? 1 : value < 256 ? 2 : value < 65_536 ? 3 : 5
  return value >= -32 ? 1 : value >= -128 ? 2 : value >= -32_768 ? 3 : 5
}

/** Whether `value`, which is no array, is an object like those of `{}`: not an instance of a class. Throws what a proxy throws. */
export function isPlain(value: object): value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value)
  // Object.prototype itself is the one whose prototype is null, also in another realm.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function describeClass(value: object): string {
  // By their looks, as frames know no contexts.
  if (typeof (value as { throwIfDone?: unknown }).throwIfDone === 'function') return aContext
  if (Object.prototype.toString.call(value) === '[object AbortSignal]') return aSignal
  const name: unknown = (value.constructor as { name?: unknown } | undefined)?.name
  return typeof name === 'string' && /^\w{1,30}$/.test(name) ? `an object of class ${name}` : 'an object of a class'
}
