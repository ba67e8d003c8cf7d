/**
 * The owner's side of the slot table: what a thread that exports contexts writes, for the importers in other threads to read.
 *
 * Opens slots and takes them back. `slot.ts` has what happens to one in between, and why its holds are sound.
 *
 * The races of the protocol, by number in its description, and what rules each out here:
 *
 *  1 late cancel, reused slot   Generation and state are one word. A handle and a view compare both; a `Slot` of the owner
 *                               is one generation, and dead after it.
 *  2 generation wraps           28 bits, then the slot is retired. First in, first out, so that all slots age alike.
 *  3 cause after flag           Cause, then the ended word, then the bell, then notify.
 *  4 two cancellers             Only the owner ends a slot, and what it leaves open at its death is taken back by who knows of that
 *                               (`SlotReader.ownerDied`). A deadline that the importer's clock sees stays with the importer.
 *  5 reuse under a reader       Holds (`slot.ts`). A reader also looks at the control word again after it read: even where
 *                               a living one was swept it can see "gone", but never a mix.
 *  6 lost wake-up               The bell changes after the ended word, and after the ring names the slot; a waiter loads
 *                               the bell before it looks, and looks at all where it may have missed a name.
 *  7 torn deadline              None is here: it travels in the handle.
 *  8 growth                     One more chunk; none is ever copied or moved. It is announced before a slot in it is opened.
 *  9 writer dies mid-write      The owner's death is the end of its links, whoever tells of it; a slot that it was about to end is open still. The importer writes one word, once.
 * 10 dies before the bell       As 9: only the owner rings.
 * 11 importer dies holding      `sweep`.
 * 12 bell wraps                 2^32 rings within one look of a waiter: accepted. The ring's length divides that.
 * 13 ended before the import    The importer loads the word when it accepts a handle: it gets a view that is ended already.
 * 14 waitAsync                  Keeps no thread alive; nor does the link's port. One waiter for each link, which the importer
 *                               notifies itself when it closes, so that none is left.
 * 15 garbage                    The owner reads RETURNED alone, for equality and for its mark, and its own bell. What readers check is in
 *                               `slot-reader.ts`.
 */

import {
  chunkBytes,
  chunkOf,
  DROPS,
  INDEX_BITS,
  MAX_CHUNKS,
  MAX_GENERATION,
  ringForAll,
  sharedMemory,
  slotsOfChunk,
  writeHeader,
} from './slot-memory.ts'
import type { SlotMem, SlotMemory } from './slot-memory.ts'
import { Slot, type SlotOwner } from './slot.ts'

const none: readonly Slot[] = []

/** At how many slots in use one `open` looks for one that is free, when there is no other. */
const SEARCH = 64

export interface SlotTableOptions {
  /** Tells the tables of one process apart. An Int32; whoever makes the table sees to it that it is unique. Default: 0. */
  readonly id?: number
  /** How many slots there may be at once, in whole chunks of 64, 128, 256 and so on. Default: 65,536, which are 7 MiB. */
  readonly limit?: number
  /** Called within `open`, before the first slot of a new chunk is handed out. Must send it to all links, and neither throw nor open. */
  readonly onGrow?: (chunk: number, buffer: SharedArrayBuffer) => void
  readonly memory?: SlotMemory
  /** After how many generations a slot is retired. For tests. */
  readonly generations?: number
}

export interface SlotStats {
  readonly chunks: number
  readonly slots: number
  /** Opened and not yet free again. 0 after quiescence. */
  readonly inUse: number
  readonly retired: number
  readonly bytes: number
}

/** The table of one exporting thread. Belongs to that thread; others get its chunks, and read them with a `SlotReader`. */
export class SlotTable implements SlotOwner {
  readonly id: number
  /** @internal For the slots. */
  readonly bells: SlotMem
  /** @internal For the slots. */
  letGo = 0
  readonly #limit: number
  readonly #generations: number
  readonly #memory: SlotMemory
  readonly #onGrow: SlotTableOptions['onGrow']
  readonly #chunks: { readonly buffer: SharedArrayBuffer; readonly mem: SlotMem }[] = []
  /** Number, last generation and last grant of each slot that was used before, in the order in which they became free; those of the last chunk that never were come first. */
  readonly #free = new Fifo<number>()
  #unused = 0
  #end = 0
  /** All slots in use are a ring, which is gone round: this one was looked at last, and the one after it is the longest unseen. */
  #seen: Slot | undefined
  #inUse = 0
  /** The count of drops when it was last read, and how many slots are to be looked at since it moved. */
  #drops = 0
  #unlooked = 0
  #slots = 0
  #retired = 0

