/** The arithmetic of the measurements: a wrong percentile would be believed. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { exponent, growth } from '../../bench/harness/growth.ts'
import { randomFrom, shuffled } from '../../bench/harness/random.ts'
import { median, quantile, Samples } from '../../bench/harness/samples.ts'
import { figures, show, table } from '../../bench/harness/text.ts'

function samplesOf(values: readonly number[]): Samples {
  const samples = new Samples()
  for (const value of values) samples.record(value)
  samples.endRound()
  return samples
}

test('the median is the middle one, or the mean of the two in the middle', () => {
  expect(median([3, 1, 2])).toBe(2)
  expect(median([4, 1, 3, 2])).toBe(2.5)
  expect(median([7])).toBe(7)
  expect(median([])).toBeNaN()
})

test('quantiles lie between the nearest ranks', () => {
  expect(quantile([0, 10], 0.25)).toBe(2.5)
  expect(quantile([5, 1, 3], 0)).toBe(1)
  expect(quantile([5, 1, 3], 1)).toBe(5)
})

test('percentiles of the numbers from 1 to 10,000 are those numbers, within a thousandth', () => {
  const { p50, p90, p99, p999, max } = samplesOf(Array.from({ length: 10_000 }, (_, i) => i + 1)).percentiles()
  expect(p50 / 5_000).toBeCloseTo(1, 2)
  expect(p90 / 9_000).toBeCloseTo(1, 2)
  expect((p99 ?? 0) / 9_900).toBeCloseTo(1, 2)
  expect((p999 ?? 0) / 9_990).toBeCloseTo(1, 2)
  expect(max).toBe(10_000)
})

test('values below one keep their figures', () => {
  expect(samplesOf([0.25, 0.5, 0.75]).percentiles().p50).toBeCloseTo(0.5, 3)
})

test('a percentile that so few samples cannot tell is not given', () => {
  expect(samplesOf(Array.from({ length: 199 }, () => 1)).percentiles().p99).toBeUndefined()
  const enough = samplesOf(Array.from({ length: 200 }, () => 1)).percentiles()
  expect([enough.p99, enough.p999]).toEqual([1, undefined])
  expect(samplesOf(Array.from({ length: 2_000 }, () => 1)).percentiles().p999).toBe(1)
})

test('a round is kept as its median, and an empty one not at all', () => {
  const samples = samplesOf([1, 2, 30])
  samples.endRound()
  samples.record(5)
  samples.endRound()
  expect(samples.rounds).toEqual([2, 5])
  expect(samples.count).toBe(4)
})

test('what is no number is refused', () => {
  expect(() => new Samples().record(Number.NaN)).toThrow(RangeError)
  expect(() => new Samples().record(Number.POSITIVE_INFINITY)).toThrow('finite')
})

test('what would have been seen before it happened is refused, and not counted as little', () => {
  const samples = new Samples()
  expect(() => samples.record(-1)).toThrow('not below zero, but this one is -1')
  expect(samples.count).toBe(0)
  samples.record(0)
  expect(samples.count).toBe(1)
})

test('a cumulative curve never falls, ends with the greatest, and claims no tail that was not seen', () => {
  const values = fc.array(fc.double({ min: 0.01, max: 1e9, noNaN: true }), { minLength: 1, maxLength: 300 })
  fc.assert(
    fc.property(values, (values) => {
      const samples = samplesOf(values)
      const curve = samples.curve()
      for (const [i, [share, value]] of curve.entries()) {
        if (share < 1) expect(values.length * (1 - share)).toBeGreaterThanOrEqual(1)
        expect(value).toBeGreaterThanOrEqual(curve[i - 1]?.[1] ?? 0)
      }
      expect(curve.at(-1)?.[0]).toBe(1)
      expect((curve.at(-1)?.[1] ?? 0) / Math.max(0.001, samples.percentiles().max)).toBeCloseTo(1, 1)
    }),
  )
})

test('growth is told from the slope on logarithmic axes', () => {
  const points = (f: (n: number) => number): [number, number][] => [1, 10, 100, 1_000, 10_000].map((n) => [n, f(n)])
  expect(exponent(points(() => 7))).toBeCloseTo(0)
  expect(exponent(points((n) => 3 * n))).toBeCloseTo(1)
  expect(exponent(points((n) => n * n))).toBeCloseTo(2)
  expect(
    growth(
      points(() => 7),
      'linear',
    ),
  ).toBe('constant (n^0.00)')
  expect(
    growth(
      points((n) => 50 + 3 * n),
      'linear',
    ),
  ).toMatch(/^linear/)
  expect(
    growth(
      points((n) => Math.sqrt(n)),
      'linear',
    ),
  ).toMatch(/^less than linear/)
  expect(
    growth(
      points((n) => n ** 1.4),
      'linear',
    ),
  ).toMatch(/^more than linear/)
  expect(growth([[1, 5]], 'linear')).toBe('one point')
})

test('a knee is found where a step is steeper than expected by more than half a power', () => {
  /** As meant until 1,000, and then a step of that power. */
  const bent = (expected: 'constant' | 'linear', power: number): string => {
    const at = (n: number): number => (expected === 'linear' ? 10 * n : 10)
    return growth([...[1, 10, 100, 1_000].map((n) => [n, at(n)] as const), [10_000, at(1_000) * 10 ** power]], expected)
  }
  expect(bent('linear', 1.4)).not.toContain('knee')
  expect(bent('linear', 1.6)).toContain('a knee above 1,000')
  expect(bent('constant', 0.4)).not.toContain('knee')
  expect(bent('constant', 0.6)).toContain('a knee above 1,000')
  // Each one's share is constant, and then linear: that is quadratic in all.
  expect(bent('constant', 1)).toContain('a knee above 1,000')
  expect(bent('linear', 1)).not.toContain('knee')
})

