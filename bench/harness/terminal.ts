/** What a person sees while it runs, and after. */
import { commitText } from './commit.ts'
import { type Comparison, type Line, margin, type Verdict } from './compare.ts'
import type { BarResult, ClockResult, Commit, CurveResult, Machine, Result, Run, SuiteResult } from './model.ts'
import { clocksText, figures, show, spread, table, wrapped } from './text.ts'

const shown = process.stderr.isTTY && process.env['TERM'] !== 'dumb'
let last = 0

/** One line that changes, on a terminal; nothing elsewhere. */
export function progress(text: string): void {
  const now = performance.now()
  if (!shown || (text !== '' && now - last < 80)) return
  last = now
  process.stderr.write(`\r\u001b[K${text.slice(0, (process.stderr.columns || 80) - 1)}`)
}

export function print(text: string): void {
  progress('')
  process.stdout.write(`${text}\n`)
}

function machineText({ cpu, cores, memory, system, versions, pinned, load }: Machine): string {
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return [
    `${cpu}, ${cores} cores, ${Math.round(memory / 2 ** 30)} GiB, ${system}`,
    list.join(', '),
    `pinned: ${pinned}`,
    `load average: ${load[0]} before, ${load[1]} after${load[0] > 0.5 ? '; something else ran: trust ratios, not single numbers' : ''}`,
  ].join('\n')
}

function clockText(clocks: readonly ClockResult[]): string {
  return clocks
    .map(({ between, offset, error }) => {
      const sign = offset < 0 ? '-' : ''
      return `clock, ${between}: they differ by ${sign}${show(Math.abs(offset), 'ns')}, give or take ${show(error, 'ns')}`
    })
    .join('\n')
}

/** Where and how it was measured. */
export function runText(
  run: Pick<Run, 'commit' | 'machine' | 'clocks' | 'rounds' | 'seconds'>,
  width = columnsOfTerminal(),
): string {
  const { commit, machine, clocks, rounds, seconds } = run
  const lines = [
    ...(commit === undefined ? [] : [`commit ${commitText(commit)}`]),
    machineText(machine),
    clockText(clocks),
    ...(rounds === undefined ? [] : [`rounds: ${rounds}, as --rounds asked`]),
    `${seconds} s`,
  ]
  return wrapped(`\n${lines.join('\n')}`, width)
}

/** How many columns there are: of a terminal its own, and of a file or a pipe as many as it takes. */
function columnsOfTerminal(): number {
  return (process.stdout.isTTY && process.stdout.columns) || Number.POSITIVE_INFINITY
}

/** What is left out first where a terminal is too narrow. */
const rare = ['gc', 'samples', 'first', 'max', 'p99.9', 'spread', 'p90', 'p99']

export function suiteText(
  { id, title, about, unit, sample, results, absent, clocks }: SuiteResult,
  width = columnsOfTerminal(),
): string {
  const columns: (readonly [head: string, cell: (r: Result) => string])[] = [
    ['p50', (r) => show(r.p50, unit)],
    ['p90', (r) => show(r.p90, unit)],
    ...(sample === 'event'
      ? ([
          ['p99', (r) => show(r.p99, unit)],
          ['p99.9', (r) => show(r.p999, unit)],
        ] satisfies typeof columns)
      : []),
    ['max', (r) => show(r.max, unit)],
    ...(sample === 'event' ? ([['first', (r) => show(r.first, unit)]] satisfies typeof columns) : []),
    ['spread', (r) => spread(r.rounds)],
    ['samples', (r) => r.count.toLocaleString('en')],
    ['gc', (r) => `${(r.gc * 100).toFixed(1)}%`],
  ]
  const without = (gone: readonly string[]): string => {
    const left = columns.filter(([head]) => !gone.includes(head))
    const rows = results.map((r) => [`  ${mark[r.kind]} ${r.name}`, ...left.map(([, cell]) => cell(r))])
    return table([['', ...left.map(([head]) => head)], ...rows])
  }
  const notes = results.flatMap(({ name, note }) => (note === undefined ? [] : [`  ${name}: ${note}`]))
  const missing = absent.map(({ name, kind, cannot }) => `  ${mark[kind]} ${name}: not measured. ${cannot}`)
  const tables = [[], ...rare.map((_, i) => rare.slice(0, i + 1))].map(without)
  const compared = clocksText(clocks)
  const head = [`\n${title}  [${id}]`, about, ...(compared === '' ? [] : [compared])]
  return [...head, ...(results.length === 0 ? [] : [fitting(tables, width)]), ...missing, ...notes]
    .map((text) => wrapped(text, width))
    .join('\n')
}

