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

/** After so many more, or half as many as there are, all of them are looked at. */
const STEP = 4096

/** The ends of one link that are kept. */
export class LateEnds {
  /** With when they ended, the oldest first: those that nobody has, and the others, which do not count. */
  readonly #unclaimed = new Map<LateEnd, number>()
  readonly #claimed = new Map<LateEnd, number>()
  #most = MAX_KEPT

  add(end: LateEnd): void {
    this.#put(end, hostClock.now())
    if (this.#size > this.#most) this.expire()
  }

  delete(end: LateEnd): void {
    if (!this.#unclaimed.delete(end)) this.#claimed.delete(end)
  }

  get #size(): number {
    return this.#unclaimed.size + this.#claimed.size
  }

  #put(end: LateEnd, since: number): void {
    if (end.isClaimed) this.#claimed.set(end, since)
    else this.#unclaimed.set(end, since)
  }

  /** Lets go of those that are back, that were kept for long enough, or that are too many. */
  expire(): void {
    const now = hostClock.now()
    for (const [end, since] of [...this.#claimed]) {
      this.#claimed.delete(end)
      if (end.isBack) end.drop()
      else this.#put(end, since)
    }
    for (const [end, since] of this.#unclaimed) if (end.isBack || now - since >= KEPT_FOR) this.#giveUp(end, since)
    for (const [end, since] of this.#unclaimed) {
      if (this.#unclaimed.size <= MAX_KEPT) break
      this.#giveUp(end, since)
    }
    this.#most = this.#size + Math.max(STEP, this.#size / 2)
  }

  /** As `expire`, where it would let go of some for their age. */
  expireOld(): void {
    const [oldest] = this.#unclaimed.values()
    if (oldest !== undefined && hostClock.now() - oldest >= KEPT_FOR) this.expire()
  }

  #giveUp(end: LateEnd, since: number): void {
    this.#unclaimed.delete(end)
    if (end.isBack || end.giveUp()) end.drop()
    else this.#claimed.set(end, since)
  }

  clear(): void {
    this.#unclaimed.clear()
    this.#claimed.clear()
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
