/** Messages of a WebSocket link to and from bytes: decoded alone, without a link. */
import { messageFromWire } from '../../lib/wire/frame-codec.ts'
import type { Frame } from '../../lib/wire/frame.ts'
import { scanLimits } from '../../lib/wire/scan.ts'
import { byteCodec } from '../../transports/websocket/msgpackr.ts'
import { referenceDecode } from '../wire/reference.ts'
import { damage, join } from './bytes.ts'
import { anyIds, frame, hello } from './frames.ts'
import { writeValue } from './msgpack.ts'
import type { Random } from './random.ts'
import { checkReason, shorter, type Target } from './target.ts'
import { bend, list, wrong } from './values.ts'

const codec = byteCodec()

export const codecTarget: Target = {
  name: 'codec',
  weight: 763,
  outcomes: [
    'accepted',
    'message: empty',
    'message: longer than the limit',
    'message: ends inside a value',
    'message: more than one value',
    'message: more values than the limit',
    'message: nested deeper than the limit',
    'message: the byte 0xc1',
    'message: an extension type',
    'message: a float that is not finite',
    'message: an integer beyond ±(2^53-1)',
    'message: a string that is not UTF-8',
    'message: a key that is no string',
    'message: the key __proto__',
    'message: a key twice in one map',
    'message: no array of frames',
    'message: without a frame',
    'message: more frames than the limit',
    'frame: type is unknown',
    'context: a value twice',
    'hello: session is no array of 2',
  ],
  make: message,
  check: (input) => checkBytes(input as Uint8Array),
  smaller: (input) => shorter(input as Uint8Array, join),
}

/** A message of a few frames, mostly with something wrong with it. */
function message(random: Random): Uint8Array {
  if (random.once(20)) return random.bytes(random.small(200))
  if (random.once(5_000)) return large(random)
  const ids = anyIds(random)
  const one = (): unknown[] => (random.once(12) ? hello(random) : frame(random, ids))
  let frames: unknown = random.once(3) ? [one(), ...list(random, 6, one)] : [one()]
  const strange = random.of([0, 0, 4, 20])
  if (random.once(3)) frames = bend(frames, random)
  let bytes = writeValue(frames, random, strange)
  for (let left = random.of([0, 0, 0, 1, 1, 2, 4]); left > 0; left--) bytes = damage(bytes, bytes, random)
  return bytes
}

function large(random: Random): Uint8Array {
  switch (random.below(4)) {
    case 0:
      return writeValue([[64, 'x'.repeat(random.between(1_000_000, 1_100_000))]], random, 0)
    case 1:
      return writeValue([[64, Array.from({ length: random.between(19_000, 21_000) }, () => random.of([0, null, '']))]], random, 0)
    case 2:
      return writeValue(
        [[64, Object.fromEntries(Array.from({ length: random.between(9_000, 11_000) }, (_, i) => [`k${i}`, 0]))]],
        random,
        0,
      )
    default:
      return writeValue(
        Array.from({ length: random.between(1_000, 1_050) }, () => [8, random.once(500) ? wrong(random) : 1]),
        random,
        0,
      )
  }
}

/**
 * What is accepted is what the bytes say, by another decoder, and what that refuses is refused. What was decoded is encoded and decoded again
 * as the same, and encoded again as the same bytes.
 */
function checkBytes(input: Uint8Array): string {
  const bytes = input.slice()
  const result = codec.decode(bytes)
  // From here on nothing depends on what the caller does with its bytes.
  bytes.fill(0xc1)
  const expected = byReference(input)
  if (!result.ok) {
    checkReason(result.reason)
    if (expected.ok) throw new Error(`refused, and should not be: ${result.reason}`)
    return result.reason
  }
  if (!expected.ok) throw new Error(`accepted, and should not be: ${expected.reason}`)
  if (!same(result.value, expected.value) && !hasMark(input)) throw new Error('decoded as something else')
  if (result.value.length === 0) return 'skipped'
  const again = codec.encode(result.value)
  const decoded = codec.decode(again)
  if (!decoded.ok) throw new Error(`what was decoded and encoded again is refused: ${decoded.reason}`)
  if (!same(decoded.value, result.value) && !hasMark(input)) throw new Error('encoded and decoded again as something else')
  if (Buffer.compare(codec.encode(decoded.value), again) !== 0 && !hasMark(input))
    throw new Error('encoded in other bytes the second time')
  return 'accepted'
}

function byReference(
  bytes: Uint8Array,
): { readonly ok: true; readonly value: Frame[] } | { readonly ok: false; readonly reason: string } {
  if (bytes.length > scanLimits.maxBytes) return { ok: false, reason: 'too long' }
  let data: unknown
  try {
    data = referenceDecode(bytes, scanLimits)
  } catch (error) {
    return { ok: false, reason: String(error) }
  }
  return messageFromWire(data)
}

/** Whether two pieces of plain data are the same, where -0 is 0: that is how it crosses. */
function same(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  if (a instanceof Uint8Array) return Buffer.compare(a, b as Uint8Array) === 0
  if (Array.isArray(a)) {
    const other = b as unknown[]
    return a.length === other.length && a.every((element, i) => same(element, other[i]))
  }
  const keys = Object.keys(a)
  const other = b as Record<string, unknown>
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && same((a as Record<string, unknown>)[key], other[key]))
  )
}

/** A byte order mark: msgpackr loses that of some strings where it has no native addon. */
function hasMark(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).includes('\ufeff')
}
