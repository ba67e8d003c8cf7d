/** Counting samples, and what is said of them. */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks'
import type { Percentiles } from './model.ts'

/** A histogram takes whole numbers from 1: values are kept in thousandths. */
const scale = 1_000

/** The middle one, or the mean of the two in the middle. NaN of nothing. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** By linear interpolation between the two nearest ranks. NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const rank = share * (sorted.length - 1)
  const [low, high] = [sorted[Math.floor(rank)], sorted[Math.ceil(rank)]]
  if (low === undefined || high === undefined) return Number.NaN
  return low + (high - low) * (rank - Math.floor(rank))
}

/** The shares at which a cumulative curve is kept: dense where tails are. */
const shares: readonly number[] = [
  ...Array.from({ length: 19 }, (_, i) => (i + 1) / 20),
  0.01,
  0.975,
  0.98,
  0.985,
  0.99,
  0.995,
  0.998,
  0.999,
  0.9995,
  0.9999,
  1,
].sort((a, b) => a - b)

/** All samples of one contender, in a histogram of three figures. */
export class Samples {
  readonly #histogram: RecordableHistogram = createHistogram({ figures: 3 })
  #round: number[] = []
  #max = 0
  readonly rounds: number[] = []

  /**
   * Values below a thousandth count as a thousandth.
   *
   * @throws RangeError where it is below zero: nothing is seen before it happens, so one of the clocks is wrong
   */
  record(value: number): void {
    if (!(Number.isFinite(value) && value >= 0))
      throw new RangeError(`A sample must be a finite number, and not below zero, but this one is ${value}.`)
    this.#histogram.record(Math.max(1, Math.round(value * scale)))
    this.#round.push(value)
    if (value > this.#max) this.#max = value
  }

  endRound(): void {
    if (this.#round.length > 0) this.rounds.push(median(this.#round))
    this.#round = []
  }

  get count(): number {
    return this.#histogram.count
  }

  #at(share: number): number {
    return this.#histogram.percentile(share * 100) / scale
  }

  percentiles(): Percentiles {
    const tail = (share: number): number | undefined => (this.count * (1 - share) >= 2 - 1e-6 ? this.#at(share) : undefined)
    const [p99, p999] = [tail(0.99), tail(0.999)]
    return {
      p50: this.#at(0.5),
      p90: this.#at(0.9),
      ...(p99 !== undefined && { p99 }),
      ...(p999 !== undefined && { p999 }),
      max: this.#max,
    }
  }

  curve(): [share: number, value: number][] {
    return shares.filter((share) => share === 1 || this.count * (1 - share) >= 1).map((share) => [share, this.#at(share)])
  }
}
