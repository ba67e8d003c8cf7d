/**
 * The importer's side of the slot table: what a thread does with slots that another thread owns.
 *
 * Handles come in messages and words from memory that any thread of the process can write. So nothing of either is believed:
 * what is not as the owner would have made it becomes a {@link SlotRefusal}, and nothing here throws because of it.
 *
 * An importer writes one word of a slot, RETURNED: that it has the slot imported, with the first import, and that it is through with all grants up to a number. It says so when
 * its last import of the slot is released, and then for as many grants as came without a gap: user code may carry
 * handles over several ports, so a later one can come, and be finished with, before an earlier one. Where the context is live, it counts
 * in DROPS after that, so that the owner looks.
 */

import type { Ahead } from './ahead.ts'
import { isSharedMemory } from './realm.ts'
import {
  BELLS,
  bellAt,
  CONTROL,
  checkHeader,
  chunkOf,
  control,
  DROPS,
  FREE,
  GRANTED,
  generationOf,
  INDEX_BITS,
  indexOf,
  LINK,
  MAX_CHUNKS,
  MAX_GENERATION,
  OPEN,
  RETURNED,
  RING,
  ringAt,
  ringForAll,
  sharedMemory,
  slotAt,
  slotsOfChunk,
  stateOf,
} from './slot-memory.ts'
import type { SlotMem, SlotMemory } from './slot-memory.ts'
import { type ReadChunk, SlotView } from './slot-view.ts'

/**
 * Why a handle, a chunk or a read was refused:
 *
 * - `malformed`: not of the form that it should have, or an index outside its chunk
 * - `unknown`: no such chunk was attached
 * - `foreign`: of another table, of another link, or a chunk other than the one that has its number already
 * - `stale`: the slot is free or serves another context by now: swept, or the handle is an old one
 * - `spent`: this grant was imported and given back, was given up by the owner after its end, or was never made
 * - `corrupt`: the words are none that an owner writes. Treat the table as lost
 */
export type SlotRefusal = 'malformed' | 'unknown' | 'foreign' | 'stale' | 'spent' | 'corrupt'

export interface SlotReaderOptions {
  /** The id of the table, as the link's greeting names it. Default: 0. */
  readonly table?: number
  /** The number that the owner has for the link between this thread and it: only slots of that link are accepted. */
  readonly link: number
  /** Whether grants are given back from here. Not where several readers share a slot, say the workers of a pool: then the owner takes them back. Default: true. */
  readonly returns?: boolean
  readonly memory?: SlotMemory
}

class Chunk implements ReadChunk {
  readonly number: number
  readonly buffer: SharedArrayBuffer
  readonly mem: SlotMem
  readonly returns: boolean
  /** By their index in the chunk. */
  readonly views: (SlotView | undefined)[] = []
  readonly ahead: Map<SlotView, Ahead> = new Map()
  size = 0

  constructor(number: number, buffer: SharedArrayBuffer, mem: SlotMem, returns: boolean) {
    this.number = number
    this.buffer = buffer
    this.mem = mem
    this.returns = returns
  }

  /** In place of that of an older generation, if there is one. */
  keep(index: number, view: SlotView): void {
    const old = this.views[index]
    if (old === undefined) this.size++
    else this.ahead.delete(old)
    this.views[index] = view
  }

  forget(view: SlotView): void {
    const index = indexOf(view.slot)
    if (this.views[index] !== view) return
    this.views[index] = undefined
    this.size--
  }
}

/** What one importing thread knows of one table, over one link. */
export class SlotReader {
  readonly #table: number
  readonly #link: number
  readonly #returns: boolean
  readonly #memory: SlotMemory
  readonly #chunks: Chunk[] = []

  constructor(options: SlotReaderOptions) {
    const { table = 0, link, returns = true, memory = sharedMemory } = options
    this.#table = table
    this.#link = link
    this.#returns = returns
    this.#memory = memory
  }

