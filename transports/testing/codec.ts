/** Messages that stay values: what a channel in memory carries. No package is needed for it. */
import type { LinkCodec } from '../../lib/bridge/link-types.ts'
import { isShortText } from '../../lib/wire/cancel-message.ts'
import { DATA } from '../../lib/wire/cause.ts'
import type { Frame } from '../../lib/wire/frame.ts'
import { frameLimits } from '../../lib/wire/frame.ts'
import { refuse } from '../../lib/wire/result.ts'
import { bytesOf } from '../../lib/bridge/link-core.ts'

/** Copies at both ends, so that neither side sees what the other does to its data, nor what comes again does. */
export const valueCodec: LinkCodec<readonly Frame[]> = {
  encode: (frames) => frames.map(copy),
  decode: (frames) =>
    frames.length > frameLimits.maxFrames ? refuse('message: more frames than the limit') : { ok: true, value: frames.map(copy) },
  size: (frames) => bytesOf(frames),
  encodeCancel: (id, text) => [{ type: 'cancel', id, kind: 'canceled', cause: text === undefined ? text : [DATA, text] }],
  decodeCancel: ([frame, more]) =>
    frame?.type === 'cancel' &&
    frame.kind === 'canceled' &&
    more === undefined &&
    (frame.cause === undefined || (frame.cause[0] === DATA && isShortText(frame.cause[1])))
      ? frame.id
      : 0,
  cancelText: ([frame]) => (frame?.type === 'cancel' ? (frame.cause?.[1] as string | undefined) : undefined),
}

/** A copy of plain data. What is computed, such as the time that is left, is computed now. */
function copy<T>(data: T): T {
  if (typeof data !== 'object' || data === null) return data
  if (Array.isArray(data)) return data.map(copy) as T
  if (data instanceof Uint8Array) return data.slice() as T
  const result: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(data)) {
    // A peer's data may have a member of any name.
    if (key === '__proto__')
      Object.defineProperty(result, key, { value: copy(value), writable: true, enumerable: true, configurable: true })
    else result[key] = copy(value)
  }
  return result as T
}
