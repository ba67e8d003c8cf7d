/** Arbitrary data, causes and frames, and one frame of each kind. */

import * as fc from 'fast-check'
import type { WireCause, WireData, WireError } from '../../lib/wire/cause.ts'
import type { Frame, WireContext, WirePair } from '../../lib/wire/frame.ts'

/**
 * Well-formed text. Without a byte order mark in front, since msgpackr 2.1 loses that of a long string where it has no native addon.
 */
function wellFormedText(maxLength: number, minLength = 0): fc.Arbitrary<string> {
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
    fc.option(wellFormedText(100), { nil: undefined }),
  )
  .map(([errors, leaf, ends, frame]) => {
    const tail = ends || errors.length === 0 ? leaf : null
    return errors.reduceRight<unknown>((inner, error) => {
      const [tag, ...fields] = error.slice(0, -1)
      // A sender tells the stack of all of its errors, or of none.
      return tag === 6 && frame !== undefined ? [7, ...fields, `E\n    at ${frame}`, inner] : [tag, ...fields, inner]
    }, tail) as WireCause
  })

/** Objects as `{}` makes them: fast-check's own have no prototype now and then. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true })
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
  record({ left: fc.constant(undefined), why: fc.constant(undefined), values: pairs, under: fc.option(id, { nil: undefined }) }),
  record({ left, why: fc.option(wireCause, { nil: undefined }), values: pairs, under: fc.option(id, { nil: undefined }) }),
)

export const frame: fc.Arbitrary<Frame> = fc.oneof(
  record({
    type: fc.constant('hello' as const),
    version: fc.constant(1),
    limits: record({
      maxMessage: fc.integer({ min: 1024 }),
      maxCalls: counter,
      maxContexts: counter,
      window: fc.integer({ min: 1 }),
      lease: counter,
    }),
    name: wellFormedText(256),
    link: wellFormedText(64, 1),
    session: fc.option(record({ token: wellFormedText(64), received: counter }), { nil: undefined }),
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
  record({ type: fc.constant('release' as const), id, grant: id }),
  record({ type: fc.constant('retract' as const), id }),
  record({ type: fc.constant('stream' as const), id }),
  record({ type: fc.constant('item' as const), id, value: fc.option(plainData(true, 3), { nil: undefined }) }),
  record({ type: fc.constant('credit' as const), id, n: id }),
  record({ type: fc.constant('ack' as const), n: counter }),
  record({
    type: fc.constant('cancels' as const),
    ids: fc.array(id, { minLength: 1, maxLength: 40 }),
    kind: fc.constantFrom('canceled' as const, 'deadline' as const),
    cause: fc.option(wireCause, { nil: undefined }),
  }),
  record({ type: fc.constant('ping' as const), n: counter }),
  record({ type: fc.constant('pong' as const), n: counter }),
  record({ type: fc.constant('goaway' as const), reason: wellFormedText(256) }),
)

/** One frame of each type, with everything in it that a frame can have. */
export const samples: readonly Frame[] = [
  {
    type: 'hello',
    version: 1,
    limits: { maxMessage: 1_048_576, maxCalls: 1_000, maxContexts: 1_000, window: 16, lease: 30_000 },
    name: 'gateway',
    link: 'a',
    session: { token: 'secret', received: 3 },
  },
  {
    type: 'call',
    id: 7,
    method: 'reports.build',
    context: {
      left: 1500.25,
      why: [6, 'SlowError', 'too slow', 'ESLOW', [0, { at: [1, null, true] }]],
      values: [['traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'], ['hidden']],
      under: 3,
    },
    args: [42, -1, 'ünïcödé 😀', { constructor: 1, list: [1.5, null] }, new Uint8Array([0, 1, 255])],
  },
  { type: 'call', id: 8, method: 'f', context: { left: undefined, why: undefined, values: [], under: undefined }, args: [] },
  { type: 'cancel', id: 7, kind: 'canceled', cause: undefined },
  { type: 'cancel', id: 300, kind: 'deadline', cause: [3, [4, [5, 'link lost', [2, '-12345678901234567890']]]] },
  { type: 'result', id: 70_000, value: { rows: [[1, 'a']], more: false } },
  { type: 'result', id: 9, value: undefined },
  { type: 'error', id: 2 ** 40, error: [1, '-0'] },
  { type: 'export', id: 10, context: { left: -5, why: [0, null], values: [], under: undefined } },
  { type: 'release', id: 10, grant: 2 },
  { type: 'retract', id: 10 },
  { type: 'stream', id: 11 },
  { type: 'item', id: 11, value: 'token' },
  { type: 'item', id: 11, value: undefined },
  { type: 'credit', id: 11, n: 8 },
  { type: 'ack', n: 17 },
  { type: 'cancels', ids: [3, 70_000], kind: 'canceled', cause: undefined },
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
