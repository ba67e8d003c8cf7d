/** Numbers for people. */
import type { Unit } from './model.ts'

/** Three figures, and the unit that fits: `1.23 us`, `45.6 ms`, `1,024 B`. */
export function show(value: number | undefined, unit: Unit): string {
  if (value === undefined || Number.isNaN(value)) return '-'
  if (unit === 'bytes')
    return value < 10_000
      ? `${figures(value)} B`
      : value < 1e7
        ? `${figures(value / 1024)} KiB`
        : `${figures(value / 1_048_576)} MiB`
  if (value < 1_000) return `${figures(value)} ns`
  if (value < 1e6) return `${figures(value / 1e3)} us`
  if (value < 1e9) return `${figures(value / 1e6)} ms`
  return `${figures(value / 1e9)} s`
}

export function figures(value: number): string {
  const size = Math.abs(value)
  if (size >= 99.95) return Math.round(value).toLocaleString('en')
  return value.toFixed(size >= 9.995 ? 1 : 2)
}

/** Columns side by side; the first one to the left, the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Text for HTML, also within attributes. */
export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}
