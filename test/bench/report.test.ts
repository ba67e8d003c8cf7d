/** The page of results: whole, by itself, and harmless whatever stands in a name. */
import { expect, test } from 'vitest'
import type { Run } from '../../bench/harness/model.ts'
import { headlineSvg } from '../../bench/harness/headline.ts'
import { reportOf } from '../../bench/harness/report.ts'
import { curveOf, resultOf, runOf, suiteOf } from './runs.ts'

const run: Run = {
  ...runOf([
    suiteOf(
      'worker/busy',
      [resultOf('ctx.err()', [2_000, 2_100]), resultOf('bare flag', [1_000, 1_100], 'limit')],
      [{ name: 'by message', kind: 'platform', cannot: 'A loop never receives it.' }],
    ),
  ]),
  curves: [
    curveOf('wide', [
      [1, 5],
      [10, 50],
      [100, 500],
    ]),
  ],
  bars: [
    { id: 'a', text: 'a bar that holds', bar: 'at most 2x', measured: 1.95, met: true },
    { id: 'b', text: 'a bar that does not', bar: 'at most 1x', measured: 3, met: false, reason: 'light is slow' },
    { id: 'c', text: 'a bar of what was not measured', bar: 'at most 1x' },
  ],
}

test('it shows all that was measured, and what was not with the reason', () => {
  const page = reportOf(run)
  for (const text of [
    'ctx.err()',
    'bare flag',
    '1.05 µs',
    'by message',
    'A loop never receives it.',
    ', 1.95x<',
    'How it grows',
    'linear (n^1.00)',
    '1 of 3 met',
    'light is slow',
    'not measured',
    'A machine',
    'node 20.19.0',
    'give or take 245 ns',
  ]) {
    expect(page).toContain(text)
  }
})

test('it loads nothing, runs nothing, and fits phones and the dark', () => {
  const page = reportOf(run)
  expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|url\(|https?:|\bon\w+=|src=/)
  expect(page).toContain('name="viewport"')
  expect(page).toContain('prefers-color-scheme:dark')
  expect(page.startsWith('<!doctype html>')).toBe(true)
})

test('there is a picture of the latencies, and a chart for medians, for the cumulative curves, and for growth, with finite coordinates', () => {
  const page = reportOf(run)
  const charts = page.match(/<svg[^>]*role="img"[\s\S]*?<\/svg>/g) ?? []
  expect(charts).toHaveLength(5)
  for (const chart of charts) expect(chart).not.toMatch(/NaN|Infinity|undefined/)
  // The picture is there twice: for wide screens, and for phones.
  const [headline, narrow, dots, cumulative, growth] = charts
  expect([headline, narrow].map((chart) => chart?.match(/<circle/g)?.length)).toEqual([1, 1])
  expect(dots?.match(/<circle/g)).toHaveLength(2)
  // All curves once, to be shown behind each, and each by itself.
  expect(cumulative?.match(/<path/g)).toHaveLength(4)
  expect(growth?.match(/<circle/g)).toHaveLength(3)
})

test('names are text, whatever they hold', () => {
  const evil = '<script>alert("1")</script>'
  const page = reportOf({
    ...runOf([
      suiteOf(evil, [{ ...resultOf(evil, [1, 2]), note: evil, proof: evil }], [{ name: evil, kind: 'peer', cannot: evil }]),
    ]),
  })
  expect(page).not.toContain('<script')
  expect(page).not.toContain('"1"')
})

test('a run of which something failed or is missing says so, and one that merely cannot do a thing does not', () => {
  expect(reportOf(run)).not.toContain('not whole')
  const suites = [suiteOf('a', [], [{ name: 'x', kind: 'peer', cannot: 'It failed: gone', failed: true }])]
  const page = reportOf({ ...runOf(suites), lost: [{ id: 'worker/idle', reason: 'it ended' }] })
  for (const text of ['This run is not whole.', 'worker/idle: it ended', 'a, x: It failed: gone']) expect(page).toContain(text)
})

test('it can be made of nothing', () => {
  const page = reportOf(runOf([suiteOf('empty', [], [{ name: 'x', kind: 'go', cannot: 'There is no Go on this machine.' }])]))
  expect(page).toContain('There is no Go on this machine.')
  expect(page).not.toMatch(/NaN|Infinity|undefined/)
})

