/**
 * One slot as its owner has it: one context on one link.
 *
 * Every word has one writer at a time (see `slot-memory.ts`), but for RETURNED, which is exchanged: the owner writes all others. So an
 * end is a plain publication that nothing another thread did can make fail or wait, and there is nothing to retry.
 *
 * Holds. The owner's hold is a field of {@link Slot}; it ends with `end` or `withdraw`. The importer's is the difference of
 * two words: grants are numbered, GRANTED is the number of the last one made, RETURNED says "all up to here came to me, and
 * I am through with them". The slot is free when the owner let go and both are equal. Why this is sound:
 *
 * - A grant on its way counts from before its message is sent. An importer that gives back what it had until then
 *   returns lower numbers and cannot drop it: release against re-grant is no race, and needs no message back.
 * - RETURNED only says what came and is over. Sent twice, imported twice: the same number, so nothing is counted twice.
 * - The owner learns of a return by looking, a few slots at each `open` and when asked (`reclaim`). Nothing else says so,
 *   so an importer can be terminated at any instruction: either RETURNED was written or {@link SlotTable.sweep} takes it
 *   as written. There is no in-between, and no second message that could be lost or count double. DROPS only tells that
 *   it is worth a look.
 * - Numbers go on through the generations of a slot, so a RETURNED value belongs to one generation, and the importer's
 *   compareExchange from the value that it last knew includes the generation: late, after a sweep, it finds a
 *   greater number there and does nothing.
 * - A handle may never come: then nobody returns it. So the owner may give up what has ended, by returning all grants in the importer's place, as long as
 *   that has none imported. Both exchange one word for that, which has the importer's mark: one of them is first, and the other does nothing. A handle
 *   that comes after that finds its grant returned, and is refused.
 * - Anything else that somebody writes to RETURNED reads as "still held": it costs that slot until the sweep, no more.
 */

import type { Kind } from '../errors.ts'
import { Herald } from '../observers.ts'
import {
  bellAt,
  CANCELED,
  CAUSED,
  CONTROL,
  control,
  EXPIRED,
  FREE,
  GRANTED,
  LINK,
  MAX_GRANT,
  OPEN,
  RETURNED,
  ringAt,
  slotAt,
  storeCause,
  storeText,
} from './slot-memory.ts'
import type { SlotMem } from './slot-memory.ts'

/** What an importer needs to find a slot: plain data, to be sent once, over the link that the slot was opened for. */
export interface SlotHandle {
  readonly slot: number
  readonly generation: number
  readonly grant: number
}

/** What all slots of a table have in common. */
export interface SlotOwner {
  /** The memory of chunk 0. */
  readonly bells: SlotMem
  /** How many are in use that their owner has let go of: those that are free as soon as the importer has given them back. */
  letGo: number
}

/**
 * One context on one link. It is one object with what observes that context, so that an end gets from there to the slot without a step between: who keeps more with it
 * extends it. {@link SlotTable.open} gives it a slot, once; before that, after a sweep, and once free, every method returns false or undefined.
 */
export class Slot extends Herald {
  number = -1
  generation = 0
  link = 0
  /** The ring of all slots in use, which is the table's. */
  nextInUse: Slot | undefined = undefined
  #owner!: SlotOwner
  /** Of its chunk. Here, and not a step away: who polls in another thread waits for each. */
  #mem!: SlotMem
  #granted = 0
  #state: 'free' | 'unsent' | 'open' | 'let go'

  // Where it is left out, the compiler writes one that passes all arguments on, as a list that is made for it.
  constructor() {
    super()
    this.#state = 'free'
  }

  /** @internal For the table: makes it the next generation of a slot that is free, whose last one was `generation`, with `granted` as the number of its last grant. */
  place(owner: SlotOwner, mem: SlotMem, number: number, link: number, generation: number, granted: number): void {
    this.#owner = owner
    this.#mem = mem
    this.number = number
    this.link = link
    this.generation = generation + 1
    this.#granted = granted
    this.#state = 'unsent'
    const at = slotAt(number)
    mem.store(at + LINK, link)
    mem.store(at + CONTROL, control(this.generation, OPEN))
  }

