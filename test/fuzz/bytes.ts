/** Bytes that were right before something happened to them on the way. */
import type { Random } from './random.ts'

const telling = [
  0x00, 0x01, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc4, 0xc6, 0xc7, 0xcb, 0xcf, 0xd3, 0xd4, 0xd9, 0xdb, 0xdc,
  0xdd, 0xde, 0xdf, 0xff,
]

/** `bytes` with one change; `other` is what parts may be taken from. Never the same array. */
export function damage(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const changed = bytes.slice()
  const at = random.below(bytes.length + 1)
  switch (random.below(9)) {
    case 0: {
      // One bit, or a few.
      for (let left = random.between(1, 3); left > 0 && changed.length > 0; left--) {
        const bit = random.below(changed.length * 8)
        changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
      }
      return changed
    }
    case 1:
      if (at < changed.length) changed[at] = random.of(telling)
      return changed
    case 2:
      if (at < changed.length) changed[at] = random.below(256)
      return changed
    case 3:
      // Most lengths, ids and types are small: one more, one less.
      if (at < changed.length) changed[at] = (changed[at] as number) + random.of([1, -1])
      return changed
    case 4:
      return changed.subarray(0, at)
    case 5:
      return join(bytes.subarray(0, at), other.subarray(random.below(other.length + 1)))
    case 6:
      return join(bytes.subarray(0, at), random.bytes(random.between(1, 9)), bytes.subarray(at))
    case 7: {
      const end = Math.min(bytes.length, at + 1 + random.small(30))
      // Taken out, or there twice.
      return join(bytes.subarray(0, random.once(2) ? at : end), bytes.subarray(random.once(2) ? at : end))
    }
    default: {
      // Far too often: nesting, and counts.
      const part = bytes.subarray(at, Math.min(bytes.length, at + 1 + random.small(4)))
      const times = random.once(200) ? 20_000 : random.small(300)
      return join(bytes.subarray(0, at), ...Array.from({ length: times }, () => part), bytes.subarray(at))
    }
  }
}

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
