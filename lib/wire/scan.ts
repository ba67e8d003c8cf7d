/**
 * A look at the bytes of a msgpack message before a decoder sees them.
 *
 * A general decoder does too much for what comes from outside: msgpackr builds errors, regular expressions and big integers
 * from extensions, takes the last of two equal keys, turns bad UTF-8 into U+FFFD, and recurses as deep as the peer wants.
 * What this scan lets pass, it decodes to plain data, at a cost that the limits bound.
 */

import { accept, type Refused, type Result, refuse } from './result.ts'

export interface ScanLimits {
  /** The longest message, in bytes. */
  readonly maxBytes: number
  /** How many arrays and maps may be open inside each other. The message itself is the first. */
  readonly maxDepth: number
  /** How many values a message may hold: arrays, maps, their elements, keys, all counted alike. */
  readonly maxElements: number
}

export const scanLimits: ScanLimits = Object.freeze({ maxBytes: 1_048_576, maxDepth: 16, maxElements: 20_000 })

/**
 * Whether `bytes` are exactly one msgpack value of the kinds that are allowed, and nothing behind it:
 *
 * - nil, booleans, and integers within ±(2^53-1), in any of their encodings;
 * - float 32 and float 64, finite;
 * - str, in strict UTF-8: nothing overlong, no surrogates, nothing above U+10FFFF; and bin;
 * - array, and map with keys that are str, no two of a map equal, none `__proto__`.
 *
 * No extension type at all, and not the byte 0xc1. Every length is compared with the bytes that are left before anything
 * else is done with it. Takes linear time, recurses nowhere, never throws, and keeps nothing of `bytes`.
 *
 * @param size how many of the bytes are the message; the others are not looked at
 * @returns how many values were counted, for comparison with `maxElements`
 */
export function scan(bytes: Uint8Array, limits: ScanLimits = scanLimits, size: number = bytes.length): Result<number> {
  if (size === 0) return empty
  if (size > limits.maxBytes) return tooLong
  const { maxDepth, maxElements } = limits
  let at = 0
  let elements = 0
  let depth = 0
  // Of the innermost open array or map: how many values are missing, and for a map, which keys it has had. Those of the
  // others wait on the stacks. The second of these is made for the first map: hot frames have none.
  let missing = 1
  let keys: Keys | undefined
  let keysStack: (Keys | undefined)[] | undefined
  for (;;) {
    while (missing === 0) {
      if (depth === 0) return at === size ? accept(elements) : trailing
      depth--
      missing = missingStack[depth] as number
      keys = keysStack?.[depth]
    }
    if (at >= size) return truncated
    if (++elements > maxElements) return tooMany
    // A map of n pairs misses 2n values, so an even number left means that a key is next.
    const isKey = keys !== undefined && (missing & 1) === 0
    missing--
    const head = bytes[at++] as number

    let length = 0 // What the head leads to: bytes of a text or of a number, or elements.
    let kind: number
    if (head < 0x80 || head >= 0xe0) kind = SCALAR
    else if (head < 0x90) {
      kind = MAP
      length = head & 0x0f
    } else if (head < 0xa0) {
      kind = ARRAY
      length = head & 0x0f
    } else if (head < 0xc0) {
      kind = STR
      length = head & 0x1f
    } else {
      kind = kinds[head - 0xc0] as number
      if (kind === FORBIDDEN) return head === 0xc1 ? reserved : extension
      const width = widths[head - 0xc0] as number
      if (width > size - at) return truncated
      if (kind === SCALAR) {
        if (isKey) return keyKind
        const wrong = width >= 4 ? checkNumber(bytes, head, at) : undefined
        if (wrong !== undefined) return wrong
        at += width
        continue
      }
      for (let i = 0; i < width; i++) length = length * 256 + (bytes[at++] as number)
    }

    if (isKey && kind !== STR) return keyKind
    if (kind === SCALAR) continue
    if (kind === STR) {
      if (length > size - at) return truncated
      if (!isUtf8(bytes, at, at + length)) return utf8
      if (isKey) {
        const wrong = addKey(keys as Keys, bytes, at, length)
        if (wrong !== undefined) return wrong
      }
      at += length
    } else if (kind === BIN) {
      if (length > size - at) return truncated
      at += length
    } else {
      const values = kind === MAP ? length * 2 : length
      // Every value takes a byte at least, so a header that promises more than there is lies.
      if (values > size - at) return truncated
      if (depth >= maxDepth) return tooDeep
      missingStack[depth] = missing
      if (keysStack !== undefined) keysStack[depth] = keys
      depth++
      missing = values
      keys = undefined
      if (kind === MAP && length > 0) {
        keysStack ??= []
        keys = { ends: [], texts: undefined }
      }
    }
  }
}

const FORBIDDEN = 0
const SCALAR = 1
const STR = 2
const BIN = 3
const ARRAY = 4
const MAP = 5

/** The kinds of the heads 0xc0 to 0xdf, and how many bytes follow each: of the number itself, or of the length. */
// prettier-ignore
const kinds = [1, 0, 1, 1, 3, 3, 3, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 2, 2, 2, 4, 4, 5, 5]
const widths = [0, 0, 0, 0, 1, 2, 4, 0, 0, 0, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 0, 0, 0, 0, 0, 1, 2, 4, 2, 4, 2, 4]

