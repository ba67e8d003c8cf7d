/** Two runs, or two contenders of one run, compared with regard to their spread. */
import type { Run, SuiteResult } from './model.ts'
import { median } from './samples.ts'

export type Verdict = 'faster' | 'slower' | 'same' | 'too few rounds'

export interface Comparison {
  /** New over old, of the medians of the rounds. */
  readonly ratio: number
  /** How likely rounds of one and the same program differ so. */
  readonly p: number
  readonly verdict: Verdict
}

/** A difference counts where chance makes one like it less often than this, */
const significance = 0.01
/** and where it is larger than this: two processes of the same program differ by some percent. */
const noticeable = 0.05

/** Of the medians of rounds; what is less is faster, or smaller. */
export function compare(before: readonly number[], after: readonly number[]): Comparison {
  const ratio = median(after) / median(before)
  const p = mannWhitney(before, after)
  // Not even rounds that lie wholly apart would count: of 4 and 4 they do so by chance in 3 of a hundred.
  if (apart(before.length, after.length) >= significance) return { ratio, p, verdict: 'too few rounds' }
  if (p >= significance || Math.abs(Math.log(ratio)) < Math.log(1 + noticeable)) return { ratio, p, verdict: 'same' }
  return { ratio, p, verdict: ratio < 1 ? 'faster' : 'slower' }
}

/** How likely it is that all of so many rounds lie below all of so many others, or above. */
function apart(before: number, after: number): number {
  return mannWhitney(Array<number>(before).fill(0), Array<number>(after).fill(1))
}

/**
 * The Mann-Whitney test, exact and two-sided: how often two random halves of the same values are as unlike as these. It asks nothing of
 * their distribution, and one outlier among the rounds moves it by one rank only. Ties count as half.
 */
export function mannWhitney(a: readonly number[], b: readonly number[]): number {
  const [m, n] = [a.length, b.length]
  if (m === 0 || n === 0) return 1
  let u = 0
  for (const x of a) for (const y of b) u += x < y ? 1 : x === y ? 0.5 : 0
  const ways = waysByU(m, n)
  const all = ways.reduce((sum, x) => sum + x, 0)
  const edge = Math.min(u, m * n - u)
  let below = 0
  for (let i = 0; i <= edge; i++) below += ways[i] ?? 0
  return Math.min(1, (2 * below) / all)
}

/** In how many orders of `m` and `n` values each U comes about: the coefficients of the Gaussian binomial. */
function waysByU(m: number, n: number): number[] {
  let ways = [1]
  for (let k = 1; k <= m; k++) {
    const size = k * n + 1
    // Times (1 - x^(n+k)), then divided by (1 - x^k).
    const product = Array.from({ length: size }, (_, i) => (ways[i] ?? 0) - (ways[i - n - k] ?? 0))
    for (let i = k; i < size; i++) product[i] = (product[i] ?? 0) + (product[i - k] ?? 0)
    ways = product
  }
  return ways
}

export interface Line extends Comparison {
  readonly suite: string
  readonly name: string
  readonly before: number
  readonly after: number
  /**
   * Of ours, where its suite has a limit: the same of what each round took in limits, of which it holds one in the same round. A machine that was slower then or
   * now was so for both, so what is found here is of the library.
   */
  readonly inLimits?: Comparison & { readonly limit: string }
}

/** All that both runs measured. */
export function compareRuns(before: Run, after: Run): Line[] {
  const lines: Line[] = []
  for (const suite of after.suites) {
    const old = before.suites.find(({ id }) => id === suite.id)
    for (const result of suite.results) {
      const was = old?.results.find(({ name }) => name === result.name)
      if (was === undefined) continue
      const found = compare(was.rounds, result.rounds)
      const inLimits = result.kind === 'ours' && old !== undefined ? compareInLimits(old, suite, result.name) : undefined
      lines.push({
        suite: suite.id,
        name: result.name,
        before: median(was.rounds),
        after: median(result.rounds),
        ...found,
        ...(inLimits !== undefined && { inLimits }),
      })
    }
  }
  return lines
}

/** By the fastest limit that both have measured in all rounds of ours: in both runs the same one. */
function compareInLimits(before: SuiteResult, after: SuiteResult, name: string): Line['inLimits'] {
  const inUnits = ({ results }: SuiteResult, limit: string): number[] | undefined => {
    const [ours, unit] = [name, limit].map((name) => results.find((one) => one.name === name)?.rounds)
    return ours === undefined || unit?.length !== ours.length
      ? undefined
      : ours.map((value, i) => value / (unit[i] ?? Number.NaN))
  }
  const found = after.results.flatMap(({ name: limit, kind, rounds }) => {
    const old = before.results.find((one) => one.name === limit && one.kind === 'limit')
    const [was, is] = [inUnits(before, limit), inUnits(after, limit)]
    if (kind !== 'limit' || old === undefined || was === undefined || is === undefined) return []
    // Of both runs, so that it does not matter which is the earlier.
    return [{ limit, was, is, speed: median(rounds) * median(old.rounds) }]
  })
  const [fastest] = found.toSorted((a, b) => a.speed - b.speed)
  return fastest && { limit: fastest.limit, ...compare(fastest.was, fastest.is) }
}

/** How much slower this machine was than that of the other run, by what neither run's library has a part in: the limits and the platform. */
export function machineRatio(before: Run, after: Run): number | undefined {
  const ratios = compareRuns(before, after)
    .filter(({ suite, name }) => {
      const kind = after.suites.find(({ id }) => id === suite)?.results.find((result) => result.name === name)?.kind
      return kind === 'limit' || kind === 'platform'
    })
    .map(({ ratio }) => ratio)
  return ratios.length === 0 ? undefined : median(ratios)
}
