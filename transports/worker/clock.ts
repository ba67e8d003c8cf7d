/**
 * How a deadline crosses from one thread to another, each of which has a clock of its own: `performance.now()` starts at 0 in each thread. All run at the same speed, so two of them differ by a constant. A deadline
 * must never fire early in another thread, so what is not known of that constant makes it later.
 *
 * In Node `process.hrtime` is one clock for all threads. By how much it differs from a thread's own cannot be read, only bracketed: of the readings shared, own, shared one after the other, the
 * difference lies between the first and the last. The tightest of several brackets is 1 to 2 microseconds wide at most, also where some of them were interrupted. A deadline is moved by the upper bound
 * when it leaves, and by the lower bound when it arrives.
 *
 * Browsers have no such clock: `performance.timeOrigin` is what the wall clock said when the thread started, and that may have been set since another one did. There a deadline leaves as an instant of its
 * thread's clock, and with it goes when it was sent. Whoever gets it compares that with its own clock: the difference is too large by the time that it was on its way, so the smallest that was ever seen is the
 * best, and still never too small.
 */

import { type Clock, hostClock } from '../../lib/clock.ts'
import { sharedNow } from './host.ts'

/** More than a float64 loses on an instant of the shared clock, for years. In ms. */
const margin = 1e-4
/**
 * Browsers round what they tell of the time, up or down, by up to 1 ms and in each thread by itself. Four readings are rounded: the two of a difference, the one by which a deadline has passed over there, and
 * the one by which it has here.
 */
const rounding = 4
const samples = 16

interface Bracket {
  readonly low: number
  readonly high: number
}

let bracket: Bracket | undefined

/** Where this thread's clock starts on the shared one, at the earliest and at the latest. */
function origin(shared: () => number): Bracket {
  if (bracket !== undefined) return bracket
  let low = -Infinity
  let high = Infinity
  for (let i = 0; i < samples; i++) {
    const before = shared()
    const own = hostClock.now()
    const after = shared()
    low = Math.max(low, before - own)
    high = Math.min(high, after - own)
  }
  return (bracket = { low: low - margin, high: high + margin })
}

/** An instant of this thread's clock, as other threads are told it. */
export function toPeers(at: number): number {
  return sharedNow === undefined ? at : at + origin(sharedNow).high
}

/** What is said beside a deadline of when it is sent, for `PeerClock.heard`; undefined where all threads share a clock. */
export function sentNow(): number | undefined {
  return sharedNow === undefined ? hostClock.now() : undefined
}

/** The clock of another thread, as this one knows it. */
export class PeerClock {
  readonly #own: Pick<Clock, 'now'> | undefined
  /** How far this thread's clock is ahead of the other one, at the most. */
  #ahead = Infinity

  /** @param own this thread's clock; left out where all threads share one */
  constructor(own: Pick<Clock, 'now'> | undefined = sharedNow === undefined ? hostClock : undefined) {
    this.#own = own
  }

  /** Something has come that was sent at that instant of the other clock. What is no instant says nothing. */
  heard(sent: unknown): void {
    if (this.#own !== undefined && typeof sent === 'number' && Number.isFinite(sent))
      this.#ahead = Math.min(this.#ahead, this.#own.now() - sent)
  }

  /** An instant that `toPeers` gave over there, by this thread's clock; never an earlier one. `Infinity` where nothing that was heard tells. */
  fromPeer(at: number): number {
    if (this.#own === undefined && sharedNow !== undefined) return at - origin(sharedNow).low
    return this.#ahead === Infinity ? Infinity : at + this.#ahead + rounding
  }
}