  /** Allocates the first chunk, so that `chunks()` can be sent before anything is opened. `onGrow` is not called for it. */
  constructor(options: SlotTableOptions = {}) {
    const { id = 0, limit = 65_536, onGrow, memory = sharedMemory, generations = MAX_GENERATION } = options
    this.id = id | 0
    this.#limit = limit
    this.#generations = Math.min(generations, MAX_GENERATION)
    this.#memory = memory
    this.bells = this.#add(memory.allocate(chunkBytes(0)))
    this.#onGrow = onGrow
  }

  /** Every chunk so far, by its number. A new link needs all of them before its first handle. */
  chunks(): readonly SharedArrayBuffer[] {
    return this.#chunks.map((_, number) => this.chunk(number) as SharedArrayBuffer)
  }

  /** The chunk of that number. Its header is written anew: what somebody else may have written there must not keep others from it. */
  chunk(number: number): SharedArrayBuffer | undefined {
    const chunk = this.#chunks[number]
    if (chunk === undefined) return undefined
    writeHeader(chunk.mem, this.id, number, slotsOfChunk(number))
    return chunk.buffer
  }

  /**
   * Opens a slot for one context on one link. The caller holds it until `end` or `withdraw`. Undefined when no slot is
   * found to be free and the limit, or the memory there is, allows no more: then the context goes by messages alone.
   *
   * @param link a number of the caller's, at least 0, that no other link of this table has, until it is swept
   * @param slot what is to stand for it, which was never opened before; left out, it is made
   */
  open<S extends Slot = Slot>(link: number, slot?: S): S | undefined
  open(link: number, slot: Slot = new Slot()): Slot | undefined {
    if (!Number.isInteger(link) || link < 0 || link > 0x7fffffff) {
      throw new TypeError(`A link's number is a 31-bit integer, not ${link}.`)
    }
    // Two slots looked at for each one opened: so at most every other slot in use is one that could be free.
    // Where none was let go of, there is nothing to find, and each look is a cache line that nothing else needs.
    if (this.letGo > 0) this.#recycle(2)
    // A full table is not searched as a whole each time: the next calls look at the next ones.
    if (this.#unused === this.#end && this.#free.size === 0 && !this.#grow()) this.#recycle(SEARCH)
    const isNew = this.#unused < this.#end
    const number = isNew ? this.#unused++ : this.#free.shift()
    const chunk = number === undefined ? undefined : this.#chunks[chunkOf(number)]
    if (number === undefined || chunk === undefined) return undefined
    const generation = isNew ? 0 : (this.#free.shift() ?? 0)
    const granted = isNew ? 0 : (this.#free.shift() ?? 0)
    slot.place(this, chunk.mem, number, link, generation, granted)
    this.#insert(slot)
    return slot
  }

  /**
   * Looks at up to `limit` slots in use, the longest unseen first. Those that are open, were sent and are all given back, are
   * withdrawn and returned: nobody imports these contexts any more, so the caller need not observe them. Ended ones become free.
   */
  reclaim(limit: number = Number.POSITIVE_INFINITY): Slot[] {
    const withdrawn: Slot[] = []
    this.#recycle(limit, withdrawn)
    return withdrawn
  }

  /** As `reclaim`, as long as there may be some to be found: after an importer gave a live one back, once round all slots in use. Otherwise one load. */
  reclaimDropped(limit: number): readonly Slot[] {
    const drops = this.bells.load(DROPS)
    if (drops !== this.#drops) {
      this.#drops = drops
      this.#unlooked = this.#inUse
    }
    if (this.#unlooked <= 0) return none
    this.#unlooked -= limit
    return this.reclaim(limit)
  }

  /**
   * Takes back all slots of a link whose importer is gone, ended or not; returns those that were open. A terminated importer
   * costs nothing from then on. One that is alive (its link was closed) sees its imports as gone, and can do no harm.
   */
  sweep(link: number): Slot[] {
    const open: Slot[] = []
    for (let n = this.#inUse; n > 0; n--) {
      const slot = this.#longestUnseen as Slot
      if (slot.link !== link) {
        this.#seen = slot
        continue
      }
      if (slot.open) open.push(slot)
      this.#release(slot)
    }
    // A thread that is blocked does not hear that its link was closed.
    ringForAll(this.bells, link)
    return open
  }

  /** Counts, after it has looked at every slot in use and freed what is ended and given back. */
  stats(): SlotStats {
    this.#recycle(this.#inUse)
    const bytes = this.#chunks.reduce((sum, { buffer }) => sum + buffer.byteLength, 0)
    return { chunks: this.#chunks.length, slots: this.#slots, inUse: this.#inUse, retired: this.#retired, bytes }
  }

  /** How many slots of a link its owner has not let go of. */
  openOf(link: number): number {
    let count = 0
    let slot = this.#seen
    for (let n = this.#inUse; n > 0; n--, slot = slot?.nextInUse) if (slot?.link === link && slot.open) count++
    return count
  }

  #recycle(limit: number, withdrawn?: Slot[]): void {
    for (let n = Math.min(limit, this.#inUse); n > 0; n--) {
      const slot = this.#longestUnseen as Slot
      if (slot.open && withdrawn !== undefined && slot.used && slot.withdraw()) withdrawn.push(slot)
      if (!slot.open && slot.returned) this.#release(slot)
      else this.#seen = slot
    }
  }

  get #longestUnseen(): Slot | undefined {
    return this.#seen?.nextInUse
  }

  #insert(slot: Slot): void {
    const seen = this.#seen ?? slot
    slot.nextInUse = seen.nextInUse ?? slot
    seen.nextInUse = this.#seen = slot
    this.#inUse++
  }

  /** Makes the longest unseen one free. */
  #release(slot: Slot): void {
    const seen = this.#seen as Slot
    if (slot === seen) this.#seen = undefined
    else seen.nextInUse = slot.nextInUse
    // It must not keep those alive that come after it, where the collector has not come to it yet.
    slot.nextInUse = undefined
    this.#inUse--
    if (slot.free() && slot.generation < this.#generations) this.#free.push(slot.number, slot.generation, slot.granted)
    else this.#retired++
  }

  #grow(): boolean {
    const chunk = this.#chunks.length
    if (chunk === MAX_CHUNKS || this.#slots + slotsOfChunk(chunk) > this.#limit) return false
    let buffer: SharedArrayBuffer
    try {
      buffer = this.#memory.allocate(chunkBytes(chunk))
    } catch {
      // Short of memory: a table that does not grow still works.
      return false
    }
    this.#add(buffer)
    return true
  }

  #add(buffer: SharedArrayBuffer): SlotMem {
    const chunk = this.#chunks.length
    const slots = slotsOfChunk(chunk)
    const mem = this.#memory.view(buffer)
    writeHeader(mem, this.id, chunk, slots)
    this.#chunks.push({ buffer, mem })
    this.#slots += slots
    this.#onGrow?.(chunk, buffer)
    // By a shift: a power makes a float of it, and then each slot, handle and view has an object for its number.
    this.#unused = chunk << INDEX_BITS
    this.#end = this.#unused + slots
    return mem
  }
}

/** First in, first out. `Array.shift` moves all elements once there are some ten thousand. */
class Fifo<T> {
  #items: T[] = []
  #head = 0

  get size(): number {
    return this.#items.length - this.#head
  }

  push(...items: readonly T[]): void {
    this.#items.push(...items)
  }

  shift(): T | undefined {
    const item = this.#items[this.#head]
    if (this.#head < this.#items.length) this.#head++
    // Half of it is behind us: worth moving the rest. What was taken out is kept alive no longer than that.
    if (this.#head > 32 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }
}
