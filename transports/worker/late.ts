/** Handles that come when their contexts have ended already: for how long, and for how many, the ends are kept for them. */

import { hostClock } from '../../lib/clock.ts'
import { causeSize, type WireCause } from '../../lib/wire/cause.ts'

/** So long, in ms, if there are no more than so many on one link. */
export const KEPT_FOR = 60_000
export const MAX_KEPT = 16_384
/** And so much of all causes that are too long for a slot, in the size that a cause has on the wire. */
const MAX_SIZE = 16 * 1024 * 1024

/** One that has ended, of which a handle that was sent by hand may still come. */
export interface LateEnd {
  /** Whether all of its handles are back. */
  readonly isBack: boolean
  /** Whether somebody has it: over there, or in a call. It cannot be given up then; when that is over, others of its handles may still come. */
  readonly isClaimed: boolean
  /** False, and no change, where somebody has it. */
  giveUp(): boolean
  /** It is over. */
  drop(): void
}

/** The ends of one link that are kept. */
export class LateEnds {
  /** With when they ended, the oldest first: those that nobody has, and the others, which do not count. */
  readonly #unclaimed = new Map<LateEnd, number>()
  readonly #claimed = new Map<LateEnd, number>()

  add(end: LateEnd): void {
    const now = hostClock.now()
    this.#put(end, now)
    // Two for each that comes: so there are never more than there may be.
    this.#look(2, now)
  }

  delete(end: LateEnd): void {
    if (!this.#unclaimed.delete(end)) this.#claimed.delete(end)
  }

  /** Lets go of those that were kept for long enough: looks at `looks` of either kind at most, or at all. */
  expire(looks: number = Number.POSITIVE_INFINITY): void {
    this.#look(looks, hostClock.now())
  }

  #put(end: LateEnd, since: number): void {
    if (end.isClaimed) this.#claimed.set(end, since)
    else this.#unclaimed.set(end, since)
  }

  #look(looks: number, now: number): void {
    for (const [end, since] of first(this.#claimed, looks)) {
      this.#claimed.delete(end)
      if (end.isBack) end.drop()
      else this.#put(end, since)
    }
    for (const [end, since] of first(this.#unclaimed, looks)) {
      if (!end.isBack && this.#unclaimed.size <= MAX_KEPT && now - since < KEPT_FOR) continue
      this.#unclaimed.delete(end)
      if (end.isBack || end.giveUp()) end.drop()
      else this.#claimed.set(end, since)
    }
  }

  clear(): void {
    this.#unclaimed.clear()
    this.#claimed.clear()
  }
}

/** The first ones as they are now: what is put back at the end is not met again. */
function* first(map: ReadonlyMap<LateEnd, number>, count: number): Iterable<readonly [LateEnd, number]> {
  let left = Math.min(count, map.size)
  for (const entry of map) {
    if (left-- === 0) return
    yield entry
  }
}

interface Kept {
  readonly cause: WireCause
  readonly size: number
  readonly since: number
}

/** Causes that were too long for their slots, of contexts that nobody on this side had imported when they ended. */
export class LateCauses {
  /** By slot and generation, the oldest first. */
  readonly #kept = new Map<string, Kept>()
  #size = 0

  add(slot: number, generation: number, cause: WireCause): void {
    const key = keyOf(slot, generation)
    this.#delete(key)
    const size = causeSize(cause)
    this.#kept.set(key, { cause, size, since: hostClock.now() })
    this.#size += size
    this.expire()
  }

  /** Each handle of a context may ask. */
  get(slot: number, generation: number): WireCause | undefined {
    return this.#kept.get(keyOf(slot, generation))?.cause
  }

  /** Lets go of those that nobody can ask for any more, and of the oldest where there are too many. */
  expire(): void {
    const now = hostClock.now()
    for (const [key, { since }] of this.#kept) {
      if (this.#size <= MAX_SIZE && this.#kept.size <= MAX_KEPT && now - since < KEPT_FOR) return
      this.#delete(key)
    }
  }

  #delete(key: string): void {
    this.#size -= this.#kept.get(key)?.size ?? 0
    this.#kept.delete(key)
  }

  clear(): void {
    this.#kept.clear()
    this.#size = 0
  }
}

function keyOf(slot: number, generation: number): string {
  return `${slot}.${generation}`
}
