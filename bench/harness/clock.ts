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
 * @param tick in which steps the coarser of the two counts, in ns
 * @throws Error where no offset explains all readings: one of the clocks jumped, or runs faster
 */
export async function compareClocks(
  between: string,
  ask: () => Promise<number> | number,
  samples = 300,
  near: () => number = now,
  tick = 0,
): Promise<ClockResult> {
  let [low, high] = [-Infinity, Infinity]
  for (let i = 0; i < samples; i++) {
    const before = near()
    const far = await ask()
    const after = near()
    low = Math.max(low, far - after)
    high = Math.min(high, far - before)
  }
  if (low > high + tick)
    throw new Error(`The clocks of ${between} do not keep step: no offset explains all of ${samples} readings.`)
  return { between, offset: (low + high) / 2, error: Math.abs(high - low) / 2, samples }
}

/** Two readers of one clock, that of the machine: their offset is zero within its error. @throws Error where it is not */
export function ofOneClock(result: ClockResult): ClockResult {
  const { between, offset, error } = result
  if (Math.abs(offset) > error)
    throw new Error(
      `The clocks of ${between} are ${Math.round(offset)} ns apart, give or take ${Math.round(error)} ns, where both read that of the machine.`,
    )
  return result
}
