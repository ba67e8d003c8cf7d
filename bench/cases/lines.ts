/** Lines of a curve of which one run finds a value each. */
import type { CurveSuite } from '../harness/model.ts'

/** @param measure is run for the first line that asks for a value, and again when one asks that had it already: so each value counts once */
export function foundTogether<Line extends string>(
  names: Readonly<Record<Line, string>>,
  points: readonly number[],
  measure: (n: number) => Promise<Readonly<Record<Line, number>>>,
): CurveSuite['lines'] {
  const waiting = new Map<string, number[]>()
  const lines = Object.keys(names) as Line[]
  const find = async (line: Line, n: number): Promise<number> => {
    const found = waiting.get(`${line} ${n}`)?.shift()
    if (found !== undefined) return found
    const all = await measure(n)
    for (const other of lines) {
      const key = `${other} ${n}`
      if (other !== line) waiting.set(key, [...(waiting.get(key) ?? []), all[other]])
    }
    return all[line]
  }
  return lines.map((line) => ({ name: names[line], points, measure: (n: number) => find(line, n) }))
}
