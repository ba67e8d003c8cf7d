/* oxlint-disable vitest/expect-expect, vitest/no-conditional-expect -- expectSame and its like assert; of many inputs, only a wrong one does */
import { createHash } from 'node:crypto'
import { Packr, isNativeAccelerationEnabled } from 'msgpackr'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { causeLimits } from '../../lib/wire/cause.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import type { Frame } from '../../lib/wire/frame.ts'
import { scan, scanLimits } from '../../lib/wire/scan.ts'
import { checkSendable, countElements, sendableLimits } from '../../lib/wire/sendable.ts'
import { decodeMessage, encodeMessage, messageLimits } from '../../transports/websocket/msgpackr.ts'
import { around, expectSame, frame, plainData, random, raw, referenceDecode, samples, utf8 } from './support.ts'

const plainPrototype = Object.getOwnPropertyNames(Object.prototype).toSorted().join()

function reasonOf(bytes: Uint8Array): string {
  const result = decodeMessage(bytes)
  return result.ok ? 'accepted' : result.reason
}

/** Decodes, and fails the test at a throw, at a reason that could not be sent, or where a prototype was changed. */
function decodeSafely(bytes: Uint8Array): boolean {
  const result = decodeMessage(bytes)
  if (!result.ok && (result.reason.length > 100 || !/^[ -~±^]+$/.test(result.reason))) expect.fail(result.reason)
  return result.ok
}

describe('round trips', () => {
  test('each frame alone, and all of them in one message', () => {
    for (const sample of samples) expectSame(decodeMessage(encodeMessage([sample])), { ok: true, value: [sample] })
    expectSame(decodeMessage(encodeMessage(samples)), { ok: true, value: samples })
  })

  test('any frames, of which the bytes pass as msgpack to the reference decoder, too', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 5 }), (frames) => {
        const bytes = encodeMessage(frames)
        expectSame(decodeMessage(bytes), { ok: true, value: frames })
        expect(scan(bytes)).toStrictEqual({ ok: true, value: countElements(referenceDecode(bytes, scanLimits)) })
      }),
      { numRuns: 1_000 },
    )
  })

  test('plain data of any form, short and long', () => {
    fc.assert(
      fc.property(plainData(true, 8), (data) => {
        const frames: Frame[] = [{ type: 'result', id: 1, value: data }]
        expectSame(decodeMessage(encodeMessage(frames)), { ok: true, value: frames })
      }),
      { numRuns: 1_000 },
    )
  })

  test('a map with more than 65,535 keys is written, though the default limits refuse it', () => {
    const value = Object.fromEntries(Array.from({ length: 70_000 }, (_, i) => [`k${i}`, i]))
    const bytes = encodeMessage([{ type: 'result', id: 1, value }])
    expect(reasonOf(bytes)).toBe('message: more values than the limit')
    const result = decodeMessage(bytes, { ...messageLimits, maxElements: 1_000_000 })
    expect(result.ok && (result.value[0] as { value: object }).value).toStrictEqual(value)
  })

  test('what is at the limits of its kind fits into the limits of a message', () => {
    const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)])
    let deepest: unknown = { a: { b: { c: [1] } } }
    for (let i = 0; i < causeLimits.maxChain; i++) deepest = new Error('x', { cause: deepest })
    const why = describeCause(deepest)
    expect(JSON.stringify(why)).toContain('{"a":{"b":{"c":[1]}}}')
    const args = checkSendable(nested(sendableLimits.maxDepth))
    expect(args.ok).toBe(true)
    const frames: Frame[] = [
      {
        type: 'call',
        id: 1,
        method: 'm',
        context: { left: 1, why, values: [['k', nested(8)]] },
        args: args.ok ? (args.value as unknown[]) : [],
      },
      { type: 'result', id: 1, value: args.ok && args.value },
    ]
    expectSame(decodeMessage(encodeMessage(frames)), { ok: true, value: frames })

    const wide = checkSendable(Array(sendableLimits.maxElements - 1).fill(1))
    const values = checkSendable(Array(2_046).fill(1))
    expect(wide.ok && values.ok).toBe(true)
    const largest: Frame = {
      type: 'call',
      id: 1,
      method: 'm',
      context: { left: 1, why: describeCause(Array(400).fill(1)), values: [['k', values.ok && values.value]] },
      args: wide.ok ? (wide.value as unknown[]) : [],
    }
    expect(decodeMessage(encodeMessage([largest])).ok).toBe(true)
  })
})

