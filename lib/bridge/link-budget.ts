/** A budget that comes back with time. */

import type { Clock } from '../clock.ts'

/** Full at first; holds `most` at most, and gains `perSecond`. It can be overdrawn by as much again. */
export class Budget {
  readonly #clock: Clock
  readonly #most: number
  readonly #perSecond: number
  #left: number
  #at: number

  constructor(clock: Clock, most: number, perSecond: number) {
    this.#clock = clock
    this.#most = most
    this.#perSecond = perSecond
    this.#left = most
    this.#at = clock.now()
  }

  /** Takes one. Returns false, and takes nothing, where it is overdrawn as far as it can be. */
  take(): boolean {
    if (this.#left < 1) this.#refill()
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
    this.#left = Math.min(this.#most, this.#left + ((now - this.#at) / 1_000) * this.#perSecond)
    this.#at = now
  }
}
