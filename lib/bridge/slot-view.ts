/** One slot as its importer has it. */

import type { End } from '../end.ts'
import type { Kind } from '../errors.ts'
import { Source } from '../source.ts'
import { CANCELED, CAUSED, CONTROL, control, EXPIRED, generationOf, loadCause, OPEN, RETURNED, slotAt } from './slot-memory.ts'
import type { SlotCause, SlotMem } from './slot-memory.ts'

/** How a slot ended. */
export interface SlotEnd {
  readonly kind: Kind
  readonly cause: SlotCause | undefined
}

const canceled: SlotEnd = { kind: 'canceled', cause: undefined }
const expired: SlotEnd = { kind: 'deadline', cause: undefined }

// Once so many handles have overtaken one, that one is taken for lost: a handle that nobody imports must not cost more and more.
const MAX_AHEAD = 1024

/** The chunk that a slot lies in, as its importer has it. */
export interface ReadChunk {
  readonly mem: SlotMem
  /** Told of the last release. */
  forget(view: SlotView): void
}

/**
 * One imported slot, in one generation. All imports of it share this object; each is released once.
 *
 * It is one object with what ends the context that is made of the first import: who keeps more with it extends it. {@link SlotReader.accept} gives it a slot, once.
 *
 * Keep it and ask `isOpen()` in a loop: that is one `Atomics.load` and one compare of integers.
 */
export class SlotView extends Source {
  slot = -1
  /** Undefined for none: so most hold no number of their own. */
  #deadline: number | undefined = undefined
  #chunk!: ReadChunk
  #at = 0
  #open = 0
  /** Whatever the importer keeps with it. */
  tag: unknown = undefined
  #end: SlotEnd | undefined = undefined
  #imports = 0
  /** What RETURNED holds, as far as we know: we alone write it in this generation. */
  #returned = 0
  /** All grants up to here have come; and so have those in `#ahead`, which are beyond the next. Mostly there are none. */
  #received = 0
  #ahead: Set<number> | undefined

  // Written for the reason for which that of a `Slot` is.
  constructor() {
    super()
    this.#ahead = undefined
  }

  /** @internal For the reader. */
  place(chunk: ReadChunk, slot: number, generation: number, deadline: number, returned: number): void {
    this.#chunk = chunk
    this.slot = slot
    this.#at = slotAt(slot)
    this.#open = control(generation, OPEN)
    this.#returned = this.#received = returned
    if (deadline !== Number.POSITIVE_INFINITY) this.#deadline = deadline
  }

  get generation(): number {
    return generationOf(this.#open)
  }

  /** ms, on the clock that all threads of the process share; Infinity where there is none. Never changes. */
  get deadline(): number {
    return this.#deadline ?? Number.POSITIVE_INFINITY
  }

  /**
   * Whether the owner has not ended it, as of now. False is not the whole answer (ended, or gone): `read()` has it. Asks
   * the memory each time, so keep a false.
   */
  isOpen(): boolean {
    return this.#chunk.mem.load(this.#at + CONTROL) === this.#open
  }

  /**
   * How it stands. An end, once read, is the same object at every later call, whatever the memory says by then. `stale`: the
   * owner took the slot back without an end, so the link was closed; `corrupt`: see {@link SlotRefusal}.
   */
  read(): SlotEnd | 'open' | 'stale' | 'corrupt' {
    if (this.#end !== undefined) return this.#end
    const { mem } = this.#chunk
    const word = mem.load(this.#at + CONTROL)
    // In another generation the word differs by more than a state can.
    const state = word - this.#open + OPEN
    if (state === CANCELED) return (this.#end = canceled)
    if (state === EXPIRED) return (this.#end = expired)
    if (state === OPEN) return 'open'
    if (state !== (CANCELED | CAUSED) && state !== (EXPIRED | CAUSED)) return 'stale'
    const cause = loadCause(mem, this.#at)
    // The owner writes a cause only after it moved the word on: the same word before and after, and all of it is of this end.
    if (mem.load(this.#at + CONTROL) !== word) return 'stale'
    if (cause === undefined) return 'corrupt'
    return (this.#end = { kind: state === (CANCELED | CAUSED) ? 'canceled' : 'deadline', cause })
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
      this.#chunk.mem.compareExchange(this.#at + RETURNED, this.#returned, this.#received)
      this.#returned = this.#received
    }
    // Grants that came ahead of others are known nowhere else: remembered until the gap is filled or the slot is reused.
    if (this.#ahead === undefined) this.#chunk.forget(this)
    return true
  }

  /** @internal One more import, by this grant. False where the grant was given back already. */
  take(grant: number, returns: boolean): boolean {
    if (!returns) {
      // `#received` stays what `#returned` is: nothing is ever given back.
    } else if (grant <= this.#received || this.#ahead?.has(grant)) {
      // The same handle again: shares the import while there is one. After that it is over, and the slot perhaps not ours.
      if (this.#imports === 0) return false
    } else if (grant === this.#received + 1 && this.#ahead === undefined) {
      this.#received = grant
    } else {
      SlotView.#overtake(this, grant)
    }
    this.#imports++
    return true
  }

  static #overtake(view: SlotView, grant: number): void {
    const ahead = (view.#ahead ??= new Set())
    if (ahead.size === MAX_AHEAD) view.#received = Math.min(...ahead) - 1
    ahead.add(grant)
    while (ahead.delete(view.#received + 1)) view.#received++
    if (ahead.size === 0) view.#ahead = undefined
  }

  /** How the context stands: for whoever extends it. */
  override poll(): End | undefined {
    return undefined
  }

  override label(): string {
    return 'Import'
  }
}