describe('the bytes', () => {
  test('are those that a peer in another language would write', () => {
    const vectors: [Frame, string][] = [
      [
        { type: 'hello', version: 1, limits: { maxMessage: 1_048_576, maxCalls: 1_000 }, name: 'a' },
        '91 94 01 01 92 ce 00100000 cd 03e8 a1 61',
      ],
      [{ type: 'cancel', id: 5, kind: 'canceled', cause: undefined }, '91 94 03 05 00 c0'],
      [{ type: 'cancel', id: 70_000, kind: 'deadline', cause: [0, 'x'] }, '91 94 03 ce 00011170 01 92 00 a1 78'],
      [{ type: 'cancel', id: 2 ** 40, kind: 'canceled', cause: undefined }, '91 94 03 cb 4270000000000000 00 c0'],
      [{ type: 'result', id: 1, value: undefined }, '91 92 04 01'],
      [{ type: 'result', id: 1, value: { a: [1.5, -1] } }, '91 93 04 01 81 a1 61 92 cb 3ff8000000000000 ff'],
      [{ type: 'ping', n: 127 }, '91 92 08 7f'],
    ]
    for (const [sample, digits] of vectors) expect(encodeMessage([sample])).toStrictEqual(raw(digits))
  })

  test('are decoded whatever the width of the numbers in them', () => {
    const cancel = { ok: true, value: [{ type: 'cancel', id: 5, kind: 'canceled', cause: undefined }] }
    expect(decodeMessage(raw('91 94 03 05 00 c0'))).toStrictEqual(cancel)
    expect(decodeMessage(raw('dd 00000001 dc 0004 cc 03 cf 0000000000000005 d3 0000000000000000 c0'))).toStrictEqual(cancel)
    expect(decodeMessage(raw('91 94 cb 4008000000000000 ca 40a00000 d0 00 c0'))).toStrictEqual(cancel)
    expect(decodeMessage(raw('91 92 04 01'))).toStrictEqual({ ok: true, value: [{ type: 'result', id: 1, value: undefined }] })
    expect(decodeMessage(raw('91 93 04 01 d3 ff e0 00 00 00 00 00 01'))).toStrictEqual({
      ok: true,
      value: [{ type: 'result', id: 1, value: Number.MIN_SAFE_INTEGER }],
    })
  })

  test("row 58: are the caller's alone when encoded", () => {
    const first = encodeMessage([samples[3] as Frame])
    const before = first.slice()
    for (let i = 0; i < 100; i++) encodeMessage(samples)
    expect(first).toStrictEqual(before)
    expect(first.buffer.byteLength).toBe(first.byteLength)
    expect(Object.getPrototypeOf(first)).toBe(Uint8Array.prototype)
    structuredClone(first, { transfer: [first.buffer] })
    expectSame(decodeMessage(encodeMessage(samples)), { ok: true, value: samples })
  })

  test.each([10, 3_000, 6_000, 100_000])('row 58: are copied when decoded, with %i bytes in a value', (length) => {
    const value = new Uint8Array(length).fill(7)
    const bytes = encodeMessage([{ type: 'result', id: 1, value: [value, 'text'] }])
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length))
    shared.set(bytes)
    for (const source of [bytes, Buffer.from(bytes), shared]) {
      const result = decodeMessage(source)
      source.fill(0xc1)
      decodeMessage(encodeMessage(samples))
      expect(result).toStrictEqual({ ok: true, value: [{ type: 'result', id: 1, value: [value, 'text'] }] })
      const data = result.ok ? ((result.value[0] as { value: Uint8Array[] }).value[0] as Uint8Array) : value
      expect(Object.getPrototypeOf(data)).toBe(Uint8Array.prototype)
      expect(data.buffer.byteLength).toBe(length)
      expect(Object.keys(source).filter((key) => !/^\d+$/.test(key))).toEqual([])
    }
  })
})

