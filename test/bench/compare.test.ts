/** What is said of two runs. */
import { expect, test } from 'vitest'
import { type Bar, bars, judge } from '../../bench/bars.ts'
import { allSuites } from '../../bench/cases/all.ts'
import { compare, type Comparison, compareRuns, holm, machineRatio, student, welch } from '../../bench/harness/compare.ts'
import type { Contender, Run, Unit } from '../../bench/harness/model.ts'
import { randomFrom } from '../../bench/harness/random.ts'
import { comparisonText } from '../../bench/harness/terminal.ts'
import { parts } from '../../bench/peers.ts'
import { resultOf, runOf, suiteOf } from './runs.ts'

type Maker = (kit: object) => Promise<readonly Contender[]> | readonly Contender[]

const eight = [100, 101, 102, 103, 104, 105, 106, 107]

/** By themselves. */
function compared(before: readonly number[], after: readonly number[], unit: Unit = 'ns'): Comparison {
  const [found] = compare([{ before, after, unit }]).values()
  return found as Comparison
}

test("Student's distribution is that of the tables, for even and odd degrees of freedom", () => {
  for (const [t, freedom, p] of [
    [12.706, 1, 0.05],
    [4.303, 2, 0.05],
    [5.841, 3, 0.01],
    [4.604, 4, 0.01],
    [2.228, 10, 0.05],
    [3.707, 6, 0.01],
    [2.947, 15, 0.01],
  ] as const)
    expect(student(t, freedom), `${t}, ${freedom}`).toBeCloseTo(p, 4)
  expect(student(0, 5)).toBe(1)
  expect(student(1e9, 7)).toBe(0)
})

test("Welch's test asks for the spread of each, and not which is first", () => {
  expect(welch(eight, eight)).toBe(1)
  expect(welch([5, 5, 5], [5, 5, 5])).toBe(1)
  expect(welch([5, 5, 5], [6, 6, 6])).toBe(0)
  // Logarithms 0, 1, 2 and 2, 3, 4: the means differ by 2, the error is the root of 2/3, with 4 degrees of freedom.
  expect(welch([0, 1, 2].map(Math.exp), [2, 3, 4].map(Math.exp))).toBeCloseTo(student(2 / Math.sqrt(2 / 3), 4), 12)
  const random = randomFrom(3)
  const values = (n: number): number[] => Array.from({ length: n }, () => 1 + random())
  for (let i = 0; i < 50; i++) {
    const [a, b] = [values(5), values(7)]
    expect(welch(a, b)).toBeCloseTo(welch(b, a), 12)
  }
})

test('of many comparisons the least likely counts as often as there are any, the next one once less', () => {
  expect(holm([0.01, 0.04, 0.03])).toEqual([0.03, 0.06, 0.06])
  expect(holm([0.9, 0.8])).toEqual([1, 1])
  expect(holm([])).toEqual([])
})

test('among comparisons of the same distribution, however it is spread, hardly any is called different', () => {
  const random = randomFrom(5)
  // From a few percent to a factor of three.
  const rounds = (spread: number): number[] => Array.from({ length: 8 }, () => 100 * Math.exp(spread * (random() - 0.5)))
  let wrong = 0
  for (let run = 0; run < 300; run++) {
    const all = Array.from({ length: 60 }, (_, i) => {
      const spread = (1.1 * (i + 1)) / 60
      return { before: rounds(spread), after: rounds(spread), unit: 'ns' } as const
    })
    if ([...compare(all).values()].some(({ verdict }) => verdict === 'faster' || verdict === 'slower')) wrong++
  }
  // One line in a hundred would be wrong in some third of these runs.
  expect(wrong / 300).toBeLessThan(0.02)
})

test('processes of the same code that keep a pace of their own in all of their rounds are the same', () => {
  const random = randomFrom(7)
  const rounds = (pace: number): number[] => Array.from({ length: 8 }, () => 100 * pace * (1 + 0.02 * random()))
  for (const pace of [0.86, 0.91, 1.1, 1.16, 1.21]) {
    const found = compared(rounds(1), rounds(pace))
    expect(found.p).toBeLessThan(0.001)
    expect(found.verdict, `${pace}`).toBe('same')
  }
})

test('a real difference is found among two hundred lines, by six rounds', () => {
  const random = randomFrom(9)
  const rounds = (pace: number): number[] => Array.from({ length: 6 }, () => 100 * pace * (1 + 0.1 * random()))
  const all = Array.from({ length: 200 }, (_, i) => ({
    before: rounds(1),
    after: rounds(i === 77 ? 1.5 : i === 99 ? 0.6 : 1),
    unit: 'ns' as const,
  }))
  const found = [...compare(all).values()]
    .map(({ verdict }, i) => [i, verdict] as const)
    .filter(([, verdict]) => verdict !== 'same')
  expect(found).toEqual([
    [77, 'slower'],
    [99, 'faster'],
  ])
})

