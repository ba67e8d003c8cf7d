/* oxlint-disable unicorn/no-new-array, no-sparse-arrays -- odd values are what this is about */
import { runInNewContext } from 'node:vm'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  BridgeError,
  CanceledError,
  DeadlineExceededError,
  isCanceled,
  isDeadlineExceeded,
  LinkLostError,
  RemoteError,
  withoutStack,
} from '../../lib/errors.ts'
import { causeLimits, causeSize } from '../../lib/wire/cause.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { utf8Length } from '../../lib/wire/text.ts'
import { cross, expectGood, expectSame } from './support.ts'

describe('primitives', () => {
  const primitives = [
    undefined,
    null,
    true,
    false,
    0,
    -0,
    1,
    -1.5,
    5e-324,
    1.7976931348623157e308,
    Number.NaN,
    Infinity,
    -Infinity,
    0n,
    1n,
    -1n,
    2n ** 64n,
    -(2n ** 1023n),
    2n ** 1023n - 1n,
    '',
    'text',
    'ünï 😀',
    '\u0000\u001b[31m',
    '\ufeffmark',
    'undefined',
    'NaN',
    '…',
    'x'.repeat(1_024),
    '😀'.repeat(256),
  ] // prettier-ignore

  test('arrive as they were', () => {
    for (const primitive of primitives) {
      expect(Object.is(cross(primitive), primitive), String(primitive)).toBe(true)
      expectGood(primitive)
    }
  })

  test('of any value arrive as they were, within the limits', () => {
    const primitive = fc.oneof(
      fc.constant(undefined),
      fc.constant(null),
      fc.boolean(),
      fc.double(),
      fc.integer(),
      fc.bigInt({ min: -(2n ** 1023n), max: 2n ** 1023n - 1n }),
      fc.string({ unit: 'binary', maxLength: 256 }),
    )
    fc.assert(
      fc.property(primitive, (value) => Object.is(cross(value), value)),
      { numRuns: 2_000 },
    )
  })

  test('that are too long are cut, and what JSON and UTF-8 cannot carry is replaced', () => {
    expect(cross('x'.repeat(10_000_000))).toBe(`${'x'.repeat(1_021)}…`)
    expect(cross('é'.repeat(1_000))).toBe(`${'é'.repeat(510)}…`)
    expect(cross('😀'.repeat(257))).toBe(`${'😀'.repeat(255)}…`)
    expect(cross('a\ud800b\udc00')).toBe('a\ufffdb\ufffd')
    expect(cross(Symbol('s'))).toBe('Symbol(s)')
    expect(cross(Symbol())).toBe('Symbol()')
    expect(cross(2n ** 1023n)).toBe('a bigint of many digits')
    expect(cross(-(2n ** 1023n) - 1n)).toBe('a bigint of many digits')
    expect(cross(1n << 3_000_000n)).toBe('a bigint of many digits')
  })
})

