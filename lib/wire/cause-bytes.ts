/** Causes in a place of fixed size, such as a slot in shared memory: JSON in UTF-8. */

import type { WireCause } from './cause.ts'
import { parseCause } from './cause-parse.ts'
import { shortenCause } from './cause-shorten.ts'
import { type Result, refuse } from './result.ts'

/** The smallest place that every cause fits into, shortened as far as need be. */
const minCauseBytes = 32

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Of a cause within its limits no bytes are longer, even when JSON writes each byte of its texts as six. */
const maxCauseBytes = 32_768

/**
 * `cause` in at most `capacity` bytes. What does not fit is shortened: the deepest causes go first, then the message is cut, at last
 * code and name; the kind stays.
 *
 * @throws RangeError when `capacity` is below 32
 */
export function encodeCauseBytes(cause: WireCause, capacity: number): { bytes: Uint8Array; shortened: boolean } {
  if (!(capacity >= minCauseBytes)) throw new RangeError(`A cause needs room for ${minCauseBytes} bytes, but got ${capacity}.`)
  const whole = encode(cause)
  if (whole.length <= capacity) return { bytes: whole, shortened: false }
  return { bytes: encode(shortenCause(cause, (shorter) => encode(shorter).length <= capacity)), shortened: true }
}

function encode(cause: WireCause): Uint8Array {
  return encoder.encode(JSON.stringify(cause))
}

/** The cause that `bytes` are. They are copied before they are read, so they may be shared memory. Never throws. */
export function decodeCauseBytes(bytes: Uint8Array): Result<WireCause> {
  if (bytes.length > maxCauseBytes) return refuse('cause: longer than the limit')
  let data: unknown
  try {
    data = JSON.parse(decoder.decode(new Uint8Array(bytes)))
  } catch {
    return refuse('cause: no JSON in UTF-8')
  }
  return parseCause(data)
}
