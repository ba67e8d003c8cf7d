/* oxlint-disable unicorn/no-new-array -- odd values are what this is about */
import { runInNewContext } from 'node:vm'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkSendable, sendableLimits } from '../../lib/wire/sendable.ts'
import { plainData } from './arbitrary.ts'
import { expectSame } from './support.ts'

function reasonOf(value: unknown): string {
  const result = checkSendable(value)
  return result.ok ? 'accepted' : result.reason
}

function sent(value: unknown): unknown {
  const result = checkSendable(value)
  return result.ok ? result.value : expect.fail(result.reason)
}

const boom = () => {
  throw new Error('boom')
}

describe('what is sendable', () => {
  test('is copied as it is', () => {
    fc.assert(
      fc.property(plainData(true, 8), (data) => expectSame(sent(data), data)),
      { numRuns: 1_000 },
    )
  })

  test('shares nothing with its copy', () => {
    const value = { list: [1], bytes: new Uint8Array([1, 2]) }
    const copy = sent(value) as typeof value
    value.list.push(2)
    value.bytes[0] = 9
    expectSame(copy, { list: [1], bytes: new Uint8Array([1, 2]) })
  })

  test('is put into the form that crosses', () => {
    expectSame(sent(undefined), null)
    expectSame(sent({ a: undefined, b: [undefined, , 1], c: { d: undefined } }), { b: [null, null, 1], c: {} }) // eslint-disable-line no-sparse-arrays
    expectSame(sent([-0]), [0])
    expectSame(sent(Buffer.from('ab')), new Uint8Array([97, 98]))
    expectSame(sent(Buffer.from('xaby').subarray(1, 3)), new Uint8Array([97, 98]))
    expectSame(sent(Object.assign(Object.create(null), { a: 1 })), { a: 1 })
    expectSame(sent(runInNewContext('({ a: [1, new Uint8Array(2)] })')), { a: [1, new Uint8Array(2)] })
    expectSame(
      sent({
        get a() {
          return 1
        },
        [Symbol('s')]: 2,
      }),
      { a: 1 },
    ) // prettier-ignore
    expectSame(sent(Object.defineProperty({ a: 1 }, 'hidden', { value: boom })), { a: 1 })
    expectSame(sent(Object.assign([1], { extra: boom })), [1])
    expectSame(sent({ constructor: 1, toJSON: 'x', hasOwnProperty: null }), { constructor: 1, toJSON: 'x', hasOwnProperty: null })
  })

  test('may hold the same object twice', () => {
    const shared = { a: 1 }
    expectSame(sent([shared, { shared }]), [{ a: 1 }, { shared: { a: 1 } }])
  })
})

describe('what is not sendable', () => {
  class Foo {}
  const cyclic: Record<string, unknown> = { a: [1] }
  cyclic['a'] = [1, { b: cyclic }]
  const deep = (depth: number): unknown => (depth === 0 ? 0 : [deep(depth - 1)])

  test.each<[string, unknown]>([
    ['a function', () => {}],
    ['a function at .f', { f: () => {} }],
    ['a symbol at [0]', [Symbol('s')]],
    ['a bigint at .a[1].b', { a: [0, { b: 1n }] }],
    ['the number NaN at [0]', [Number.NaN]],
    ['the number Infinity', Infinity],
    ['the number -Infinity', -Infinity],
    ['an object of class Date at .when', { when: new Date(0) }],
    ['an object of class Map', new Map()],
    ['an object of class Set', new Set()],
    ['an object of class RegExp', /x/],
    ['an object of class Error', new Error('x')],
    ['an object of class Promise at [0]', [Promise.resolve()]],
    ['an object of class Foo', new Foo()],
    ['an object of class String', new String('x')],
    ['an object of class Object', Object.create({})],
    ['an object of class Float32Array', new Float32Array(1)],
    ['an object of class Uint8ClampedArray', new Uint8ClampedArray(1)],
    ['an object of class DataView', new DataView(new ArrayBuffer(1))],
    ['an object of class ArrayBuffer', new ArrayBuffer(1)],
    ['an object of class SharedArrayBuffer', new SharedArrayBuffer(1)],
    ['a cycle at .a[1].b', cyclic],
    ['a string with a lone surrogate', '\ud800'],
    ['a string with a lone surrogate at .a', { a: 'x\udc00' }],
    ['a string with a lone surrogate at .…', { '\ud800': 1 }],
    ['the key __proto__ at .__proto__', JSON.parse('{"__proto__": 1}')],
    [
      'what throws when it is read at .a',
      {
        get a() {
          return boom()
        },
      },
    ], // prettier-ignore
    ['what throws when it is read', new Proxy({}, { ownKeys: boom })],
    ['what throws when it is read at [0]', [new Proxy([], { get: boom })]],
    ['what throws when it is read', new Proxy({}, { getPrototypeOf: boom })],
    ['what is nested deeper than 12 at …[0][0][0][0][0][0][0][0][0][0]', deep(13)],
    ['what has more values than the limit of 16000', Array(16_000).fill(0)],
    ['what has more values than the limit of 16000', new Array(2 ** 32 - 1)],
    ['what is larger than the limit of 1000000 bytes', 'x'.repeat(1_000_000)],
    ['what is larger than the limit of 1000000 bytes at [1]', ['x'.repeat(500_000), 'x'.repeat(500_000)]],
    ['what is larger than the limit of 1000000 bytes', new Uint8Array(1_000_000)],
  ])('%s', (reason, value) => {
    expect(reasonOf(value)).toBe(reason)
    expect(reason.length).toBeLessThanOrEqual(100)
  })

  test('is named in at most 100 characters, without anything of its own that could not go into a log', () => {
    const name = 'N'.repeat(30)
    const long = new (Object.defineProperty(class {}, 'name', { value: name }))()
    const key = 'k'.repeat(20)
    for (const value of [
      { [key]: { [key]: long } },
      { '\u001b[31m\n': { 'a b': long } },
      Object.create({ constructor: { name: '\n' } }),
    ]) {
      const reason = reasonOf(value)
      expect(reason).toMatch(/^[\w .…:[\]]+$/)
      expect(reason.length).toBeLessThanOrEqual(100)
    }
  })

  test('is found wherever it is, and never by a throw', () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withDate: true, withMap: true, withSparseArray: true }),
        (value) => typeof checkSendable(value).ok === 'boolean',
      ),
      { numRuns: 1_000 },
    ) // prettier-ignore
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    expect(reasonOf([proxy])).toBe('what throws when it is read at [0]')
    const view = new Uint8Array(8)
    structuredClone(view, { transfer: [view.buffer] })
    expect(typeof checkSendable(view).ok).toBe('boolean')
  })
})

describe('limits', () => {
  test('are met exactly', () => {
    const check = (value: unknown, limits: Partial<typeof sendableLimits>) =>
      checkSendable(value, { ...sendableLimits, ...limits }).ok
    expect(check([[1]], { maxDepth: 2 })).toBe(true)
    expect(check([[1]], { maxDepth: 1 })).toBe(false)
    expect(check({ a: 1 }, { maxElements: 3 })).toBe(true)
    expect(check({ a: 1 }, { maxElements: 2 })).toBe(false)
    expect(check('abc', { maxBytes: 4 })).toBe(true)
    expect(check('abc', { maxBytes: 3 })).toBe(false)
    expect(check({ a: 1 }, { maxBytes: 4 })).toBe(true)
    expect(check({ a: 1 }, { maxBytes: 3 })).toBe(false)
    expect(check(new Uint8Array(3), { maxBytes: 4 })).toBe(false)
  })
})