describe('errors', () => {
  test('of contexts and links arrive as what they are, with their causes', () => {
    const canceled = cross(new CanceledError({ cause: 'closed' })) as CanceledError
    expect(canceled).toBeInstanceOf(CanceledError)
    expect(canceled).toMatchObject({ name: 'AbortError', message: 'context canceled', code: 'ABORT_ERR', cause: 'closed' })
    const deadline = cross(new DeadlineExceededError()) as DeadlineExceededError
    expect(deadline).toBeInstanceOf(DeadlineExceededError)
    expect('cause' in deadline).toBe(false)
    const lost = cross(new LinkLostError('the worker exited', { cause: new CanceledError() })) as LinkLostError
    expect(lost).toBeInstanceOf(LinkLostError)
    expect(lost).toMatchObject({ name: 'LinkLostError', message: 'the worker exited', code: 'ERR_LINK_LOST' })
    expect(lost.cause).toBeInstanceOf(CanceledError)
    for (const cause of [canceled, deadline, lost]) expectGood(cause)
  })

  test('no kind becomes the other, through any chain', () => {
    const wrapped = cross(new Error('handler failed', { cause: new DeadlineExceededError({ cause: new CanceledError() }) }))
    expect(isDeadlineExceeded(wrapped)).toBe(true)
    expect(isCanceled(wrapped)).toBe(false)
    const other = cross(new CanceledError({ cause: new DeadlineExceededError() }))
    expect(isCanceled(other)).toBe(true)
    expect(isDeadlineExceeded(other)).toBe(false)
  })

  test('of another copy of the package are known by their brand', () => {
    const other = Object.assign(new Error('other', { cause: 1 }), { [Symbol.for('ctxbridge.kind')]: 'deadline' })
    expect(cross(other)).toStrictEqual(new DeadlineExceededError({ cause: 1 }))
    const lost = Object.assign(new Error('gone', { cause: 2 }), { [Symbol.for('ctxbridge.kind')]: 'lost' })
    expect(cross(lost)).toStrictEqual(new LinkLostError('gone', { cause: 2 }))
    expect(isCanceled(lost) || isDeadlineExceeded(lost)).toBe(false)
  })

  test('of any other class arrive as a RemoteError with name, message, code and chain, and no stack of either side', () => {
    const cause = new TypeError('bad input', { cause: new RangeError('too far', { cause: [1, 'leaf'] }) })
    const error = cross(
      Object.assign(new SyntaxError('no', { cause }), { code: 'E_SYNTAX', secret: 'stays here' }),
    ) as RemoteError
    expect(error).toBeInstanceOf(RemoteError)
    expect(error).toMatchObject({ name: 'SyntaxError', message: 'no', code: 'E_SYNTAX' })
    expect(error).not.toBeInstanceOf(SyntaxError)
    expect(error).not.toHaveProperty('secret')
    expect(error.cause).toMatchObject({ name: 'TypeError', message: 'bad input' })
    expect(Object.hasOwn(error.cause as object, 'code')).toBe(false)
    expect((error.cause as Error).cause).toMatchObject({ name: 'RangeError', cause: [1, 'leaf'] })
    expect(error.stack ?? '').not.toContain('\n')
    expect(JSON.stringify(describeCause(error))).not.toContain('cause.test')
    expect(cross(new BridgeError('ERR_NO_METHOD', 'no method f'))).toMatchObject({ name: 'BridgeError', code: 'ERR_NO_METHOD' })
  })

  test('a name never chooses a class', () => {
    for (const name of ['AbortError', 'TimeoutError', 'LinkLostError', 'CanceledError', 'TypeError']) {
      const error = cross(Object.assign(new Error('fake'), { name, code: 'ERR_LINK_LOST' }))
      expect(Object.getPrototypeOf(error)).toBe(RemoteError.prototype)
      expect(isCanceled(error) || isDeadlineExceeded(error)).toBe(false)
    }
    const aborted = cross(new DOMException('stop', 'AbortError'))
    expect(aborted).toMatchObject({ name: 'AbortError', message: 'stop', code: 20 })
    expect(isCanceled(aborted)).toBe(false)
  })

  test('of another realm are errors', () => {
    expect(cross(runInNewContext('new TypeError("far", { cause: { a: [1] } })'))).toMatchObject({
      name: 'TypeError',
      message: 'far',
      cause: { a: [1] },
    })
  })

  test('with fields of wrong kinds lose these fields', () => {
    const odd = Object.assign(new Error('x'), { name: 5, code: { toString: () => 'E' } })
    Object.defineProperty(odd, 'message', { value: ['no text'] })
    expect(describeCause(odd)).toEqual([6, 'Error', '', null, null])
    for (const code of [Number.NaN, Infinity, 'x'.repeat(257), 'é'.repeat(129), '\ud800', 1n, Symbol('c'), null, undefined]) {
      expect(describeCause(Object.assign(new Error('m'), { code }))).toEqual([6, 'Error', 'm', null, null])
    }
    for (const code of [0, -1.5, '', 'x'.repeat(256)]) {
      expect(describeCause(Object.assign(new Error('m'), { code }))).toEqual([6, 'Error', 'm', code, null])
    }
    expectSame(describeCause(Object.assign(new Error('m'), { code: -0 })), [6, 'Error', 'm', 0, null])
  })

  test('whose cause is undefined on purpose still have one', () => {
    expect(describeCause(new Error('x', { cause: undefined }))).toEqual([6, 'Error', 'x', null, [1, 'undefined']])
    expect(describeCause(new Error('x'))).toEqual([6, 'Error', 'x', null, null])
    expect(Object.hasOwn(cross(new Error('x', { cause: undefined })) as object, 'cause')).toBe(true)
    expect(Object.hasOwn(cross(new Error('x')) as object, 'cause')).toBe(false)
    expect((cross(new Error('x', { cause: null })) as Error).cause).toBe(null)
  })

  test('that are aggregates name the first of their errors', () => {
    const many = new AggregateError([new TypeError('a'), 1], 'all failed')
    expect(cross(many)).toMatchObject({ name: 'AggregateError', message: 'all failed (first of 2: TypeError: a)' })
    expect(cross(new AggregateError([new Error('a')]))).toMatchObject({ message: 'Error: a' })
    expect(cross(new AggregateError([], 'none'))).toMatchObject({ message: 'none' })
    expect(isCanceled(cross(new AggregateError([new CanceledError()])))).toBe(false)
    const long = expectGood(new AggregateError([new Error('b'.repeat(5_000)), 0], 'a'.repeat(5_000)))
    expect(long[2]).toMatch(/^a{477}… \(first of 2: Error: b{470}…\)$/)
  })

  test('deeper than 8, or in a cycle, end with an ellipsis', { timeout: 60_000 }, () => {
    const deep = withoutStack(() => {
      let error = new Error('last')
      for (let i = 0; i < 1_000_000; i++) error = new Error(String(i), { cause: error })
      return error
    })
    let depth = 0
    let at = cross(deep)
    for (; at instanceof Error; at = at.cause) expect(at.message).toBe(String(999_999 - depth++))
    expect(depth).toBe(8)
    expect(at).toBe('…')
    const cyclic = new Error('cyclic')
    cyclic.cause = new CanceledError({ cause: cyclic })
    expect(describeCause(cyclic)).toEqual([6, 'Error', 'cyclic', null, [3, [0, '…']]])
    // What is no error stands behind the last, and is not counted.
    let eight: unknown = 'leaf'
    for (let i = 0; i < 8; i++) eight = new CanceledError({ cause: eight })
    expect(expectGood(eight)).toEqual([3, [3, [3, [3, [3, [3, [3, [3, [0, 'leaf']]]]]]]]])
  })

  test('over the size lose their deepest causes first, then the end of the message', () => {
    let error: Error | undefined
    for (let i = 8; i >= 1; i--) error = new Error(String(i).repeat(5_000), error === undefined ? undefined : { cause: error })
    const described = expectGood(error)
    expect(described).toEqual([
      6,
      'Error',
      `${'1'.repeat(1_021)}…`,
      null,
      [6, 'Error', `${'2'.repeat(1_021)}…`, null, [6, 'Error', `${'3'.repeat(1_021)}…`, null, [0, '…']]],
    ]) // prettier-ignore
    // Where even the first is too large, its message is what gives way.
    const small = describeCause(Object.assign(new Error('m'.repeat(500)), { code: 'CODE' }), { ...causeLimits, maxSize: 100 })
    expect(small).toEqual([6, 'Error', expect.stringMatching(/^m{1,50}…$/), 'CODE', null])
    expect(causeSize(small)).toBe(100)
  })
})

