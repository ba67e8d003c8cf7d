/** Messages as plain values, for a channel that clones what it is given: a `MessagePort`, a worker. */

import { DATA } from './cause.ts'
import type { Frame } from './frame.ts'
import { messageFromWire, messageToWire } from './frame-codec.ts'
import { type Result, refuse } from './result.ts'
import { scanLimits } from './scan.ts'
import { checkSendable, type SendableLimits } from './sendable.ts'

/** As bytes are limited, so that what crosses one boundary crosses the other. */
const plainLimits: SendableLimits = Object.freeze({
  maxDepth: scanLimits.maxDepth,
  maxElements: scanLimits.maxElements,
  maxBytes: scanLimits.maxBytes,
})

/** The codec of a link whose messages are cloned: the very arrays that the protocol has, without bytes in between. */
export interface PlainCodec {
  encode(frames: readonly Frame[]): unknown
  decode(message: unknown): Result<Frame[]>
  size(message: unknown): number
  encodeCancel(id: number, text: string | undefined): unknown
  decodeCancel(message: unknown): number
  cancelText(message: unknown): string | undefined
}

/**
 * @param maxBytes the longest message to take, as msgpack would have it
 */
export function plainCodec(maxBytes: number = plainLimits.maxBytes): PlainCodec {
  const limits = { ...plainLimits, maxBytes }
  return {
    encode: messageToWire,
    // A clone may be anything that structured clone knows, cycles included. The copy is plain data, and nobody else's.
    decode(message) {
      const checked = checkSendable(message, limits)
      return checked.ok ? messageFromWire(checked.value) : refuse(`message: ${checked.reason} cannot be sent`)
    },
    // Counted while it is decoded, where the limit holds as well: to count it twice would cost as much again.
    size: () => 0,
    encodeCancel: (id, text) => [[3, id, 0, text === undefined ? null : [DATA, text]]],
    // To look at what may be anything costs as much as to decode it.
    decodeCancel: () => 0,
    cancelText: () => undefined,
  }
}
