/**
 * The memory of the slot table: where each word lies, who writes it, and the few operations that touch it.
 *
 * Everything shared is an Int32 word and every access to it is an `Atomics` access, cause bytes included, but for a `glance`,
 * which is compared with the open word and no more: what differs is loaded again.
 * So there is no data race that matters, nothing can be torn, and what runs is an interleaving of these accesses, no more: a test
 * that makes each of them a yield point sees all that can happen. A plain copy of a cause would be faster, but one
 * is written and read per end.
 *
 * A chunk is a SharedArrayBuffer of fixed length (a view that tracks a growable buffer makes a load 2.5 times dearer):
 *
 *     words 0-15             magic, id of the table, number of the chunk, slots in it; in chunk 0 a count of what importers let go
 *                            of while it was live; the rest is unused
 *     32 lines of 16 words   in chunk 0 only: doorbells, one cache line each. Link `n` has line `n % 32`
 *     then 28 words a slot   so that 100,000 of them, in whole chunks, take less than 128 bytes each
 *
 *     word of a line         written by the owner: a count, and in the words after it the last slots that were counted
 *
 *     slot word   written by                   what
 *     LINK        owner, before OPEN           the link whose importer may hold the slot
 *     GRANTED     owner                        number of the last grant: of the last handle made for this slot
 *     RETURNED    both, compareExchange;       number of the last grant up to which the importer gave all back; and a mark,
 *                 owner, after FREE, and       which the importer sets and takes away: "imported"
 *                 once it is through
 *     CONTROL     owner                        generation and state in one word. Free and ended words publish what
 *                                              the owner wrote before them. An end without a cause is all in this word: one
 *                                              store here, and one load there. Beside the cause: mostly one cache line has both
 *     CAUSE       owner, before a word that    length, and a mark: "text" for characters below 128, four in a word, else bytes;
 *                 ended with a cause           "shortened" where it is not all. What it tells of follows, to the slot's end
 */

const WORD = Int32Array.BYTES_PER_ELEMENT
const LINE = 16

const SLOT_WORDS = 28
export const SLOT_BYTES: number = SLOT_WORDS * WORD

/** Words of a slot, relative to its first. */
export const LINK = 0
export const GRANTED = 1
export const RETURNED = 2
export const CONTROL = 3
export const CAUSE = 4
const CAUSE_AT = 5

/** The mark in RETURNED, which is its sign: somebody over there has the slot imported at present. */
export const IMPORTED: number = 1 << 31

/** How many bytes of a cause a slot holds. A longer one is for a message to carry. */
export const CAUSE_BYTES: number = (SLOT_WORDS - CAUSE_AT) * WORD
const SHORTENED = 1 << 16
const TEXT = 1 << 17

/** States, the three low bits of CONTROL. Only the owner moves a slot, and only forward: free, open, ended, free. */
export const FREE = 0
export const OPEN = 1
export const CANCELED = 2
export const EXPIRED = 3
/** With one of the two before: there is a cause. */
export const CAUSED = 4

/** Generations never wrap: a slot that has used up its 28 bits of them is retired. Kept below the sign, 0 is "never used". */
export const MAX_GENERATION: number = 2 ** 28 - 1
/** Grants are numbered through all generations of a slot and never wrap either. */
export const MAX_GRANT: number = 2 ** 31 - 1

export function control(generation: number, state: number): number {
  return (generation << 3) | state
}

export function generationOf(word: number): number {
  return word >>> 3
}

export function stateOf(word: number): number {
  return word & 7
}

/** Chunk 0 has 64 slots, each further one twice as many as the one before, up to 4096. */
export function slotsOfChunk(chunk: number): number {
  return chunk < 6 ? 64 << chunk : MAX_SLOTS
}

/** A slot's number names its chunk and its place there: `chunk * 4096 + index`. Numbers are not dense. */
export const INDEX_BITS = 12
const MAX_SLOTS = 1 << INDEX_BITS
export const MAX_CHUNKS: number = 1 << 16

/** The number of the chunk that a slot lies in. */
export function chunkOf(slot: number): number {
  return slot >> INDEX_BITS
}

/** The place of a slot in its chunk. */
export function indexOf(slot: number): number {
  return slot & (MAX_SLOTS - 1)
}

export const BELLS = 32
const FIRST_SLOT = LINE + BELLS * LINE