// Scratch of the scan, kept so that none is allocated for each message. Nothing called from the scan comes back to it.
const missingStack: number[] = []

/** The keys that a map has had: while they are few, where each lies in the bytes; then the keys themselves. */
interface Keys {
  /** Two numbers for each key: where it begins and where it ends. */
  readonly ends: number[]
  texts: Set<string> | undefined
}

/** Up to so many keys are compared with each other, since that is cheaper than to make strings of them. */
const fewKeys = 8

function addKey(keys: Keys, bytes: Uint8Array, at: number, length: number): Refused | undefined {
  if (length === 9 && isProto(bytes, at)) return protoKey
  const { ends } = keys
  if (keys.texts === undefined) {
    for (let i = 0; i < ends.length; i += 2) {
      const other = ends[i] as number
      if ((ends[i + 1] as number) - other === length && sameBytes(bytes, other, at, length)) return duplicateKey
    }
    ends.push(at, at + length)
    if (ends.length <= fewKeys * 2) return undefined
    keys.texts = new Set()
    for (let i = 0; i < ends.length; i += 2) keys.texts.add(latin1(bytes, ends[i] as number, ends[i + 1] as number))
    return undefined
  }
  const before = keys.texts.size
  return keys.texts.add(latin1(bytes, at, at + length)).size === before ? duplicateKey : undefined
}

/** A string with one unit for each byte: not the key's text, but as good as it for telling keys apart. */
function latin1(bytes: Uint8Array, start: number, end: number): string {
  // Strings that look like array indices are hashed without a seed by some engines, Node 20.19's among them, so a peer could
  // choose keys that collide. None of these looks like one.
  let text = '.'
  // In pieces, since the number of arguments that a call may have is limited.
  for (let at = start; at < end; at += 1024) {
    const piece = bytes.subarray(at, Math.min(at + 1024, end))
    text += String.fromCharCode.apply(undefined, piece as unknown as number[])
  }
  return text
}

function sameBytes(bytes: Uint8Array, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (bytes[a + i] !== bytes[b + i]) return false
  return true
}

function isProto(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < 9; i++) if (bytes[at + i] !== '__proto__'.charCodeAt(i)) return false
  return true
}

/** Of the numbers in four and eight bytes, refuses floats that are not finite and integers beyond ±(2^53-1). */
function checkNumber(bytes: Uint8Array, head: number, at: number): Refused | undefined {
  const first = bytes[at] as number
  const second = bytes[at + 1] as number
  switch (head) {
    case 0xca: // float 32: all bits of the exponent set
      return (first & 0x7f) === 0x7f && second >= 0x80 ? notFinite : undefined
    case 0xcb: // float 64
      return (first & 0x7f) === 0x7f && second >= 0xf0 ? notFinite : undefined
    case 0xcf: // uint 64
      return first !== 0 || second >= 0x20 ? tooBig : undefined
    case 0xd3: // int 64
      if (first === 0) return second >= 0x20 ? tooBig : undefined
      if (first !== 0xff || second < 0xe0) return tooBig
      if (second > 0xe0) return undefined
      for (let i = 2; i < 8; i++) if (bytes[at + i] !== 0) return undefined
      return tooBig // -(2^53), which is one too many
    default: // (u)int 32
      return undefined
  }
}

/** Whether the bytes are UTF-8 by the table of RFC 3629: table 3-7 of the Unicode Standard in four branches. */
function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start
  while (at < end) {
    const first = bytes[at++] as number
    if (first < 0x80) continue
    if (first < 0xc2 || first > 0xf4) return false
    const more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3
    if (more > end - at) return false
    const second = bytes[at] as number
    // Only the second byte has ranges of its own: they keep out overlong forms, surrogates, and what is above U+10FFFF.
    const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
    const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
    if (second < low || second > high) return false
    for (let i = 1; i < more; i++) if (((bytes[at + i] as number) & 0xc0) !== 0x80) return false
    at += more
  }
  return true
}

const empty: Refused = Object.freeze(refuse('message: empty'))
const tooLong: Refused = Object.freeze(refuse('message: longer than the limit'))
const truncated: Refused = Object.freeze(refuse('message: ends inside a value'))
const trailing: Refused = Object.freeze(refuse('message: more than one value'))
const tooMany: Refused = Object.freeze(refuse('message: more values than the limit'))
const tooDeep: Refused = Object.freeze(refuse('message: nested deeper than the limit'))
const reserved: Refused = Object.freeze(refuse('message: the byte 0xc1'))
const extension: Refused = Object.freeze(refuse('message: an extension type'))
const notFinite: Refused = Object.freeze(refuse('message: a float that is not finite'))
const tooBig: Refused = Object.freeze(refuse('message: an integer beyond ±(2^53-1)'))
const utf8: Refused = Object.freeze(refuse('message: a string that is not UTF-8'))
const keyKind: Refused = Object.freeze(refuse('message: a key that is no string'))
const protoKey: Refused = Object.freeze(refuse('message: the key __proto__'))
const duplicateKey: Refused = Object.freeze(refuse('message: a key twice in one map'))
