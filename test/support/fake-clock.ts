import type { Clock } from 'ctxbridge'

export interface FakeClockOptions {
  /** Fires timers up to so many milliseconds before their time, as Node may: from 0 to 1. Default 0. */
  readonly early?: number
  /** Fires timers so many milliseconds after their time, as every host may. Default 0. */
  readonly late?: number
  /** Where the monotonic clock starts. Default 1,000, since nothing may depend on where it does. */
  readonly now?: number
  /** Where the wall clock starts, in milliseconds since 1970. Default: the beginning of 2030. */
  readonly wall?: number
}

interface Armed {
  readonly f: () => void
  readonly at: number
  readonly ms: number
  readonly keepAlive: boolean
}

/**
 * A clock whose time moves only when a test says so. Timers fire in the order of their instants, and in the order of
 * arming where these are equal; what a timer arms fires in the same advance, where its time has come.
 */
export class FakeClock implements Clock {
  early: number
  late: number
  /** How many timers were ever armed. */
  count = 0
  #now: number
  #wallAhead: number
  readonly #armed = new Set<Armed>()

  constructor({ early = 0, late = 0, now = 1_000, wall = Date.UTC(2030, 0, 1) }: FakeClockOptions = {}) {
    this.early = early
    this.late = late
    this.#now = now
    this.#wallAhead = wall - now
  }

  now(): number {
    return this.#now
  }

  wall(): number {
    return this.#now + this.#wallAhead
  }

  /** Steps the wall clock, as a time server or a user does; the monotonic clock does not notice. */
  setWall(ms: number): void {
    this.#wallAhead = ms - this.#now
  }

  setTimer(f: () => void, ms: number, keepAlive: boolean): Armed {
    if (!(ms >= 1 && ms <= 2 ** 30)) throw new RangeError(`setTimer() was given ${ms}, which no clock has to take.`)
    // Early, but never at once: some time always passes, so that what arms itself again comes to an end.
    const after = ms - this.early > 0.01 ? ms - this.early : Math.min(ms, 0.01)
    const timer = { f, at: this.#now + after + this.late, ms, keepAlive }
    this.#armed.add(timer)
    this.count++
    return timer
  }

  clearTimer(timer: unknown): void {
    this.#armed.delete(timer as Armed)
  }

  /** How many host timers are armed. */
  get timers(): number {
    return this.#armed.size
  }

  /** What each armed timer was armed with. */
  get armed(): readonly { readonly ms: number; readonly keepAlive: boolean }[] {
    return [...this.#armed].map(({ ms, keepAlive }) => ({ ms, keepAlive }))
  }

  /** Moves time on, firing what comes due on the way, each at its instant. */
  advance(ms: number): void {
    const until = this.#now + ms
    for (let next = this.#next(until); next !== undefined; next = this.#next(until)) {
      this.#armed.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.f()
    }
    this.#now = until
  }

  /** Moves time on while no timer can fire: what a loop does that never yields. They fire with the next `advance`. */
  block(ms: number): void {
    this.#now += ms
  }

  #next(until: number): Armed | undefined {
    let first: Armed | undefined
    for (const timer of this.#armed) if (timer.at <= until && (first === undefined || timer.at < first.at)) first = timer
    return first
  }
}
