/** What bounds a context in time. */
import type { Timetable } from './clock.ts'
import { End, nextOrder } from './end.ts'
import type { Scope } from './scope.ts'

export type Time = Timetable<Scope>

/** What bounds a scope from above: one object for it and for all that are derived from it plainly. */
export class Bounds {
  readonly time: Time
  /** The nearest deadline. */
  readonly due: Deadline | undefined
  /** The nearest scope, itself included, that may end without telling: it is asked at every look. `true`: the very scope that has these, and so many may share them, until something is derived from one. */
  readonly live: Scope | true | undefined

  constructor(time: Time, due?: Deadline, live?: Scope | true) {
    this.time = time
    this.due = due
    this.live = live
  }
}

/** The last instant that a `Date` can show. What is due later is never due. */
export const lastDate = 8.64e15

/** Of a deadline that something else guards: when a look may go by without a look at the clock. */
class Guard {
  /** How many looks more do. */
  skips = 0
  read = -Infinity
}

/** A deadline: shared by all contexts that it is the nearest one for. */
export class Deadline {
  /** By the tree's clock. */
  readonly at: number
  readonly cause: unknown
  readonly order: number
  readonly #time: Time
  readonly #given: number | undefined
  #date: number | undefined
  readonly #guard: Guard | undefined

  /** @param guarded something else ends its contexts at that time: a look may rely on that, see `passed` */
  constructor(at: number, cause: unknown, time: Time, date?: number, guarded = false) {
    this.at = at
    this.cause = cause
    this.order = nextOrder()
    this.#time = time
    this.#given = date
    this.#date = date
    this.#guard = guarded ? new Guard() : undefined
  }

  /** Whether it has passed. A guarded one that is asked more than once per microsecond reads the clock at every 16th time: it may be 15 looks late. */
  passed(): boolean {
    const guard = this.#guard
    return guard === undefined ? this.#time.clock.now() >= this.at : this.#passed(guard)
  }

  #passed(guard: Guard): boolean {
    if (guard.skips > 0) {
      guard.skips--
      return false
    }
    const now = this.#time.clock.now()
    if (now >= this.at) return true
    if (now - guard.read < 0.016) guard.skips = 15
    guard.read = now
    return false
  }

  get date(): Date {
    const { clock } = this.#time
    return new Date((this.#date ??= Math.round(Math.min(lastDate, Math.max(-lastDate, clock.wall() + (this.at - clock.now()))))))
  }

  /** Whether it is the one asked for. A wall clock may tell whole milliseconds only: then one Date, given twice, comes to two instants. */
  is(at: number, date: number | undefined): boolean {
    return this.at === at || (date !== undefined && this.#given === date && Math.abs(this.at - at) < 2)
  }

  remaining(): number {
    const left = this.at - this.#time.clock.now()
    if (left > 0) return left
    if (this.#guard !== undefined) this.#guard.skips = 0
    return 0
  }

  /** The end that it is when it has passed. */
  end(): End {
    return new End('deadline', this.cause, this.at, undefined, this.order)
  }
}
