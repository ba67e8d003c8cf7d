/**
 * The importer's side of the slot table: what a thread does with slots that another thread owns.
 *
 * Handles come in messages and words from memory that any thread of the process can write. So nothing of either is believed:
 * what is not as the owner would have made it becomes a {@link SlotRefusal}, and nothing here throws because of it.
 *
 * An importer writes one word, RETURNED, and only to say that it is through with all grants up to a number. It says so when
 * its last import of the slot is released, and then for as many grants as came without a gap: user code may carry
 * handles over several ports, so a later one can come, and be finished with, before an earlier one.
 */

import type { Kind } from '../errors.ts'
import {
  bellAt,
  CANCELED,
  CONTROL,
  checkHeader,
  control,
  FREE,
  GRANTED,
  generationOf,
  INDEX_BITS,
  LINK,
  loadCause,
  loadDeadline,
  MAX_CHUNKS,
  MAX_GENERATION,
  OPEN,
  RETURNED,
  sharedMemory,
  slotAt,
  slotsOfChunk,
  stateOf,
} from './slot-memory.ts'
import type { SlotMem, SlotMemory } from './slot-memory.ts'

/**
 * Why a handle, a chunk or a read was refused:
 *
 * - `malformed`: not of the form that it should have, or an index outside its chunk
 * - `unknown`: no such chunk was attached
 * - `foreign`: of another table, of another link, or a chunk other than the one that has its number already
 * - `stale`: the slot is free or serves another context by now: swept, or the handle is an old one
 * - `spent`: this grant was imported and given back, or was never made
 * - `corrupt`: the words are none that an owner writes. Treat the table as lost
 */
export type SlotRefusal = 'malformed' | 'unknown' | 'foreign' | 'stale' | 'spent' | 'corrupt'

/** How a slot ended. */
export interface SlotEnd {
  readonly kind: Kind
  readonly cause: Uint8Array
  /** Whether `cause` is not all of it. */
  readonly shortened: boolean
}

// Once so many handles have overtaken one, that one is taken for lost: a handle that nobody imports must not cost more and more.
const MAX_AHEAD = 1024
let take: (view: SlotView, grant: number, returns: boolean) => boolean

/**
 * One imported slot, in one generation. All imports of it share this object; each is released once.
 *
 * Keep it and ask `isOpen()` in a loop: that is one `Atomics.load` and one compare of integers.
 */
export class SlotView {
  readonly slot: number
  readonly generation: number
  /** ms, on the clock that all threads of the process share; Infinity where there is none. Never changes. */
  readonly deadline: number
  readonly #mem: SlotMem
  readonly #at: number
  readonly #open: number
  readonly #forget: () => void
  #end: SlotEnd | undefined
  #imports = 0
  /** What RETURNED holds, as far as we know: we alone write it in this generation. */
  #returned: number
  /** All grants up to here have come; and so have those in `#ahead`, which are beyond the next. Mostly there are none. */
  #received: number
  #ahead: Set<number> | undefined

  /** @internal Made by {@link SlotReader.accept}. */
  constructor(mem: SlotMem, slot: number, generation: number, deadline: number, returned: number, forget: () => void) {
    this.#mem = mem
    this.#at = slotAt(slot & ((1 << INDEX_BITS) - 1)) + CONTROL
    this.#open = control(generation, OPEN)
    this.#forget = forget
    this.#returned = this.#received = returned
    this.slot = slot
    this.generation = generation
    this.deadline = deadline
  }

  static {
    take = (view, grant, returns) => view.#take(grant, returns)
  }

  /**
   * Whether the owner has not ended it, as of now. False is not the whole answer (ended, or gone): `read()` has it. Asks
   * the memory each time, so keep a false.
   */
  isOpen(): boolean {
    return this.#mem.load(this.#at) === this.#open
  }

