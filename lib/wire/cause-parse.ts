/** From what came from outside to a cause. */

import {
  BIGINT,
  CANCELED,
  type CauseLimits,
  causeLimits,
  DATA,
  DEADLINE,
  ERROR,
  isSpecial,
  LINK_LOST,
  maxBigintBits,
  SPECIAL,
  TRACED,
  valueSize,
  type WireCause,
  type WireData,
} from './cause.ts'
import { accept, type Result, refuse } from './result.ts'
import { isPlain } from './sendable.ts'
import { utf8Length } from './text.ts'

/**
 * The cause that `data` is. Every field is checked, and all of it is copied, with data frozen; `-0` in data becomes 0. Never
 * throws.
 */
export function parseCause(data: unknown, limits: CauseLimits = causeLimits): Result<WireCause> {
  const parser = new CauseParser(limits)
  try {
    return accept(parser.cause(data, 0))
  } catch (error) {
    return refuse(error instanceof Refusal ? error.message : 'cause: cannot be read')
  }
}

/** Leaves the parser, and this file never. */
class Refusal extends Error {}

class CauseParser {
  readonly #limits: CauseLimits
  #left: number

  constructor(limits: CauseLimits) {
    this.#limits = limits
    this.#left = limits.maxSize
  }

  cause(data: unknown, errors: number): WireCause {
    if (!Array.isArray(data)) no('is no array')
    const [tag, first, second, third, fourth, fifth] = data as unknown[]
    this.#spend(2 * valueSize) // the array and its tag
    if (tag === CANCELED || tag === DEADLINE) {
      exactly(data, 2)
      return [tag, this.#inner(first, errors)]
    }
    if (tag === LINK_LOST) {
      exactly(data, 3)
      return [LINK_LOST, this.#text(first, this.#limits.maxText), this.#inner(second, errors)]
    }
    if (tag === ERROR || tag === TRACED) {
      exactly(data, tag === ERROR ? 5 : 6)
      const name = this.#text(first, this.#limits.maxName)
      const message = this.#text(second, this.#limits.maxText)
      const code = this.#code(third)
      if (tag === ERROR) return [ERROR, name, message, code, this.#inner(fourth, errors)]
      return [TRACED, name, message, code, this.#text(fourth, this.#limits.maxStack), this.#inner(fifth, errors)]
    }
    exactly(data, 2)
    switch (tag) {
      case DATA:
        return [DATA, this.#data(first, 0)]
      case SPECIAL:
        if (!isSpecial(first)) no('an unknown special value')
        this.#text(first, this.#limits.maxText)
        return [SPECIAL, first]
      case BIGINT: {
        const digits = this.#text(first, maxDigits)
        if (!/^(?:0|-?[1-9][0-9]*)$/.test(digits)) no('a bigint that is no integer in decimal')
        const value = BigInt(digits)
        if (BigInt.asIntN(maxBigintBits, value) !== value) no('a bigint of too many bits')
        return [BIGINT, digits]
      }
      default:
        no('an unknown tag')
    }
  }

  #inner(data: unknown, errors: number): WireCause | null {
    if (errors >= this.#limits.maxChain) no('a chain longer than the limit')
    if (data !== null) return this.cause(data, errors + 1)
    this.#spend(valueSize)
    return null
  }

  #code(data: unknown): string | number | null {
    if (typeof data === 'string') return this.#text(data, this.#limits.maxName)
    this.#spend(valueSize)
    if (data === null) return null
    return Number.isFinite(data) ? positive(data as number) : no('a code that is no text and no finite number')
  }

  #text(data: unknown, max: number): string {
    if (typeof data !== 'string') no('a text is missing')
    // In this order, since the first is quick for a long text.
    if (data.length > max) no('a text longer than the limit')
    const bytes = utf8Length(data)
    if (bytes < 0) no('a text that is not well formed')
    if (bytes > max) no('a text longer than the limit')
    this.#spend(valueSize + bytes)
    return data
  }

  #data(data: unknown, depth: number): WireData {
    if (typeof data === 'string') return this.#text(data, this.#limits.maxText)
    this.#spend(valueSize)
    if (data === null || typeof data === 'boolean') return data
    if (typeof data === 'number') return Number.isFinite(data) ? positive(data) : no('a number that is not finite')
    if (typeof data !== 'object') no('data that is not plain')
    if (depth >= this.#limits.maxDepth) no('data nested deeper than the limit')
    if (Array.isArray(data)) {
      if (data.length * valueSize > this.#left) no('larger than the limit')
      return Object.freeze(Array.from(data as unknown[], (element) => this.#data(element, depth + 1)))
    }
    if (!isPlain(data)) no('data that is not plain')
    const copy: Record<string, WireData> = {}
    for (const key of Object.keys(data)) {
      if (key === '__proto__') no('the key __proto__')
      copy[this.#text(key, this.#limits.maxText)] = this.#data(data[key], depth + 1)
    }
    return Object.freeze(copy)
  }

  #spend(size: number): void {
    this.#left -= size
    if (this.#left < 0) no('larger than the limit')
  }
}

/** Digits of 2^1024, and a sign. */
const maxDigits = 310

function exactly(data: readonly unknown[], length: number): void {
  if (data.length !== length) no('too few or too many elements')
}

function positive(value: number): number {
  return value === 0 ? 0 : value
}

function no(what: string): never {
  throw new Refusal(`cause: ${what}`)
}