test('a difference counts when it is beyond chance and beyond the margin, which is less of bytes', () => {
  const times = (f: number): number[] => eight.map((value) => value * f)
  expect(compared(eight, times(2))).toMatchObject({ ratio: 2, verdict: 'slower' })
  expect(compared(eight, times(0.5))).toMatchObject({ ratio: 0.5, verdict: 'faster' })
  const verdicts = (unit: Unit, ...factors: number[]) => factors.map((f) => compared(eight, times(f), unit).verdict)
  expect(verdicts('ns', 1.24, 1.26, 1 / 1.24, 1 / 1.26)).toEqual(['same', 'slower', 'same', 'faster'])
  expect(verdicts('bytes', 1.04, 1.06, 1 / 1.04, 1 / 1.06)).toEqual(['same', 'slower', 'same', 'faster'])
  // Twice as slow in the middle, but all over the place: that is not the same, and may be chance.
  expect(compared([50, 100, 150, 400, 90, 60, 300, 70], [200, 60, 180, 500, 170, 55, 300, 80]).verdict).toBe('unclear')
})

test('too few rounds are no verdict', () => {
  expect(compared([1, 2, 3], [10, 20, 30]).verdict).toBe('too few rounds')
  expect(compared([1, 2, 3, 4, 5], [100, 200, 300, 400]).verdict).toBe('too few rounds')
  expect(compared([1, 2, 3, 4, 5], [100, 200, 300, 400, 500]).verdict).toBe('slower')
})

test('runs are compared in what both measured, and the machine by what is not ours', () => {
  const before = runOf([suiteOf('a', [resultOf('x', eight), resultOf('bare', eight, 'limit'), resultOf('gone', eight)])])
  const after = runOf([
    suiteOf('a', [
      resultOf(
        'x',
        eight.map((value) => value * 3),
      ),
      resultOf(
        'bare',
        eight.map((value) => value * 2),
        'limit',
      ),
      resultOf('new', eight),
    ]),
    suiteOf('b', [resultOf('x', eight)]),
  ])
  expect(compareRuns(before, after).map(({ suite, name, ratio, verdict }) => [suite, name, ratio, verdict])).toEqual([
    ['a', 'x', 3, 'slower'],
    ['a', 'bare', 2, 'slower'],
  ])
  expect(machineRatio(before, after)).toBe(2)
  expect(machineRatio(runOf([]), after)).toBeUndefined()
})

/** Rounds of one suite: of ours, and of two limits, each by its rounds. */
const limited = (ours: readonly number[], flag: readonly number[], port = flag.map((value) => value * 5)) =>
  runOf([suiteOf('a', [resultOf('x', ours), resultOf('port', port, 'limit'), resultOf('flag', flag, 'limit')])])
const scaled = (values: readonly number[], by: number): number[] => values.map((value) => value * by)
const twice = scaled(eight, 2)

test('a machine that is slower in both is not the library: in limits, what is ours is the same', () => {
  const [ours, port, flag] = compareRuns(limited(twice, eight), limited(scaled(twice, 3), scaled(eight, 3)))
  expect(ours).toMatchObject({ ratio: 3, verdict: 'slower', inLimits: { limit: 'flag', ratio: 1, verdict: 'same' } })
  // A limit is not held against itself, or another.
  expect([port?.inLimits, flag?.inLimits]).toEqual([undefined, undefined])
})

test('a library that is slower on a machine that is faster is found, in limits', () => {
  const [ours] = compareRuns(limited(twice, eight), limited(twice, scaled(eight, 0.5)))
  expect(ours).toMatchObject({ ratio: 1, verdict: 'same', inLimits: { ratio: 2, verdict: 'slower' } })
})

test('ours is divided by the limit round by round', () => {
  // A machine whose speed changes from round to round hides what is ours in medians, and not in the quotients.
  const speeds = [1, 9, 2, 8, 3, 7, 4, 6]
  const [ours] = compareRuns(limited(scaled(speeds, 200), scaled(speeds, 100)), limited(scaled(speeds, 300), scaled(speeds, 100)))
  expect(ours).toMatchObject({ verdict: 'unclear', inLimits: { verdict: 'slower' } })
  expect(ours?.inLimits?.ratio).toBeCloseTo(1.5)
})

test('the limit is one that both runs have in as many rounds as ours, the fastest of the two together, whichever run is the earlier', () => {
  const [before, after] = [limited(twice, scaled(eight, 1.5), eight), limited(twice, scaled(eight, 0.5), eight)]
  const limitOf = (a: Run, b: Run) => compareRuns(a, b)[0]?.inLimits?.limit
  expect([limitOf(before, after), limitOf(after, before)]).toEqual(['flag', 'flag'])
  const short = limited(twice, eight.slice(1), scaled(eight, 5))
  expect([limitOf(before, short), limitOf(short, before)]).toEqual(['port', 'port'])
  const none = runOf([suiteOf('a', [resultOf('x', twice), resultOf('flag', eight, 'platform')])])
  expect([limitOf(before, none), limitOf(none, before)]).toEqual([undefined, undefined])
})

