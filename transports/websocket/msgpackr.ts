/**
 * Messages as bytes: the only file that imports msgpackr, and the place where a peer's bytes become frames or are refused.
 *
 * What msgpackr must not do is either switched off here or cannot reach it, since the scan has seen the bytes before.
 */

import { Packr, RESET_BUFFER_MODE } from 'msgpackr'
import type { LinkCodec } from '../../lib/bridge/link-types.ts'
import type { Frame, FrameLimits } from '../../lib/wire/frame.ts'
import { frameLimits } from '../../lib/wire/frame.ts'
import { messageFromWire, messageToWire } from '../../lib/wire/frame-codec.ts'
import { type Result, refuse } from '../../lib/wire/result.ts'
import { type ScanLimits, scan, scanLimits } from '../../lib/wire/scan.ts'

export interface MessageLimits extends ScanLimits, FrameLimits {}

export const messageLimits: MessageLimits = Object.freeze({ ...scanLimits, ...frameLimits })

const packr = new Packr({
  useRecords: false, // records compile functions from what a peer sent
  mapsAsObjects: true,
  variableMapSize: true, // the shortest head for each map, and more than 65,535 keys in one
  int64AsType: 'number', // the scan lets none pass that is no safe integer
  useToJSON: false, // data may have a member of that name, which is no function
  encodeUndefinedAsNil: true, // else an extension, which the peer refuses
  copyBuffers: true, // else bytes are views of the message
})

/**
 * The message that `frames` are. The bytes are the caller's alone: msgpackr's own are parts of a buffer that it writes to again.
 *
 * Arguments, results and values must be plain data, as `checkSendable` gives it, and there must be a frame.
 */
export function encodeMessage(frames: readonly Frame[]): Uint8Array {
  return new Uint8Array(packr.pack(messageToWire(frames), RESET_BUFFER_MODE))
}

/**
 * The frames in `bytes`, or why they are refused. Never throws. The bytes are copied before they are read: they may be shared memory,
 * and what is done with them afterwards changes nothing.
 *
 * One flaw remains, of msgpackr 2.1 without its native addon, as in browsers: a string of more than 64 bytes that begins with
 * U+FEFF loses that character.
 */
export function decodeMessage(bytes: Uint8Array, limits: MessageLimits = messageLimits): Result<Frame[]> {
  try {
    const size = bytes.length
    if (size > limits.maxBytes) return refuse('message: longer than the limit')
    if (size > scratch.length) {
      const copy = new Uint8Array(bytes)
      const scanned = scan(copy, limits)
      return scanned.ok ? messageFromWire(packr.unpack(copy), limits) : scanned
    }
    // Most messages are short, and cost less when no buffer is made for each. What is left of longer ones stands behind `size`,
    // where neither the scan nor msgpackr looks.
    scratch.set(bytes)
    const scanned = scan(scratch, limits, size)
    return scanned.ok ? messageFromWire(packr.unpack(scratch, size), limits) : scanned
  } catch {
    return refuse('message: cannot be decoded')
  }
}

/** The codec of a link over bytes, which takes messages of at most so many. */
export function byteCodec(maxBytes: number = messageLimits.maxBytes): LinkCodec {
  const limits = { ...messageLimits, maxBytes }
  return { encode: encodeMessage, decode: (bytes) => decodeMessage(bytes, limits), size: (bytes) => bytes.length }
}

const scratch = new Uint8Array(4_096)