/** The first one that a terminal has room for, or else the last. */
function fitting(texts: readonly string[], width: number): string {
  return texts.find((text) => widthOf(text) <= width) ?? texts.at(-1) ?? ''
}

function widthOf(text: string): number {
  return Math.max(...text.split('\n').map(({ length }) => length))
}

const mark = { ours: '*', limit: '|', platform: '.', peer: '.', go: '.' } as const

export function curveText({ id, title, about, axis, unit, lines }: CurveResult, width = columnsOfTerminal()): string {
  const ns = [...new Set(lines.flatMap(({ points }) => points.map(([n]) => n)))].sort((a, b) => a - b)
  const of = (ns: readonly number[]): string => {
    const rows = lines.map(({ name, points, growth }) => [
      `  ${name}`,
      ...ns.map((n) => show(points.find(([x]) => x === n)?.[1], unit)),
      growth,
    ])
    return table([[`  ${axis}`, ...ns.map((n) => n.toLocaleString('en')), ''], ...rows])
  }
  // How it grows is told by the words at the end; of the values the greatest are kept.
  const tables = ns.map((_, i) => of(ns.slice(i)))
  return [`\n${title}  [${id}]`, about, fitting(tables, width)].map((text) => wrapped(text, width)).join('\n')
}

export function barText(bars: readonly BarResult[], width = columnsOfTerminal()): string {
  const cells = bars.map(({ text, bar, measured, met }) => [
    `  ${met === undefined ? '    ' : met ? 'met ' : 'MISS'}  ${text}`,
    measured === undefined ? '' : figures(measured),
    `(${bar})`,
  ])
  const wide = table(cells.map((row, i) => [...row, bars[i]?.reason ?? '']))
  if (widthOf(wide) <= width) return `\nBars\n${wide}`
  const lines = bars.flatMap(({ reason }, i) => [
    wrapped((cells[i] ?? []).join('  '), width, '        '),
    ...(reason === undefined ? [] : [wrapped(`        ${reason}`, width)]),
  ])
  return `\nBars\n${lines.join('\n')}`
}

export function failureText(failures: readonly string[]): string {
  return ['\nFAILED', ...failures.map((failure) => `  ${failure}`)].join('\n')
}

export function comparisonText(
  lines: readonly Line[],
  machine: number | undefined,
  earlier?: Commit,
  width = columnsOfTerminal(),
): string {
  if (lines.length === 0) return '\nThe earlier run has measured nothing of this.'
  const cells = (one: Comparison | undefined): string[] =>
    one === undefined ? ['', '', ''] : [`${figures(one.ratio)}x`, `p=${one.p < 0.001 ? '<0.001' : one.p.toFixed(3)}`, one.verdict]
  const rows = lines.map((line) => [`  ${line.suite}  ${line.name}`, ...cells(line), ...cells(line.inLimits)])
  const held = lines.flatMap(({ inLimits }) => inLimits ?? [])
  const count = (verdict: Verdict): number => held.filter((one) => one.verdict === verdict).length
  const notes = [
    held.length > 0 &&
      `In limits, a round of ours divided by that of the limit of its suite, ${count('faster')} of ${held.length} are faster and ${count('slower')} slower: a machine that is slower as a whole has no part in that.`,
    machine !== undefined &&
      `What neither library has a part in (limits, platform) took ${figures(machine)}x as long as before, in the median.`,
    `Faster or slower is what differs by more than ${percent(margin.ns)}, or ${percent(margin.bytes)} of bytes: two processes of the same code, each compiled and laid out in memory by itself, were seen to differ by up to 21 %, in all of their rounds. p is how likely chance alone puts the rounds so far apart in any of these ${lines.length + held.length} comparisons.`,
  ].filter((note) => note !== false)
  const head = ['', 'as it is', '', '', ...(held.length > 0 ? ['in limits', '', ''] : [])]
  const of = earlier === undefined ? '' : `, of commit ${commitText(earlier)}`
  const title = wrapped(`Against the earlier run${of}: new / old, of medians`, width)
  return [`\n${title}\n${table([head, ...rows])}`, ...notes.map((note) => wrapped(`  ${note}`, width))].join('\n')
}

function percent(factor: number): string {
  return `${Math.round((factor - 1) * 100)} %`
}
