/**
 * Messages as bytes: the only file that imports msgpackr, and the place where a peer's bytes become frames or are refused.
 *
 * What msgpackr must not do is either switched off here or cannot reach it, since the scan has seen the bytes before.
 */

import { Packr, RESET_BUFFER_MODE } from 'msgpackr'
import type { LinkCodec } from '../../lib/bridge/link-types.ts'
import type { Frame, FrameLimits } from '../../lib/wire/frame.ts'
import { frameLimits } from '../../lib/wire/frame.ts'
import { cancelSize, readCancel, readCancelText, writeCancel } from '../../lib/wire/cancel-message.ts'
import { DATA } from '../../lib/wire/cause.ts'
import { messageFromWire, messageToWire } from '../../lib/wire/frame-codec.ts'
import { accept, type Result, refuse } from '../../lib/wire/result.ts'
import { type ScanLimits, scan, scanLimits } from '../../lib/wire/scan.ts'
import { readShort, roomFor, writeShort } from '../../lib/wire/short-frames.ts'

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
 * The message that `frames` are. The bytes are the caller's alone.
 *
 * Arguments, results and values must be plain data, as `checkSendable` gives it, and there must be a frame.
 */
export function encodeMessage(frames: readonly Frame[]): Uint8Array {
  return new Uint8Array(new Encoder().encode(frames))
}

/**
 * Makes messages, and keeps a small piece of memory, from which those that are short are cut: a buffer of its own for each costs more than to write it.
 * One for each link, since a message that waits to be acknowledged holds the piece that it is of.
 */
class Encoder {
  #piece: Uint8Array = new Uint8Array(0)
  #used = 0
  /** Cut before it is needed, as long as the last cancel was. */
  #nextCancel: Uint8Array | undefined
  #cancelSize = 6

  encode(frames: readonly Frame[]): Uint8Array {
    this.#nextCancel ??= this.#cut(this.#cancelSize)
    return this.#encode(frames)
  }

  encodeCancel(id: number, text: string | undefined): Uint8Array {
    const size = cancelSize(id, text)
    if (size === 0)
      return this.#encode([{ type: 'cancel', id, kind: 'canceled', cause: text === undefined ? text : [DATA, text] }])
    let message = this.#nextCancel
    this.#nextCancel = undefined
    if (message?.length !== size) message = this.#cut((this.#cancelSize = size))
    writeCancel(id, text, message)
    return message
  }

  #encode(frames: readonly Frame[]): Uint8Array {
    const room = roomFor(frames)
    if (room > longMessage) return this.#copy(packr.pack(messageToWire(frames), RESET_BUFFER_MODE))
    const short = room <= pieceSize / 4
    const into = short ? this.#withRoom(room) : outgoing
    const start = short ? this.#used : 0
    const end = writeShort(frames, into, start)
    if (end < 0) return this.#copy(packr.pack(messageToWire(frames), RESET_BUFFER_MODE))
    if (!short) return this.#copy(into.subarray(0, end))
    this.#used = end
    return into.subarray(start, end)
  }

  #cut(length: number): Uint8Array {
    const piece = this.#withRoom(length)
    const start = this.#used
    this.#used += length
    return piece.subarray(start, this.#used)
  }

  /** The piece, or another one, that has so much room behind what is used. */
  #withRoom(room: number): Uint8Array {
    if (this.#used + room <= this.#piece.length) return this.#piece
    this.#used = 0
    return (this.#piece = allocate(pieceSize))
  }

  /** Of bytes that are parts of a buffer that is written to again. */
  #copy(bytes: Uint8Array): Uint8Array {
    const { length } = bytes
    if (length > pieceSize / 4) {
      const copy = allocate(length)
      copy.set(bytes)
      return copy
    }
    const copy = this.#cut(length)
    copy.set(bytes)
    return copy
  }
}

const pieceSize = 1_024

/** Where longer messages are written to, whose length is not known before. */
const longMessage = 65_536
const outgoing = new Uint8Array(longMessage)

/** In Node a `Buffer`, which ws sends as it is. Of any other view it makes one first. */
function allocate(size: number): Uint8Array {
  const { Buffer } = globalThis as { Buffer?: { allocUnsafeSlow(size: number): Uint8Array } }
  return Buffer?.allocUnsafeSlow(size) ?? new Uint8Array(size)
}

/**
 * The frames in `bytes`, or why they are refused. Never throws. The bytes may be shared memory: they are copied before they are read, or each is looked at once; and
 * what is done with them afterwards changes nothing.
 *
 * One flaw remains, of msgpackr 2.1 without its native addon, as in browsers: a string of more than 64 bytes that begins with
 * U+FEFF loses that character.
 */
export function decodeMessage(bytes: Uint8Array, limits: MessageLimits = messageLimits): Result<Frame[]> {
  try {
    const size = bytes.length
    if (size > limits.maxBytes) return refuse('message: longer than the limit')
    const frames = limits.maxDepth < 4 ? undefined : readShort(bytes, size, limits)
    if (frames !== undefined) return accept(frames)
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
  const encoder = new Encoder()
  return {
    encode: (frames) => encoder.encode(frames),
    decode: (bytes) => decodeMessage(bytes, limits),
    size: (bytes) => bytes.length,
    encodeCancel: (id, text) => encoder.encodeCancel(id, text),
    decodeCancel: readCancel,
    cancelText: readCancelText,
  }
}

const scratch = new Uint8Array(4_096)
