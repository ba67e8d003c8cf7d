/**
 * The message that most cancels are: one frame, of one id, without a cause or with a short text as its cause. It is made while others wait for it, and read while others
 * wait for it, so each byte of it is written and read where it stands. What it says is what the long way says, byte for byte.
 */

/** The longest text, in characters, all of them below 128. */
const longestText = 31

/** Whether it is a text that such a message can have. */
export function isShortText(cause: unknown): cause is string {
  if (typeof cause !== 'string' || cause.length > longestText) return false
  for (let i = 0; i < cause.length; i++) if (cause.charCodeAt(i) > 0x7f) return false
  return true
}

/** How many bytes it takes; 0 where the id is too high for it. `text`: one that `isShortText`, or none. */
export function cancelSize(id: number, text?: string): number {
  const behind = text === undefined ? 2 : 4 + text.length
  if (id < 0x80) return 4 + behind
  if (id < 0x100) return 5 + behind
  if (id < 0x1_0000) return 6 + behind
  return id <= 0xffff_ffff ? 8 + behind : 0
}

/** Writes it into `bytes`, which are as many as `cancelSize` says. */
export function writeCancel(id: number, text: string | undefined, bytes: Uint8Array): void {
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
  bytes[at++] = 0
  if (text === undefined) bytes[at] = 0xc0
  else writeText(text, bytes, at)
}

function writeText(text: string, bytes: Uint8Array, start: number): void {
  let at = start
  bytes[at++] = 0x92
  bytes[at++] = 0
  bytes[at++] = 0xa0 | text.length
  for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i)
}

/** Where the id ends that begins at 3: by its first byte. -1 for none. */
function endOfId(first: number): number {
  if (first < 0x80) return 4
  if (first === 0xcc) return 5
  if (first === 0xcd) return 6
  return first === 0xce ? 8 : -1
}

/** The id; 0 where the bytes are anything else, or say it in another way: then the long way is to look. Looks at each byte once. */
export function readCancel(bytes: Uint8Array): number {
  const { length } = bytes
  if (length < 6 || bytes[0] !== 0x91 || bytes[1] !== 0x94 || bytes[2] !== 3) return 0
  const first = bytes[3] as number
  const at = endOfId(first)
  if (at < 0 || bytes[at] !== 0) return 0
  if (bytes[at + 1] === 0xc0 ? length !== at + 2 : !isTextAt(bytes, at + 1)) return 0
  if (at === 4) return first
  if (at === 5) return bytes[4] as number
  const high = ((bytes[4] as number) << 8) | (bytes[5] as number)
  return at === 6 ? high : high * 0x1_0000 + (((bytes[6] as number) << 8) | (bytes[7] as number))
}

/** Whether a cause that is a short text, of characters below 128, is all that there is from there on. */
function isTextAt(bytes: Uint8Array, at: number): boolean {
  const { length } = bytes
  if (bytes[at] !== 0x92 || bytes[at + 1] !== 0) return false
  const size = (bytes[at + 2] as number) - 0xa0
  if (!(size >= 0 && size <= longestText) || length !== at + 3 + size) return false
  for (let i = at + 3; i < length; i++) if ((bytes[i] as number) > 0x7f) return false
  return true
}

/** The text that is the cause of one that `readCancel` gave an id of; undefined where it has none. */
export function readCancelText(bytes: Uint8Array): string | undefined {
  const at = endOfId(bytes[3] as number) + 1
  if (bytes[at] === 0xc0) return undefined
  let text = ''
  for (let i = at + 3; i < bytes.length; i++) text += String.fromCharCode(bytes[i] as number)
  return text
}
