/**
 * A writer of msgpack that does what no honest one does: any encoding of a number or a length, keys twice, keys that are no
 * texts, lengths that lie, extensions, and bytes as they are.
 */
import type { Random } from './random.ts'

/** Bytes that stand for a value and are written as they are. */
export class Raw {
  readonly bytes: readonly number[]
  constructor(...bytes: readonly number[]) {
    this.bytes = bytes
  }
}

/** A map, with keys that may be anything, and come twice. */
export class Pairs {
  readonly pairs: readonly (readonly [unknown, unknown])[]
  constructor(pairs: readonly (readonly [unknown, unknown])[]) {
    this.pairs = pairs
  }
}

const encoder = new TextEncoder()

/** Of a number or a length, with the byte that says what it is. */
const longestHead = 9

/** The bytes of `value`; once in `strange` times each head is one that a shorter one would do for. */
export function writeValue(value: unknown, random: Random, strange: number): Uint8Array {
  const writer = new Writer(random, strange)
  writer.value(value)
  return writer.bytes()
}

class Writer {
  #bytes = new Uint8Array(512)
  #view = new DataView(this.#bytes.buffer)
  #length = 0
  readonly #random: Random
  readonly #strange: number

  constructor(random: Random, strange: number) {
    this.#random = random
    this.#strange = strange
  }

  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  value(value: unknown): void {
    this.#reserve(longestHead)
    if (value === null || value === undefined) this.#byte(0xc0)
    else if (typeof value === 'boolean') this.#byte(value ? 0xc3 : 0xc2)
    else if (typeof value === 'number') this.#number(value)
    else if (typeof value === 'string') {
      const bytes = encoder.encode(value)
      this.#head(bytes.length, 0xa0, 31, [0xd9, 0xda, 0xdb])
      this.#all(bytes)
    } else if (value instanceof Uint8Array) {
      this.#head(value.length, 0, -1, [0xc4, 0xc5, 0xc6])
      this.#all(value)
    } else if (value instanceof Raw) this.#all(value.bytes)
    else if (Array.isArray(value)) {
      this.#head(value.length, 0x90, 15, [undefined, 0xdc, 0xdd])
      for (const element of value as unknown[]) this.value(element)
    } else {
      const pairs = value instanceof Pairs ? value.pairs : Object.entries(value)
      this.#head(pairs.length, 0x80, 15, [undefined, 0xde, 0xdf])
      for (const [key, member] of pairs) {
        this.value(key)
        this.value(member)
      }
    }
  }

  #number(n: number): void {
    const wide = this.#isStrange() ? this.#random.below(5) : 0
    if (!Number.isInteger(n) || Math.abs(n) > Number.MAX_SAFE_INTEGER || wide === 4) {
      if (Math.fround(n) === n && this.#random.once(2)) {
        this.#byte(0xca)
        this.#view.setFloat32(this.#room(4), n)
      } else {
        this.#byte(0xcb)
        this.#view.setFloat64(this.#room(8), n)
      }
    } else if (n >= 0) {
      if (n < 128 && wide === 0) this.#byte(n)
      else if (n < 0x100 && wide < 2) this.#byte(0xcc, n)
      else if (n < 0x1_0000 && wide < 3) {
        this.#byte(0xcd)
        this.#view.setUint16(this.#room(2), n)
      } else if (n < 0x1_0000_0000 && wide < 4) {
        this.#byte(0xce)
        this.#view.setUint32(this.#room(4), n)
      } else {
        this.#byte(this.#random.once(2) ? 0xcf : 0xd3)
        this.#view.setBigInt64(this.#room(8), BigInt(n))
      }
    } else if (n >= -32 && wide === 0) this.#byte(n & 0xff)
    else if (n >= -0x80 && wide < 2) this.#byte(0xd0, n & 0xff)
    else if (n >= -0x8000 && wide < 3) {
      this.#byte(0xd1)
      this.#view.setInt16(this.#room(2), n)
    } else if (n >= -0x8000_0000 && wide < 4) {
      this.#byte(0xd2)
      this.#view.setInt32(this.#room(4), n)
    } else {
      this.#byte(0xd3)
      this.#view.setBigInt64(this.#room(8), BigInt(n))
    }
  }

  #head(length: number, short: number, mostShort: number, heads: readonly (number | undefined)[]): void {
    const wide = this.#isStrange() ? this.#random.below(4) : 0
    if (length <= mostShort && wide === 0) return this.#byte(short + length)
    if (heads[0] !== undefined && length < 0x100 && wide < 2) return this.#byte(heads[0], length)
    if (length < 0x1_0000 && wide < 3) {
      this.#byte(heads[1] as number)
      this.#view.setUint16(this.#room(2), length)
    } else {
      this.#byte(heads[2] as number)
      this.#view.setUint32(this.#room(4), length)
    }
  }

  #isStrange(): boolean {
    return this.#strange > 0 && this.#random.once(this.#strange)
  }

  #byte(...bytes: readonly number[]): void {
    this.#all(bytes)
  }

  #all(bytes: ArrayLike<number>): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Where so many bytes, of those that are reserved, can be written. */
  #room(count: number): number {
    this.#length += count
    return this.#length - count
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return
    const larger = new Uint8Array((this.#length + count) * 2)
    larger.set(this.#bytes)
    this.#bytes = larger
    this.#view = new DataView(larger.buffer)
  }
}
