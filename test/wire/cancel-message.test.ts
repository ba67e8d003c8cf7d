/** The message that most cancels are: written as an encoder writes it, and read as the long way reads it or not at all. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { cancelSize, readCancel, writeCancel } from '../../lib/wire/cancel-message.ts'
import type { Frame } from '../../lib/wire/frame.ts'
import { byteCodec, decodeMessage, encodeMessage } from '../../transports/websocket/msgpackr.ts'

const cancel = (id: number): Frame => ({ type: 'cancel', id, kind: 'canceled', cause: undefined })
const atBounds = [1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
const bounds = atBounds.map((id) => [id] as [number])
const id = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 0xffff_ffff }))

test('has the bytes of an encoder, and is read back', () => {
  fc.assert(
    fc.property(id, (n) => {
      const bytes = new Uint8Array(cancelSize(n))
      writeCancel(n, bytes)
      expect([...bytes]).toEqual([...encodeMessage([cancel(n)])])
      expect(readCancel(bytes)).toBe(n)
    }),
    { numRuns: 500, examples: bounds },
  )
})

test('is read as the long way reads it, or not at all, whatever the bytes', () => {
  const likely = fc.tuple(id, fc.nat(11), fc.nat(255), fc.nat(12)).map(([n, at, byte, length]) =>
    encodeMessage([cancel(n)])
      .with(Math.min(at, 5), byte)
      .subarray(0, length),
  )
  fc.assert(
    fc.property(fc.oneof(likely, fc.uint8Array({ maxLength: 12 })), (bytes) => {
      const n = readCancel(bytes)
      if (n > 0) expect(decodeMessage(bytes)).toEqual({ ok: true, value: [cancel(n)] })
      else expect(n).toBe(0)
    }),
    { numRuns: 5_000 },
  )
})

test.for([
  ['a deadline', [{ ...cancel(7), kind: 'deadline' }]],
  ['a cause', [{ ...cancel(7), cause: [0, 'why'] }]],
  ['another frame behind it', [cancel(7), { type: 'ack', n: 1 }]],
  ['another frame', [{ type: 'retract', id: 7 }]],
  ['an id above 2^32-1', [cancel(2 ** 32)]],
] as [string, Frame[]][])('%s is for the long way', ([, frames]) => {
  expect(readCancel(encodeMessage(frames))).toBe(0)
})

test('a codec makes one for every id, each with bytes of its own', () => {
  const codec = byteCodec()
  const ids = [...atBounds, 2 ** 32, 2 ** 53 - 1, 5, 6, 300]
  const messages = ids.flatMap((n) => [codec.encodeCancel(n), codec.encode([{ type: 'ack', n }]), codec.encodeCancel(n)])
  expect(messages.map((bytes) => decodeMessage(bytes))).toEqual(
    ids.flatMap((n) => [[cancel(n)], [{ type: 'ack', n }], [cancel(n)]].map((value) => ({ ok: true, value }))),
  )
})
