/** What a run says on a terminal of any width. */
import { expect, test } from 'vitest'
import { barText, curveText, runText, suiteText } from '../../bench/harness/terminal.ts'
import { wrapped } from '../../bench/harness/text.ts'
import { curveOf, resultOf, runOf, suiteOf } from './runs.ts'

const suite = suiteOf(
  'worker/idle',
  [
    resultOf("ctx.signal, 'abort' listener", [50_000, 60_000]),
    { ...resultOf('bare flag', [1, 2], 'limit'), note: 'of a job '.repeat(12) },
  ],
  [{ name: 'by message', kind: 'peer', cannot: 'A loop that does not yield never receives what is told by a message.' }],
)
const powers = [1, 10, 100, 1_000, 10_000]
const curve = curveOf(
  'children, unobserved',
  powers.map((n) => [n, n * 1e3] as const),
)
const bars = [
  { id: 'a', text: 'cancel to a loop in a busy worker, against a flag', bar: 'at most 2x', measured: 1.95, met: true },
  { id: 'b', text: 'a bar that does not hold', bar: 'at most 1x', measured: 3, met: false, reason: 'light is slow '.repeat(9) },
]
const widest = (text: string): number => Math.max(...text.split('\n').map(({ length }) => length))

test('into a file or a pipe all is written, on lines as long as they are', () => {
  const text = suiteText(suite, Number.POSITIVE_INFINITY)
  expect(text.split('\n')[3]).toMatch(/^ +p50 +p90 +p99 +p99\.9 +max +first +spread +samples +gc$/)
  expect(text.split('\n')).toHaveLength(8)
  expect(curveText(curve, Number.POSITIVE_INFINITY)).toMatch(/contexts +1 +10 +100 +1,000 +10,000$/m)
})

test('each column shows what its head says', () => {
  const result = {
    ...resultOf('x', [1, 1, 2, 3, 3]),
    p50: 2,
    p90: 11,
    p99: 22,
    p999: 33,
    max: 44,
    first: 55,
    gc: 0.125,
    count: 1_234,
  }
  const [head, row] = suiteText(suiteOf('a', [result]), Number.POSITIVE_INFINITY)
    .split('\n')
    .slice(3)
  expect(head?.trim().split(/ {2,}/)).toEqual(['p50', 'p90', 'p99', 'p99.9', 'max', 'first', 'spread', 'samples', 'gc'])
  const cells = ['* x', '2.00 ns', '11.0 ns', '22.0 ns', '33.0 ns', '44.0 ns', '55.0 ns', '±50%', '1,234', '12.5%']
  expect(row?.trim().split(/ {2,}/)).toEqual(cells)
})

test('a narrow terminal has the medians, and what else there is room for; no line is longer than it', () => {
  for (const width of [60, 80, 100]) {
    for (const text of [suiteText(suite, width), curveText(curve, width), barText(bars, width)])
      expect(widest(text)).toBeLessThanOrEqual(width)
  }
  expect(suiteText(suite, 60)).toMatch(/^ +p50 +p90 +p99 +spread$|^ +p50 +p90 +p99$/m)
  expect(suiteText(suite, 60)).toMatch(/listener +55\.0 us/)
  expect(curveText(curve, 60)).toMatch(/10,000$[^]*10\.0 ms +linear \(n\^1\.00\)$/m)
  const text = barText(bars, 60)
  expect(text).toContain('MISS  a bar that does not hold  3.00  (at most 1x)')
  expect(text.replace(/\s+/g, ' ')).toContain('light is slow light is slow')
})

test('lines break between words, and go on as far in as they began', () => {
  expect(wrapped('  one two three four', 11)).toBe('  one two\n  three\n  four')
  expect(wrapped('one two', 7)).toBe('one two')
  expect(wrapped('a-word-that-is-long b', 5)).toBe('a-word-that-is-long\nb')
  expect(wrapped('met  one two', 8, '     ')).toBe('met one\n     two')
})

test('where and how it was measured is wrapped as well, and says how many rounds were asked for', () => {
  const machine = {
    ...runOf([]).machine,
    cpu: 'A machine of many words '.repeat(8).trim(),
    versions: { node: '20.19.0', v8: '11.3', ws: '8' },
  }
  const run = { ...runOf([]), machine, rounds: 3, commit: { id: '0123456789abcdef', clean: false } }
  const text = runText(run, 40)
  expect(widest(text)).toBeLessThanOrEqual(40)
  for (const part of ['commit 0123456789ab', 'A machine of many words', 'node 20.19.0', 'rounds: 3', '12 s'])
    expect(text).toContain(part)
  expect(runText(runOf([]), 40)).not.toContain('rounds')
})

test('a suite says how closely its clocks were compared, and of a single comparison that its error is in all lines', () => {
  const clock = { between: 'the page and the service', offset: 1e15, error: 101_000, samples: 1_000 }
  const all = Number.POSITIVE_INFINITY
  const [, , , told] = suiteText({ ...suite, clocks: [clock] }, all).split('\n')
  expect(told).toBe(
    'The clocks of the page and the service were compared, to ±101 us. One offset is in all lines, and what it is wrong by moves all of them alike: it is in their ratios, and not in their differences.',
  )
  expect(widest(suiteText({ ...suite, clocks: [clock] }, 60))).toBeLessThanOrEqual(60)
  const [, , , both] = suiteText({ ...suite, clocks: [clock, { ...clock, between: 'two others' }] }, all).split('\n')
  expect(both).toMatch(/^The clocks of the page [^.]*\. The clocks of two others were compared, to ±101 us\.$/)
  expect(suiteText(suite, all)).not.toContain('clocks')
})

test('a suite of which nothing could be measured has no head of a table', () => {
  const text = suiteText(suiteOf('a', [], [{ name: 'x', kind: 'peer', cannot: 'It is not there.' }]), Number.POSITIVE_INFINITY)
  expect(text.split('\n').slice(3)).toEqual(['  . x: not measured. It is not there.'])
})
