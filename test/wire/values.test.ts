import { describe, expect, test } from 'vitest'
import { BridgeError } from '../../lib/errors.ts'
import { createKey, type Key } from '../../lib/key.ts'
import { decodeValues, encodeValues, valuesLimits } from '../../lib/wire/values.ts'
import type { WirePair } from '../../lib/wire/frame.ts'

const text = {
  encode: (value: string) => value,
  decode: (data: unknown) => {
    if (typeof data !== 'string') throw new TypeError('no string')
    return data
  },
}
const anything = { encode: (value: unknown) => value, decode: (data: unknown) => data }

/** A key as the bridge sees it. */
const portable = (name: string, codec: typeof anything = anything) => createKey<unknown>(name, { portable: codec })

function encode(bindings: (readonly [Key<unknown>, unknown])[], limits = valuesLimits) {
  const reports: [unknown, string][] = []
  return { pairs: encodeValues(bindings, (error, name) => reports.push([error, name]), limits), reports }
}

function decode(pairs: WirePair[], keys: Key<unknown>[]) {
  const reports: [unknown, string][] = []
  return { ...decodeValues(pairs, keys, (error, name) => reports.push([error, name])), reports }
}

const user = portable('user')
const trace = portable('trace')

describe('encodeValues', () => {
  test('sends what portable keys have, as their codecs give it, and nothing else', () => {
    const secret = createKey<unknown>('secret')
    const upper = portable('upper', { ...anything, encode: (value) => String(value).toUpperCase() })
    expect(
      encode([
        [user, { id: 1 }],
        [secret, 's'],
        [upper, 'abc'],
      ]),
    ).toEqual({
      pairs: [
        ['user', { id: 1 }],
        ['upper', 'ABC'],
      ],
      reports: [],
    }) // prettier-ignore
  })

  test('says nothing of a second key of a name that has the same value, as those of two copies of the package may', () => {
    const other = portable('user')
    const different = [
      [user, 'near'],
      [other, 'far'],
    ] as const // prettier-ignore
    expect(
      encode([
        [user, 'same'],
        [other, 'same'],
      ]),
    ).toEqual({ pairs: [['user', 'same']], reports: [] }) // prettier-ignore
    expect(encode([...different]).reports).toMatchObject([[{ code: 'ERR_UNSENDABLE' }, 'user']])
  })

  test('C43, C44: the nearest binding counts, and one to undefined hides the outer ones', () => {
    expect(
      encode([
        [user, 'near'],
        [trace, undefined],
        [user, 'far'],
        [trace, 'far'],
      ]),
    ).toEqual({ pairs: [['user', 'near']], reports: [] }) // prettier-ignore
    expect(encode([[user, null]]).pairs).toEqual([['user', null]])
  })

  test('of two keys of one name sends the nearer, and says so', () => {
    const other = portable('user')
    const { pairs, reports } = encode([
      [user, 1],
      [other, 2],
    ]) // prettier-ignore
    expect(pairs).toEqual([['user', 1]])
    expect(reports).toEqual([[expect.objectContaining({ code: 'ERR_UNSENDABLE' }), 'user']])
    expect(reports[0]?.[0]).toBeInstanceOf(BridgeError)
  })

  test('leaves out and reports what a codec throws, and sends the others', () => {
    const error = new Error('refused')
    const refusing = portable('refusing', {
      ...anything,
      encode: () => {
        throw error
      },
    })
    expect(
      encode([
        [refusing, 1],
        [user, 2],
      ]),
    ).toEqual({ pairs: [['user', 2]], reports: [[error, 'refusing']] }) // prettier-ignore
  })

  test('leaves out and reports what cannot be sent', () => {
    const cyclic: unknown[] = []
    cyclic.push(cyclic)
    let deep: unknown = 1
    for (let i = 0; i < 9; i++) deep = [deep]
    for (const value of [
      () => {},
      Symbol('s'),
      1n,
      Number.NaN,
      new Date(),
      new Map(),
      cyclic,
      deep,
      '\ud800',
      'x'.repeat(20_000),
    ]) {
      const { pairs, reports } = encode([
        [user, value],
        [trace, 1],
      ]) // prettier-ignore
      expect(pairs).toEqual([['trace', 1]])
      expect(reports).toEqual([[expect.objectContaining({ code: 'ERR_UNSENDABLE' }), 'user']])
    }
    const nothing = portable('nothing', { ...anything, encode: () => undefined })
    expect(encode([[nothing, 1]]).reports).toEqual([[expect.objectContaining({ code: 'ERR_UNSENDABLE' }), 'nothing']])
    for (const name of ['x'.repeat(257), '\ud800']) expect(encode([[portable(name), 1]]).reports).toHaveLength(1)
    expect(encode([[portable('x'.repeat(256)), 1]]).reports).toEqual([])
  })

  test('sends 16 KiB in all, and what of the others still fits', () => {
    const large = 'x'.repeat(10_000)
    const { pairs, reports } = encode([
      [portable('a'), large],
      [portable('b'), large],
      [portable('c'), 'small'],
    ]) // prettier-ignore
    expect(pairs.map(([name]) => name)).toEqual(['a', 'c'])
    expect(reports.map(([, name]) => name)).toEqual(['b'])
    const wide = Array(1_500).fill(0)
    expect(
      encode([
        [portable('a'), wide],
        [portable('b'), wide],
      ]).pairs,
    ).toHaveLength(1) // prettier-ignore
  })

  test('sends at most 64 values', () => {
    const { pairs, reports } = encode(Array.from({ length: 70 }, (_, i) => [portable(`k${i}`), i] as const))
    expect(pairs).toHaveLength(64)
    expect(reports).toHaveLength(6)
    expect(reports[0]).toEqual([expect.objectContaining({ code: 'ERR_LIMIT' }), 'k64'])
  })

  test('what it sends shares nothing with the value', () => {
    const value = { list: [1] }
    const { pairs } = encode([[user, value]])
    value.list.push(2)
    expect(pairs).toEqual([['user', { list: [1] }]])
  })
})

