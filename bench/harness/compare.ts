/** Two runs, line by line, with regard to what differs between two runs of one and the same program. */
import type { Run, SuiteResult, Unit } from './model.ts'
import { median } from './samples.ts'

/** `unclear`: as far apart as would count, and so spread that chance may have done it. */
export type Verdict = 'faster' | 'slower' | 'same' | 'unclear' | 'too few rounds'

export interface Comparison {
  /** New over old, of the medians of the rounds. */
  readonly ratio: number
  /** How likely it is that chance puts the rounds of any line of the comparison so far apart. It says nothing of two processes: that is what the margin is for. */
  readonly p: number
  readonly verdict: Verdict
}

/** A difference counts where chance makes one like it, in any line of the comparison, less often than this, */
const significance = 0.01

/**
 * and where it is larger than this factor. The rounds of a suite are those of one process, and each process of the same program has a pace of its own: how its code
 * is compiled, and where its data lie, is settled at its start and holds for all of its rounds. Such processes were seen to differ by a factor of up to 1.21.
 * Bytes are the same whatever the compiler does.
 */
export const margin: Readonly<Record<Unit, number>> = { ns: 1.25, bytes: 1.05 }

/** Rounds on either side, at least: of fewer it is not known how they are spread. */
const fewest = 5

/** Two sets of rounds, before it is known how many comparisons there are. */
export interface Difference {
  readonly before: readonly number[]
  readonly after: readonly number[]
  readonly unit: Unit
}

/** A verdict on each; what is less is faster, or smaller. */
export function compare(all: readonly Difference[]): Map<Difference, Comparison> {
  const enough = all.filter(({ before, after }) => Math.min(before.length, after.length) >= fewest)
  const likely = holm(enough.map(({ before, after }) => welch(before, after)))
  return new Map(
    all.map((one): [Difference, Comparison] => {
      const ratio = median(one.after) / median(one.before)
      const p = likely[enough.indexOf(one)]
      if (p === undefined) return [one, { ratio, p: 1, verdict: 'too few rounds' }]
      const beyond = Math.abs(Math.log(ratio)) > Math.log(margin[one.unit])
      const verdict = !beyond ? 'same' : p >= significance ? 'unclear' : ratio < 1 ? 'faster' : 'slower'
      return [one, { ratio, p, verdict }]
    }),
  )
}

/**
 * Holm's correction: what each of so many probabilities is worth, so that the chance to call any of equals different is what it is for one alone. The least of n
 * counts n times, the next one n - 1 times, and so on.
 */
export function holm(all: readonly number[]): number[] {
  const corrected = all.map(() => 1)
  let least = 0
  const order = all.map((p, i) => [p, i] as const).sort(([a], [b]) => a - b)
  for (const [rank, [p, i]] of order.entries()) {
    least = Math.max(least, Math.min(1, p * (all.length - rank)))
    corrected[i] = least
  }
  return corrected
}

/**
 * Welch's test of the logarithms, two-sided: how likely it is that two samples of equal means differ so, whatever the spread of each. Unlike a test by ranks it
 * can tell what six rounds show even among hundreds of lines; one outlier among them makes it more careful.
 */
export function welch(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [ofLogs(a), ofLogs(b)]
  const difference = Math.abs(x.mean - y.mean)
  const error = x.error + y.error
  if (error === 0) return difference === 0 ? 1 : 0
  const freedom = error ** 2 / (x.error ** 2 / (a.length - 1) + y.error ** 2 / (b.length - 1))
  // A whole number below it, for which there is a sum: it makes the test a little more careful.
  return student(difference / Math.sqrt(error), Math.max(1, Math.floor(freedom)))
}

/** The mean, and the square of its standard error. */
function ofLogs(values: readonly number[]): { mean: number; error: number } {
  const logs = values.map(Math.log)
  const mean = logs.reduce((sum, x) => sum + x, 0) / logs.length
  const variance = logs.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (logs.length - 1)
  return { mean, error: variance / logs.length }
}

/** How much of Student's distribution lies beyond `t` on both sides, by its sum for a whole number of degrees of freedom. */
export function student(t: number, freedom: number): number {
  const angle = Math.atan(t / Math.sqrt(freedom))
  const [sin, cos] = [Math.sin(angle), Math.cos(angle)]
  const odd = freedom % 2
  let [sum, term] = [0, odd === 1 ? cos : 1]
  for (let k = odd; k <= freedom - 2; k += 2) {
    sum += term
    term *= (cos ** 2 * (k + 1)) / (k + 2)
  }
  const within = odd === 1 ? (2 / Math.PI) * (angle + sin * sum) : sin * sum
  return Math.max(0, 1 - within)
}

export interface Line extends Comparison {
  readonly suite: string
  readonly name: string
  readonly before: number
  readonly after: number
  /**
   * Of ours, where its suite has a limit: the same of what each round took in limits, of which it holds one in the same round. A machine that was slower then or
   * now was so for both, and has no part in this. The process has one: it is as much another one as for the rounds as they are.
   */
  readonly inLimits?: Comparison & { readonly limit: string }
}

/** All that both runs measured. */
export function compareRuns(before: Run, after: Run): Line[] {
  const pairs = after.suites.flatMap((suite) => {
    const old = before.suites.find(({ id }) => id === suite.id)
    return suite.results.flatMap((result) => {
      const was = old?.results.find(({ name }) => name === result.name)
      if (old === undefined || was === undefined) return []
      const asItIs: Difference = { before: was.rounds, after: result.rounds, unit: suite.unit }
      return [{ suite, result, asItIs, inLimits: result.kind === 'ours' ? limitsOf(old, suite, result.name) : undefined }]
    })
  })
  const found = compare(pairs.flatMap(({ asItIs, inLimits }) => (inLimits === undefined ? [asItIs] : [asItIs, inLimits])))
  return pairs.map(({ suite, result, asItIs, inLimits }) => {
    const held = inLimits && { ...(found.get(inLimits) as Comparison), limit: inLimits.limit }
    return {
      suite: suite.id,
      name: result.name,
      before: median(asItIs.before),
      after: median(asItIs.after),
      ...(found.get(asItIs) as Comparison),
      ...(held !== undefined && { inLimits: held }),
    }
  })
}

/** By the fastest limit that both have measured in all rounds of ours: in both runs the same one. */
function limitsOf(before: SuiteResult, after: SuiteResult, name: string): (Difference & { limit: string }) | undefined {
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
    return [{ limit, before: was, after: is, unit: after.unit, speed: median(rounds) * median(old.rounds) }]
  })
  return found.toSorted((a, b) => a.speed - b.speed)[0]
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