test('both verdicts stand in the line of what is ours, and below how many they are', () => {
  const [before, after] = [limited(twice, eight), limited(scaled(twice, 3), scaled(eight, 1.5))]
  const commit = { id: '0123456789abcdef', clean: true }
  const text = comparisonText(compareRuns(before, after), machineRatio(before, after), commit).split('\n')
  expect(text[1]).toBe('Against the earlier run, of commit 0123456789ab: new / old, of medians')
  expect(text[2]).toMatch(/^ +as it is +in limits$/)
  expect(text[3]).toMatch(/^ {2}a {2}x +3\.00x +p=<0\.001 +slower +2\.00x +p=<0\.001 +slower$/)
  expect(text[5]).toMatch(/^ {2}a {2}flag +1\.50x +p=<0\.001 +slower$/)
  expect(text[6]).toContain('0 of 1 are faster and 1 slower: a machine that is slower as a whole has no part in that.')
  expect(text[7]).toContain('1.50x as long as before, in the median.')
  expect(text[8]).toMatch(/more than 25 %, or 5 % of bytes: .* up to 21 %, .* these 4 comparisons\.$/)
})

const bar = (rule: Bar['bar'], against?: Bar['against']): Bar => ({
  id: 'id',
  text: 'text',
  what: ['a', 'ours'],
  ...(against !== undefined && { against }),
  bar: rule,
  reason: 'physics',
})
const suites = [suiteOf('a', [resultOf('ours', [30]), resultOf('slow', [60]), resultOf('fast', [20], 'limit')])]

test('a bar holds ours against the best of the others', () => {
  const both = [
    ['a', 'slow'],
    ['a', 'fast'],
  ] as const
  expect(judge(suites, [bar({ atMost: 2 }, both)])).toMatchObject([{ measured: 1.5, met: true, bar: 'at most 2x' }])
  expect(judge(suites, [bar({ atMost: 1.25 }, both)])).toMatchObject([{ measured: 1.5, met: false, reason: 'physics' }])
  expect(judge(suites, [bar({ times: 2 }, [['a', 'slow']])])).toMatchObject([{ measured: 2, met: true, bar: 'at least 2x' }])
  expect(judge(suites, [bar({ times: 2.1 }, [['a', 'slow']])])).toMatchObject([{ met: false }])
  expect(judge(suites, [{ ...bar({ atMost: 120 }), unit: 'B' }])).toMatchObject([
    { measured: 30, met: true, bar: 'at most 120 B' },
  ])
})

test('a bar whose other side was not measured is neither met nor missed, and one of another suite is not spoken of', () => {
  expect(judge(suites, [bar({ atMost: 2 }, [['a', 'absent']])])).toEqual([{ id: 'id', text: 'text', bar: 'at most 2x' }])
  expect(judge([], [bar({ atMost: 2 })])).toEqual([])
})

test('a bar against the best of several is open while one of them was not measured, unless it is missed already', () => {
  const both = [
    ['a', 'slow'],
    ['a', 'absent'],
  ] as const
  expect(judge(suites, [bar({ atMost: 2 }, both)])).toEqual([
    { id: 'id', text: 'text', bar: 'at most 2x', measured: 0.5, reason: 'open, since these were not measured: absent' },
  ])
  expect(judge(suites, [bar({ atMost: 0.4 }, both)])).toMatchObject([{ measured: 0.5, met: false, reason: 'physics' }])
})

test('each bar names what the suites have, and each library that takes part is exported by its file', async () => {
  const names = new Map<string, string[]>()
  for (const suite of allSuites([]))
    names.set(
      suite.id,
      (await suite.contenders()).map(({ name }) => name),
    )
  const same = (one: Contender): Contender => one
  for (const [suite, file, name] of parts) {
    const makers = (await import(new URL(`../../bench/peers/${file}`, import.meta.url).href)) as Record<string, Maker>
    expect(makers[name], `${file}: ${name}`).toBeTypeOf('function')
    // Effect itself is needed for that one: it is not installed everywhere.
    if (suite === 'core/cancel') continue
    const contenders = (await makers[name]?.({ latency: same, cost: same })) ?? []
    names.get(suite)?.push(...contenders.map((one) => one.name))
  }
  for (const { id, what, against = [] } of bars) {
    for (const [suite, name] of [what, ...against]) expect(names.get(suite), `${id}: ${suite}`).toContain(name)
  }
})
