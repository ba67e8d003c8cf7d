import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { causeLimits, causeSize, reviveCause } from '../../lib/wire/cause.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { parseCause } from '../../lib/wire/cause-parse.ts'
import { chain, wireCause } from './arbitrary.ts'
import { expectSame } from './support.ts'

const reasonOf = (data: unknown) => {
  const result = parseCause(data)
  return result.ok ? 'accepted' : result.reason
}

/** Whether a cause has stacks. */
function isTraced(cause: unknown): boolean {
  return Array.isArray(cause) && (cause[0] === 7 || (cause[0] > 2 && isTraced(cause.at(-1))))
}

describe('parseCause', () => {
  test('what it accepts is the same after a revival and a description', () => {
    fc.assert(
      fc.property(wireCause, (cause) => {
        const parsed = parseCause(cause)
        if (!parsed.ok) {
          expect(parsed.reason).toBe('cause: larger than the limit')
          return
        }
        expectSame(parsed.value, cause)
        expectSame(describeCause(reviveCause(parsed.value), causeLimits, isTraced(cause)), cause)
      }),
      { numRuns: 2_000 },
    )
  })

  test('-0 in data and as a code becomes 0', () => {
    expectSame(parseCause([0, -0]), { ok: true, value: [0, 0] })
    expectSame(parseCause([0, [{ a: -0 }]]), { ok: true, value: [0, [{ a: 0 }]] })
    expectSame(parseCause([6, 'E', 'm', -0, null]), { ok: true, value: [6, 'E', 'm', 0, null] })
  })

  test.each<[string, unknown]>([
    ['cause: is no array', null],
    ['cause: is no array', 'x'],
    ['cause: is no array', { 0: 3, 1: null, length: 2 }],
    ['cause: too few or too many elements', []],
    ['cause: too few or too many elements', [0]],
    ['cause: too few or too many elements', [0, 1, 2]],
    ['cause: too few or too many elements', [1]],
    ['cause: too few or too many elements', [2, '1', '1']],
    ['cause: too few or too many elements', [3]],
    ['cause: too few or too many elements', [3, null, null]],
    ['cause: too few or too many elements', [4]],
    ['cause: too few or too many elements', [5, 'm']],
    ['cause: too few or too many elements', [5, 'm', null, null]],
    ['cause: too few or too many elements', [6, 'E', 'm', null]],
    ['cause: too few or too many elements', [6, 'E', 'm', null, null, 'stack']],
    ['cause: too few or too many elements', [7, 'E', 'm', null, null]],
    ['cause: a text is missing', [7, 'E', 'm', null, null, null]],
    ['cause: a text longer than the limit', [7, 'E', 'm', null, 'x'.repeat(2_049), null]],
    ['cause: an unknown tag', [8, 'x']],
    ['cause: an unknown tag', [-1, 'x']],
    ['cause: an unknown tag', ['0', 'x']],
    ['cause: an unknown tag', [null, 'x']],
    ['cause: an unknown special value', [1, 'nothing']],
    ['cause: an unknown special value', [1, 'toString']],
    ['cause: an unknown special value', [1, null]],
    ['cause: an unknown special value', [1, ['NaN']]],
    ['cause: a text is missing', [2, 5]],
    ['cause: a bigint that is no integer in decimal', [2, '']],
    ['cause: a bigint that is no integer in decimal', [2, '-0']],
    ['cause: a bigint that is no integer in decimal', [2, '01']],
    ['cause: a bigint that is no integer in decimal', [2, '+1']],
    ['cause: a bigint that is no integer in decimal', [2, '0x1']],
    ['cause: a bigint that is no integer in decimal', [2, ' 1']],
    ['cause: a bigint that is no integer in decimal', [2, '1\n']],
    ['cause: a bigint of too many bits', [2, String(2n ** 1023n)]],
    ['cause: a bigint of too many bits', [2, String(-(2n ** 1023n) - 1n)]],
    ['cause: a text longer than the limit', [2, '1'.repeat(311)]],
    ['cause: a text is missing', [5, null, null]],
    ['cause: a text is missing', [6, 5, 'm', null, null]],
    ['cause: a text is missing', [6, 'E', {}, null, null]],
    ['cause: a code that is no text and no finite number', [6, 'E', 'm', true, null]],
    ['cause: a code that is no text and no finite number', [6, 'E', 'm', Number.NaN, null]],
    ['cause: a code that is no text and no finite number', [6, 'E', 'm', [], null]],
    ['cause: a text longer than the limit', [6, 'n'.repeat(257), 'm', null, null]],
    ['cause: a text longer than the limit', [6, 'é'.repeat(129), 'm', null, null]],
    ['cause: a text longer than the limit', [6, 'E', 'm'.repeat(1_025), null, null]],
    ['cause: a text longer than the limit', [6, 'E', 'é'.repeat(513), null, null]],
    ['cause: a text longer than the limit', [6, 'E', 'm', 'c'.repeat(257), null]],
    ['cause: a text longer than the limit', [5, 'm'.repeat(1_025), null]],
    ['cause: a text longer than the limit', [0, 'm'.repeat(1_025)]],
    ['cause: a text longer than the limit', [0, ['m'.repeat(1_025)]]],
    ['cause: a text longer than the limit', [0, { ['k'.repeat(1_025)]: 1 }]],
    ['cause: a text that is not well formed', [0, '\ud800']],
    ['cause: a text that is not well formed', [0, { '\ud800': 1 }]],
    ['cause: a text that is not well formed', [6, '\udc00', 'm', null, null]],
    ['cause: a text that is not well formed', [6, 'E', 'm\ud83d', null, null]],
    ['cause: a number that is not finite', [0, Number.NaN]],
    ['cause: a number that is not finite', [0, [Infinity]]],
    ['cause: data that is not plain', [0, undefined]],
    ['cause: data that is not plain', [0, 1n]],
    ['cause: data that is not plain', [0, () => {}]],
    ['cause: data that is not plain', [0, new Date(0)]],
    ['cause: data that is not plain', [0, new Uint8Array(1)]],
    ['cause: data that is not plain', [0, [undefined]]],
    ['cause: the key __proto__', [0, JSON.parse('{"__proto__": 1}')]],
    ['cause: data nested deeper than the limit', [0, [[[[[]]]]]]],
    ['cause: data nested deeper than the limit', [0, { a: { b: { c: { d: {} } } } }]],
    ['cause: a chain longer than the limit', chain(9, 'm')],
    ['cause: a chain longer than the limit', chain(9, 'm', [0, 1])],
    ['cause: larger than the limit', chain(5, 'm'.repeat(1_000))],
    ['cause: larger than the limit', [0, Array(511).fill(0)]],
    ['cause: larger than the limit', [0, Array(600).fill(0)]],
    ['cause: larger than the limit', [0, Object.fromEntries(Array.from({ length: 220 }, (_, i) => [`k${i}`, 0]))]],
    ['cause: is no array', [3, 'why']],
    ['cause: is no array', [6, 'E', 'm', null, undefined]],
  ])('%s', (reason, data) => {
    expect(reasonOf(data)).toBe(reason)
    // Not at the top alone, and with JSON's nesting that nobody expects.
    if (!reason.includes('limit')) expect(reasonOf([3, data]), 'nested').toBe(data === null ? 'accepted' : reason)
  })

  test('what is exactly at a limit is accepted', () => {
    expect(reasonOf([0, Array(509).fill(0)])).toBe('accepted')
    expect(reasonOf([0, [[[[]]]]])).toBe('accepted')
    expect(reasonOf(chain(8, 'm', [0, 1]))).toBe('accepted')
    expect(reasonOf([6, 'n'.repeat(256), 'm'.repeat(1_024), 'c'.repeat(256), null])).toBe('accepted')
    const sized = (size: number) => [0, Array.from({ length: 4 }, (_, i) => 'x'.repeat(i < 3 ? 1_010 : size - 3 * 1_018 - 32))]
    expect(causeSize(sized(4_096) as never)).toBe(4_096)
    expect(reasonOf(sized(4_096))).toBe('accepted')
    expect(reasonOf(sized(4_097))).toBe('cause: larger than the limit')
  })

  test('never throws, also at what no decoder makes', () => {
    const throwing = new Proxy([], {
      get: () => {
        throw new Error('boom')
      },
    }) // prettier-ignore
    for (const data of [throwing, [0, throwing], [3, throwing]]) expect(reasonOf(data)).toBe('cause: cannot be read')
    const cyclic: unknown[] = [3]
    cyclic.push(cyclic)
    expect(reasonOf(cyclic)).toBe('cause: a chain longer than the limit')
    let deep: unknown = []
    for (let i = 0; i < 100_000; i++) deep = [deep]
    expect(reasonOf([0, deep])).toBe('cause: data nested deeper than the limit')
    fc.assert(fc.property(fc.anything(), (data) => typeof parseCause(data).ok === 'boolean'))
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.integer({ min: 0, max: 7 }), fc.string(), fc.constant(null), fc.anything())), (data) => {
        return typeof parseCause(data).ok === 'boolean'
      }),
    )
  })

  test('shares nothing with what it was given', () => {
    const data = [6, 'E', 'm', null, [0, { list: [1] }]]
    const parsed = parseCause(data)
    ;((data[4] as unknown[])[1] as { list: number[] }).list.push(2)
    expectSame(parsed, { ok: true, value: [6, 'E', 'm', null, [0, { list: [1] }]] })
  })
})