/** The first word of a slot in its chunk, by its number. */
export function slotAt(slot: number): number {
  return (chunkOf(slot) === 0 ? FIRST_SLOT : LINE) + indexOf(slot) * SLOT_WORDS
}

/** The number of the slot whose first word it is, in a chunk. */
export function slotThere(chunk: number, at: number): number {
  return (chunk << INDEX_BITS) | ((at - (chunk === 0 ? FIRST_SLOT : LINE)) / SLOT_WORDS)
}

/**
 * A link's doorbell, a word of chunk 0: the owner adds 1 and notifies after each end. Who waits for an end loads the bell,
 * looks at the slots that matter, then waits for the bell to change from what was loaded. Links that share a line wake each other
 * for nothing, which a waiter does not mind; nor does it mind that the bell wraps, unless that happens 2^32 rings long within
 * one look.
 */
export function bellAt(link: number): number {
  return LINE + (link % BELLS) * LINE
}

/** How many ends a line names, a power of two: the end that is counted from `n` to `n + 1` stands at `n % RING`. */
export const RING = 8

/** Where a line names the slot whose end is the next one after `count`. */
export function ringAt(link: number, count: number): number {
  return bellAt(link) + 1 + (count & (RING - 1))
}

/** Tells who waits on a link to look at all of its slots. */
export function ringForAll(bells: SlotMem, link: number): void {
  bells.add(bellAt(link), RING)
  bells.notify(bellAt(link))
}

export function chunkBytes(chunk: number): number {
  return ((chunk === 0 ? FIRST_SLOT : LINE) + slotsOfChunk(chunk) * SLOT_WORDS) * WORD
}

/** The shared words of one chunk. In production `Atomics`; a test can make each call a place where threads change. */
export interface SlotMem {
  load(at: number): number
  /** As `load`, for a loop: cheaper, and what it gives orders nothing. Each of {@link GLANCES} at a chunk is a `load`. */
  glance(at: number): number
  store(at: number, value: number): void
  compareExchange(at: number, expected: number, value: number): number
  add(at: number, value: number): void
  notify(at: number): void
  /** Blocks the thread until the word is notified, at most `ms`; not at all where it is no longer `expected`. */
  wait(at: number, expected: number, ms: number): void
  /** Calls `woken` once, in a later turn, when the word is notified. False, and nothing will be called, where it is no longer `expected`. */
  waitAsync(at: number, expected: number, woken: () => void): boolean
}

/** Where chunks come from, and how one looks at them. */
export interface SlotMemory {
  allocate(bytes: number): SharedArrayBuffer
  view(buffer: SharedArrayBuffer): SlotMem
}

/**
 * An atomic load is a call in all engines, and takes as long as all else of a look. A plain one sees what another thread has stored just as soon, but an engine may put it before the loop that it stands in: not
 * where that loop has an atomic one, too. So each of so many is one. A prime, so that who looks at several slots of a chunk in turn loads each of them, unless there are 61 of them, or twice as many.
 */
export const GLANCES = 61

