import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { causeOf, isError, type WireCause } from '../../lib/wire/cause.ts'
import { decodeCauseBytes, encodeCauseBytes } from '../../lib/wire/cause-bytes.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { chain, wireCause } from './arbitrary.ts'
import { expectSame, random, utf8 } from './support.ts'

function decoded(bytes: Uint8Array): WireCause {
  const result = decodeCauseBytes(bytes)
  if (!result.ok) expect.fail(`${result.reason}: ${new TextDecoder().decode(bytes)}`)
  return result.value
}

/** What a cause of `capacity` bytes becomes. */
const fitted = (cause: WireCause, capacity: number) => decoded(encodeCauseBytes(cause, capacity).bytes)

describe('a cause in a place of fixed size', () => {
  test('is itself where it fits, to the byte', () => {
    fc.assert(
      fc.property(wireCause, (cause) => {
        const size = utf8(JSON.stringify(cause)).length
        fc.pre(size > 32)
        const { bytes, shortened } = encodeCauseBytes(cause, size)
        expect(shortened).toBe(false)
        expect(bytes.length).toBe(size)
        expect(encodeCauseBytes(cause, size - 1).shortened).toBe(true)
      }),
    )
    expectSame(fitted([3, null], 32), [3, null])
  })

  test('fits whatever it is, and is a cause of the same kind', () => {
    const long = fc.oneof(
      wireCause,
      fc.anything().map((value) => describeCause(value)),
      fc.string({ unit: 'binary', maxLength: 2_000 }).map((text) => describeCause(new Error(text, { cause: new Error(text) }))),
      fc.string({ unit: 'binary', maxLength: 2_000 }).map((text) => describeCause(text)),
      fc.constant(describeCause('\u0000'.repeat(2_000))),
      fc.constant(describeCause(Object.assign(new Error('"'.repeat(2_000)), { name: '\\'.repeat(300), code: '\n'.repeat(200) }))),
      fc.constant(describeCause(-(2n ** 1000n))),
      fc.constant(describeCause(-1.7976931348623157e308)),
    )
    fc.assert(
      fc.property(long, fc.integer({ min: 32, max: 700 }), (cause, capacity) => {
        const { bytes, shortened } = encodeCauseBytes(cause, capacity)
        expect(bytes.length).toBeLessThanOrEqual(capacity)
        const result = decodeCauseBytes(bytes)
        // What fast-check makes may be larger than a cause may be; what was shortened is not.
        if (!result.ok) expect(result.reason).toBe('cause: larger than the limit')
        if (!result.ok) return
        if (!shortened) return expectSame(result.value, cause)
        // A stack is the first to go.
        if (isError(cause)) expect(result.value[0]).toBe(cause[0] === 7 ? 6 : cause[0])
      }),
      { numRuns: 3_000 },
    )
  })

  test('loses its deepest causes first', () => {
    // Each of these at the size that it has, and at all sizes down to that of the next.
    const forms: WireCause[] = [
      [6, 'A', 'the first', 'CODE', [5, 'second', [3, [0, { some: 'data' }]]]],
      [6, 'A', 'the first', 'CODE', [5, 'second', [3, [0, '…']]]],
      [6, 'A', 'the first', 'CODE', [5, 'second', [0, '…']]],
      [6, 'A', 'the first', 'CODE', [0, '…']],
    ]
    let capacity = 100
    for (const form of forms) {
      for (; capacity >= utf8(JSON.stringify(form)).length; capacity--) expectSame(fitted(forms[0] as WireCause, capacity), form)
    }
    expectSame(fitted(forms[0] as WireCause, 35), [6, 'A', 'the f…', 'CODE', [0, '…']])
    expectSame(fitted(forms[0] as WireCause, 32), [6, 'A', 'th…', 'CODE', [0, '…']])
    let before = Number.POSITIVE_INFINITY
    for (capacity = 1_000; capacity >= 32; capacity--) {
      let depth = 0
      for (let at: WireCause | null = fitted(chain(8, 'message'), capacity); at !== null && isError(at); at = causeOf(at)) depth++
      expect(depth).toBeLessThanOrEqual(before)
      expect(depth).toBeGreaterThanOrEqual(1)
      before = depth
    }
    expect(before).toBe(1)
  })

  test('then the end of its message, between two code points', () => {
    for (let capacity = 32; capacity < 120; capacity++) {
      const [tag, name, message, code] = fitted([6, 'E', '😀é'.repeat(50), 'C', null], capacity)
      expect([tag, name, code]).toEqual([6, 'E', 'C'])
      expect(message).toMatch(/^(?:😀é)*😀?…$/u)
      const used = encodeCauseBytes([6, 'E', '😀é'.repeat(50), 'C', null], capacity).bytes.length
      expect(capacity - used).toBeLessThan(6)
    }
  })

  test('then its code, then the end of its name', () => {
    const cause: WireCause = [6, 'LongNameOfAnError', 'message', 'A_LONG_CODE', null]
    const size = utf8(JSON.stringify([6, 'LongNameOfAnError', '', 'A_LONG_CODE', null])).length
    expectSame(fitted(cause, size), [6, 'LongNameOfAnError', '', 'A_LONG_CODE', null])
    expectSame(fitted(cause, size - 1), [6, 'LongNameOfAnError', 'message', null, null])
    expectSame(fitted(cause, 37), [6, 'LongNameOfAnError', '', null, null])
    expectSame(fitted(cause, 32), [6, 'LongNameOf…', '', null, null])
    expectSame(fitted([6, 'n'.repeat(250), 'm', 'c', null], 100), [6, `${'n'.repeat(78)}…`, '', null, null])
  })

  test('that is no error is cut or described', () => {
    expectSame(fitted([0, 'x'.repeat(100)], 32), [0, `${'x'.repeat(23)}…`])
    expectSame(fitted([0, Array(100).fill(1)], 100), [0, 'an array too large to be sent'])
    expectSame(fitted([0, { a: 'x'.repeat(100) }], 32), [0, 'an object too large to …'])
    expectSame(fitted([2, '9'.repeat(100)], 32), [0, `${'9'.repeat(23)}…`])
    expectSame(fitted([3, [0, 'x'.repeat(100)]], 32), [3, [0, '…']])
    expectSame(fitted([5, 'm'.repeat(100), null], 32), [5, `${'m'.repeat(18)}…`, null])
  })

  test('needs 32 bytes', () => {
    for (const capacity of [31, 0, -1, Number.NaN]) expect(() => encodeCauseBytes([3, null], capacity)).toThrow(RangeError)
  })
})

