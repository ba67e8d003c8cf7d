/**
 * Time, as a value: a context tree takes its clock from its root, so that a simulation can have one of its own.
 * This is the one file of `lib` that names the host, and its clocks and timers.
 */

/** What a context tree needs of time. All instants and spans are in milliseconds and may be fractions. */
export interface Clock {
  /** A monotonic instant, from any origin: never steps back, and a change of the wall clock does not move it. */
  now(): number
  /** Milliseconds since 1970 by the wall clock. Only to take and to show a `Date`; nothing is decided by it. */
  wall(): number
  /**
   * Calls `f` once, about `ms` from now: late is expected, early is tolerated. Whoever set a timer clears it.
   * @param ms from 1 to 2^30
   * @param keepAlive whether the process must stay for this timer
   */
  setTimer(f: () => void, ms: number, keepAlive: boolean): Timer
  clearTimer(timer: Timer): void
}

/** What a clock's `setTimer` returned: only that clock knows what it is. */
export type Timer = unknown

// Taken at import: what a test framework puts in their place later must not change a running program's clock.
const { setTimeout, clearTimeout, performance, Date } = globalThis

/** As much of Node as is used here. */
interface Host {
  readonly version?: string
  getBuiltinModule?(name: 'node:async_hooks'): { readonly AsyncResource: new (type: string) => Nobody }
}

interface Nobody {
  runInAsyncScope<T>(f: () => T): T
}

const host = (globalThis as { readonly process?: Host }).process
const hooks = host?.getBuiltinModule?.('node:async_hooks')
const nobody = hooks && new hooks.AsyncResource('ctxbridge')

/** Whether signals are those of Node 20: see `controllerFor`. */
export const isNode20: boolean = host?.version?.startsWith('v20') === true

/**
 * Runs `f` on nobody's behalf: not in the `AsyncLocalStorage` of whoever happens to run, but in that of this module's import, which mostly is none. For what many share:
 * a timer, or a wait for another thread. It would hold the store of whoever came first, and show it to all others.
 */
export function forNobody<T>(f: () => T): T {
  return nobody === undefined ? f() : nobody.runInAsyncScope(f)
}

/** The machine's own clock: monotonic, and one timer of the host for all that is due. */
export const hostClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  setTimer(f, ms, keepAlive) {
    const timer: unknown = setTimeout(f, ms)
    if (!keepAlive) (timer as { unref?: () => void }).unref?.()
    return timer
  },
  clearTimer: (timer) => clearTimeout(timer as number),
}

/** Whether a value is a clock, as far as can be seen. */
export function isClock(value: unknown): value is Clock {
  const clock = value as Partial<Clock> | null
  return (
    typeof clock === 'object' &&
    clock !== null &&
    [clock.now, clock.wall, clock.setTimer, clock.clearTimer].every((member) => typeof member === 'function')
  )
}

/** The host's timers take no more than 2^31-1 ms, and fire at once for more: a longer wait is made of several. */
const longest = 2 ** 30

/** The delay to give to a host's timer for an instant that may be far, near, or past. */
export function delayUntil(at: number, now: number): number {
  return Math.min(longest, Math.max(1, Math.ceil(at - now)))
}

/** Calls `f` once, `ms` from now or a little later, never sooner, however long that is; `Infinity`: never. Returns what takes it back, also after it was called. */
export function after(clock: Clock, ms: number, keepAlive: boolean, f: () => void): () => void {
  const at = clock.now() + ms
  let timer: Timer
  const check = (): void => {
    const now = clock.now()
    if (now >= at) f()
    else timer = clock.setTimer(check, delayUntil(at, now), keepAlive)
  }
  timer = clock.setTimer(check, delayUntil(ms, 0), keepAlive)
  return () => clock.clearTimer(timer)
}

/** Something that is due at an instant. Owned by the one who sets it, who also takes it back. */
export class Alarm<T> {
  readonly at: number
  readonly what: T
  /** Its place in the heap; -1 while it is not set. */
  index = -1

  constructor(at: number, what: T) {
    this.at = at
    this.what = what
  }
}

/**
 * All alarms of one clock, behind a single timer of the host that keeps no process alive: a heap, so that setting and
 * taking back cost O(log n). `ring` gets what is due, earliest first, and never before its instant.
 */
export class Timetable<T> {
  readonly clock: Clock
  readonly #ring: (due: Alarm<T>[]) => void
  readonly #heap: Alarm<T>[] = []
  #timer: Timer = undefined
  #armedFor = Infinity

  constructor(clock: Clock, ring: (due: Alarm<T>[]) => void) {
    this.clock = clock
    this.#ring = ring
  }

  /** How many alarms are set. */
  get size(): number {
    return this.#heap.length
  }

  set(alarm: Alarm<T>): void {
    this.#place(alarm, this.#heap.length)
    this.#rise(alarm)
    this.#arm()
  }

  /** Takes an alarm back. With the last one goes the host's timer; one that is not set is left as it is. */
  unset(alarm: Alarm<T>): void {
    if (alarm.index < 0) return
    this.#remove(alarm)
    if (this.#heap.length === 0) this.#disarm()
  }

  /** Rings what is due by now, and tells whether anything was. Whoever decides the order of events calls this first: a host's timer may be late. */
  catchUp(now: number): boolean {
    let first = this.#heap[0]
    if (first === undefined || !(first.at <= now)) return false
    const due: Alarm<T>[] = []
    for (; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.#remove(first)
      due.push(first)
    }
    if (this.#heap.length === 0) this.#disarm()
    // Also where somebody else than the timer has found it.
    forNobody(() => this.#ring(due))
    return true
  }

  #arm(): void {
    const first = this.#heap[0]
    if (first === undefined || first.at >= this.#armedFor) return
    this.#disarm()
    this.#armedFor = first.at
    const ms = delayUntil(first.at, this.clock.now())
    this.#timer = forNobody(() => this.clock.setTimer(this.#tick, ms, false))
  }

  #disarm(): void {
    if (this.#armedFor === Infinity) return
    this.#armedFor = Infinity
    this.clock.clearTimer(this.#timer)
    this.#timer = undefined
  }

  // The host may have been early, or the wait too long for one timer, or its alarm taken back: arm for what is first now.
  readonly #tick = (): void => {
    this.#timer = undefined
    this.#armedFor = Infinity
    try {
      this.catchUp(this.clock.now())
    } finally {
      this.#arm()
    }
  }

  #place(alarm: Alarm<T>, index: number): void {
    this.#heap[index] = alarm
    alarm.index = index
  }

  #rise(alarm: Alarm<T>): void {
    for (;;) {
      const above = (alarm.index - 1) >> 1
      const parent = this.#heap[above]
      if (alarm.index === 0 || parent === undefined || parent.at <= alarm.at) return
      this.#place(parent, alarm.index)
      this.#place(alarm, above)
    }
  }

  #sink(alarm: Alarm<T>): void {
    for (;;) {
      const left = 2 * alarm.index + 1
      const [a, b] = [this.#heap[left], this.#heap[left + 1]]
      const child = b !== undefined && a !== undefined && b.at < a.at ? b : a
      if (child === undefined || child.at >= alarm.at) return
      const index = child.index
      this.#place(child, alarm.index)
      this.#place(alarm, index)
    }
  }

  #remove(alarm: Alarm<T>): void {
    const index = alarm.index
    const last = this.#heap.pop()
    alarm.index = -1
    if (last === undefined || last === alarm) return
    this.#place(last, index)
    this.#rise(last)
    this.#sink(last)
  }
}
