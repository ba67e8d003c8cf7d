/** How a curve grows, in words: what a reader looks for is where it is constant, where linear, and whether there is a knee. */
import type { Growth } from './model.ts'

export type Points = readonly (readonly [n: number, value: number])[]

/** The exponent e of `value ~ n^e`, by least squares on logarithms. 0: constant; 1: linear. NaN of fewer than two points. */
export function exponent(points: Points): number {
  const logs = points.filter(([n, value]) => n > 0 && value > 0).map(([n, value]) => [Math.log(n), Math.log(value)] as const)
  const mean = (pick: 0 | 1): number => logs.reduce((sum, pair) => sum + pair[pick], 0) / logs.length
  const [mx, my] = [mean(0), mean(1)]
  let [above, below] = [0, 0]
  for (const [x, y] of logs) {
    above += (x - mx) * (y - my)
    below += (x - mx) ** 2
  }
  return above / below
}

/**
 * A verdict on the upper half of a curve, where small costs that do not depend on n no longer hide its growth. A knee is a step
 * between neighbours that is steeper than expected by more than half a power: where each one's share is to be constant, one that grows linearly is already
 * quadratic in all. Looked for from 100 on, or from a hundredth of the greatest n, whichever is less: a doubling at small n is noise more often than growth.
 */
export function growth(points: Points, expected: Growth): string {
  const steep = expected === 'constant' ? 0.5 : 1.5
  const upper = points.slice(Math.floor((points.length - 1) / 2))
  if (upper.length < 2) return 'one point'
  const e = exponent(upper)
  const from = Math.min(100, Math.max(...points.map(([n]) => n)) / 100)
  let knee: number | undefined
  for (let i = 1; i < points.length; i++) {
    const pair = points.slice(i - 1, i + 1)
    if (exponent(pair) > steep && (pair[0]?.[0] ?? 0) >= from) knee ??= pair[0]?.[0]
  }
  const kind = e < 0.15 ? 'constant' : e < 0.85 ? 'less than linear' : e <= 1.2 ? 'linear' : 'more than linear'
  return `${kind} (n^${Math.max(0, e).toFixed(2)})${knee === undefined ? '' : `, a knee above ${knee.toLocaleString('en')}`}`
}