describe('decodeCauseBytes never throws', () => {
  test.each([
    ['', 'cause: no JSON in UTF-8'],
    ['[3', 'cause: no JSON in UTF-8'],
    ['[3,null]x', 'cause: no JSON in UTF-8'],
    ['\ufeff[3,null]', 'cause: no JSON in UTF-8'],
    ['[3,null]\u0000', 'cause: no JSON in UTF-8'],
    ['null', 'cause: is no array'],
    ['[0,"\\ud800"]', 'cause: a text that is not well formed'],
    ['[0,1e999]', 'cause: a number that is not finite'],
    ['[0,{"__proto__":{"polluted":1}}]', 'cause: the key __proto__'],
    [`[0,${'['.repeat(10_000)}${']'.repeat(10_000)}]`, 'cause: data nested deeper than the limit'],
    [`[0,"${'x'.repeat(40_000)}"]`, 'cause: longer than the limit'],
  ])('at %j', (text, reason) => {
    expect(decodeCauseBytes(utf8(text))).toStrictEqual({ ok: false, reason })
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })

  test('at bytes that are no UTF-8, at shared memory, and at a part of a buffer', () => {
    expect(decodeCauseBytes(Uint8Array.of(0x5b, 0x30, 0x2c, 0x22, 0xff, 0x22, 0x5d)).ok).toBe(false)
    const { bytes } = encodeCauseBytes([6, 'E', 'ü', null, null], 100)
    const shared = new Uint8Array(new SharedArrayBuffer(200))
    shared.set(bytes, 50)
    expectSame(decoded(shared.subarray(50, 50 + bytes.length)), [6, 'E', 'ü', null, null])
    expectSame(decoded(Buffer.from(shared).subarray(50, 50 + bytes.length)), [6, 'E', 'ü', null, null])
  })

  test('at every prefix, every flipped bit, and random bytes', () => {
    const { bytes } = encodeCauseBytes([6, 'Error', 'mëssage', 'CODE', [3, [0, { a: [1, null] }]]], 100)
    for (let size = 0; size < bytes.length; size++) expect(decodeCauseBytes(bytes.subarray(0, size)).ok).toBe(false)
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
      expect(typeof decodeCauseBytes(flipped).ok).toBe('boolean')
    }
    const next = random(3)
    const alphabet = utf8('[]{},:"\\0123456null-eé ')
    for (let i = 0; i < 50_000; i++) {
      const random = Uint8Array.from({ length: next() * 20 }, () => alphabet[Math.floor(next() * alphabet.length)] as number)
      if (typeof decodeCauseBytes(random).ok !== 'boolean') expect.fail()
    }
  })
})