test('a knee is looked for from 100 on, or from a hundredth of the greatest count where that is less', () => {
  const linear = (counts: readonly number[], knee: number): string =>
    growth(
      counts.map((n) => [n, n <= knee ? n : n ** 2 / knee]),
      'linear',
    )
  expect(linear([1, 2, 4, 8], 1)).toContain('a knee above 1')
  expect(linear([1, 2, 4, 8], 4)).toContain('a knee above 4')
  expect(linear([1, 30, 300, 3_000], 30)).toContain('a knee above 30')
  expect(linear([1, 10, 100, 1_000, 10_000], 100)).toContain('a knee above 100')
  // Noise at small counts: a step up, and no more.
  const stepped = (counts: readonly number[], at: number): string =>
    growth(
      counts.map((n) => [n, n <= at ? n : n * 10]),
      'linear',
    )
  expect(stepped([1, 29, 300, 3_000], 29)).not.toContain('knee')
  expect(stepped([1, 10, 100, 1_000, 10_000], 10)).not.toContain('knee')
  expect(stepped([1, 10, 100, 1_000, 10_000, 100_000, 1_000_000], 10)).not.toContain('knee')
  expect(stepped([1, 10, 100, 1_000, 10_000, 100_000, 1_000_000], 100)).toContain('a knee above 100')
})

test('an order is random, whole, and the same for the same seed', () => {
  const items = Array.from({ length: 20 }, (_, i) => i)
  const order = shuffled(items, randomFrom(7))
  expect(order).toEqual(shuffled(items, randomFrom(7)))
  expect(order).not.toEqual(shuffled(items, randomFrom(8)))
  expect(order.toSorted((a, b) => a - b)).toEqual(items)
  const firsts = Array.from({ length: 4_000 }, (_, seed) => shuffled([0, 1, 2, 3], randomFrom(seed))[0])
  for (const item of [0, 1, 2, 3]) expect(Math.abs(firsts.filter((first) => first === item).length - 1_000)).toBeLessThan(150)
})

test('numbers are shown with three figures and the unit that fits', () => {
  expect([0.5, 14.04, 999, 1_234, 45_678_000, 2e9].map((ns) => show(ns, 'ns'))).toEqual([
    '0.50 ns',
    '14.0 ns',
    '999 ns',
    '1.23 us',
    '45.7 ms',
    '2.00 s',
  ])
  expect([120, 2_644, 20_480, 2e7].map((bytes) => show(bytes, 'bytes'))).toEqual(['120 B', '2,644 B', '20.0 KiB', '19.1 MiB'])
  expect(show(undefined, 'ns')).toBe('-')
  expect(figures(99.96)).toBe('100')
  expect(
    table([
      ['', 'a'],
      ['name', '1,000'],
    ]),
  ).toBe('          a\nname  1,000') // prettier-ignore
})
