/** What the tests of the wire share: bytes by hand, an independent decoder to compare with, and what must hold everywhere. */

import { inspect, isDeepStrictEqual } from 'node:util'
import { expect } from 'vitest'
import { causeLimits, causeSize, reviveCause, type WireCause } from '../../lib/wire/cause.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { parseCause } from '../../lib/wire/cause-parse.ts'

/** Strict equality of data, in which a member named `constructor` is a member like others: toStrictEqual takes it for the class. */
export function expectSame(actual: unknown, expected: unknown): void {
  if (isDeepStrictEqual(actual, expected)) return
  const show = (value: unknown) => inspect(value, { depth: 20, maxStringLength: 2_000 })
  expect.fail(`got\n${show(actual)}\ninstead of\n${show(expected)}`)
}

/** Bytes from hex digits, other bytes, and texts, which give their UTF-8 without a head. */
export function raw(...parts: (string | Uint8Array | number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => (typeof part === 'string' ? hex(part) : [...part])))
}

function hex(digits: string): number[] {
  return (digits.replaceAll(' ', '').match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16))
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** A message of one frame `[64, value]`, which is skipped: so nothing but the value decides whether it is accepted. */
export function around(...value: (string | Uint8Array | number[])[]): Uint8Array {
  return raw('91 92 40', ...value)
}

/** The same numbers at every run. */
export function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

export interface ReferenceLimits {
  readonly maxDepth: number
  readonly maxElements: number
}

/**
 * A decoder of the same subset of msgpack, written in another way than the scan: recursive, with views and a strict TextDecoder.
 * It throws at what is not allowed.
 */
export function referenceDecode(bytes: Uint8Array, limits: ReferenceLimits): unknown {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  let elements = 0
  const take = (count: number) => {
    if (at + count > bytes.length) throw new Error('ends early')
    at += count
    return at - count
  }
  const text = (length: number) => {
    const start = take(length)
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(start, at))
  }
  const bin = (length: number) => {
    const start = take(length)
    return bytes.slice(start, at)
  }
  const finite = (value: number) => {
    if (!Number.isFinite(value)) throw new Error('not finite')
    return value
  }
  const safe = (value: bigint) => {
    if (value > 9007199254740991n || value < -9007199254740991n) throw new Error('not safe')
    return Number(value)
  }
  const array = (length: number, depth: number) => {
    if (depth > limits.maxDepth) throw new Error('too deep')
    const values: unknown[] = []
    for (let i = 0; i < length; i++) values.push(value(depth))
    return values
  }
  const map = (length: number, depth: number) => {
    if (depth > limits.maxDepth) throw new Error('too deep')
    const object: Record<string, unknown> = {}
    for (let i = 0; i < length; i++) {
      const key = value(depth)
      if (typeof key !== 'string' || key === '__proto__' || Object.hasOwn(object, key)) throw new Error('bad key')
      object[key] = value(depth)
    }
    return object
  }
  const value = (depth: number): unknown => {
    if (++elements > limits.maxElements) throw new Error('too many')
    const head = view.getUint8(take(1))
    if (head <= 0x7f) return head
    if (head <= 0x8f) return map(head - 0x80, depth + 1)
    if (head <= 0x9f) return array(head - 0x90, depth + 1)
    if (head <= 0xbf) return text(head - 0xa0)
    if (head >= 0xe0) return head - 256
    switch (head) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xc4:
        return bin(view.getUint8(take(1)))
      case 0xc5:
        return bin(view.getUint16(take(2)))
      case 0xc6:
        return bin(view.getUint32(take(4)))
      case 0xca:
        return finite(view.getFloat32(take(4)))
      case 0xcb:
        return finite(view.getFloat64(take(8)))
      case 0xcc:
        return view.getUint8(take(1))
      case 0xcd:
        return view.getUint16(take(2))
      case 0xce:
        return view.getUint32(take(4))
      case 0xcf:
        return safe(view.getBigUint64(take(8)))
      case 0xd0:
        return view.getInt8(take(1))
      case 0xd1:
        return view.getInt16(take(2))
      case 0xd2:
        return view.getInt32(take(4))
      case 0xd3:
        return safe(view.getBigInt64(take(8)))
      case 0xd9:
        return text(view.getUint8(take(1)))
      case 0xda:
        return text(view.getUint16(take(2)))
      case 0xdb:
        return text(view.getUint32(take(4)))
      case 0xdc:
        return array(view.getUint16(take(2)), depth + 1)
      case 0xdd:
        return array(view.getUint32(take(4)), depth + 1)
      case 0xde:
        return map(view.getUint16(take(2)), depth + 1)
      case 0xdf:
        return map(view.getUint32(take(4)), depth + 1)
      default:
        throw new Error('not allowed')
    }
  }
  const result = value(0)
  if (at !== bytes.length) throw new Error('more than one value')
  return result
}

/** What a cause becomes on the other side. Through JSON, as nothing of this side's objects survives that. */
export function cross(cause: unknown): unknown {
  const parsed = parseCause(JSON.parse(JSON.stringify(describeCause(cause))))
  if (!parsed.ok) expect.fail(parsed.reason)
  return reviveCause(parsed.value)
}

/** What must hold for the description of anything. */
export function expectGood(cause: unknown): WireCause {
  const described = describeCause(cause)
  expect(causeSize(described)).toBeLessThanOrEqual(causeLimits.maxSize)
  const parsed = parseCause(JSON.parse(JSON.stringify(described)))
  expectSame(parsed, { ok: true, value: described })
  expectSame(describeCause(reviveCause(described)), described)
  return described
}
