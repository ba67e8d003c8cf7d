/** What a person sees while it runs, and after. */
import { commitText } from './commit.ts'
import type { Comparison, Line, Verdict } from './compare.ts'
import type { BarResult, ClockResult, Commit, CurveResult, Machine, SuiteResult } from './model.ts'
import { figures, show, table } from './text.ts'

const shown = process.stderr.isTTY
let last = 0

/** One line that changes, on a terminal; nothing elsewhere. */
export function progress(text: string): void {
  const now = performance.now()
  if (!shown || (text !== '' && now - last < 80)) return
  last = now
  process.stderr.write(`\r\u001b[K${text.slice(0, (process.stderr.columns ?? 80) - 1)}`)
}

export function print(text: string): void {
  progress('')
  process.stdout.write(`${text}\n`)
}

export function machineText({ cpu, cores, memory, system, versions, pinned, load }: Machine): string {
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return [
    `${cpu}, ${cores} cores, ${Math.round(memory / 2 ** 30)} GiB, ${system}`,
    list.join(', '),
    `pinned: ${pinned}`,
    `load average: ${load[0]} before, ${load[1]} after${load[0] > 0.5 ? '; something else ran: trust ratios, not single numbers' : ''}`,
  ].join('\n')
}

export function clockText(clocks: readonly ClockResult[]): string {
  return clocks
    .map(({ between, offset, error }) => {
      const sign = offset < 0 ? '-' : ''
      return `clock, ${between}: they differ by ${sign}${show(Math.abs(offset), 'ns')}, give or take ${show(error, 'ns')}`
    })
    .join('\n')
}

export function suiteText({ id, title, about, unit, sample, results, absent }: SuiteResult): string {
  const head = [
    '',
    'p50',
    ...(sample === 'event' ? ['p90', 'p99', 'p99.9', 'max', 'first'] : ['p90', 'max']),
    'spread',
    'samples',
    'gc',
  ]
  const rows = results.map((r) => [
    `  ${mark[r.kind]} ${r.name}`,
    show(r.p50, unit),
    ...(sample === 'event'
      ? [show(r.p90, unit), show(r.p99, unit), show(r.p999, unit), show(r.max, unit), show(r.first, unit)]
      : [show(r.p90, unit), show(r.max, unit)]),
    spread(r.rounds),
    r.count.toLocaleString('en'),
    `${(r.gc * 100).toFixed(1)}%`,
  ])
  const notes = results.flatMap(({ name, note }) => (note === undefined ? [] : [`  ${name}: ${note}`]))
  const missing = absent.map(({ name, kind, cannot }) => `  ${mark[kind]} ${name}: not measured. ${cannot}`)
  return [`\n${title}  [${id}]`, about, table([head, ...rows]), ...missing, ...notes].join('\n')
}

const mark = { ours: '*', limit: '|', platform: '.', peer: '.', go: '.' } as const

/** How far the middle half of the rounds' medians lies apart, as a share of the middle one. */
function spread(rounds: readonly number[]): string {
  const sorted = [...rounds].sort((a, b) => a - b)
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN
  return sorted.length < 2 ? '-' : `±${(((at(0.75) - at(0.25)) / 2 / at(0.5)) * 100).toFixed(0)}%`
}

export function curveText({ id, title, about, axis, unit, lines }: CurveResult): string {
  const ns = [...new Set(lines.flatMap(({ points }) => points.map(([n]) => n)))].sort((a, b) => a - b)
  const rows = lines.map(({ name, points, growth }) => [
    `  ${name}`,
    ...ns.map((n) => show(points.find(([x]) => x === n)?.[1], unit)),
    growth,
  ])
  return [`\n${title}  [${id}]`, about, table([[`  ${axis}`, ...ns.map((n) => n.toLocaleString('en')), ''], ...rows])].join('\n')
}

export function barText(bars: readonly BarResult[]): string {
  const rows = bars.map(({ text, bar, measured, met, reason }) => [
    `  ${met === undefined ? '    ' : met ? 'met ' : 'MISS'}  ${text}`,
    measured === undefined ? '' : figures(measured),
    `(${bar})`,
    reason ?? '',
  ])
  return `\nBars\n${table(rows)}`
}

export function failureText(failures: readonly string[]): string {
  return ['\nFAILED', ...failures.map((failure) => `  ${failure}`)].join('\n')
}

export function comparisonText(lines: readonly Line[], machine: number | undefined, earlier?: Commit): string {
  if (lines.length === 0) return '\nThe earlier run has measured nothing of this.'
  const cells = (one: Comparison | undefined): string[] =>
    one === undefined ? ['', '', ''] : [`${figures(one.ratio)}x`, `p=${one.p < 0.001 ? '<0.001' : one.p.toFixed(3)}`, one.verdict]
  const rows = lines.map((line) => [`  ${line.suite}  ${line.name}`, ...cells(line), ...cells(line.inLimits)])
  const held = lines.flatMap(({ inLimits }) => inLimits ?? [])
  const count = (verdict: Verdict): number => held.filter((one) => one.verdict === verdict).length
  const notes = [
    held.length > 0 &&
      `In limits, a round of ours divided by that of the limit of its suite, ${count('faster')} of ${held.length} are faster and ${count('slower')} slower: that is the library.`,
    machine !== undefined &&
      `What neither library has a part in (limits, platform) took ${figures(machine)}x as long as before: that is the machine.`,
  ].filter((note) => note !== false)
  const head = ['', 'as it is', '', '', ...(held.length > 0 ? ['in limits', '', ''] : [])]
  const of = earlier === undefined ? '' : `, of commit ${commitText(earlier)}`
  return [`\nAgainst the earlier run${of}: new / old, of medians\n${table([head, ...rows])}`, ...notes].join('\n  ')
}
