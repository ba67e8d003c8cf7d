/**
 * The message that most cancels are: one frame, of one id, without a cause. It is made while others wait for it, and read while others wait for it, so each byte of it is
 * written and read where it stands. What it says is what the long way says, byte for byte.
 */

/** How many bytes it takes; 0 where the id is too high for it. */
export function cancelSize(id: number): number {
  if (id < 0x80) return 6
  if (id < 0x100) return 7
  if (id < 0x1_0000) return 8
  return id <= 0xffff_ffff ? 10 : 0
}

/** Writes it into `bytes`, which are as many as `cancelSize` says. */
export function writeCancel(id: number, bytes: Uint8Array): void {
  bytes[0] = 0x91
  bytes[1] = 0x94
  bytes[2] = 3
  let at = 3
  if (id < 0x80) bytes[at++] = id
  else if (id < 0x100) {
    bytes[at++] = 0xcc
    bytes[at++] = id
  } else if (id < 0x1_0000) {
    bytes[at++] = 0xcd
    bytes[at++] = id >>> 8
    bytes[at++] = id & 0xff
  } else {
    bytes[at++] = 0xce
    bytes[at++] = id >>> 24
    bytes[at++] = (id >>> 16) & 0xff
    bytes[at++] = (id >>> 8) & 0xff
    bytes[at++] = id & 0xff
  }
  bytes[at] = 0
  bytes[at + 1] = 0xc0
}

/** The id; 0 where the bytes are anything else, or say it in another way: then the long way is to look. Looks at each byte once. */
export function readCancel(bytes: Uint8Array): number {
  const { length } = bytes
  if (length < 6 || length > 10 || bytes[0] !== 0x91 || bytes[1] !== 0x94 || bytes[2] !== 3) return 0
  if (bytes[length - 2] !== 0 || bytes[length - 1] !== 0xc0) return 0
  const first = bytes[3] as number
  if (length === 6) return first < 0x80 ? first : 0
  if (length === 7) return first === 0xcc ? (bytes[4] as number) : 0
  if (length === 8) return first === 0xcd ? ((bytes[4] as number) << 8) | (bytes[5] as number) : 0
  if (length !== 10 || first !== 0xce) return 0
  return (bytes[4] as number) * 0x100_0000 + (((bytes[5] as number) << 16) | ((bytes[6] as number) << 8) | (bytes[7] as number))
}
