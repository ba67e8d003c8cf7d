/** How contexts look to people. Knows a context only by its public members. */
import type { Context } from './context.ts'

/** A span as Go writes it: `1.5s`, `2m0s`, `1h0m0s`, `12.5ms`. */
export function showDuration(ms: number): string {
  if (!Number.isFinite(ms)) return ms > 0 ? '∞' : '-∞'
  if (ms < 0) return `-${showDuration(-ms)}`
  if (ms < 1_000) return ms === 0 ? '0s' : `${trim(ms)}ms`
  const seconds = Math.floor(ms) / 1_000
  const [h, m, s] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60]
  return `${h > 0 ? `${h}h` : ''}${h > 0 || m > 0 ? `${m}m` : ''}${trim(s)}s`
}

function trim(n: number): string {
  return String(Math.round(n * 1_000) / 1_000)
}

/** One line about a context: its path, then whether it is live, for how long, or what ended it. `show` writes a cause. */
export function showState(path: string, ctx: Context, show: (value: unknown) => string): string {
  const shortened = (path.length > 400 ? `${path.slice(0, 120)} … ${path.slice(-240)}` : path).replace(/\s*[\r\n]\s*/g, ' ')
  const error = ctx.err()
  if (error === undefined) {
    const left = ctx.remaining()
    return `${shortened} { live${left === Infinity ? '' : `, ${showDuration(left)} left`} }`
  }
  const kind = error.name === 'TimeoutError' ? 'deadline exceeded' : 'canceled'
  return `${shortened} { ${kind}${Object.hasOwn(error, 'cause') ? `: ${firstLine(show(error.cause))}` : ''} }`
}

function firstLine(text: string): string {
  // An error that has more to show than its stack is in braces, the second of which is behind that.
  const line = text.replace(/^(?:\{ (?=[^\n]*\n))?([^\n]*)[^]*/, '$1')
  return line.length > 200 ? `${line.slice(0, 200)}…` : line
}
