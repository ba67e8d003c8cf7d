/** A budget that comes back with time. */

import type { Clock } from '../clock.ts'

/**
 * Full at first; holds `most` at most, and gains `perSecond`. It can be overdrawn by as much again. What time has brought is asked for once in a part of it: until then
 * what was taken counts as taken just now, so never more than `most` can be taken at once, and who takes slowly may find it one part short.
 */
export class Budget {
  readonly #clock: Clock
  readonly #most: number
  readonly #perSecond: number
  /** As much is taken before the clock is read again. */
  readonly #part: number
  #left: number
  /** What was left when the clock was last read, and when that was. */
  #had: number
  #at: number

  constructor(clock: Clock, most: number, perSecond: number) {
    this.#clock = clock
    this.#most = most
    this.#perSecond = perSecond
    this.#part = Math.ceil(most / 64)
    this.#left = this.#had = most
    this.#at = clock.now()
  }

  /** Takes one. Returns false, and takes nothing, where it is overdrawn as far as it can be. */
  take(): boolean {
    if (this.#left < 1 || this.#left <= this.#had - this.#part) this.#refill()
    if (this.#left < 1 - this.#most) return false
    this.#left--
    return true
  }

  /** Whether more was taken than there was. */
  get overdrawn(): boolean {
    return this.#left < 0
  }

  /** One that was taken was not used up. */
  giveBack(): void {
    this.#left = Math.min(this.#most, this.#left + 1)
  }

  #refill(): void {
    const now = this.#clock.now()
    const taken = this.#had - this.#left
    const had = Math.min(this.#most, this.#had + ((now - this.#at) / 1_000) * this.#perSecond)
    this.#left = this.#had = Math.min(this.#most, had - taken)
    this.#at = now
  }
}