describe('bad inputs', () => {
  test('row 1: an empty message', () => {
    expect(reasonOf(new Uint8Array())).toBe('message: empty')
    expect(reasonOf(raw('90'))).toBe('message: without a frame')
  })

  test('row 2: every prefix of every valid message is refused', () => {
    for (const frames of [...samples.map((sample) => [sample]), samples]) {
      const bytes = encodeMessage(frames)
      for (let size = 0; size < bytes.length; size++) {
        if (decodeSafely(bytes.slice(0, size))) expect.fail(`${frames[0]?.type} ${size}`)
      }
    }
  })

  test('row 3: every valid message with something behind it is refused', () => {
    for (const sample of samples) {
      const bytes = encodeMessage([sample])
      for (const more of [bytes, raw('00'), raw('c1'), raw('90'), new Uint8Array(5_000)]) {
        expect(reasonOf(raw(bytes, more))).toBe('message: more than one value')
      }
    }
  })

  test('rows 4 and 13: 0xc1 and every extension make nothing', () => {
    expect(reasonOf(around('c1'))).toBe('message: the byte 0xc1')
    const evil = [
      around('d4 72 40 92 a1 61 a1 62 01 02'), // a record, which msgpackr would compile
      around('d4 65 00 92', 'a5', utf8('Error'), 'a1 78'),
      around('d4 78 00 92', 'a5', utf8('(a+)+'), 'a0'),
      around('c8 01 00 42', new Uint8Array(256).fill(255)),
      around('d6 62 00 00 00 01 a1 61 a1 62'),
      around('d6 70 00 00 00 01'),
      around('d4 73 00 91 01'),
      around('c7 05 74 01 01 02 03 04'),
      around('d4 00 00'),
      around('d6 ff 00 00 00 00'),
      around('d7 ff', new Uint8Array(8)),
      around('c7 0c ff', new Uint8Array(12)),
    ]
    for (const bytes of evil) expect(reasonOf(bytes)).toBe('message: an extension type')
    for (let type = -128; type <= 127; type++) {
      for (const form of [
        ['d4', [type & 0xff], '00'],
        ['d6', [type & 0xff], '00 00 00 00'],
        ['c7 01', [type & 0xff], '00'],
      ]) {
        expect(reasonOf(around(...form))).toBe('message: an extension type')
      }
    }
    expect(decodeMessage(encodeMessage(samples)).ok).toBe(true)
  })

  test('row 5: 200,000 random inputs give a result, never a throw', { timeout: 60_000 }, () => {
    const next = random(2)
    const valid = samples.map((sample) => encodeMessage([sample]))
    let accepted = 0
    for (let i = 0; i < 200_000; i++) {
      let bytes: Uint8Array
      if (i % 4 === 0) {
        bytes = new Uint8Array(Math.floor(next() * 64))
        for (let j = 0; j < bytes.length; j++) bytes[j] = Math.floor(next() * 256)
      } else {
        // A valid message with a few bytes changed, or some of it repeated or lost.
        bytes = (valid[i % valid.length] as Uint8Array).slice()
        const changes = 1 + Math.floor(next() * 3)
        for (let j = 0; j < changes; j++) bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256)
        if (i % 8 === 1) bytes = raw(bytes.subarray(0, next() * bytes.length), bytes.subarray(next() * bytes.length))
      }
      if (decodeSafely(bytes)) accepted++
    }
    expect(accepted).toBeGreaterThan(1_000)
    expect(Object.getOwnPropertyNames(Object.prototype).toSorted().join()).toBe(plainPrototype)
    expectSame(decodeMessage(encodeMessage(samples)), { ok: true, value: samples })
  })

  test('row 6: every valid message with each single bit flipped gives a result, and what is accepted is what the bytes say', () => {
    for (const sample of samples) {
      const bytes = encodeMessage([sample])
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const flipped = bytes.slice()
        flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
        if (!decodeSafely(flipped)) continue
        // What was accepted and encoded again is the same value, though perhaps in other bytes.
        const result = decodeMessage(flipped)
        if (!result.ok || result.value.length === 0) continue
        expect(referenceDecode(encodeMessage(result.value), scanLimits)).toEqual(referenceDecode(flipped, scanLimits))
      }
    }
  })

  test('row 7: lengths of 2^32-1 are refused without an allocation', () => {
    const before = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 1_000; i++) {
      for (const head of ['db', 'c6', 'dd', 'df', 'c9']) {
        expect(decodeMessage(around(head, 'ff ff ff ff')).ok).toBe(false)
        expect(decodeMessage(raw(head, 'ff ff ff ff')).ok).toBe(false)
      }
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50_000_000)
  })

  test('rows 8 and 9: nesting is refused, and the next message is fine', () => {
    for (const depth of [scanLimits.maxDepth, 3_000, 100_000]) {
      expect(reasonOf(around('91'.repeat(depth), 'c0'))).toBe('message: nested deeper than the limit')
      expect(reasonOf(around('81 a1 61'.repeat(depth), 'c0'))).toBe('message: nested deeper than the limit')
      expect(decodeMessage(encodeMessage(samples)).ok).toBe(true)
    }
  })

  test('row 10: what is wide is refused', () => {
    expect(reasonOf(around('dc ff ff', new Uint8Array(65_535).fill(0x90)))).toBe('message: more values than the limit')
    expect(reasonOf(raw('dc ff ff', ...Array.from({ length: 65_535 }, () => '90')))).toBe('message: more values than the limit')
    expect(reasonOf(raw('dc 04 01', ...Array.from({ length: 1_025 }, () => '91 40')))).toBe('message: more frames than the limit')
  })

  test('row 11: keys of every object are data, and change no prototype', () => {
    const keys = ['constructor', 'prototype', 'hasOwnProperty', 'toString', 'valueOf', 'toJSON', '__defineGetter__', 'then']
    const value = Object.fromEntries(keys.map((key) => [key, { polluted: key }]))
    const frames: Frame[] = [{ type: 'result', id: 1, value }]
    const result = decodeMessage(encodeMessage(frames))
    expectSame(result, { ok: true, value: frames })
    const decoded = result.ok ? (result.value[0] as { value: object }).value : {}
    expect(Object.getPrototypeOf(decoded)).toBe(Object.prototype)
    expect(Object.keys(decoded)).toEqual(keys)
    for (const key of [raw('a9', utf8('__proto__')), raw('d9 09', utf8('__proto__'))]) {
      expect(reasonOf(raw('91 93 04 01 81', key, '81 a1 78 01'))).toBe('message: the key __proto__')
      expect(reasonOf(raw('91 93 04 01 91 81', key, 'c0'))).toBe('message: the key __proto__')
    }
    expect(({} as { x?: unknown }).x).toBeUndefined()
    expect(Object.getOwnPropertyNames(Object.prototype).toSorted().join()).toBe(plainPrototype)
  })

  test('row 12: keys twice, and keys that are no strings', () => {
    expect(reasonOf(around('82 a1 61 01 a1 61 02'))).toBe('message: a key twice in one map')
    expect(reasonOf(around('81 01 02'))).toBe('message: a key that is no string')
  })

  test('row 14: a time left of each kind', () => {
    const call = (left: string) => reasonOf(raw('91 95 02 01 a1 6d 93', left, 'c0 90 90'))
    for (const left of ['cb 7ff8000000000000', 'cb 7ff0000000000000', 'cb fff0000000000000', 'ca 7f800000']) {
      expect(call(left)).toBe('message: a float that is not finite')
    }
    expect(call('cf ffffffffffffffff')).toBe('message: an integer beyond ±(2^53-1)')
    expect(call('d6 ff 00000000')).toBe('message: an extension type')
    for (const left of ['a1 35', 'c3', '90', '80', 'c4 00']) expect(call(left)).toBe('context: time left is no finite number')
    for (const left of ['c0', '00', 'ff', 'cb bff0000000000000', 'cb 8000000000000000', 'cb 7fe1ccf385ebc8a0']) {
      expect(call(left)).toBe('accepted')
    }
    for (const left of ['ce 7fffffff', 'ce 80000000', 'cf 0000000100000000', 'cf 001fffffffffffff', 'cb 0000000000000001']) {
      expect(call(left)).toBe('accepted')
    }
  })

  test('row 16: ids of each kind', () => {
    const release = (id: string) => reasonOf(raw('91 92 07', id))
    for (const id of ['00', 'ff', 'cb 3ff8000000000000', 'cb 4340000000000000', 'a1 31', 'c0', 'cb 8000000000000000']) {
      expect(release(id)).toBe('release: id is no integer from 1')
    }
    expect(release('cf 0020000000000000')).toBe('message: an integer beyond ±(2^53-1)')
    expect(release('cb 7ff8000000000000')).toBe('message: a float that is not finite')
    for (const id of ['01', 'cb 3ff0000000000000', 'cf 001fffffffffffff']) expect(release(id)).toBe('accepted')
  })

  test('row 23: unknown types', () => {
    for (const type of ['00', '0b', '3f', 'cc 80', 'ff', 'a1 33', 'c0']) {
      expect(reasonOf(raw('91 92', type, '01'))).toBe('frame: type is unknown')
    }
    for (const type of ['40', '7f']) expect(decodeMessage(raw('91 92', type, '01'))).toStrictEqual({ ok: true, value: [] })
  })

  test('row 38: a cause that is long, or of no known form', () => {
    const error = (message: Uint8Array) =>
      raw('91 93 05 01 95 06 a1 45 da', [message.length >> 8, message.length & 0xff], message, 'c0 c0')
    expect(reasonOf(error(new Uint8Array(1_024).fill(0x61)))).toBe('accepted')
    expect(reasonOf(error(new Uint8Array(1_025).fill(0x61)))).toBe('cause: a text longer than the limit')
    for (const cause of ['c0', 'a1 61', '01', '80', '90', '92 07 01', '92 00 c4 00', '91 03', '93 03 c0 c0', '92 06 a1 61']) {
      expect(decodeMessage(raw('91 93 05 01', cause)).ok, cause).toBe(false)
    }
  })

  test('row 39: text that is not UTF-8 is refused, and controls in text are only text', () => {
    expect(reasonOf(raw('91 92 0a a1 ff'))).toBe('message: a string that is not UTF-8')
    expect(reasonOf(raw('91 92 0a a2 c0 af'))).toBe('message: a string that is not UTF-8')
    expect(reasonOf(raw('91 92 0a a3 ed a0 80'))).toBe('message: a string that is not UTF-8')
    const reason = 'a\u0000b\u001b[31m\r\nc'
    expect(decodeMessage(encodeMessage([{ type: 'goaway', reason }]))).toStrictEqual({
      ok: true,
      value: [{ type: 'goaway', reason }],
    })
  })

  test('row 45: a message over the limit', () => {
    expect(reasonOf(new Uint8Array(messageLimits.maxBytes + 1))).toBe('message: longer than the limit')
    expect(decodeMessage(encodeMessage(samples), { ...messageLimits, maxBytes: 10 }).ok).toBe(false)
  })

  test('what is no array of bytes gives a result, too', () => {
    for (const bytes of [null, undefined, 'text', 5, {}, [], { length: 3 }, { length: 1, 0: 0x90 }]) {
      expect(decodeMessage(bytes as unknown as Uint8Array).ok).toBe(false)
    }
    const detached = new Uint8Array(8)
    structuredClone(detached, { transfer: [detached.buffer] })
    expect(decodeMessage(detached).ok).toBe(false)
  })
})

