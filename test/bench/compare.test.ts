/** What is said of two runs. */
import { expect, test } from 'vitest'
import { type Bar, bars, judge } from '../../bench/bars.ts'
import { allSuites } from '../../bench/cases/all.ts'
import { compare, compareRuns, machineRatio, mannWhitney } from '../../bench/harness/compare.ts'
import type { Contender, Run } from '../../bench/harness/model.ts'
import { randomFrom } from '../../bench/harness/random.ts'
import { comparisonText } from '../../bench/harness/terminal.ts'
import { parts } from '../../bench/peers.ts'
import { resultOf, runOf, suiteOf } from './runs.ts'

type Maker = (kit: object) => Promise<readonly Contender[]> | readonly Contender[]

const eight = [100, 101, 102, 103, 104, 105, 106, 107]

test('the test of Mann and Whitney is exact', () => {
  // From its published tables: of 4 and 4, wholly apart, 2 orders in 70.
  expect(mannWhitney([1, 2, 3, 4], [5, 6, 7, 8])).toBeCloseTo(2 / 70)
  expect(mannWhitney([1, 2, 3], [4, 5, 6])).toBeCloseTo(2 / 20)
  // 1 of 3 and 2: the orders with U at most 1 are 2 of 10.
  expect(mannWhitney([1, 2, 4], [3, 5])).toBeCloseTo(4 / 10)
  expect(mannWhitney(eight, eight)).toBe(1)
  expect(mannWhitney([], [1])).toBe(1)
})

test('it does not matter which is first', () => {
  const random = randomFrom(3)
  const values = (n: number): number[] => Array.from({ length: n }, random)
  for (let i = 0; i < 50; i++) {
    const [a, b] = [values(5), values(7)]
    expect(mannWhitney(a, b)).toBeCloseTo(mannWhitney(b, a), 12)
  }
})

test('rounds of the same distribution are rarely called different', () => {
  const random = randomFrom(5)
  const rounds = (): number[] => Array.from({ length: 8 }, () => 100 * (1 + random()))
  const different = Array.from({ length: 2_000 }, () => compare(rounds(), rounds())).filter(({ verdict }) => verdict !== 'same')
  expect(different.length / 2_000).toBeLessThan(0.02)
})

test('a difference counts when it is beyond chance and beyond some percent', () => {
  const times = (f: number): number[] => eight.map((value) => value * f)
  expect(compare(eight, times(2))).toMatchObject({ ratio: 2, verdict: 'slower' })
  expect(compare(eight, times(0.5))).toMatchObject({ ratio: 0.5, verdict: 'faster' })
  expect(compare(eight, times(1.04)).verdict).toBe('same')
  // Twice as slow in the middle, but all over the place.
  expect(compare([50, 100, 150, 400, 90, 60, 300, 70], [200, 60, 180, 500, 170, 55, 300, 80]).verdict).toBe('same')
})

test('too few rounds are no verdict', () => {
  expect(compare([1, 2, 3], [10, 20, 30]).verdict).toBe('too few rounds')
  expect(compare([1, 2, 3, 4], [10, 20, 30]).verdict).toBe('too few rounds')
  // Of 4 and 4 that lie wholly apart, chance makes 3 in a hundred.
  expect(compare([1, 2, 3, 4], [10, 20, 30, 40]).verdict).toBe('too few rounds')
  expect(compare([1, 2, 3, 4, 5], [10, 20, 30, 40, 50]).verdict).toBe('slower')
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
  const [ours] = compareRuns(limited(scaled(speeds, 200), scaled(speeds, 100)), limited(scaled(speeds, 220), scaled(speeds, 100)))
  expect(ours).toMatchObject({ verdict: 'same', inLimits: { verdict: 'slower' } })
  expect(ours?.inLimits?.ratio).toBeCloseTo(1.1)
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
  expect(text[6]).toContain('0 of 1 are faster and 1 slower: that is the library.')
  expect(text[7]).toContain('1.50x as long as before: that is the machine.')
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
