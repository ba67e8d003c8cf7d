/** Charts as inline SVG, on logarithmic axes; colours come from the page's style. */
import { countText, horizontals, logAxis, pretty, round, svg, tickText, verticals, width } from './axis.ts'
import type { CurveResult, Growth, Result, SuiteResult } from './model.ts'
import { escape } from './text.ts'

const left = 8
const right = 8

type Line = CurveResult['lines'][number]

/** The fastest physical limit of a suite; undefined where it has none. */
export function limitOf(results: readonly Result[]): number | undefined {
  const limits = results.filter(({ kind }) => kind === 'limit').map(({ p50 }) => p50)
  return limits.length === 0 ? undefined : Math.min(...limits)
}

/** How far the tails of a chart reach: to p99 where all have enough samples for it. */
export function tailOf(results: readonly Pick<Result, 'p99'>[]): 'p99' | 'p90' {
  return results.every(({ p99 }) => p99 !== undefined) ? 'p99' : 'p90'
}

/** Medians as dots, the fastest limit as a line through all. Of events the tail as well; of means the middle half of the rounds. */
export function dotChart({ title, unit, sample, results }: SuiteResult): string {
  if (results.length === 0) return ''
  const row = 36
  const bottom = results.length * row + 2
  const tail = tailOf(results)
  const ends = results.map((result) =>
    sample === 'event' ? ([result.p50, result[tail] ?? result.p90] as const) : middle(result),
  )
  const axis = logAxis([...ends.flat(), ...results.map(({ p50 }) => p50)], left + 4, width - right - 4)
  const limit = limitOf(results)
  const rows = results.map((result, i) => {
    const y = i * row
    const [low, high] = ends[i] as readonly [number, number]
    const ratio = limit === undefined || result.kind === 'limit' ? '' : `, ${times(result.p50 / limit)}`
    const line = `<line class="tail ${result.kind}" x1="${axis.at(low)}" x2="${axis.at(high)}" y1="${y + 25}" y2="${y + 25}"/>`
    const end =
      sample === 'event'
        ? `<line class="tick ${result.kind}" x1="${axis.at(high)}" x2="${axis.at(high)}" y1="${y + 21}" y2="${y + 29}"/>`
        : ''
    const spaceForName = 60 - pretty(result.p50, unit).length - ratio.length
    return (
      `<text class="name" x="${left}" y="${y + 15}">${escape(clip(result.name, spaceForName))}</text>` +
      `<text class="value" x="${width - right}" y="${y + 15}" text-anchor="end"><tspan class="name">${pretty(result.p50, unit)}</tspan>${ratio}</text>` +
      `${line}${end}<circle class="${result.kind}" cx="${axis.at(result.p50)}" cy="${y + 25}" r="4.5"/>`
    )
  })
  const line =
    limit === undefined ? '' : `<line class="bar limit" x1="${axis.at(limit)}" x2="${axis.at(limit)}" y1="0" y2="${bottom}"/>`
  return svg(bottom + 22, `${title}: medians`, [...verticals(axis, 0, bottom, (tick) => tickText(tick, unit)), line, ...rows])
}

function times(ratio: number): string {
  return `${ratio < 9.995 ? ratio.toFixed(2) : Math.round(ratio).toLocaleString('en')}x`
}

