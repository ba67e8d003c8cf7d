/** A machine: its clock, whether it runs, and all that it holds. Everything that runs on it runs through `run`. */
import type { Clock, Timer } from '../../lib/clock.ts'
import type { LinkHost } from '../../lib/bridge/link-host.ts'
import { afterFunc, type Context, createRoot, withTimeout } from '../../lib/context.ts'
import type { Due, Timeline } from '../../transports/testing/timeline.ts'
import type { Random } from '../fuzz/random.ts'
import { WholeTime } from './whole-time.ts'

/** The clock of a machine: its own origin and rate; timers are late, and early. */
export class NodeClock implements Clock {
  readonly #time: Timeline
  readonly #rate: number
  readonly #random: Random
  readonly #late: number
  readonly #early: boolean
  readonly #run: (f: () => void) => void
  #ahead: number
  #stands: number | undefined
  wallAhead: number
  /** The timer of the tree, which all deadlines share, and its place in time that is whole. */
  deadlines: { readonly f: (() => void) | undefined; readonly place: number } | undefined
  readonly armed = new Set<Due>()

  constructor(
    time: Timeline,
    random: Random,
    options: { readonly drift: number; readonly late: number; readonly early: boolean },
    run: (f: () => void) => void,
  ) {
    this.#time = time
    this.#random = random
    this.#rate = 1 + (options.drift * (random.below(2_001) - 1_000)) / 1_000
    this.#late = options.late
    this.#early = options.early
    const ahead = random.below(1_000_000) / 7
    this.#ahead = time instanceof WholeTime ? Math.floor(ahead) : ahead
    this.wallAhead = 1.9e12 + random.below(10_000)
    this.#run = run
  }

  now(): number {
    return this.#stands ?? this.#passed * this.#rate + this.#ahead
  }

  get #passed(): number {
    return this.#time instanceof WholeTime ? this.#time.whole : this.#time.now
  }

  wall(): number {
    return this.now() + this.wallAhead
  }

  setTimer(f: () => void, ms: number): Timer {
    if (!(ms >= 1 && ms <= 2 ** 30)) throw new RangeError(`setTimer() was given ${ms}, which no clock has to take.`)
    if (this.deadlines?.f === undefined && this.deadlines !== undefined) this.deadlines = { ...this.deadlines, f }
    const random = this.#random
    const early = this.#early && random.once(3) ? random.below(1_000) / 1_000 : 0
    const late = this.#late > 0 ? random.below(1 + this.#late * 100) / 100 : 0
    const fire = (): void =>
      this.#run(() => {
        if (this.armed.delete(timer)) f()
      })
    const timer: Due =
      this.#time instanceof WholeTime
        ? this.#time.setTimer(ms, fire, f === this.deadlines?.f ? this.deadlines.place : 0.25)
        : this.#time.set(this.#time.now + Math.max(0.01, ms - early + late) / this.#rate, fire)
    this.armed.add(timer)
    return timer
  }

  clearTimer(timer: Timer): void {
    if (this.armed.delete(timer as Due)) this.#time.unset(timer as Due)
  }

  /** From now on it stands still, as that of a machine that sleeps may. */
  stand(): void {
    this.#stands = this.now()
  }

  goOn(): void {
    if (this.#stands === undefined) return
    this.#ahead = this.#stands - this.#passed * this.#rate
    this.#stands = undefined
  }
}

/** What a plan says of all machines. */
interface Machinery {
  readonly drift: number
  readonly late: number
  readonly early: boolean
  readonly ahead: number
}

export interface Machine {
  readonly index: number
  readonly life: number
}

/** A process on a machine, from its start until it crashes. */
export class Process<M> implements Machine {
  readonly index: number
  readonly life: number
  readonly clock: NodeClock
  readonly root: Context
  readonly host: LinkHost<M>
  alive = true
  /** What is to be done when an import is collected. */
  readonly dropped = new Map<object, () => void>()
  /** When it last went on after a pause. */
  resumed = -Infinity
  /** All ids and tokens that it has made. */
  readonly ids: string[] = []
  readonly #time: Timeline
  readonly #ran: (process: this) => void
  #paused = false
  #since = 0
  #stood = 0
  #clockStands = false
  #wakes: Due | undefined
  #waiting: (() => void)[] = []

  constructor(
    time: Timeline,
    index: number,
    life: number,
    random: Random,
    options: Machinery,
    codec: LinkHost<M>['codec'],
    ran: (process: Process<M>) => void,
  ) {
    this.#time = time
    this.index = index
    this.life = life
    this.#ran = ran
    this.clock = new NodeClock(time, random, options, (f) => this.run(f))
    this.root = createRoot({ clock: this.clock, name: `n${index}` })
    if (time instanceof WholeTime) {
      this.clock.deadlines = { f: undefined, place: index / 100 }
      afterFunc(withTimeout(this.root, 1), () => undefined)()
    }
    this.host = {
      clock: this.clock,
      random: () => random.below(1_000_000) / 1_000_000,
      // All of one length: nobody may notice how many there were.
      id: () => {
        const id = `n${index}.${life}.${String(this.ids.length).padStart(6, '0')}`
        this.ids.push(id)
        return id
      },
      codec,
      defer: queueMicrotask,
      ahead: options.ahead,
      // Behind all that has arrived.
      afterReading: (f) => void time.set(time.now, () => void time.set(time.now, () => this.run(f))),
      onDropped: (target, f) => this.dropped.set(target, f),
      reporter: () => (error) => {
        throw error
      },
    }
  }

  /** Something happens on this machine: now, or when it is no longer paused, in order. */
  readonly run = (f: () => void): void => {
    if (!this.alive) return
    if (this.#paused || this.#waiting.length > 0) {
      this.#waiting.push(f)
      return
    }
    f()
    this.#ran(this)
  }

  /** How long the clock has stood still while time passed. */
  get stood(): number {
    return this.#stood + (this.#paused && this.#clockStands ? this.#time.now - this.#since : 0)
  }

  get paused(): boolean {
    return this.#paused
  }

  /** Nothing happens for so many milliseconds, then all at once. */
  pause(ms: number, clockStands: boolean): void {
    if (this.#paused) return
    this.#paused = true
    this.#since = this.#time.now
    this.#clockStands = clockStands
    if (clockStands) this.clock.stand()
    this.#wakes = this.#time.set(this.#time.now + ms, () => this.resume())
  }

  resume(): void {
    if (!this.#paused || this.#wakes === undefined) return
    this.#paused = false
    this.resumed = this.#time.now
    this.#time.unset(this.#wakes)
    if (this.#clockStands) {
      this.clock.goOn()
      this.#stood += this.#time.now - this.#since
    }
    this.#goOn()
  }

  /** What waited, each in a turn of its own, and nothing else before it. */
  #goOn(): void {
    if (this.#waiting.length === 0) return
    this.#time.set(this.#time.now, () => {
      if (this.#paused || !this.alive) return
      const f = this.#waiting.shift()
      f?.()
      this.#ran(this)
      this.#goOn()
    })
  }

  crash(): void {
    this.alive = false
    this.#waiting = []
    for (const timer of this.clock.armed) this.#time.unset(timer)
    this.clock.armed.clear()
  }
}
