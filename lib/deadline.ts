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

/** A deadline: shared by all contexts that it is the nearest one for. */
export class Deadline {
  /** By the tree's clock. */
  readonly at: number
  readonly cause: unknown
  readonly order: number
  protected readonly time: Time
  /** The date that it was given by. */
  private readonly given: number | undefined
  /** That, or what it came to when somebody first asked. */
  private shown: number | undefined

  constructor(at: number, cause: unknown, time: Time, date?: number) {
    this.at = at
    this.cause = cause
    this.order = nextOrder()
    this.time = time
    this.given = date
    this.shown = date
  }

  passed(): boolean {
    return this.time.clock.now() >= this.at
  }

  get date(): Date {
    const { clock } = this.time
    return new Date((this.shown ??= Math.round(Math.min(lastDate, Math.max(-lastDate, clock.wall() + (this.at - clock.now()))))))
  }

  /** Whether it is the one asked for. A wall clock may tell whole milliseconds only: then one Date, given twice, comes to two instants. */
  is(at: number, date: number | undefined): boolean {
    return this.at === at || (date !== undefined && this.given === date && Math.abs(this.at - at) < 2)
  }

  remaining(): number {
    return Math.max(0, this.at - this.time.clock.now())
  }

  /** The end that it is when it has passed. */
  end(): End {
    return new End('deadline', this.cause, this.at, undefined, this.order)
  }
}

const yielded = Promise.resolve()

/** One that something else guards: that ends its contexts at that time, and so a look may go by without a look at the clock. */
export class GuardedDeadline extends Deadline {
  /** How many looks more do. */
  private skips = 0
  /** How many looks there are from one reading to the next. */
  private stride = 1
  private read = -Infinity
  private lapses = false

  /**
   * Asked more than once per microsecond, it reads the clock ever more rarely, at every 16th time at last. So it may be late by as many looks as have followed each other as
   * quickly, and by 15 at most; but not once the thread has done what was queued before that, as after an `await`.
   */
  override passed(): boolean {
    if (this.skips > 0) {
      this.skips--
      return false
    }
    const now = this.time.clock.now()
    if (now >= this.at) return true
    this.stride = now - this.read < this.stride / 1_000 ? Math.min(16, this.stride * 2) : 1
    this.skips = this.stride - 1
    this.read = now
    if (this.skips > 0 && !this.lapses) this.lapse()
    return false
  }

  private lapse(): void {
    this.lapses = true
    void yielded.then(() => {
      this.lapses = false
      this.skips = 0
      this.stride = 1
    })
  }

  override remaining(): number {
    const left = super.remaining()
    if (left === 0) this.skips = 0
    return left
  }
}
