/** Handles that come when their contexts have ended already: for how long, and for how many, the ends are kept for them. */

import { hostClock } from '../../lib/clock.ts'
import { causeSize, type WireCause } from '../../lib/wire/cause.ts'

/** So long, in ms, if there are no more than so many on one link. */
export const KEPT_FOR = 60_000
export const MAX_KEPT = 16_384
/** And so much of all causes that are too long for a slot, in the size that a cause has on the wire. */
const MAX_SIZE = 16 * 1024 * 1024

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
