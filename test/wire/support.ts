/** What the tests of the wire share: bytes by hand, an independent decoder to compare with, and arbitrary frames and causes. */

import { inspect, isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import { expect } from 'vitest'
import type { WireCause, WireData, WireError } from '../../lib/wire/cause.ts'
import type { Frame, WireContext, WirePair } from '../../lib/wire/frame.ts'

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

/**
 * Well-formed text. Without a byte order mark in front, since msgpackr 2.1 loses that of a long string where it has no native addon.
 */
export function wellFormedText(maxLength: number, minLength = 0): fc.Arbitrary<string> {
  return fc
    .oneof(
      fc.string({ unit: 'grapheme-ascii', minLength, maxLength }),
      fc.string({ unit: 'binary', minLength, maxLength: maxLength / 2 }),
    )
    .filter((text) => !text.startsWith('\ufeff') && text.length >= minLength && text.length <= maxLength)
}

const number = fc
  .oneof(
    fc.integer(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.integer({ min: -130, max: 300 }),
  )
  .map((value) => (value === 0 ? 0 : value))

const key = fc.oneof(
  wellFormedText(12),
  fc.constantFrom('constructor', 'prototype', 'hasOwnProperty', 'toString', 'toJSON', 'length', 'then', '0', '17'),
)

/** Plain data as it crosses unchanged. `bytes`: with Uint8Arrays, which causes cannot have. */
export function plainData(bytes: boolean, maxDepth: number): fc.Arbitrary<unknown> {
  const leaf = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    number,
    wellFormedText(40),
    wellFormedText(300),
    ...(bytes ? [fc.uint8Array({ maxLength: 300 })] : []),
  )
  return fc.letrec<{ node: unknown }>((tie) => ({
    node: fc.oneof(
      { maxDepth, depthSize: 'small' },
      leaf,
      fc.array(tie('node'), { maxLength: 6 }),
      fc.dictionary(
        key.filter((name) => name !== '__proto__'),
        tie('node'),
        { maxKeys: 12, noNullPrototype: true },
      ),
    ),
  })).node
}

/** Causes as a peer may send them. */
export const wireCause: fc.Arbitrary<WireCause> = fc
  .tuple(
    fc.array(
      fc.oneof(
        fc.constant([3, null]),
        fc.constant([4, null]),
        fc.tuple(fc.constant(5), wellFormedText(60), fc.constant(null)),
        fc.tuple(
          fc.constant(6),
          wellFormedText(20),
          wellFormedText(60),
          fc.oneof(fc.constant(null), wellFormedText(12), number),
          fc.constant(null),
        ),
      ),
      { maxLength: 8 },
    ),
    fc.oneof(
      fc.tuple(fc.constant(0), plainData(false, 2) as fc.Arbitrary<WireData>),
      fc.tuple(fc.constant(1), fc.constantFrom('undefined', 'NaN', 'Infinity', '-Infinity', '-0')),
      fc.tuple(
        fc.constant(2),
        fc.bigInt().map((value) => String(value)),
      ),
    ),
    fc.boolean(),
  )
  .map(([errors, leaf, ends]) => {
    const tail = ends || errors.length === 0 ? leaf : null
    return errors.reduceRight<unknown>((inner, error) => [...error.slice(0, -1), inner], tail) as WireCause
  })

/** Objects as `{}` makes them: fast-check's own have no prototype now and then. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>
}

const id = fc.oneof(
  fc.integer({ min: 1, max: 1000 }),
  fc.maxSafeNat().map((value) => value + (value === 0 ? 1 : 0)),
)
const counter = fc.oneof(fc.nat(), fc.maxSafeNat())
const left = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value))

const pairs = fc.uniqueArray(fc.tuple(wellFormedText(40, 1), plainData(true, 2)), {
  maxLength: 5,
  selector: ([name]) => name,
}) as fc.Arbitrary<WirePair[]>

const context: fc.Arbitrary<WireContext> = fc.oneof(
  record({ left: fc.constant(undefined), why: fc.constant(undefined), values: pairs }),
  record({ left, why: fc.option(wireCause, { nil: undefined }), values: pairs }),
)

export const frame: fc.Arbitrary<Frame> = fc.oneof(
  record({
    type: fc.constant('hello' as const),
    version: fc.constant(1),
    limits: record({ maxMessage: fc.integer({ min: 1024 }), maxCalls: counter }),
    name: wellFormedText(256),
  }),
  record({
    type: fc.constant('call' as const),
    id,
    method: wellFormedText(256, 1),
    context,
    args: fc.array(plainData(true, 3), { maxLength: 4 }),
  }),
  record({
    type: fc.constant('cancel' as const),
    id,
    kind: fc.constantFrom('canceled' as const, 'deadline' as const),
    cause: fc.option(wireCause, { nil: undefined }),
  }),
  record({ type: fc.constant('result' as const), id, value: fc.option(plainData(true, 3), { nil: undefined }) }),
  record({ type: fc.constant('error' as const), id, error: wireCause }),
  record({ type: fc.constant('export' as const), id, context }),
  record({ type: fc.constant('release' as const), id }),
  record({ type: fc.constant('ping' as const), n: counter }),
  record({ type: fc.constant('pong' as const), n: counter }),
  record({ type: fc.constant('goaway' as const), reason: wellFormedText(256) }),
)

/** One frame of each type, with everything in it that a frame can have. */
export const samples: readonly Frame[] = [
  { type: 'hello', version: 1, limits: { maxMessage: 1_048_576, maxCalls: 1_000 }, name: 'gateway' },
  {
    type: 'call',
    id: 7,
    method: 'reports.build',
    context: {
      left: 1500.25,
      why: [6, 'SlowError', 'too slow', 'ESLOW', [0, { at: [1, null, true] }]],
      values: [['traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01']],
    },
    args: [42, -1, 'ünïcödé 😀', { constructor: 1, list: [1.5, null] }, new Uint8Array([0, 1, 255])],
  },
  { type: 'call', id: 8, method: 'f', context: { left: undefined, why: undefined, values: [] }, args: [] },
  { type: 'cancel', id: 7, kind: 'canceled', cause: undefined },
  { type: 'cancel', id: 300, kind: 'deadline', cause: [3, [4, [5, 'link lost', [2, '-12345678901234567890']]]] },
  { type: 'result', id: 70_000, value: { rows: [[1, 'a']], more: false } },
  { type: 'result', id: 9, value: undefined },
  { type: 'error', id: 2 ** 40, error: [1, '-0'] },
  { type: 'export', id: 10, context: { left: -5, why: [0, null], values: [] } },
  { type: 'release', id: 10 },
  { type: 'ping', n: 0 },
  { type: 'pong', n: Number.MAX_SAFE_INTEGER },
  { type: 'goaway', reason: 'maintenance' },
]

/** A chain of `count` errors as a cause. */
export function chain(count: number, message: string, tail: WireCause | null = null): WireCause {
  let cause = tail
  for (let i = 0; i < count; i++) cause = [6, 'Error', message, null, cause] satisfies WireError
  return cause as WireCause
}
