/** The short way of messages: it writes and reads what the long way does, or leaves it to that. */
import * as fc from 'fast-check'
import { Packr } from 'msgpackr'
import { describe, expect, test } from 'vitest'
import type { Frame } from '../../lib/wire/frame.ts'
import { messageFromWire, messageToWire } from '../../lib/wire/frame-codec.ts'
import { scan, scanLimits } from '../../lib/wire/scan.ts'
import { readShort, roomFor, writeShort } from '../../lib/wire/short-frames.ts'
import { messageLimits } from '../../transports/websocket/msgpackr.ts'
import { frame, samples } from './arbitrary.ts'
import { expectSame, raw } from './support.ts'

const packr = new Packr({ useRecords: false, variableMapSize: true, int64AsType: 'number', useToJSON: false })

function write(frames: readonly Frame[]): Uint8Array | undefined {
  const room = roomFor(frames)
  const into = new Uint8Array(room + 8).fill(0xc1)
  const end = writeShort(frames, into, 5)
  expect(end).toBeLessThanOrEqual(room + 5)
  return end < 0 ? undefined : into.slice(5, end)
}

/** What the long way makes of bytes. */
function readLong(bytes: Uint8Array): Frame[] | string {
  const scanned = scan(bytes)
  const result = scanned.ok ? messageFromWire(packr.unpack(bytes)) : scanned
  return result.ok ? result.value : result.reason
}

const plain = { left: undefined, why: undefined, values: [], under: undefined }
const id = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 0xffff_ffff }))
/** Frames that are to take the short way. */
const short: fc.Arbitrary<Frame> = fc.oneof(
  fc.record(
    {
      type: fc.constant('cancel' as const),
      id,
      kind: fc.constantFrom('canceled' as const, 'deadline' as const),
      cause: fc.constant(undefined),
    },
    { noNullPrototype: true },
  ),
  fc.record(
    {
      type: fc.constant('cancels' as const),
      ids: fc.array(id, { minLength: 1, maxLength: 40 }),
      kind: fc.constant('canceled' as const),
      cause: fc.constant(undefined),
    },
    { noNullPrototype: true },
  ),
  fc.record(
    { type: fc.constant('result' as const), id, value: fc.option(fc.nat(), { nil: undefined }) },
    { noNullPrototype: true },
  ),
  fc.record({ type: fc.constant('ack' as const), n: fc.nat() }, { noNullPrototype: true }),
  fc.record({ type: fc.constant('release' as const), id, grant: id }, { noNullPrototype: true }),
  fc
    .tuple(
      id,
      fc.string({ minLength: 1, maxLength: 31, unit: 'grapheme-ascii' }),
      fc.option(fc.constantFrom(0, 17, 1.5, -0.25, 1.5e-300), { nil: undefined }),
      fc.option(id, { nil: undefined }),
    )
    .map(([n, method, left, under]): Frame => ({ type: 'call', id: n, method, context: { ...plain, left, under }, args: [] })),
)

describe('the short way', () => {
  test('is taken by small frames, with the bytes of an encoder, and back', () => {
    fc.assert(
      fc.property(fc.array(short, { minLength: 1, maxLength: 30 }), (frames) => {
        const bytes = write(frames)
        if (bytes === undefined) throw new Error('not taken')
        expectSame([...bytes], [...packr.pack(messageToWire(frames))])
        expectSame(readShort(bytes, bytes.length, messageLimits), frames)
        expectSame(readLong(bytes), frames)
      }),
      { numRuns: 500 },
    )
  })

  test('writes what an encoder writes, or nothing, whatever the frames', () => {
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 4 }), (frames) => {
        const bytes = write(frames)
        if (bytes !== undefined) expectSame([...bytes], [...packr.pack(messageToWire(frames))])
      }),
      { numRuns: 1_000 },
    )
  })

  test('reads what the long way reads, or nothing, whatever the bytes', () => {
    let read = 0
    const byte = fc.oneof(
      fc.constantFrom(0x90, 0x91, 0x92, 0x93, 0x94, 0xc0, 0xcb, 0xcc, 0xcd, 0xce, 0xdc, 1, 2, 3, 16, 0),
      fc.nat({ max: 255 }),
    )
    const change = fc.tuple(fc.nat(), byte, fc.constantFrom('set' as const, 'insert' as const, 'remove' as const))
    fc.assert(
      fc.property(
        fc.array(fc.oneof(short, frame), { minLength: 1, maxLength: 3 }),
        fc.array(change, { maxLength: 3 }),
        (frames, changes) => {
          const bytes = [...packr.pack(messageToWire(frames))]
          for (const [where, value, how] of changes) {
            const at = where % (bytes.length + 1)
            if (how === 'set') bytes[at] = value
            else bytes.splice(at, how === 'remove' ? 1 : 0, ...(how === 'insert' ? [value] : []))
          }
          // Behind the message there may be anything.
          const all = Uint8Array.from([...bytes, 0xc0, 0x90, 1, 1])
          const result = readShort(all, bytes.length, messageLimits)
          if (result === undefined) return
          read++
          expectSame(result, readLong(Uint8Array.from(bytes)))
        },
      ),
      { numRuns: 5_000 },
    )
    expect(read).toBeGreaterThan(500)
  })

  test('ends at every byte that is missing', () => {
    for (const sample of [
      ...samples,
      { type: 'cancels', ids: Array.from({ length: 20 }, (_, i) => i + 1), kind: 'canceled', cause: undefined } as const,
    ]) {
      const bytes = new Uint8Array(packr.pack(messageToWire([sample])))
      for (let size = 0; size < bytes.length; size++) {
        expect(readShort(bytes, size, messageLimits), `${sample.type} ${size}`).toBe(undefined)
        expect(readShort(bytes.slice(0, size), size, messageLimits)).toBe(undefined)
      }
    }
  })

  test('takes no more than the limits', () => {
    const many = raw('93 92 08 01 92 08 02 92 08 03')
    expect(readShort(many, many.length, { maxFrames: 3, maxElements: scanLimits.maxElements })).toHaveLength(3)
    expect(readShort(many, many.length, { maxFrames: 2, maxElements: scanLimits.maxElements })).toBe(undefined)
    const ids = raw(
      '91 94 10 dc 00 20',
      Array.from({ length: 32 }, () => 1),
      '00 c0',
    )
    expect(readShort(ids, ids.length, { maxFrames: 1, maxElements: 100 })).toHaveLength(1)
    expect(readShort(ids, ids.length, { maxFrames: 1, maxElements: 40 })).toBe(undefined)
  })
})