function clip(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, Math.max(1, most - 1))}…`
}

function middle({ rounds }: Result): readonly [low: number, high: number] {
  const sorted = [...rounds].sort((a, b) => a - b)
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? 0
  return [at(0.25), at(0.75)]
}

/**
 * Which share of the samples is at most so late: upwards by nines, so that the tail has room. Each contender has a row with its name, on one axis, before the
 * curves of all: so it needs no colour to be told from others, and can be held against them.
 *
 * @param id of an element, which no other chart of the page has
 */
export function cdfChart({ title, unit, results }: SuiteResult, id: string): string {
  const curves = results.filter(({ curve }) => curve.length > 3)
  if (curves.length === 0) return ''
  const [row, top, height, start] = [66, 20, 44, 44]
  const bottom = curves.length * row + 2
  const axis = logAxis(
    curves.flatMap(({ curve }) => curve.filter(([share]) => share < 1).map(([, value]) => value)),
    start,
    width - right,
  )
  const least = Math.log10(1 - 0.05)
  const most = -3.5
  const y = (share: number): number =>
    round(top + height - ((Math.log10(Math.max(1 - share, 10 ** most)) - least) / (most - least)) * height)
  const paths = curves.map(({ curve }) => {
    const points = curve.filter(([share]) => share < 1).map(([share, value]) => `${axis.at(value)},${y(share)}`)
    return `d="M${points.join('L')}"`
  })
  const all = `<defs><g id="${escape(id)}" class="all">${paths.map((path) => `<path ${path}/>`).join('')}</g></defs>`
  const marks = horizontals({ at: y, ticks: [0.5, 0.99, 0.999] }, start, width - right, (share) => `p${share * 100}`).join('')
  const rows = curves.map(
    ({ name, kind }, i) =>
      `<g transform="translate(0,${i * row})"><text class="name" x="${start}" y="13">${escape(clip(name, 56))}</text>${marks}<use href="#${escape(id)}"/><path class="${kind}" ${paths[i]}/></g>`,
  )
  return svg(bottom + 22, `${title}: cumulative`, [all, ...verticals(axis, top, bottom, (tick) => tickText(tick, unit)), ...rows])
}

/** Cost against count, both logarithmic, with a tick at each count that was measured; dotted is what is expected. */
export function curveChart({ title, unit, axis: name, lines }: CurveResult): string {
  const [top, bottom, start] = [8, 214, 56]
  const all = lines.flatMap(({ points }) => points)
  const x = logAxis(
    all.map(([n]) => n),
    start,
    width - right,
    { span: 1, gap: 36, own: true },
  )
  const y = logAxis(
    all.map(([, value]) => value),
    bottom,
    top,
    { span: 20, gap: 26 },
  )
  const paths = lines.map(({ name, points }, i) => {
    const dots = points.map(([n, value]) => `<circle class="line${i}" cx="${x.at(n)}" cy="${y.at(value)}" r="3"/>`)
    return `<path class="line${i}" d="M${points.map(([n, value]) => `${x.at(n)},${y.at(value)}`).join('L')}"><title>${escape(name)}</title></path>${dots.join('')}`
  })
  const caption = `<text x="${(start + width - right) / 2}" y="${bottom + 34}" text-anchor="middle">${escape(name)}</text>`
  return svg(bottom + 42, title, [
    ...verticals(x, top, bottom, countText),
    ...horizontals(y, start, width - right, (tick) => tickText(tick, unit)),
    ...expectedOf(lines).map((growth) => dotted(growth, lines, x.at, y.at, top)),
    ...paths,
    caption,
  ])
}

/** How a line is meant to grow: runs from before that was kept have linear ones. */
function growthOf({ expected = 'linear' }: Line): Growth {
  return expected
}

/** How the lines are meant to grow, each way once. */
export function expectedOf(lines: readonly Line[]): Growth[] {
  return [...new Set(lines.map(growthOf))]
}

/** What would grow as lines of that kind are meant to: level at their least value, or up from there at the least count. */
function dotted(
  growth: Growth,
  lines: readonly Line[],
  x: (n: number) => number,
  y: (value: number) => number,
  top: number,
): string {
  const points = lines.filter((line) => growthOf(line) === growth).flatMap(({ points }) => points)
  const [ns, values] = [points.map(([n]) => n), points.map(([, value]) => value)]
  const [least, most, low] = [Math.min(...ns), Math.max(...ns), Math.min(...values)]
  const end = growth === 'constant' ? most : Math.min(most, (least * Math.max(...values)) / low)
  if (!(end > least)) return ''
  const last = growth === 'constant' ? y(low) : Math.max(top, y((low * end) / least))
  return `<line class="expected" x1="${x(least)}" y1="${y(low)}" x2="${x(end)}" y2="${last}"/>`
}
