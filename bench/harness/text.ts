/** Numbers for people. */
import type { ClockResult, Unit } from './model.ts'

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

/** `125, 1,000 and 1,500`: of one or more. */
export function listed(numbers: readonly number[]): string {
  const texts = numbers.map((n) => n.toLocaleString('en'))
  return texts.length < 2 ? texts.join() : `${texts.slice(0, -1).join(', ')} and ${texts.at(-1)}`
}

/** How exactly the clocks of a suite were compared, and what that means for its results; nothing where it has one clock. */
export function clocksText(clocks: readonly ClockResult[] = []): string {
  const texts = clocks.map(({ between, error }) => `The clocks of ${between} were compared, to ±${show(error, 'ns')}.`)
  // Of several it is not known who has which.
  if (texts.length === 1)
    texts.push(
      'One offset is in all lines, and what it is wrong by moves all of them alike: it is in their ratios, and not in their differences.',
    )
  return texts.join(' ')
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

/** With line breaks between words where a line would be longer than `width`; what goes on is indented as its line, or by `indent`. A word that is longer stays whole. */
export function wrapped(text: string, width: number, indent?: string): string {
  return text
    .split('\n')
    .flatMap((line) => {
      if (line.length <= width) return [line]
      const margin = indent ?? /^ */.exec(line)?.[0] ?? ''
      const lines: string[] = []
      let last = /^ */.exec(line)?.[0] ?? ''
      for (const [i, word] of line.trim().split(/ +/).entries()) {
        if (i > 0 && last.length + 1 + word.length > width) {
          lines.push(last)
          last = margin + word
        } else last += i === 0 ? word : ` ${word}`
      }
      return [...lines, last]
    })
    .join('\n')
}

/** How far the middle half of the rounds' medians lies apart, as a share of the middle one. */
export function spread(rounds: readonly number[]): string {
  const sorted = [...rounds].sort((a, b) => a - b)
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN
  return sorted.length < 2 ? '-' : `±${(((at(0.75) - at(0.25)) / 2 / at(0.5)) * 100).toFixed(0)}%`
}

/** Text for HTML, also within attributes. */
export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`)
}