test('the size and the number of values that checkSendable counts are those on the wire', () => {
  const packr = new Packr({ useRecords: false, variableMapSize: true, useToJSON: false })
  fc.assert(
    fc.property(plainData(true, 6), (data) => {
      const checked = checkSendable(data)
      if (!checked.ok) return
      const bytes = new Uint8Array(packr.pack(checked.value))
      expect(checked.bytes).toBe(bytes.length)
      expect(scan(bytes)).toStrictEqual({ ok: true, value: checked.elements })
      expect(countElements(checked.value)).toBe(checked.elements)
    }),
    { numRuns: 1_000 },
  )
  for (const length of [0, 31, 32, 255, 256, 65_535, 65_536]) {
    for (const value of ['x'.repeat(length), 'é'.repeat(length >> 1), new Uint8Array(length)]) {
      const checked = checkSendable(value)
      expect(checked.ok && checked.bytes).toBe(packr.pack(value).length)
    }
  }
  for (const value of [
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    2 ** 32 - 1,
    2 ** 32,
    -32,
    -33,
    -128,
    -129,
    -32_768,
    -32_769,
    -(2 ** 31),
    -(2 ** 31) - 1,
    0.5,
  ]) {
    const checked = checkSendable(value)
    expect(checked.ok && checked.bytes, String(value)).toBe(packr.pack(value).length)
  }
})

test('the long and the odd strings are the same with and without the native addon', () => {
  // Run a second time with MSGPACKR_NATIVE_ACCELERATION_DISABLED=true to see the other path.
  expect(typeof isNativeAccelerationEnabled).toBe('boolean')
  for (const length of [0, 1, 15, 16, 31, 32, 63, 64, 65, 139, 140, 255, 256, 5_000, 70_000]) {
    for (const unit of ['a', 'é', '€', '😀', '\u0000', 'aé']) {
      const value = { [unit.repeat(Math.min(length, 300))]: [unit.repeat(length), createHash('md5').update(unit).digest('hex')] }
      const frames: Frame[] = [{ type: 'result', id: 1, value }]
      expectSame(decodeMessage(encodeMessage(frames)), { ok: true, value: frames })
    }
  }
})
