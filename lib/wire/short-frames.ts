/**
 * The short way between messages and bytes, for the frames that are small and many: calls without arguments, cancels without a cause, results that are
 * nothing or a whole number, and what the machines say to each other. Without an encoder, and without a tree of arrays in between.
 *
 * It does nothing that the long way does not do. What it writes is what an encoder writes, byte for byte; what it does not know, it leaves to the long
 * way, which alone refuses. Whole numbers are those up to 2^32-1, names are of ASCII.
 */

import type { Kind } from '../errors.ts'
import type { Frame, FrameLimits, WireContext } from './frame.ts'

/** So many bytes a frame takes at most, the head of the message included, and a further id. */
const longestFrame = 64
const longestId = 5
const longestName = 31
const uint32 = 0xffff_ffff

/** Where the writer, or the reader, is. Nothing called from either comes back to it. */
let at = 0
let source: Uint8Array

/** How much room `writeShort` needs. */
export function roomFor(frames: readonly Frame[]): number {
  let room = frames.length * longestFrame
  for (const frame of frames) if (frame.type === 'cancels') room += frame.ids.length * longestId
  return room
}

/**
 * Writes the message that `frames` are into `into`, which has room for it, from `start` on. Returns where it ends; -1 where this is not the way for it:
 * then what is behind `start` may have been written to.
 */
export function writeShort(frames: readonly Frame[], into: Uint8Array, start: number): number {
  source = into
  at = start
  head(frames.length)
  for (const frame of frames) if (!writeFrame(frame)) return -1
  return at
}

function writeFrame(frame: Frame): boolean {
  switch (frame.type) {
    case 'cancel':
      if (frame.cause !== undefined) return false
      put(0x94, 3)
      if (!uint(frame.id)) return false
      put(frame.kind === 'canceled' ? 0 : 1, 0xc0)
      return true
    case 'cancels': {
      if (frame.cause !== undefined) return false
      put(0x94, 16)
      head(frame.ids.length)
      for (const id of frame.ids) if (!uint(id)) return false
      put(frame.kind === 'canceled' ? 0 : 1, 0xc0)
      return true
    }
    case 'result':
      return frame.value === undefined ? two(4, frame.id) : isUint(frame.value) && three(4, frame.id, frame.value)
    case 'call':
      put(0x95, 2)
      return frame.args.length === 0 && uint(frame.id) && name(frame.method) && context(frame.context) && end()
    case 'export':
      put(0x93, 6)
      return uint(frame.id) && context(frame.context)
    case 'release':
      return three(7, frame.id, frame.grant)
    case 'ping':
      return two(8, frame.n)
    case 'pong':
      return two(9, frame.n)
    case 'retract':
      return two(11, frame.id)
    case 'stream':
      return two(12, frame.id)
    case 'credit':
      return three(14, frame.id, frame.n)
    case 'ack':
      return two(15, frame.n)
    default:
      return false
  }
}

function two(type: number, a: number): boolean {
  put(0x92, type)
  return uint(a)
}

function three(type: number, a: number, b: number): boolean {
  put(0x93, type)
  return uint(a) && uint(b)
}

/** No arguments. */
function end(): true {
  source[at++] = 0x90
  return true
}

function put(a: number, b: number): void {
  source[at++] = a
  source[at++] = b
}

function head(length: number): void {
  if (length < 16) source[at++] = 0x90 | length
  else {
    source[at++] = 0xdc
    put(length >>> 8, length & 0xff)
  }
}

function isUint(value: unknown): value is number {
  return typeof value === 'number' && value >>> 0 === value && !Object.is(value, -0)
}

function uint(value: number): boolean {
  if (value < 0x80 && value >= 0) source[at++] = value
  else if (value < 0x100 && value >= 0) put(0xcc, value)
  else if (value < 0x1_0000 && value >= 0) {
    put(0xcd, value >>> 8)
    source[at++] = value & 0xff
  } else {
    if (!(value <= uint32 && value >= 0)) return false
    put(0xce, value >>> 24)
    put((value >>> 16) & 0xff, (value >>> 8) & 0xff)
    source[at++] = value & 0xff
  }
  return true
}

function name(text: string): boolean {
  const { length } = text
  if (length > longestName) return false
  source[at++] = 0xa0 | length
  for (let i = 0; i < length; i++) {
    const unit = text.charCodeAt(i)
    if (unit >= 0x80) return false
    source[at++] = unit
  }
  return true
}

function context({ left, why, values, under }: WireContext): boolean {
  if (why !== undefined || values.length > 0) return false
  source[at++] = under === undefined ? 0x93 : 0x94
  if (left === undefined) source[at++] = 0xc0
  else if (!time(left)) return false
  put(0xc0, 0x90)
  return under === undefined || uint(under)
}

/** The bytes of a float, in either order of the machine's. */
const float = new DataView(new ArrayBuffer(8))

function time(left: number): boolean {
  if (isUint(left)) return uint(left)
  if (Number.isInteger(left)) return false
  float.setFloat64(0, left)
  source[at++] = 0xcb
  for (let i = 0; i < 8; i++) source[at++] = float.getUint8(i)
  return true
}

/**
 * The frames of the message that the first `size` of `bytes` are; undefined where this is not the way for it, be it that it is to be refused. Never throws.
 * What it takes is 4 deep.
 */
