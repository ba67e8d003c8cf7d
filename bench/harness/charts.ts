/** Charts as inline SVG, on logarithmic axes; colours come from the page's style. */
import type { CurveResult, Result, SuiteResult, Unit } from './model.ts'
import { escape, show } from './text.ts'

const width = 480
const left = 8
const right = 12

/** A logarithmic axis of whole decades around all values. */
function axis(values: readonly number[], from: number, to: number): { at: (value: number) => number; ticks: number[] } {
  const logs = values.filter((value) => value > 0).map((value) => Math.log10(value))
  const low = Math.floor(Math.min(...logs))
  const high = Math.max(low + 1, Math.ceil(Math.max(...logs)))
  const at = (value: number): number =>
    round(from + ((Math.log10(Math.max(value, 10 ** low)) - low) / (high - low)) * (to - from))
  return { at, ticks: Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)) }
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function svg(height: number, title: string, parts: readonly string[]): string {
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">${parts.join('')}</svg>`
}

function verticals(ticks: readonly number[], at: (value: number) => number, top: number, bottom: number, unit: Unit): string[] {
  return ticks.map((tick, i) => {
    const x = at(tick)
    const anchor = i === 0 ? 'start' : i === ticks.length - 1 ? 'end' : 'middle'
    return `<line class="grid" x1="${x}" x2="${x}" y1="${top}" y2="${bottom}"/><text x="${x}" y="${bottom + 16}" text-anchor="${anchor}">${short(tick, unit)}</text>`
  })
}

/** `100 us`, without the decimals of a measured number. */
function short(tick: number, unit: Unit): string {
  return show(tick, unit).replace(/\.0+(?= )/, '')
}

/** Medians, each with the middle half of its rounds; a line through all at the fastest limit. */
export function barChart({ title, unit, results }: SuiteResult): string {
  if (results.length === 0) return ''
  const row = 34
  const bottom = results.length * row + 4
  const { at, ticks } = axis(
    results.flatMap(({ p50, rounds }) => [p50, ...rounds]),
    left,
    width - right,
  )
  const limit = Math.min(...results.filter(({ kind }) => kind === 'limit').map(({ p50 }) => p50))
  const bars = results.map((result, i) => {
    const y = i * row
    const [low, high] = middle(result)
    const label = `${result.name}  ${show(result.p50, unit)}${Number.isFinite(limit) && result.kind !== 'limit' ? `, ${(result.p50 / limit).toFixed(1)}x the limit` : ''}`
    return (
      `<text class="name" x="${left}" y="${y + 14}">${escape(label)}</text>` +
      `<rect class="${result.kind}" x="${left}" y="${y + 19}" width="${Math.max(2, round(at(result.p50) - left))}" height="8" rx="2"/>` +
      `<line class="${result.kind}" x1="${at(low)}" x2="${at(high)}" y1="${y + 23}" y2="${y + 23}" stroke-width="2"/>`
    )
  })
  const line = Number.isFinite(limit)
    ? `<line class="limit" x1="${at(limit)}" x2="${at(limit)}" y1="0" y2="${bottom}" stroke-dasharray="4 3"/>`
    : ''
  return svg(bottom + 22, `${title}: medians`, [...verticals(ticks, at, 0, bottom, unit), line, ...bars])
}

function middle({ rounds }: Result): [low: number, high: number] {
  const sorted = [...rounds].sort((a, b) => a - b)
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? 0
  return [at(0.25), at(0.75)]
}

/** Which share of the samples is at most so late: upwards by nines, so that the tail has room. */
export function cdfChart({ title, unit, results }: SuiteResult): string {
  const curves = results.filter(({ curve }) => curve.length > 3)
  if (curves.length === 0) return ''
  const [top, bottom, start] = [8, 190, 46]
  const { at, ticks } = axis(
    curves.flatMap(({ curve }) => curve.map(([, value]) => value)),
    start,
    width - right,
  )
  const least = Math.log10(1 - 0.05)
  const most = -3.5
  const height = (share: number): number =>
    round(bottom - ((Math.log10(Math.max(1 - share, 10 ** most)) - least) / (most - least)) * (bottom - top))
  const marks = [0.5, 0.9, 0.99, 0.999].map((share) => {
    const y = height(share)
    return `<line class="grid" x1="${start}" x2="${width - right}" y1="${y}" y2="${y}"/><text x="${start - 6}" y="${y + 4}" text-anchor="end">p${share * 100}</text>`
  })
  const paths = curves.map(({ kind, name, curve }) => {
    const points = curve.filter(([share]) => share < 1).map(([share, value]) => `${at(value)},${height(share)}`)
    return `<path class="${kind}" d="M${points.join('L')}"><title>${escape(name)}</title></path>`
  })
  return svg(bottom + 24, `${title}: cumulative`, [...verticals(ticks, at, top, bottom, unit), ...marks, ...paths])
}

/** Cost against count, both logarithmic: constant is level, linear is a diagonal. */
export function curveChart({ title, unit, axis: name, lines }: CurveResult): string {
  const [top, bottom, start] = [8, 190, 58]
  const all = lines.flatMap(({ points }) => points)
  const x = axis(
    all.map(([n]) => n),
    start,
    width - right,
  )
  const y = axis(
    all.map(([, value]) => value),
    bottom,
    top,
  )
  const grid = y.ticks.map(
    (tick) =>
      `<line class="grid" x1="${start}" x2="${width - right}" y1="${y.at(tick)}" y2="${y.at(tick)}"/><text x="${start - 6}" y="${y.at(tick) + 4}" text-anchor="end">${short(tick, unit)}</text>`,
  )
  const counts = x.ticks.map((tick, i) => {
    const anchor = i === x.ticks.length - 1 ? 'end' : 'middle'
    return `<text x="${x.at(tick)}" y="${bottom + 16}" text-anchor="${anchor}">${tick.toLocaleString('en')}</text>`
  })
  const paths = lines.map(({ name, points }, i) => {
    const dots = points.map(([n, value]) => `<circle class="line${i}" cx="${x.at(n)}" cy="${y.at(value)}" r="3"/>`)
    return `<path class="line${i}" d="M${points.map(([n, value]) => `${x.at(n)},${y.at(value)}`).join('L')}"><title>${escape(name)}</title></path>${dots.join('')}`
  })
  const caption = `<text x="${width / 2}" y="${bottom + 34}" text-anchor="middle">${escape(name)}</text>`
  return svg(bottom + 40, title, [...grid, ...counts, ...paths, caption])
}