describe('data', () => {
  test('arrives as it was, frozen through and through', () => {
    const data = { code: 7, list: [1, [null, true]], text: 'ü', constructor: 'x', hasOwnProperty: 0, nested: { a: {} } }
    const arrived = cross(data) as typeof data
    expectSame(arrived, data)
    for (const part of [arrived, arrived.list, arrived.list[1], arrived.nested, arrived.nested.a])
      expect(Object.isFrozen(part)).toBe(true)
    expectGood(data)
  })

  test('is a copy, so that later changes to it change no cause', () => {
    const data = { list: [1] }
    const described = describeCause(data)
    data.list.push(2)
    expect(described).toEqual([0, { list: [1] }])
    expect(Object.isFrozen(data)).toBe(false)
  })

  test('with what JSON has not is described in these places', () => {
    const shared = { a: 1 }
    const data = {
      undef: undefined,
      list: [undefined, , 1],
      nan: Number.NaN,
      zero: -0,
      big: 12n,
      symbol: Symbol('s'),
      f: function name() {},
      date: new Date(0),
      map: new Map(),
      error: new RangeError('r'),
      bytes: new Uint8Array(2),
      lone: '\ud800',
      twice: [shared, shared],
    }
    expectSame(cross(data), {
      list: [null, null, 1],
      nan: 'NaN',
      zero: 0,
      big: '12n',
      symbol: 'Symbol(s)',
      f: 'the function name that cannot be sent',
      date: 'an object of class Date that cannot be sent',
      map: 'an object of class Map that cannot be sent',
      error: 'RangeError: r',
      bytes: 'an object of class Uint8Array that cannot be sent',
      lone: '\ufffd',
      twice: [{ a: 1 }, { a: 1 }],
    })
    expectGood(data)
  })

  test('over the limits, and what is not plain, is described as a whole', () => {
    const cyclic: unknown[] = []
    cyclic.push(cyclic)
    const proto = JSON.parse('{"__proto__": {"x": 1}, "a": 1}') as unknown
    class Foo {}
    const cases: [unknown, unknown][] = [
      [cyclic, 'an array that cannot be sent'],
      [{ a: { b: { c: { d: {} } } } }, 'an object that cannot be sent'],
      [{ a: { b: { c: {} } } }, { a: { b: { c: {} } } }],
      [Array(1_000).fill(1), 'an array that cannot be sent'],
      [new Array(2 ** 32 - 1), 'an array that cannot be sent'],
      [{ ['k'.repeat(1_025)]: 1 }, 'an object that cannot be sent'],
      [{ '\ud800': 1 }, 'an object that cannot be sent'],
      [Array(8).fill('x'.repeat(1_000)), 'an array that cannot be sent'],
      [{ x: 'x'.repeat(5_000_000) }, { x: `${'x'.repeat(1_021)}…` }],
      [proto, { a: 1 }],
      [Object.create(null), {}],
      [runInNewContext('({ a: [1] })'), { a: [1] }],
      [new Foo(), 'an object of class Foo that cannot be sent'],
      [Object.create({ a: 1 }), 'an object that cannot be sent'],
      [new Date(), 'an object of class Date that cannot be sent'],
      [Foo, 'the function Foo that cannot be sent'],
      [() => {}, 'a function that cannot be sent'],
      [new String('x'), 'an object of class String that cannot be sent'],
      [new Uint8Array(3), 'an object of class Uint8Array that cannot be sent'],
    ]
    for (const [value, expected] of cases) {
      expect(cross(value)).toEqual(expected)
      expectGood(value)
    }
    expect(({} as { x?: unknown }).x).toBeUndefined()
  })
})

test('the size of a cause is 8 for each value, and the bytes of each text', () => {
  expect(causeSize([3, null])).toBe(24)
  expect(causeSize([0, 'é'])).toBe(8 + 8 + 8 + utf8Length('é'))
  expect(causeSize([0, { ab: [1, true] }])).toBe(8 + 8 + 8 + 8 + 2 + 8 + 8 + 8)
})