  /** @internal For the table: makes it free, whoever holds it. False when its numbers are spent and it must not be opened again. */
  free(): boolean {
    const at = slotAt(this.number)
    if (this.#state === 'let go') this.#owner.letGo--
    this.#state = 'free'
    this.#mem.store(at + CONTROL, control(this.generation, FREE))
    // A swept importer left less here than was granted, and somebody else may have left anything. What an importer writes after this is too late.
    this.#mem.store(at + RETURNED, this.#granted)
    return this.#granted < MAX_GRANT
  }

  /** The number of the last grant. */
  get granted(): number {
    return this.#granted
  }

  /** Whether the owner can still end it. */
  get open(): boolean {
    return this.#state === 'open' || this.#state === 'unsent'
  }

  /** Whether a handle was ever made for it. */
  get used(): boolean {
    return this.#state !== 'unsent'
  }

  /** Whether the importer gave back every grant: nobody but the owner holds it, and no handle is on its way. */
  get returned(): boolean {
    return this.#state !== 'free' && this.#mem.load(slotAt(this.number) + RETURNED) === this.#granted
  }

  /** Whether somebody over there has it imported, as of now. */
  get imported(): boolean {
    return this.#state !== 'free' && this.#mem.load(slotAt(this.number) + RETURNED) < 0
  }

  /**
   * Gives all grants back in the importer's place. Only where the owner knows that the importer is through with them, and has nothing of them any more: it came to
   * know that by a message, so what the importer wrote was written before.
   */
  takeBack(): void {
    if (this.#state !== 'free') this.#mem.store(slotAt(this.number) + RETURNED, this.#granted)
  }

  /**
   * Keeps its end no longer for handles that have not come: gives back all grants in the importer's place, unless that has it imported. False, and no change, where it has, or where
   * the slot has not ended.
   */
  giveUp(): boolean {
    if (this.#state !== 'let go') return false
    const at = slotAt(this.number) + RETURNED
    const returned = this.#mem.load(at)
    return returned >= 0 && this.#mem.compareExchange(at, returned, this.#granted) === returned
  }

  /**
   * Grants it once more, one for each send: the handle to send has its number, its generation and `granted`. From here on the slot is held until the importer gives
   * this grant back, the grant is revoked, or the link is swept. False when the slot has ended (send the end instead) or its numbers are spent (open another).
   */
  lend(): boolean {
    if (!this.open || this.#granted === MAX_GRANT) return false
    this.#state = 'open'
    this.#mem.store(slotAt(this.number) + GRANTED, ++this.#granted)
    return true
  }

  /** As `lend`, with the handle. */
  grant(): SlotHandle | undefined {
    return this.lend() ? { slot: this.number, generation: this.generation, grant: this.#granted } : undefined
  }

  /** Takes back a handle that was never sent, say because `postMessage` threw. Only the last one made can be taken back. */
  revoke(handle: Partial<SlotHandle>): boolean {
    const { slot, generation, grant } = handle
    if (this.#state === 'free' || slot !== this.number || generation !== this.generation) return false
    if (grant !== this.#granted) return false
    this.#mem.store(slotAt(this.number) + GRANTED, --this.#granted)
    return true
  }

  /**
   * Ends it: when this returns, whoever loads the slot sees the end, with this cause, and the link's bell has been rung. The
   * first end counts; a later one returns false and changes nothing. The owner's hold is gone with it.
   *
   * @param cause at most `CAUSE_BYTES`, copied. A longer one is cut off there and marked as shortened: the end never fails
   */
  end(kind: Kind, cause?: Uint8Array, shortened = false): boolean {
    if (!this.open) return false
    if (cause === undefined) this.#publish(kind, 0)
    else {
      storeCause(this.#mem, slotAt(this.number), cause, shortened)
      this.#publish(kind, CAUSED)
    }
    return true
  }

  /** As `end`, with a text as the cause. False, and no change, also where the text is not ASCII or has more than `CAUSE_BYTES`: then it is to be encoded. */
  endWithText(kind: Kind, text: string): boolean {
    if (!this.open || !storeText(this.#mem, slotAt(this.number), text)) return false
    this.#publish(kind, CAUSED)
    return true
  }

  /** Who polls sees the end from the first of these stores on, so that one comes first; who waits is woken by the bell. */
  #publish(kind: Kind, caused: 0 | typeof CAUSED): void {
    const state = (kind === 'canceled' ? CANCELED : EXPIRED) | caused
    this.#mem.store(slotAt(this.number) + CONTROL, control(this.generation, state))
    this.#state = 'let go'
    this.#owner.letGo++
    ringBell(this.#owner.bells, this.link, this.number)
  }

  /** Lets go without an end, because the context lives on and nobody imports it. False, and no change, where somebody holds it. */
  withdraw(): boolean {
    if (!this.open || !this.returned) return false
    this.#state = 'let go'
    this.#owner.letGo++
    return true
  }

  /** Whoever listens to the slot hears of a cancel before anybody here; but not where the cause takes long to encode. */
  override announce(kind: Kind, cause: unknown): boolean {
    this.endShortly(kind, cause)
    return true
  }

  /** As `end`, where the cause needs no encoding, which would take longer than all else; false, and no change, where it does. */
  endShortly(kind: Kind, cause: unknown): boolean {
    return cause === undefined ? this.end(kind) : typeof cause === 'string' && this.endWithText(kind, cause)
  }

  /** The context has ended: for whoever extends it. */
  override run(): void {}
}

/** Tells who waits that a slot of the link has ended. The owner alone rings, so nobody else moves the bell between these. */
function ringBell(bells: SlotMem, link: number, slot: number): void {
  const bell = bellAt(link)
  bells.store(ringAt(link, bells.load(bell)), slot)
  bells.add(bell, 1)
  bells.notify(bell)
}