  /** Takes a chunk that the owner announced. The same one again changes nothing. Undefined when all is well. */
  attach(chunk: unknown, buffer: unknown): SlotRefusal | undefined {
    if (!isIndex(chunk, MAX_CHUNKS) || !isFixedShared(buffer)) return 'malformed'
    const known = this.#chunks[chunk]
    if (known !== undefined) return known.buffer === buffer ? undefined : 'foreign'
    // Looked at before a view is made, as one over an odd number of bytes would throw.
    if (buffer.byteLength % Int32Array.BYTES_PER_ELEMENT !== 0 || buffer.byteLength === 0) return 'malformed'
    const mem = this.#memory.view(buffer)
    if (!checkHeader(mem, buffer.byteLength, this.#table, chunk)) return 'foreign'
    this.#chunks[chunk] = new Chunk(chunk, buffer, mem, this.#returns)
    return undefined
  }

  /**
   * Imports a handle: gives the view of its slot, open or ended already. The caller owns one `release()` of it.
   *
   * A handle that is imported twice while the first import lives gives the same view twice, and two releases.
   *
   * @param blank what is to be the view, where the slot has none, and that was never accepted before; left out, it is made
   */
  accept(handle: unknown, blank?: SlotView): SlotView | SlotRefusal {
    if (typeof handle !== 'object' || handle === null) return 'malformed'
    const { slot, generation, grant } = handle as { slot?: unknown; generation?: unknown; grant?: unknown }
    if (!isIndex(slot, 2 ** 31) || !isIndex(generation, MAX_GENERATION + 1) || !isIndex(grant, 2 ** 31)) return 'malformed'
    const number = chunkOf(slot)
    const index = indexOf(slot)
    if (generation === 0 || grant === 0 || index >= slotsOfChunk(number)) return 'malformed'
    const chunk = this.#chunks[number]
    if (chunk === undefined) return 'unknown'

    const { mem } = chunk
    const at = slotAt(slot)
    if (!isLive(mem.load(at + CONTROL), generation)) return 'stale'
    const link = mem.load(at + LINK)
    // In this order: the owner may grant more, and then give up all of it.
    const returned = mem.load(at + RETURNED)
    const granted = mem.load(at + GRANTED)
    // All of these were written before this generation was opened or are ours: the same generation now, and none is of another.
    if (!isLive(mem.load(at + CONTROL), generation)) return 'stale'
    if (link !== this.#link) return 'foreign'
    if (grant > granted) return 'spent'
    const old = chunk.views[index]
    if (old !== undefined && old.generation === generation) return old.take(grant) ? old : 'spent'
    if (returned < 0 || returned > granted) return 'corrupt'
    const view = blank ?? new SlotView()
    // Where nothing is given back, any grant may come first, and none is waited for.
    view.place(chunk, slot, generation, this.#returns ? returned : granted)
    if (!view.take(grant)) return 'spent'
    chunk.keep(index, view)
    return view
  }

  /** The link's doorbell as it stands; undefined while chunk 0 is unknown. Load it before looking at slots, then wait with what was loaded. */
  bell(): number | undefined {
    return this.#chunks[0]?.mem.load(bellAt(this.#link))
  }

  /** Blocks this thread until the owner rings, at most `ms`; not at all if it has rung since `bell()` gave `seen`. May return for nothing. */
  wait(seen: number, ms: number): void {
    this.#chunks[0]?.mem.wait(bellAt(this.#link), seen, ms)
  }

  /** Calls `rung` once, in a later turn, when the owner rings, or `stopWaiting` does. False, and nothing will be called, if it has rung since `bell()` gave `seen`. */
  listen(seen: number, rung: () => void): boolean {
    return this.#chunks[0]?.mem.waitAsync(bellAt(this.#link), seen, rung) ?? false
  }

  /** Wakes all who wait, as the owner does: nobody is told of an end, and who looks sees that none has come. */
  stopWaiting(): void {
    this.#chunks[0]?.mem.notify(bellAt(this.#link))
  }

  /** The views of the slots that may have ended since `bell()` gave `seen`: those that the ring names, or all where it has lost some. */
  rungSince(seen: number): SlotView[] {
    const mem = this.#chunks[0]?.mem
    if (mem === undefined) return []
    const rings = (mem.load(bellAt(this.#link)) - seen) | 0
    if (rings < 0 || rings >= RING) return this.views()
    if (rings === 0) return []
    // Mostly it is one: nothing grows for that.
    const named = this.#namedAt(mem, seen)
    for (let i = 1; i < rings; i++) named.push(...this.#namedAt(mem, seen + i))
    // The owner writes a name before it counts it. So when it has counted this far by now, the first that was read may be another one's.
    const since = (mem.load(bellAt(this.#link)) - seen) | 0
    return since < 0 || since >= RING ? this.views() : named
  }

  #namedAt(mem: SlotMem, count: number): SlotView[] {
    const view = this.find(mem.load(ringAt(this.#link, count)))
    return view === undefined ? [] : [view]
  }

  /** Tells the owner that one was given back whose context it has not ended, as far as is known here: it would not look for that otherwise. Not where it takes grants back itself. */
  tellDrop(): void {
    if (this.#returns) this.#chunks[0]?.mem.add(DROPS, 1)
  }

  /**
   * The owner has died without a word: takes back what it had open, on all of its links, and wakes all who wait. For who knows of its death, when nothing of it runs any more; each of several may.
   */
  ownerDied(): void {
    this.#chunks.forEach(({ mem, number }) => {
      const first = number << INDEX_BITS
      for (let slot = first; slot < first + slotsOfChunk(number); slot++) {
        const word = mem.load(slotAt(slot) + CONTROL)
        if (stateOf(word) === OPEN) mem.compareExchange(slotAt(slot) + CONTROL, word, control(generationOf(word), FREE))
      }
    })
    const bells = this.#chunks[0]?.mem
    if (bells !== undefined) for (let link = 0; link < BELLS; link++) ringForAll(bells, link)
  }

  /** All views. */
  views(): SlotView[] {
    return this.#chunks.flatMap(({ views }) => views.filter((view) => view !== undefined))
  }

  /** The view of a slot, if it is imported here; with a generation, only where it is of that one. */
  find(slot: number, generation?: number): SlotView | undefined {
    const view = this.#chunks[chunkOf(slot)]?.views[indexOf(slot)]
    return generation === undefined || view?.generation === generation ? view : undefined
  }

  /** Slots that this side still remembers: 0 after quiescence. */
  stats(): { readonly chunks: number; readonly views: number } {
    let [chunks, views] = [0, 0]
    // There are gaps where a chunk has not come.
    this.#chunks.forEach(({ size }) => {
      chunks++
      views += size
    })
    return { chunks, views }
  }
}

function isLive(word: number, generation: number): boolean {
  return word >= 0 && generationOf(word) === generation && stateOf(word) !== FREE
}

function isIndex(value: unknown, end: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < end
}

function isFixedShared(buffer: unknown): buffer is SharedArrayBuffer {
  // Newer than the library that this is compiled against.
  return isSharedMemory(buffer) && (buffer as { growable?: boolean }).growable !== true
}