class AtomicMem implements SlotMem {
  readonly #words: Int32Array<SharedArrayBuffer>
  #glances = 0

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer)
  }

  load(at: number): number {
    return Atomics.load(this.#words, at)
  }

  glance(at: number): number {
    if (++this.#glances < GLANCES) return this.#words[at] as number
    this.#glances = 0
    return this.load(at)
  }

  store(at: number, value: number): void {
    Atomics.store(this.#words, at, value)
  }

  compareExchange(at: number, expected: number, value: number): number {
    return Atomics.compareExchange(this.#words, at, expected, value)
  }

  add(at: number, value: number): void {
    Atomics.add(this.#words, at, value)
  }

  notify(at: number): void {
    Atomics.notify(this.#words, at)
  }

  wait(at: number, expected: number, ms: number): void {
    Atomics.wait(this.#words, at, expected, ms)
  }

  waitAsync(at: number, expected: number, woken: () => void): boolean {
    const { value } = waitAsync?.(this.#words, at, expected) ?? {}
    if (typeof value !== 'object') return false
    void value.then(woken)
    return true
  }
}

/** Newer than the library that this is compiled against, and than some engines. */
const { waitAsync } = Atomics as {
  readonly waitAsync?: (words: Int32Array, at: number, expected: number) => { readonly value: Promise<string> | string }
}

/** Whether a thread of this engine that does not block can wait for a bell. */
export const hearsBells: boolean = waitAsync !== undefined

export const sharedMemory: SlotMemory = {
  allocate: (bytes) => new SharedArrayBuffer(bytes),
  view: (buffer) => new AtomicMem(buffer),
}

const MAGIC = 0x63747862 // "ctxb"
const VERSION = 1
const header = { magic: 0, version: 1, table: 2, chunk: 3, slots: 4 }
/**
 * Where chunk 0 counts the live slots that importers gave back: the owner looks for those only when it has moved. Everybody may add to it; one
 * that is added for nothing costs a look at each slot. It wraps.
 */
export const DROPS = 5

export function writeHeader(mem: SlotMem, table: number, chunk: number, slots: number): void {
  mem.store(header.magic, MAGIC)
  mem.store(header.version, VERSION)
  mem.store(header.table, table)
  mem.store(header.chunk, chunk)
  mem.store(header.slots, slots)
}

/** Whether this is the chunk that it is said to be. `bytes`: its length, so that no slot of it lies outside. */
export function checkHeader(mem: SlotMem, bytes: number, table: number, chunk: number): boolean {
  const slots = slotsOfChunk(chunk)
  return (
    bytes === chunkBytes(chunk) &&
    mem.load(header.magic) === MAGIC &&
    mem.load(header.version) === VERSION &&
    mem.load(header.table) === table &&
    mem.load(header.chunk) === chunk &&
    mem.load(header.slots) === slots
  )
}

// Bytes go to words and back through these. Both ends are one process, so the order of bytes in a word is the same.
const causeBytes = new Uint8Array(CAUSE_BYTES)
const causeWords = new Int32Array(causeBytes.buffer)

/** Writes a cause that is a text, without making bytes of it. False, and nothing is written that counts, where it is too long or not ASCII. */
export function storeText(mem: SlotMem, at: number, text: string): boolean {
  const { length } = text
  if (length > CAUSE_BYTES) return false
  for (let from = 0, word = at + CAUSE_AT; from < length; word++) {
    let value = 0
    for (let bits = 0; bits < 32 && from < length; bits += 8) {
      const unit = text.charCodeAt(from++)
      if (unit > 127) return false
      value |= unit << bits
    }
    mem.store(word, value)
  }
  mem.store(at + CAUSE, length | TEXT)
  return true
}

/** Writes a cause; what does not fit is cut off, and then it is marked as shortened. */
export function storeCause(mem: SlotMem, at: number, bytes: Uint8Array, shortened: boolean): void {
  const length = Math.min(bytes.length, CAUSE_BYTES)
  causeBytes.set(length < bytes.length ? bytes.subarray(0, length) : bytes)
  // The last word may be filled up with bytes of an earlier cause: not with those, as another link's peer reads it.
  causeBytes.fill(0, length, length + WORD)
  for (let i = 0; i * WORD < length; i++) mem.store(at + CAUSE_AT + i, causeWords[i] ?? 0)
  mem.store(at + CAUSE, length | (shortened || length < bytes.length ? SHORTENED : 0))
}

/** A cause as a slot has it: a text, or what else its owner has made bytes of. */
export type SlotCause = string | SlotBytes

export interface SlotBytes {
  readonly bytes: Uint8Array
  /** Whether `bytes` are not all of it. */
  readonly shortened: boolean
}

/** Reads a cause into memory of its own; undefined where the words cannot have been written by the owner. */
export function loadCause(mem: SlotMem, at: number): SlotCause | undefined {
  const meta = mem.load(at + CAUSE)
  const length = meta & ~(SHORTENED | TEXT)
  if (length < 0 || length > CAUSE_BYTES) return undefined
  if ((meta & TEXT) !== 0) return loadText(mem, at, length)
  for (let i = 0; i * WORD < length; i++) causeWords[i] = mem.load(at + CAUSE_AT + i)
  return { bytes: causeBytes.slice(0, length), shortened: (meta & SHORTENED) !== 0 }
}

function loadText(mem: SlotMem, at: number, length: number): string {
  let text = ''
  for (let from = 0; from < length; from += WORD) {
    let word = mem.load(at + CAUSE_AT + from / WORD)
    for (let i = from; i < from + WORD && i < length; i++, word >>>= 8) text += String.fromCharCode(word & 127)
  }
  return text
}