export function readShort(
  bytes: Uint8Array,
  size: number,
  { maxFrames, maxElements }: Pick<FrameLimits, 'maxFrames'> & { readonly maxElements: number },
): Frame[] | undefined {
  source = bytes
  const first = bytes[0] as number
  let count = first & 0x0f
  at = 1
  if (first === 0xdc) {
    count = ((bytes[1] as number) << 8) | (bytes[2] as number)
    at = 3
  } else if ((first & 0xf0) !== 0x90) return undefined
  if (count === 0 || count > maxFrames) return undefined
  // The message itself is one of them.
  budget = maxElements - 1
  const frames: Frame[] = []
  for (let i = 0; i < count; i++) {
    const frame = readFrame()
    // Behind the end of a typed array there is only undefined, which is no byte of any frame; behind `size` there may be others.
    if (frame === undefined || at > size || budget < 0) return undefined
    frames.push(frame)
  }
  return at === size ? frames : undefined
}

/** How many values more the message may hold. A frame has no more than ten, ids that are many apart. */
let budget = 0

function readFrame(): Frame | undefined {
  budget -= 10
  const length = (source[at++] as number) - 0x90
  const type = source[at++] as number
  if (type === 16) return length === 4 ? readCancels() : undefined
  const a = readUint()
  if (a < 0 || (a === 0 && (type < 8 || type > 9) && type !== 15)) return undefined
  switch (type) {
    case 2:
      return length === 5 ? readCall(a) : undefined
    case 3: {
      const kind = length === 4 ? readKind() : undefined
      return kind === undefined ? undefined : { type: 'cancel', id: a, kind, cause: undefined }
    }
    case 4: {
      if (length === 2) return { type: 'result', id: a, value: undefined }
      const value = length === 3 ? readUint() : -1
      return value < 0 ? undefined : { type: 'result', id: a, value }
    }
    case 6: {
      const lent = length === 3 ? readContext() : undefined
      return lent === undefined ? undefined : { type: 'export', id: a, context: lent }
    }
    case 7:
    case 14: {
      const n = length === 3 ? readUint() : -1
      if (n < 1) return undefined
      return type === 7 ? { type: 'release', id: a, grant: n } : { type: 'credit', id: a, n }
    }
  }
  if (length !== 2) return undefined
  switch (type) {
    case 8:
      return { type: 'ping', n: a }
    case 9:
      return { type: 'pong', n: a }
    case 11:
      return { type: 'retract', id: a }
    case 12:
      return { type: 'stream', id: a }
    case 15:
      return { type: 'ack', n: a }
    default:
      return undefined
  }
}

function readKind(): Kind | undefined {
  const kind = source[at++]
  if ((kind !== 0 && kind !== 1) || source[at++] !== 0xc0) return undefined
  return kind === 0 ? 'canceled' : 'deadline'
}

function readCancels(): Frame | undefined {
  const first = source[at++] as number
  let length = first - 0x90
  if (first === 0xdc) {
    length = ((source[at] as number) << 8) | (source[at + 1] as number)
    at += 2
  } else if (length > 15) return undefined
  budget -= length
  if (!(length >= 1) || budget < 0) return undefined
  const ids: number[] = []
  for (let i = 0; i < length; i++) {
    const id = readUint()
    if (id < 1) return undefined
    ids.push(id)
  }
  const kind = readKind()
  return kind === undefined ? undefined : { type: 'cancels', ids, kind, cause: undefined }
}

function readCall(id: number): Frame | undefined {
  const length = (source[at++] as number) - 0xa0
  if (!(length >= 1 && length <= longestName)) return undefined
  let method = ''
  for (let i = 0; i < length; i++) {
    const unit = source[at++] as number
    if (!(unit < 0x80)) return undefined
    method += String.fromCharCode(unit)
  }
  const own = readContext()
  return own === undefined || source[at++] !== 0x90 ? undefined : { type: 'call', id, method, context: own, args: [] }
}

function readContext(): WireContext | undefined {
  const length = (source[at++] as number) - 0x90
  if (length !== 3 && length !== 4) return undefined
  const time = readTime()
  if (time === null || source[at++] !== 0xc0 || source[at++] !== 0x90) return undefined
  const under = length === 3 ? undefined : readUint()
  return under !== undefined && under < 1 ? undefined : { left: time, why: undefined, values: [], under }
}

/** The time left, or undefined without a deadline; null where there is something else. */
function readTime(): number | undefined | null {
  const first = source[at] as number
  if (first === 0xc0) at++
  if (first === 0xc0) return undefined
  if (first !== 0xcb) {
    const whole = readUint()
    return whole < 0 ? null : whole
  }
  at++
  for (let i = 0; i < 8; i++) float.setUint8(i, source[at++] as number)
  const time = float.getFloat64(0)
  return Number.isFinite(time) ? time : null
}

/** A whole number in one of these forms; -1 where there is something else. */
function readUint(): number {
  const first = source[at++] as number
  if (first < 0x80) return first
  if (first === 0xcc) return bytesToUint(1)
  if (first === 0xcd) return bytesToUint(2)
  return first === 0xce ? bytesToUint(4) : -1
}

function bytesToUint(width: number): number {
  let value = 0
  for (let i = 0; i < width; i++) value = value * 256 + (source[at++] as number)
  // NaN behind the end.
  return value >= 0 ? value : -1
}
