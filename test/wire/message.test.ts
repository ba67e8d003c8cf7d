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
import { frame, plainData, samples } from './arbitrary.ts'
import { expectSame, raw, referenceDecode } from './support.ts'

function reasonOf(bytes: Uint8Array): string {
  const result = decodeMessage(bytes)
  return result.ok ? 'accepted' : result.reason
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
        context: { left: 1, why, values: [['k', nested(8)]], under: undefined },
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
      context: { left: 1, why: describeCause(Array(400).fill(1)), values: [['k', values.ok && values.value]], under: undefined },
      args: wide.ok ? (wide.value as unknown[]) : [],
    }
    expect(decodeMessage(encodeMessage([largest])).ok).toBe(true)
  })
})

describe('the bytes', () => {
  test('are those that a peer in another language would write', () => {
    const vectors: [Frame, string][] = [
      [
        {
          type: 'hello',
          version: 1,
          limits: { maxMessage: 1_048_576, maxCalls: 1_000, maxContexts: 0, window: 16, lease: 30_000 },
          name: 'a',
          link: 'b',
          session: undefined,
        },
        '91 95 01 01 95 ce 00100000 cd 03e8 00 10 cd 7530 a1 61 a1 62',
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
