/** A clock for tests: its time moves only when a test says so. */
import type { Clock, Timer } from '../../lib/clock.ts'
import { named, readOptions } from '../../lib/given.ts'
import { type Due, Timeline } from './timeline.ts'
import { turn } from './turn.ts'

/** A number of milliseconds, or what gives another one for each timer. */
export type Deviation = number | (() => number)

export interface FakeClockOptions {
  /** Fires timers so many milliseconds before their time, as Node may by up to 1. Default: 0. */
  readonly early?: Deviation
  /** Fires timers so many milliseconds after their time, as every host may. Default: 0. */
  readonly late?: Deviation
  /** Where the monotonic clock starts. Default: 1,000, since nothing may depend on where it does. */
  readonly now?: number
  /** Where the wall clock starts, in milliseconds since 1970. Default: the beginning of 2030. */
  readonly wall?: number
  /** How many milliseconds pass on this clock while one passes in truth. Default: 1. A good crystal is within 1e-4 of it. */
  readonly rate?: number
}

/** For `createRoot({ clock })`. Timers fire in the order of their instants, and in the order of setting where these are equal. */
export interface FakeClock extends Clock {
  early: Deviation
  late: Deviation
  /** How many timers are set. */
  readonly timers: number
  /** What each timer was set with. */
  readonly armed: readonly { readonly ms: number; readonly keepAlive: boolean }[]
  /** How many timers were ever set. */
  readonly count: number
  /**
   * Moves time on by so many milliseconds, and fires what comes due on the way, each at its instant. Behind each, and at last, all microtasks run:
   * what awaits goes on, and the timers that it sets fire in the same advance, where their time has come.
   */
  advance(ms: number): Promise<void>
  /** As `advance`, but no microtask runs before this returns. */
  advanceSync(ms: number): void
  /** Moves time on while nothing can fire, as a loop does that never yields. It fires with the next `advance`. */
  block(ms: number): void
  /** Steps the wall clock to an instant, in milliseconds since 1970, as a time server or a user does. The monotonic clock does not notice. */
  setWall(ms: number): void
  /** Another clock of the same time: each advance of one moves the other on, at its own rate. For two machines, as their clocks never agree. */
  another(options?: FakeClockOptions): FakeClock
}

/**
 * A clock whose time stands still until `advance` is called.
 *
 * @throws TypeError when an option is not of the stated form
 */
export function createFakeClock(options: FakeClockOptions = {}): FakeClock {
  return new TimelineClock(new Timeline(), checked('createFakeClock', options))
}

function checked(caller: string, options: FakeClockOptions): Required<FakeClockOptions> {
  const all = readOptions(
    caller,
    options,
    ['early', 'late', 'now', 'wall', 'rate'],
    ({ early = 0, late = 0, now = 1_000, wall = Date.UTC(2030, 0, 1), rate = 1 }) => ({ early, late, now, wall, rate }),
  )
  for (const [name, value] of Object.entries(all)) {
    const good = typeof value === 'function' ? name === 'early' || name === 'late' : Number.isFinite(value)
    if (!good) throw new TypeError(`${caller}() needs its option '${name}' to be a number, but got ${named(value)}.`)
  }
  if (!(all.rate > 0)) throw new TypeError(`${caller}() needs its option 'rate' to be above 0, but got ${all.rate}.`)
  return all
}

interface Armed {
  readonly ms: number
  readonly keepAlive: boolean
  readonly due: Due
}

const timelines = new WeakMap<FakeClock, Timeline>()

/** The time of a fake clock; undefined where that is none. */
export function timelineOf(clock: FakeClock): Timeline | undefined {
  return timelines.get(clock)
}

/** The end of all time, in case somebody asks for more. */
const longest = 1e300

class TimelineClock implements FakeClock {
  early: Deviation
  late: Deviation
  count = 0
  readonly rate: number
  readonly #time: Timeline
  /** What the clock shows beyond `rate` times the true time. */
  #ahead: number
  #wallAhead: number
  readonly #armed = new Set<Armed>()

  constructor(time: Timeline, { early, late, now, wall, rate }: Required<FakeClockOptions>) {
    this.early = early
    this.late = late
    this.rate = rate
    this.#time = time
    this.#ahead = now - time.now * rate
    this.#wallAhead = wall - now
    timelines.set(this, time)
  }

  now(): number {
    return this.#time.now * this.rate + this.#ahead
  }

  wall(): number {
    return this.now() + this.#wallAhead
  }

  setWall(ms: number): void {
    if (!Number.isFinite(ms)) throw new TypeError(`setWall() needs a number of milliseconds since 1970, but got ${named(ms)}.`)
    this.#wallAhead = ms - this.now()
  }

  setTimer(f: () => void, ms: number, keepAlive: boolean): Timer {
    if (!(ms >= 1 && ms <= 2 ** 30)) throw new RangeError(`setTimer() was given ${ms}, which no clock has to take.`)
    const early = typeof this.early === 'function' ? this.early() : this.early
    const late = typeof this.late === 'function' ? this.late() : this.late
    // Early, but never at once: some time always passes, so that what arms itself again comes to an end.
    const after = ms - early > 0.01 ? ms - early : Math.min(ms, 0.01)
    const due = this.#time.set(this.#time.now + (after + late) / this.rate, () => {
      this.#armed.delete(timer)
      f()
    })
    const timer: Armed = { ms, keepAlive, due }
    this.#armed.add(timer)
    this.count++
    return timer
  }

  clearTimer(timer: Timer): void {
    if (this.#armed.delete(timer as Armed)) this.#time.unset((timer as Armed).due)
  }

  get timers(): number {
    return this.#armed.size
  }

  get armed(): readonly { readonly ms: number; readonly keepAlive: boolean }[] {
    return [...this.#armed].map(({ ms, keepAlive }) => ({ ms, keepAlive }))
  }

  async advance(ms: number): Promise<void> {
    const until = this.#until(ms)
    await turn()
    // oxlint-disable-next-line no-await-in-loop -- timer after timer
    while (this.#time.step(until)) await turn()
    this.#time.pass(until)
    await turn()
  }

  advanceSync(ms: number): void {
    const until = this.#until(ms)
    while (this.#time.step(until));
    this.#time.pass(until)
  }

  block(ms: number): void {
    this.#time.pass(this.#until(ms))
  }

  another(options: FakeClockOptions = {}): FakeClock {
    return new TimelineClock(this.#time, checked('another', options))
  }

  /** The clock stands still although time passed, as that of a machine that slept may: shows so many milliseconds less. For simulations. */
  holdBack(ms: number): void {
    this.#ahead -= ms
  }

  #until(ms: number): number {
    if (!(ms >= 0)) throw new TypeError(`A clock moves on by a number of milliseconds from 0, but got ${named(ms)}.`)
    return this.#time.now + Math.min(longest, ms / this.rate)
  }
}
