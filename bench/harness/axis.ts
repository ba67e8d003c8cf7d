/** Logarithmic axes, and the frame of a chart. */
import type { Unit } from './model.ts'
import { escape, show } from './text.ts'

export const width = 420

export interface Axis {
  at(value: number): number
  readonly ticks: readonly number[]
}

interface AxisOptions {
  /** How many times the least value the greatest one shall be at least, so that noise does not fill a chart. */
  readonly span?: number
  /** Between ticks, at least. */
  readonly gap?: number
  /** Ticks are at the values themselves, and not at 1, 10, 100, or in between where that is not enough. */
  readonly own?: boolean
}

/** Covers all values with some room on both sides. */
export function logAxis(
  values: readonly number[],
  from: number,
  to: number,
  { span = 4, gap = 56, own = false }: AxisOptions = {},
): Axis {
  const positive = values.filter((value) => value > 0)
  let [low, high] = positive.length === 0 ? [1, 10] : [Math.min(...positive), Math.max(...positive)]
  const room = Math.max(1.12, Math.sqrt(span / (high / low)))
  low /= room
  high *= room
  const at = (value: number): number => round(from + (Math.log(Math.max(value, low) / low) / Math.log(high / low)) * (to - from))
  return {
    at,
    ticks: own
      ? spaced(
          [...new Set(positive)].sort((a, b) => a - b),
          at,
          gap,
        )
      : ticksOf(low, high, at, gap),
  }
}

/** The coarsest of some raster that gives three ticks at least, without those that would be too near to another. */
function ticksOf(low: number, high: number, at: (value: number) => number, gap: number): number[] {
  for (const steps of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]]) {
    const inside: number[] = []
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      for (const step of steps) {
        const tick = step * 10 ** power
        if (tick >= low * 0.999 && tick <= high * 1.001) inside.push(tick)
      }
    }
    if (inside.length < 3 && steps.length < 8) continue
    return spaced(inside, at, gap)
  }
  return []
}

function spaced(ticks: readonly number[], at: (value: number) => number, gap: number): number[] {
  const kept: number[] = []
  for (const tick of ticks) {
    const last = kept.at(-1)
    if (last === undefined || Math.abs(at(tick) - at(last)) >= gap) kept.push(tick)
  }
  return kept
}

export function round(value: number): number {
  return Math.round(value * 10) / 10
}

export function svg(height: number, title: string, parts: readonly string[]): string {
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">${parts.join('')}</svg>`
}

/** Lines across, each with its value below. */
export function verticals({ at, ticks }: Axis, top: number, bottom: number, label: (tick: number) => string): string[] {
  return ticks.map((tick) => {
    const x = at(tick)
    const text = label(tick)
    return `<line class="grid" x1="${x}" x2="${x}" y1="${top}" y2="${bottom}"/><text x="${x}" y="${bottom + 16}" text-anchor="${anchorOf(x, text, width)}">${text}</text>`
  })
}

/** A label at an edge stays within a picture of that width. */
export function anchorOf(x: number, text: string, within: number): 'start' | 'middle' | 'end' {
  const half = text.length * 4
  if (x - half < 0) return 'start'
  return x + half > within ? 'end' : 'middle'
}

export function horizontals({ at, ticks }: Axis, start: number, end: number, label: (tick: number) => string): string[] {
  return ticks.map((tick) => {
    const y = at(tick)
    return `<line class="grid" x1="${start}" x2="${end}" y1="${y}" y2="${y}"/><text x="${start - 6}" y="${y + 4}" text-anchor="end">${label(tick)}</text>`
  })
}

/** `100 µs`, without the decimals of a measured number. */
export function tickText(tick: number, unit: Unit): string {
  return pretty(tick, unit).replace(/\.0+(?= )|(?<=\.\d)0(?= )/, '')
}

/** As `show`, for a page. */
export function pretty(value: number | undefined, unit: Unit): string {
  return show(value, unit).replace(' us', ' µs')
}

/** `1`, `10k`, `1M`. */
export function countText(n: number): string {
  return n >= 1e6 ? `${n / 1e6}M` : n >= 1e3 ? `${n / 1e3}k` : String(n)
}