test('the dotted line of a curve is what is expected of it, and each kind is drawn once', () => {
  const chart = (...expected: ('constant' | 'linear' | undefined)[]): readonly [lines: string[], page: string] => {
    const [line] = curveOf('wide', [
      [1, 5],
      [100, 500],
    ]).lines
    if (line === undefined) throw new Error('No line.')
    const lines = expected.map((one) => ({ ...line, ...(one !== undefined && { expected: one }) }))
    const page = reportOf({ ...run, curves: [{ ...curveOf('wide', []), lines }] })
    return [page.match(/<line class="expected"[^>]*>/g) ?? [], page]
  }
  const [[level = ''], page] = chart('constant', 'constant')
  expect(/y1="([\d.]+)"/.exec(level)?.[1]).toBe(/y2="([\d.]+)"/.exec(level)?.[1])
  expect(page).toContain('Dotted: what would be constant.')
  const [[up = ''], of] = chart(undefined)
  expect(/y1="([\d.]+)"/.exec(up)?.[1]).not.toBe(/y2="([\d.]+)"/.exec(up)?.[1])
  expect(of).toContain('Dotted: what would grow linearly.')
  const [both, ofBoth] = chart('constant', 'linear', 'linear')
  expect(both).toHaveLength(2)
  expect(ofBoth).toContain('Dotted: what would be constant, and what would grow linearly.')
})

test('each cumulative curve has a row with its name, before all of its suite', () => {
  const names = Array.from({ length: 14 }, (_, i) => `contender ${i}`)
  const results = names.map((name, i) => resultOf(name, [1_000 + i], 'peer'))
  const page = reportOf(runOf([suiteOf('a', results), suiteOf('b', results)]))
  const charts = page.match(/<svg[^>]*: cumulative".*?<\/svg>/g) ?? []
  const ids = charts.map((chart) => {
    const [, id, all = ''] = /<g id="([^"]+)"[^>]*>(.*?)<\/g>/.exec(chart) ?? []
    expect(all.match(/<path/g)).toHaveLength(14)
    const rows = chart.match(/<g transform.*?<\/g>/g) ?? []
    expect(rows.map((row) => /class="name"[^>]*>([^<]*)/.exec(row)?.[1])).toEqual(names)
    for (const row of rows) expect([row.match(/<path/g)?.length, row.match(/<use href="#([^"]+)"/)?.[1]]).toEqual([1, id])
    return id
  })
  expect(ids).toHaveLength(2)
  for (const id of ids) expect(page.split(` id="${id}"`)).toHaveLength(2)
})

test('a curve has a tick at each count that was measured, as far as there is room', () => {
  const ticksOf = (...counts: number[]): string[] => {
    const curve = curveOf(
      'it',
      counts.map((n) => [n, n * 1_000]),
    )
    const [chart = ''] = /<svg(?=[^>]*How it grows).*?<\/svg>/.exec(reportOf({ ...runOf([]), curves: [curve] })) ?? []
    return [...chart.matchAll(/y="230"[^>]*>([^<]*)</g)].flatMap(([, text]) => text ?? [])
  }
  expect(ticksOf(1, 2, 4, 8)).toEqual(['1', '2', '4', '8'])
  expect(ticksOf(1, 30, 300, 3_000)).toEqual(['1', '30', '300', '3k'])
  expect(ticksOf(100_000, 262_000, 1, 10, 100, 1_000, 10_000)).toEqual(['1', '10', '100', '1k', '10k', '100k'])
})

test('captions name the percentile that is drawn: p99 where all have samples enough for it, and else p90', () => {
  const [few, many] = [resultOf('ctx.err()', [2_000]), { ...resultOf('bare Atomics flag', [1_000], 'limit'), p99: 3_000 }]
  const pageOf = (...results: (typeof few)[]): string => reportOf(runOf([suiteOf('worker/busy', results)]))
  const all = pageOf({ ...few, p99: 9_000 }, many)
  for (const text of ['the way to p99', 'at the 99th percentile', '>p99</text>']) expect(all).toContain(text)
  const some = pageOf(few, many)
  for (const text of ['the way to p90', 'at the 90th percentile', '>p90</text>', 'median and 90th percentile'])
    expect(some).toContain(text)
  expect(some).not.toMatch(/the way to p99|99th/)
  // The cumulative chart of a page has a line at p99 as well: the picture has none.
  expect(headlineSvg(runOf([suiteOf('worker/busy', [few, many])]))).not.toContain('p99')
})

test('a suite says how closely its clocks were compared', () => {
  const clock = { between: 'the page and the <service>', offset: 1e15, error: 101_000, samples: 1_000 }
  const of = (clocks?: Run['clocks']): string =>
    reportOf(runOf([{ ...suiteOf('browser/cancel', [resultOf('a', [1])]), ...(clocks && { clocks }) }]))
  expect(of([clock])).toContain(
    '<p>made up The clocks of the page and the &#60;service&#62; were compared, to ±101 µs. One offset is in all lines, ',
  )
  expect(of()).toContain('<p>made up</p>')
})

test('the page says how many rounds were asked for, and what its columns are', () => {
  expect(reportOf({ ...run, rounds: 3 })).toContain('<dt>Rounds</dt><dd>3 of each suite')
  expect(reportOf(run)).not.toContain('<dt>Rounds')
  for (const text of ['spread: half the distance', '>spread</th>']) expect(reportOf(run)).toContain(text)
})
