/**
 * The clock of all measurements: `process.hrtime`, the system's monotonic clock, which is one for all threads and processes of a machine.
 * That it is one is not believed but measured, before each run, by bracketing; the width of the bracket is the error of every latency
 * that begins on one side and ends on the other.
 */
import type { ClockResult } from './model.ts'

/** Nanoseconds by the machine's monotonic clock. Exact for 104 days of uptime. */
export function now(): number {
  return Number(process.hrtime.bigint())
}

/**
 * The far clock against ours. The far side reads its clock between two readings of ours, so the offset lies between
 * `far - after` and `far - before`. Each exchange gives such a bracket, and the truth is in all of them: the offset is in their intersection.
 *
 * @param ask resolves with a reading of the far clock
 * @param near our clock, in ns; that of a page is not `now`
 */
export async function compareClocks(
  between: string,
  ask: () => Promise<number> | number,
  samples = 300,
  near: () => number = now,
): Promise<ClockResult> {
  let [low, high] = [-Infinity, Infinity]
  for (let i = 0; i < samples; i++) {
    const before = near()
    const far = await ask()
    const after = near()
    low = Math.max(low, far - after)
    high = Math.min(high, far - before)
  }
  return { between, offset: (low + high) / 2, error: Math.abs(high - low) / 2, samples }
}
