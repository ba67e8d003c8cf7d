/**
 * The clock that all threads of a process share, and how a thread's own instants become instants of it.
 *
 * `performance.now()` starts at 0 in each thread; `process.hrtime`, in browsers `performance.timeOrigin + performance.now()`, is one
 * clock for all. Both run at the same speed, so they differ by a constant. It cannot be read, only bracketed: of the readings shared, own, shared one after the other, the
 * difference lies between the first and the last. The tightest of several brackets is 1 to 2 microseconds wide at most, also
 * where some of them were interrupted.
 *
 * A deadline must never fire early in another thread. So it is moved by the upper bound when it leaves, and by the lower bound
 * when it arrives: each way it can only become later, by the width of a bracket, and by a margin for rounding.
 */

import { hostClock } from '../../lib/clock.ts'
import { sharedError, sharedNow } from './host.ts'

/** More than a float64 loses on an instant of this clock, for years, and what the threads' own readings differ by. In ms. */
const margin = 1e-4 + sharedError
const samples = 16

interface Bracket {
  readonly low: number
  readonly high: number
}

let bracket: Bracket | undefined

/** Where this thread's clock starts on the shared one, at the earliest and at the latest. */
function origin(): Bracket {
  if (bracket !== undefined) return bracket
  let low = -Infinity
  let high = Infinity
  for (let i = 0; i < samples; i++) {
    const before = sharedNow()
    const own = hostClock.now()
    const after = sharedNow()
    low = Math.max(low, before - own)
    high = Math.min(high, after - own)
  }
  return (bracket = { low: low - margin, high: high + margin })
}

/** An instant of this thread's clock as one of the shared clock; never an earlier one. */
export function toShared(at: number): number {
  return at + origin().high
}

/** An instant of the shared clock as one of this thread's; never an earlier one. */
export function fromShared(at: number): number {
  return at - origin().low
}
