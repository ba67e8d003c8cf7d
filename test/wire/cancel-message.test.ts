/** The message that most cancels are: written as an encoder writes it, and read as the long way reads it or not at all. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { cancelSize, isShortText, readCancel, readCancelText, writeCancel } from '../../lib/wire/cancel-message.ts'
import type { Frame } from '../../lib/wire/frame.ts'
import { byteCodec, decodeMessage, encodeMessage } from '../../transports/websocket/msgpackr.ts'

const cancel = (id: number, text?: string): Frame => ({
  type: 'cancel',
  id,
  kind: 'canceled',
  cause: text === undefined ? undefined : [0, text],
})
const atBounds = [1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]
const bounds = atBounds.flatMap((id) =>
  [undefined, '', 'why', 'x'.repeat(31)].map((text) => [id, text] as [number, string | undefined]),
)
const id = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 0xffff_ffff }))
const text = fc.option(fc.string({ unit: 'binary-ascii', maxLength: 31 }), { nil: undefined })

test('has the bytes of an encoder, and is read back', () => {
  fc.assert(
    fc.property(id, text, (n, why) => {
      const bytes = new Uint8Array(cancelSize(n, why))
      writeCancel(n, why, bytes)
      expect([...bytes]).toEqual([...encodeMessage([cancel(n, why)])])
      expect([readCancel(bytes), readCancelText(bytes)]).toEqual([n, why])
    }),
    { numRuns: 1_000, examples: bounds },
  )
})

test('is read as the long way reads it, or not at all, whatever the bytes', () => {
  const likely = fc.tuple(id, text, fc.nat(40), fc.nat(255), fc.nat(45)).map(([n, why, at, byte, length]) => {
    const bytes = encodeMessage([cancel(n, why)])
    return bytes.with(Math.min(at, bytes.length - 1), byte).subarray(0, length)
  })
  let read = 0
  fc.assert(
    fc.property(fc.oneof(likely, fc.uint8Array({ maxLength: 12 })), (bytes) => {
      const n = readCancel(bytes)
      if (n > 0) read++
      if (n > 0) expect(decodeMessage(bytes)).toEqual({ ok: true, value: [cancel(n, readCancelText(bytes))] })
      else expect(n).toBe(0)
    }),
    { numRuns: 10_000 },
  )
  expect(read).toBeGreaterThan(100)
})

test('a short text is one of up to 31 characters, all of them below 128', () => {
  const texts = ['', 'why', '\u0000\u007f', 'x'.repeat(31), 'x'.repeat(32), 'né', '\ud800', 7, undefined, null, ['a']]
  expect(texts.filter((cause) => isShortText(cause))).toEqual(texts.slice(0, 4))
})

test.for([
  ['a deadline', [{ ...cancel(7), kind: 'deadline' }]],
  ['a cause that is no text', [{ ...cancel(7), cause: [0, 5] }]],
  ['a text of other characters', [cancel(7, 'né')]],
  ['a text of 32 characters', [cancel(7, 'x'.repeat(32))]],
  ['a cause that is an error', [{ ...cancel(7), cause: [3, null] }]],
  ['another frame behind it', [cancel(7), { type: 'ack', n: 1 }]],
  ['another frame behind one with a text', [cancel(7, 'why'), { type: 'ack', n: 1 }]],
  ['another frame', [{ type: 'retract', id: 7 }]],
  ['an id above 2^32-1', [cancel(2 ** 32)]],
] as [string, Frame[]][])('%s is for the long way', ([, frames]) => {
  expect(readCancel(encodeMessage(frames))).toBe(0)
})

test('a codec makes one for every id, each with bytes of its own', () => {
  const codec = byteCodec()
  const ids = [...atBounds, 2 ** 32, 2 ** 53 - 1, 5, 6, 300]
  const messages = ids.flatMap((n) => [
    codec.encodeCancel(n, undefined),
    codec.encode([{ type: 'ack', n }]),
    codec.encodeCancel(n, 'why'),
    codec.encodeCancel(n, undefined),
  ])
  expect(messages.map((bytes) => decodeMessage(bytes))).toEqual(
    ids.flatMap((n) =>
      [[cancel(n)], [{ type: 'ack', n }], [cancel(n, 'why')], [cancel(n)]].map((value) => ({ ok: true, value })),
    ),
  )
})
