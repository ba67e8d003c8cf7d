import { describe, expect, test } from 'vitest'
import type { Frame } from '../../lib/wire/frame.ts'
import { scanLimits } from '../../lib/wire/scan.ts'
import { decodeMessage, encodeMessage, messageLimits } from '../../transports/websocket/msgpackr.ts'
import { samples } from './arbitrary.ts'
import { around, expectSame, random, raw, referenceDecode, utf8 } from './support.ts'

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

describe('bad inputs', () => {
  test('row 1: an empty message', () => {
    expect(reasonOf(new Uint8Array())).toBe('message: empty')
    expect(reasonOf(raw('90'))).toBe('message: without a frame')
  })

  test('row 2: every prefix of every valid message is refused', () => {
    for (const frames of [...samples.map((sample) => [sample]), samples]) {
      const bytes = encodeMessage(frames)
      for (let size = 0; size < bytes.length; size++) {
        expect(decodeSafely(bytes.slice(0, size)), `${frames[0]?.type} ${size}`).toBe(false)
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
    const release = (id: string) => reasonOf(raw('91 93 07', id, '01'))
    for (const id of ['00', 'ff', 'cb 3ff8000000000000', 'cb 4340000000000000', 'a1 31', 'c0', 'cb 8000000000000000']) {
      expect(release(id)).toBe('release: id is no integer from 1')
    }
    expect(release('cf 0020000000000000')).toBe('message: an integer beyond ±(2^53-1)')
    expect(release('cb 7ff8000000000000')).toBe('message: a float that is not finite')
    for (const id of ['01', 'cb 3ff0000000000000', 'cf 001fffffffffffff']) expect(release(id)).toBe('accepted')
  })

  test('row 23: unknown types', () => {
    for (const type of ['00', '11', '3f', 'cc 80', 'ff', 'a1 33', 'c0']) {
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
