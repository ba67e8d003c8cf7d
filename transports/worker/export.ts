/** This thread's table of slots, and what stands in it for a context that another thread has. */

import { Slot, type SlotHandle } from '../../lib/bridge/slot.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import type { End } from '../../lib/end.ts'
import { Herald, type Observer, unobserve } from '../../lib/observers.ts'
import type { Scope } from '../../lib/scope.ts'
import type { ContextHandle } from './handle.ts'
import { beforeExit, randomId, warn } from './host.ts'
import type { LateEnd } from './late.ts'
import { Numbered } from './link-numbers.ts'
import type { ToldSlot } from './told.ts'

/** Tells this thread's contexts from those of all others of the process. */
export const tableId: number = randomId()

/** What exports over one link, as the table and the exports know it. */
export interface Owner {
  /** How many contexts that go by messages alone are not given back. */
  readonly told: number
  /** Lets go of the ends that were kept for late handles for as long as is promised; or looks only whether there are such that are too old. */
  giveUpLate(onlyOld: boolean): void
  announce(chunk: number, buffer: SharedArrayBuffer): void
  /** The context of an export has ended. Runs synchronously, right after it was marked. */
  ended(held: Export, end: End): void
  /** One call of an export is over. */
  release(held: Export): void
  /** A handle for a call was not sent. */
  revoked(held: Export, handle: ContextHandle): void
  /** A handle of a slot was not sent, and was not the last one. */
  unsent(handle: SlotHandle): void
  /** An export is over. */
  forget(held: Export): void
  /** What it exports never ends: it is the only one of its channel, and stands for a signal that was collected. */
  never(): void
  close(): void
}

/** How many contexts may be out at once: in whole chunks, of which the first ones are smaller. */
const LIMIT = 262_080

let table: SlotTable | undefined
/** Those who export at present, by the numbers of their links. */
export const owners: Numbered<Owner> = new Numbered()

/** The table of this thread: made with the first link that exports, and shared by all of them. */
export function threadTable(): SlotTable {
  if (table !== undefined) return table
  // Who polls in another thread, and does not yield, learns it from the table alone.
  beforeExit(() => {
    for (const owner of owners) owner.close()
  })
  return (table = new SlotTable({
    id: tableId,
    limit: LIMIT,
    onGrow: (chunk, buffer) => {
      for (const owner of owners) owner.announce(chunk, buffer)
    },
  }))
}

/** What this thread exports at present, over all of its links. What was given back is taken back first. */
export function tableStats(): { readonly slots: number; readonly chunks: number } {
  let told = 0
  for (const owner of owners) {
    owner.giveUpLate(false)
    told += owner.told
  }
  if (table === undefined) return { slots: told, chunks: 0 }
  for (const slot of table.reclaim()) drop(slot)
  const { inUse, chunks } = table.stats()
  return { slots: inUse + told, chunks }
}

let hasWarned = false

/** Gives an export a slot. False where the table is full, which is told once. */
export function openIn(table: SlotTable, link: number, held: Export): boolean {
  if (table.open(link, held) !== undefined) return true
  // Perhaps of those that nobody has asked for since.
  for (const owner of owners) owner.giveUpLate(true)
  if (table.open(link, held) !== undefined) return true
  if (!hasWarned) {
    hasWarned = true
    const how = 'further ones go by messages alone, and a loop over there that never yields does not see them end.'
    warn(`There is no shared memory for more of the contexts that this thread has sent, which is for ${LIMIT} at most: ${how}`)
  }
  return false
}

/** Stops observing contexts that nobody on the other side holds any more: looks at `limit` slots at most. */
export function collect(from: SlotTable, limit: number): void {
  for (const slot of from.reclaimDropped(limit)) drop(slot)
}

function drop(slot: Slot): void {
  if (slot instanceof Export) slot.drop()
}

/** One context on one link, for as long as it lives and somebody needs it there: what observes the context and its slot, in one. */
export class Export extends Slot implements LateEnd {
  readonly #owner: Owner
  /** How many calls have it that are not over. */
  calls = 0
  /** Whether it was also sent by hand: of such a handle nobody says when it is over, or whether it ever comes. */
  byHand = false
  /** Whether a call was given up that may go on over there. */
  abandoned = false
  /** Whether its end is kept for such handles. */
  isLate = false
  /** What it has in place of a slot, where it goes by messages alone. */
  told: ToldSlot | undefined = undefined

  constructor(owner: Owner) {
    super()
    this.#owner = owner
  }

  /** What stands for a live context with one owner: the last one made. Heralds come first among those who observe it, and there is one for each link. */
  static of({ watch }: Scope, owner: Owner): Export | undefined {
    for (let o: Observer | undefined = watch?.listeners; o instanceof Herald; o = o.next)
      if (o instanceof Export && o.#owner === owner) return o
    return undefined
  }

  /** A live context, which nobody else observes, will never end: those who have imported it may let go of it. */
  static never({ watch }: Scope): void {
    for (let o: Observer | undefined = watch?.listeners; o instanceof Export; o = o.next) o.#owner.never()
  }

  get slot(): Slot | ToldSlot {
    return this.told ?? this
  }

  get isBack(): boolean {
    return this.slot.returned
  }

  /** By messages alone, whoever has imported it was told. */
  get isClaimed(): boolean {
    return this.calls > 0 || (this.told === undefined && this.imported)
  }

  override giveUp(): boolean {
    if (this.told === undefined) return super.giveUp()
    this.told.takeBack()
    return true
  }

  /** The table has it back. */
  override free(): boolean {
    if (this.isLate) this.#owner.forget(this)
    return super.free()
  }

  override run(): void {
    const end = this.of?.scope.end as End
    // As long as somebody has a handle, it stays: without the context, and without who else listened to that.
    this.of = this.next = this.previous = undefined
    this.#owner.ended(this, end)
  }

  /** Stops observing. */
  drop(): void {
    unobserve(this)
    this.#owner.forget(this)
  }
}

/** A handle for a call, and what becomes of it. One of the two functions is called, once. */
export class Grant {
  readonly handle: ContextHandle
  readonly #owner: Owner
  /** Undefined where the handle says all of it: its context has ended, or never will. */
  readonly #held: Export | undefined

  constructor(owner: Owner, held: Export | undefined, handle: ContextHandle) {
    this.#owner = owner
    this.#held = held
    this.handle = handle
    if (held !== undefined) held.calls++
  }

  /** It was not sent. Of several grants, the last one made goes first. */
  revoke(): void {
    if (this.#held === undefined) return
    const { slot } = this.#held
    this.#owner.revoked(this.#held, this.handle)
    // Those that were made later, by code that ran when this was to be sent, may be out: the importer must not wait for this one.
    if (!slot.revoke(this.handle) && this.#held.byHand)
      this.#owner.unsent({ slot: slot.number, generation: slot.generation, grant: this.handle.grant as number })
    this.release()
  }

  /** The call is over on this side alone: its context ends over there with the last call that has it now, if not before. */
  abandon(): void {
    if (this.#held !== undefined) this.#held.abandoned = true
    this.release()
  }

  /** The call is over, and the other side has given back what it imported for it. */
  release(): void {
    if (this.#held !== undefined) this.#owner.release(this.#held)
  }
}