  /**
   * How it stands. An end, once read, is the same object at every later call, whatever the memory says by then. `stale`: the
   * owner took the slot back without an end, so the link was closed; `corrupt`: see {@link SlotRefusal}.
   */
  read(): SlotEnd | 'open' | 'stale' | 'corrupt' {
    if (this.#end !== undefined) return this.#end
    const word = this.#mem.load(this.#at)
    if (word === this.#open) return 'open'
    const state = stateOf(word)
    if (word < 0 || generationOf(word) !== this.generation || state === FREE) return 'stale'
    const cause = loadCause(this.#mem, this.#at)
    // The owner writes a cause only after it moved the word on: the same word before and after, and all of it is of this end.
    if (this.#mem.load(this.#at) !== word) return 'stale'
    if (cause === undefined) return 'corrupt'
    this.#end = { kind: state === CANCELED ? 'canceled' : 'deadline', cause: cause.bytes, shortened: cause.shortened }
    return this.#end
  }

  /**
   * Gives back one import: to be called once for each `accept` that gave this view. Returns true for the last one, which lets go of
   * the slot: from then on the view must not be asked. A later `accept` may give it again, or another.
   */
  release(): boolean {
    if (this.#imports === 0) return false
    if (--this.#imports > 0) return false
    if (this.#received > this.#returned) {
      // Includes the generation, as grants are numbered through all of them. It fails only if the link was swept, and then
      // there is nothing to give back, or if somebody else wrote here, and then the owner holds the slot until the sweep.
      this.#mem.compareExchange(this.#at + RETURNED, this.#returned, this.#received)
      this.#returned = this.#received
    }
    // Grants that came ahead of others are known nowhere else: remembered until the gap is filled or the slot is reused.
    if (this.#ahead === undefined) this.#forget()
    return true
  }

  #take(grant: number, returns: boolean): boolean {
    if (!returns) {
      // `#received` stays what `#returned` is: nothing is ever given back.
    } else if (grant <= this.#received || this.#ahead?.has(grant)) {
      // The same handle again: shares the import while there is one. After that it is over, and the slot perhaps not ours.
      if (this.#imports === 0) return false
    } else if (grant === this.#received + 1 && this.#ahead === undefined) {
      this.#received = grant
    } else {
      this.#overtake(grant)
    }
    this.#imports++
    return true
  }

  #overtake(grant: number): void {
    const ahead = (this.#ahead ??= new Set())
    if (ahead.size === MAX_AHEAD) this.#received = Math.min(...ahead) - 1
    ahead.add(grant)
    while (ahead.delete(this.#received + 1)) this.#received++
    if (ahead.size === 0) this.#ahead = undefined
  }
}

export interface SlotReaderOptions {
  /** The id of the table, as the link's greeting names it. Default: 0. */
  readonly table?: number
  /** The number that the owner has for the link between this thread and it: only slots of that link are accepted. */
  readonly link: number
  /** Whether grants are given back from here. Not where several readers share a slot, say the workers of a pool: then the owner takes them back. Default: true. */
  readonly returns?: boolean
  readonly memory?: SlotMemory
}

interface Chunk {
  readonly buffer: SharedArrayBuffer
  readonly mem: SlotMem
}

/** What one importing thread knows of one table, over one link. */
export class SlotReader {
  readonly #table: number
  readonly #link: number
  readonly #returns: boolean
  readonly #memory: SlotMemory
  readonly #chunks = new Map<number, Chunk>()
  readonly #views = new Map<number, SlotView>()

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
    const known = this.#chunks.get(chunk)
    if (known !== undefined) return known.buffer === buffer ? undefined : 'foreign'
    // Looked at before a view is made, as one over an odd number of bytes would throw.
    if (buffer.byteLength % Int32Array.BYTES_PER_ELEMENT !== 0 || buffer.byteLength === 0) return 'malformed'
    const mem = this.#memory.view(buffer)
    if (!checkHeader(mem, buffer.byteLength, this.#table, chunk)) return 'foreign'
    this.#chunks.set(chunk, { buffer, mem })
    return undefined
  }

  /**
   * Imports a handle: gives the view of its slot, open or ended already. The caller owns one `release()` of it.
   *
   * A handle that is imported twice while the first import lives gives the same view twice, and two releases.
   */
  accept(handle: unknown): SlotView | SlotRefusal {
    if (typeof handle !== 'object' || handle === null) return 'malformed'
    const { slot, generation, grant } = handle as { slot?: unknown; generation?: unknown; grant?: unknown }
    if (!isIndex(slot, 2 ** 31) || !isIndex(generation, MAX_GENERATION + 1) || !isIndex(grant, 2 ** 31)) return 'malformed'
    const number = slot >> INDEX_BITS
    const index = slot & ((1 << INDEX_BITS) - 1)
    if (generation === 0 || grant === 0 || index >= slotsOfChunk(number)) return 'malformed'
    const chunk = this.#chunks.get(number)
    if (chunk === undefined) return 'unknown'

    const { mem } = chunk
    const at = slotAt(index)
    if (!isLive(mem.load(at + CONTROL), generation)) return 'stale'
    const link = mem.load(at + LINK)
    const deadline = loadDeadline(mem, at)
    const granted = mem.load(at + GRANTED)
    const returned = mem.load(at + RETURNED)
    // All of these were written before this generation was opened or are ours: the same generation now, and none is of another.
    if (!isLive(mem.load(at + CONTROL), generation)) return 'stale'
    if (link !== this.#link) return 'foreign'
    if (grant > granted) return 'spent'
    if (Number.isNaN(deadline) || returned < 0 || returned > granted) return 'corrupt'

    let view = this.#views.get(slot)
    if (view === undefined || view.generation !== generation) {
      // Where nothing is given back, any grant may come first, and none is waited for.
      const known = this.#returns ? returned : granted
      const fresh = new SlotView(mem, slot, generation, deadline, known, () => {
        if (this.#views.get(slot) === fresh) this.#views.delete(slot)
      })
      view = fresh
    }
    if (!take(view, grant, this.#returns)) return 'spent'
    this.#views.set(slot, view)
    return view
  }

  /** The link's doorbell as it stands; undefined while chunk 0 is unknown. Load it before looking at slots, then wait with what was loaded. */
  bell(): number | undefined {
    return this.#chunks.get(0)?.mem.load(bellAt(this.#link))
  }

  /** Blocks this thread until the owner rings, at most `ms`; not at all if it has rung since `bell()` gave `seen`. May return for nothing. */
  wait(seen: number, ms: number): void {
    this.#chunks.get(0)?.mem.wait(bellAt(this.#link), seen, ms)
  }

  /** The view of a slot that a message names, if it is imported here. */
  find(slot: number, generation: number): SlotView | undefined {
    const view = this.#views.get(slot)
    return view?.generation === generation ? view : undefined
  }

  /** Slots that this side still remembers: 0 after quiescence. */
  stats(): { readonly chunks: number; readonly views: number } {
    return { chunks: this.#chunks.size, views: this.#views.size }
  }
}

function isLive(word: number, generation: number): boolean {
  return word >= 0 && generationOf(word) === generation && stateOf(word) !== FREE
}

function isIndex(value: unknown, end: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) < end
}

function isFixedShared(buffer: unknown): buffer is SharedArrayBuffer {
  if (typeof SharedArrayBuffer === 'undefined' || !(buffer instanceof SharedArrayBuffer)) return false
  // Newer than the library that this is compiled against.
  return (buffer as { growable?: boolean }).growable !== true
}
