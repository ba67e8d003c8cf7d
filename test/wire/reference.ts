/** An independent decoder to compare with. */

export interface ReferenceLimits {
  readonly maxDepth: number
  readonly maxElements: number
}

/**
 * A decoder of the same subset of msgpack, written in another way than the scan: recursive, with views and a strict TextDecoder.
 * It throws at what is not allowed.
 */
export function referenceDecode(bytes: Uint8Array, limits: ReferenceLimits): unknown {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let at = 0
  let elements = 0
  const take = (count: number) => {
    if (at + count > bytes.length) throw new Error('ends early')
    at += count
    return at - count
  }
  const text = (length: number) => {
    const start = take(length)
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(start, at))
  }
  const bin = (length: number) => {
    const start = take(length)
    return bytes.slice(start, at)
  }
  const finite = (value: number) => {
    if (!Number.isFinite(value)) throw new Error('not finite')
    return value
  }
  const safe = (value: bigint) => {
    if (value > 9007199254740991n || value < -9007199254740991n) throw new Error('not safe')
    return Number(value)
  }
  const array = (length: number, depth: number) => {
    if (depth > limits.maxDepth) throw new Error('too deep')
    const values: unknown[] = []
    for (let i = 0; i < length; i++) values.push(value(depth))
    return values
  }
  const map = (length: number, depth: number) => {
    if (depth > limits.maxDepth) throw new Error('too deep')
    const object: Record<string, unknown> = {}
    for (let i = 0; i < length; i++) {
      const key = value(depth)
      if (typeof key !== 'string' || key === '__proto__' || Object.hasOwn(object, key)) throw new Error('bad key')
      object[key] = value(depth)
    }
    return object
  }
  const value = (depth: number): unknown => {
    if (++elements > limits.maxElements) throw new Error('too many')
    const head = view.getUint8(take(1))
    if (head <= 0x7f) return head
    if (head <= 0x8f) return map(head - 0x80, depth + 1)
    if (head <= 0x9f) return array(head - 0x90, depth + 1)
    if (head <= 0xbf) return text(head - 0xa0)
    if (head >= 0xe0) return head - 256
    switch (head) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xc4:
        return bin(view.getUint8(take(1)))
      case 0xc5:
        return bin(view.getUint16(take(2)))
      case 0xc6:
        return bin(view.getUint32(take(4)))
      case 0xca:
        return finite(view.getFloat32(take(4)))
      case 0xcb:
        return finite(view.getFloat64(take(8)))
      case 0xcc:
        return view.getUint8(take(1))
      case 0xcd:
        return view.getUint16(take(2))
      case 0xce:
        return view.getUint32(take(4))
      case 0xcf:
        return safe(view.getBigUint64(take(8)))
      case 0xd0:
        return view.getInt8(take(1))
      case 0xd1:
        return view.getInt16(take(2))
      case 0xd2:
        return view.getInt32(take(4))
      case 0xd3:
        return safe(view.getBigInt64(take(8)))
      case 0xd9:
        return text(view.getUint8(take(1)))
      case 0xda:
        return text(view.getUint16(take(2)))
      case 0xdb:
        return text(view.getUint32(take(4)))
      case 0xdc:
        return array(view.getUint16(take(2)), depth + 1)
      case 0xdd:
        return array(view.getUint32(take(4)), depth + 1)
      case 0xde:
        return map(view.getUint16(take(2)), depth + 1)
      case 0xdf:
        return map(view.getUint32(take(4)), depth + 1)
      default:
        throw new Error('not allowed')
    }
  }
  const result = value(0)
  if (at !== bytes.length) throw new Error('more than one value')
  return result
}
