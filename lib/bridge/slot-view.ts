/** One slot as its importer has it. */

import type { End } from '../end.ts'
import type { Kind } from '../errors.ts'
import { Source } from '../source.ts'
import { Ahead } from './ahead.ts'
import {
  CANCELED,
  CAUSED,
  CONTROL,
  control,
  EXPIRED,
  FREE,
  GRANTED,
  generationOf,
  IMPORTED,
  loadCause,
  OPEN,
  RETURNED,
  slotAt,
  slotThere,
} from './slot-memory.ts'
import type { SlotCause, SlotMem } from './slot-memory.ts'

/** How a slot ended. */
export interface SlotEnd {
  readonly kind: Kind
  readonly cause: SlotCause | undefined
}

const canceled: SlotEnd = { kind: 'canceled', cause: undefined }
const expired: SlotEnd = { kind: 'deadline', cause: undefined }

/** The chunk that a slot lies in, as its importer has it. */
export interface ReadChunk {
  readonly number: number
  readonly mem: SlotMem
  /** Whether grants are given back from here. */
  readonly returns: boolean
  /** Of those views that have some: grants that came ahead of others. */
  readonly ahead: Map<SlotView, Ahead>
  /** Told of the last release. */
  forget(view: SlotView): void
}

/**
 * One imported slot, in one generation. All imports of it share this object; each is released once.
 *
 * It is one object with what ends the context that is made of the first import: who keeps more with it extends it. {@link SlotReader.accept} gives it a slot, once.
 *
 * Keep it and ask `isOpen()` in a loop: that is one load and one compare of integers.
 */
export class SlotView extends Source {
  #chunk!: ReadChunk
  #at = 0
  #open = 0
  /** Whatever the importer keeps with it. */
  tag: unknown = undefined
  #imports = 0
  /** What RETURNED holds, as far as we know: we alone write it in this generation. */
  #returned = 0
  /** All grants up to here have come; and so have those that its chunk knows to be ahead, which are beyond the next. Mostly there are none. */
  #received: number

  // Written for the reason for which that of a `Slot` is.
  constructor() {
    super()
    this.#received = 0
  }

  /** @internal For the reader. */
  place(chunk: ReadChunk, slot: number, generation: number, returned: number): void {
    this.#chunk = chunk
    this.#at = slotAt(slot)
    this.#open = control(generation, OPEN)
    this.#returned = this.#received = returned
  }

  get slot(): number {
    return slotThere(this.#chunk.number, this.#at)
  }

  get generation(): number {
    return generationOf(this.#open)
  }

  /**
   * Whether the owner has not ended it, as of now. False is not the whole answer (ended, or gone): `read()` has it. Asks
   * the memory each time, so keep a false.
   */
  isOpen(): boolean {
    return this.#chunk.mem.glance(this.#at + CONTROL) === this.#open
  }

  /**
   * How it stands. An end stays as it was read until this is released, or the link is closed: so who keeps one asks no more. `stale`: the
   * owner took the slot back, so the link was closed; `corrupt`: see {@link SlotRefusal}.
   */
  read(): SlotEnd | 'open' | 'stale' | 'corrupt' {
    const { mem } = this.#chunk
    const word = mem.load(this.#at + CONTROL)
    // In another generation the word differs by more than a state can.
    const state = word - this.#open + OPEN
    if (state === CANCELED) return canceled
    if (state === EXPIRED) return expired
    if (state === OPEN) return 'open'
    // The owner makes it free, and opens it with a later generation: all else is somebody's who is not the owner.
    if (state !== (CANCELED | CAUSED) && state !== (EXPIRED | CAUSED)) return state === FREE || state > 7 ? 'stale' : 'corrupt'
    const cause = loadCause(mem, this.#at)
    // The owner writes a cause only after it moved the word on: the same word before and after, and all of it is of this end.
    if (mem.load(this.#at + CONTROL) !== word) return 'stale'
    if (cause === undefined) return 'corrupt'
    return { kind: state === (CANCELED | CAUSED) ? 'canceled' : 'deadline', cause }
  }

  /**
   * Gives back one import: to be called once for each `accept` that gave this view. Returns true for the last one, which lets go of
   * the slot: from then on the view must not be asked. A later `accept` may give it again, or another.
   */
  release(): boolean {
    if (this.#imports === 0) return false
    if (--this.#imports > 0) return false
    if (this.#chunk.returns) {
      // Includes the generation, as grants are numbered through all of them. It fails only if the link was swept, and then
      // there is nothing to give back, or if somebody else wrote here, and then the owner holds the slot until the sweep.
      this.#chunk.mem.compareExchange(this.#at + RETURNED, this.#returned | IMPORTED, this.#received)
      this.#returned = this.#received
    }
    // Grants that came ahead of others are known nowhere else: remembered until the gap is filled or the slot is reused.
    if (SlotView.#aheadOf(this) === undefined) this.#chunk.forget(this)
    return true
  }

  /** @internal One more import, by this grant. False where the grant was given back already, or the owner has given it up. */
  take(grant: number): boolean {
    if (this.#chunk.returns && !SlotView.#receive(this, grant)) return false
    this.#imports++
    return true
  }

  static #receive(view: SlotView, grant: number): boolean {
    const ahead = SlotView.#aheadOf(view)
    const again = grant <= view.#received || ahead?.has(grant) === true
    // The same handle again shares the import while there is one. After that it is over, and the slot perhaps not ours.
    if (view.#imports === 0 && (again || !SlotView.#hold(view))) return false
    if (again) return true
    if (grant === view.#received + 1 && ahead === undefined) view.#received = grant
    else SlotView.#overtake(view, ahead ?? new Ahead(), grant)
    return true
  }

  /** From here on the owner cannot give it up. False where it has, or where the link was swept. */
  static #hold(view: SlotView): boolean {
    const returned = view.#returned
    return view.#chunk.mem.compareExchange(view.#at + RETURNED, returned, returned | IMPORTED) === returned
  }

  static #aheadOf(view: SlotView): Ahead | undefined {
    const { ahead } = view.#chunk
    return ahead.size === 0 ? undefined : ahead.get(view)
  }

  static #overtake(view: SlotView, ahead: Ahead, grant: number): void {
    view.#received = ahead.receive(grant, view.#received)
    if (ahead.isEmpty) view.#chunk.ahead.delete(view)
    else view.#chunk.ahead.set(view, ahead)
  }

  /** Whether handles of it are out that have not come. */
  get isAwaited(): boolean {
    return this.#chunk.mem.load(this.#at + GRANTED) > this.#received
  }

  /** How the context stands: for whoever extends it. */
  override poll(): End | undefined {
    return undefined
  }

  override label(): string {
    return 'Import'
  }
}
