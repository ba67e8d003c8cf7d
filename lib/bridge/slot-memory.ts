/**
 * The memory of the slot table: where each word lies, who writes it, and the few operations that touch it.
 *
 * Everything shared is an Int32 word and every access to it is an `Atomics` access, cause bytes and deadline included.
 * So there is no data race, nothing can be torn, and what runs is an interleaving of these accesses, no more: a test
 * that makes each of them a yield point sees all that can happen. A plain copy of a cause would be faster, but one
 * is written and read per end.
 *
 * A chunk is a SharedArrayBuffer of fixed length (a view that tracks a growable buffer makes a load 2.5 times dearer):
 *
 *     words 0-15             magic, id of the table, number of the chunk, slots in it; the rest is unused
 *     32 lines of 16 words   doorbells, one cache line each: link `n` has line `n % 32`, of chunk 0 only
 *     then 32 words a slot   two cache lines: the first holds all but the tail of the cause
 *
 *     slot word   written by                   what
 *     CONTROL     owner                        generation and state in one word. Free and ended words publish what
 *                                              the owner wrote before them
 *     LINK        owner, before OPEN           the link whose importer may hold the slot
 *     DEADLINE    owner, before OPEN           two words: the bits of a float64, ms on the clock that threads share. Bits,
 *                                              so that no rounding makes it early; Infinity is "none"; it never moves
 *     GRANTED     owner                        number of the last grant: of the last handle made for this slot
 *     RETURNED    importer, compareExchange;   number of the last grant up to which the importer gave all back
 *                 owner, before OPEN
 *     CAUSE       owner, before an ended word  length and the mark "shortened"; the bytes follow, to the slot's end
 */

const WORD = Int32Array.BYTES_PER_ELEMENT
const LINE = 16

const SLOT_WORDS = 32
export const SLOT_BYTES: number = SLOT_WORDS * WORD

/** Words of a slot, relative to its first. */
export const CONTROL = 0
export const LINK = 1
export const DEADLINE = 2
export const GRANTED = 4
export const RETURNED = 5
export const CAUSE = 6
const CAUSE_AT = 7

/** How many bytes of a cause a slot holds. A longer one is for a message to carry. */
export const CAUSE_BYTES: number = (SLOT_WORDS - CAUSE_AT) * WORD
const SHORTENED = 1 << 16

/** States, the two low bits of CONTROL. Only the owner moves a slot, and only forward: free, open, ended, free. */
export const FREE = 0
export const OPEN = 1
export const CANCELED = 2
export const EXPIRED = 3

/** Generations never wrap: a slot that has used up its 29 bits of them is retired. Kept below the sign, 0 is "never used". */
export const MAX_GENERATION: number = 2 ** 29 - 1
/** Grants are numbered through all generations of a slot and never wrap either. */
export const MAX_GRANT: number = 2 ** 31 - 1

export function control(generation: number, state: number): number {
  return (generation << 2) | state
}

export function generationOf(word: number): number {
  return word >>> 2
}

export function stateOf(word: number): number {
  return word & 3
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

const BELLS = 32
const FIRST_SLOT = LINE + BELLS * LINE

/** The first word of a slot in its chunk. */
export function slotAt(index: number): number {
  return FIRST_SLOT + index * SLOT_WORDS
}

/**
 * A link's doorbell, a word of chunk 0: the owner adds 1 and notifies after each end. A thread that blocks waits for it: it
 * loads the bell, looks at all slots that matter, then waits for the bell to change from what was loaded. Links
 * that share a line wake each other for nothing, which such a loop does not mind; nor does it mind that it wraps, unless
 * that happens 2^32 rings long within one look.
 */
export function bellAt(link: number): number {
  return LINE + (link % BELLS) * LINE
}

export function chunkBytes(slots: number): number {
  return slotAt(slots) * WORD
}

/** The shared words of one chunk. In production `Atomics`; a test can make each call a place where threads change. */
export interface SlotMem {
  load(at: number): number
  store(at: number, value: number): void
  compareExchange(at: number, expected: number, value: number): number
  add(at: number, value: number): void
  notify(at: number): void
  /** Blocks the thread until the word is notified, at most `ms`; not at all where it is no longer `expected`. */
  wait(at: number, expected: number, ms: number): void
}

/** Where chunks come from, and how one looks at them. */
export interface SlotMemory {
  allocate(bytes: number): SharedArrayBuffer
  view(buffer: SharedArrayBuffer): SlotMem
}

class AtomicMem implements SlotMem {
  readonly #words: Int32Array<SharedArrayBuffer>

  constructor(buffer: SharedArrayBuffer) {
    this.#words = new Int32Array(buffer)
  }

  load(at: number): number {
    return Atomics.load(this.#words, at)
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
}

export const sharedMemory: SlotMemory = {
  allocate: (bytes) => new SharedArrayBuffer(bytes),
  view: (buffer) => new AtomicMem(buffer),
}

const MAGIC = 0x63747862 // "ctxb"
const VERSION = 1
const header = { magic: 0, version: 1, table: 2, chunk: 3, slots: 4 }

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
    bytes === chunkBytes(slots) &&
    mem.load(header.magic) === MAGIC &&
    mem.load(header.version) === VERSION &&
    mem.load(header.table) === table &&
    mem.load(header.chunk) === chunk &&
    mem.load(header.slots) === slots
  )
}

// A float64 and bytes go to words and back through these. Both ends are one process, so the order of bytes in a word is the same.
const float = new Float64Array(1)
const halves = new Int32Array(float.buffer)
const causeBytes = new Uint8Array(CAUSE_BYTES)
const causeWords = new Int32Array(causeBytes.buffer)

export function storeDeadline(mem: SlotMem, at: number, deadline: number): void {
  float[0] = deadline
  mem.store(at + DEADLINE, halves[0] ?? 0)
  mem.store(at + DEADLINE + 1, halves[1] ?? 0)
}

/** Gives whatever number the two words make, NaN included: the caller checks it, and that the slot was not reused meanwhile. */
export function loadDeadline(mem: SlotMem, at: number): number {
  halves[0] = mem.load(at + DEADLINE)
  halves[1] = mem.load(at + DEADLINE + 1)
  return float[0] ?? Number.NaN
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

/** Reads a cause into bytes of its own; undefined where the words cannot have been written by {@link storeCause}. */
export function loadCause(mem: SlotMem, at: number): { bytes: Uint8Array; shortened: boolean } | undefined {
  const meta = mem.load(at + CAUSE)
  const length = meta & ~SHORTENED
  if (length < 0 || length > CAUSE_BYTES) return undefined
  for (let i = 0; i * WORD < length; i++) causeWords[i] = mem.load(at + CAUSE_AT + i)
  return { bytes: causeBytes.slice(0, length), shortened: (meta & SHORTENED) !== 0 }
}