describe('decodeValues', () => {
  test('binds registered portable keys, and counts what it drops', () => {
    const secret = createKey<unknown>('secret')
    const pairs: WirePair[] = [
      ['user', 1],
      ['unknown', 2],
      ['secret', 3],
      ['trace', 4],
      ['constructor', 5],
      ['__proto__', 6],
    ] // prettier-ignore
    expect(decode(pairs, [trace, user, secret])).toEqual({
      bindings: [
        [user, 1],
        [trace, 4],
      ],
      dropped: 4,
      reports: [],
    }) // prettier-ignore
    expect(decode([], [user])).toEqual({ bindings: [], dropped: 0, reports: [] })
    expect(decode(pairs, []).dropped).toBe(6)
  })

  test('drops and reports what a codec refuses', () => {
    const name = createKey('name', { portable: text }) as Key<unknown>
    const { bindings, dropped, reports } = decode(
      [
        ['name', 5],
        ['user', 1],
      ],
      [name, user],
    ) // prettier-ignore
    expect(bindings).toEqual([[user, 1]])
    expect(dropped).toBe(1)
    expect(reports).toEqual([[new TypeError('no string'), 'name']])
  })

  test('row 40: drops and reports what is over the limits, without asking the codec', () => {
    const asked: unknown[] = []
    const key = portable('big', { ...anything, decode: (data) => asked.push(data) })
    let deep: unknown = 1
    for (let i = 0; i < 9; i++) deep = [deep]
    for (const data of ['x'.repeat(20_000), Array(3_000).fill(0), deep]) {
      const { bindings, dropped, reports } = decode(
        [
          ['big', data],
          ['user', 1],
        ],
        [key, user],
      ) // prettier-ignore
      expect(bindings).toEqual([[user, 1]])
      expect(dropped).toBe(1)
      expect(reports).toEqual([[expect.objectContaining({ code: 'ERR_LIMIT' }), 'big']])
    }
    expect(asked).toEqual([])
    const large = 'x'.repeat(10_000)
    expect(
      decode(
        [
          ['user', large],
          ['trace', large],
        ],
        [user, trace],
      ).bindings,
    ).toHaveLength(1) // prettier-ignore
  })

  test('takes the first of two registered keys of one name', () => {
    expect(decode([['user', 1]], [user, portable('user')]).bindings).toEqual([[user, 1]])
  })

  test('gives back what encodeValues took', () => {
    const bindings = [
      [user, { a: [1, 'b', null, new Uint8Array(2)] }],
      [trace, 'id'],
    ] as const // prettier-ignore
    expect(decode(encode([...bindings]).pairs, [trace, user]).bindings).toEqual(bindings)
  })
})
