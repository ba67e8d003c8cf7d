/** What the user sees: on stdout the story, on stderr how far the search is. Fits into 100 columns. */
import { styleText } from 'node:util'
import { type Context, sleep } from 'ctxbridge'
import type { Remote } from 'ctxbridge/websocket'
import type { Child } from './child.ts'
import type { Hop, Job, Progress, Searcher } from './job.ts'
import type { Plan } from './main.ts'
import type { Options } from './options.ts'

const width = 100

// `hasColors` honours NO_COLOR, FORCE_COLOR and terminals that know none.
const colors = process.stdout.isTTY && process.stdout.hasColors()
type Style = Parameters<typeof styleText>[0]
const paint = (style: Style, text: string): string => (colors ? styleText(style, text) : text)
const count = (n: number): string => Math.round(n).toLocaleString('en-US')
const print = (...lines: string[]): void => void process.stdout.write(`${lines.join('\n')}\n`)

export function printHeading(gateway: Child, service: Child, { workers }: Options): void {
  print(
    paint('bold', 'One context, from this process into the busy loop of a thread two processes away'),
    '',
    `  client ── WebSocket ── gateway ── WebSocket ── service ── shared memory ── ${plural(workers, 'worker thread')}`,
    paint(
      'dim',
      `  pid ${process.pid}; gateway: pid ${gateway.pid}, port ${gateway.port}; service: pid ${service.pid}, port ${service.port}`,
    ),
  )
}

export function printStart({ dir, pattern, repeat }: Job, { deadline, cancelAfter, killGateway }: Plan): void {
  const plans = [
    ...(deadline === undefined ? [] : [`The deadline is in ${deadline} ms.`]),
    ...(cancelAfter === undefined ? [] : [`It is cancelled after ${cancelAfter} ms.`]),
    ...(killGateway === undefined ? [] : [`The gateway is killed after ${killGateway} ms.`]),
    'Ctrl-C cancels.',
  ]
  const what = `Searching ${dir} for /${pattern}/${repeat > 1 ? `, ${count(repeat)} times over` : ''}`
  print('', paint('bold', clip(what)), plans.join(' '))
}

export function printHint(): void {
  print('', 'Next: npm run demo -- --kill-gateway 500, or --dir with a folder of yours, or --help.')
}

/** How far a search is: one line that changes on a terminal, else a line from time to time. */
export class ProgressLine {
  #written = -Infinity
  #listing = true

  /** Until the context ends. */
  async follow(ctx: Context, searcher: Remote<Searcher>, id: number): Promise<never> {
    for (;;) {
      await sleep(ctx, 50)
      this.#show(await searcher.progress(ctx, id))
    }
  }

  #show(progress: Progress): void {
    const text = `  ${howFar(progress)} …`
    if (process.stderr.isTTY) {
      process.stderr.write(`\r${text}\x1b[K`)
    } else if (performance.now() - this.#written > 2_000 || (this.#listing && progress.files > 0)) {
      this.#written = performance.now()
      this.#listing = progress.files === 0
      process.stderr.write(`${text}\n`)
    }
  }

  clear(): void {
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  }
}

function howFar({ total, files, matches }: Progress): string {
  if (total === null) return 'still listing the folder'
  return `${count(files)} of ${plural(total, 'file')} searched, ${plural(matches, 'match', 'es')}`
}

export interface Outcome {
  readonly progress: Progress
  /** In the order in which the context came through. */
  readonly hops: readonly Hop[]
  /** In microseconds. */
  readonly took: number
  /** The instant of the cancel, the deadline or the loss: from it the times are counted. */
  readonly zero: number
}

export function printReport({ progress, hops, took, zero }: Outcome): void {
  const end = hops[0]?.end ?? null
  const verdict = end === null ? paint('green', 'Finished') : paint('yellow', `Ended early (${end.kind})`)
  const unread = progress.unreadable > 0 ? `; ${count(progress.unreadable)} could not be read` : ''
  print(`${verdict} after ${count(took / 1_000)} ms: ${howFar(progress)}${unread}.`)
  if (end !== null) {
    print('', heading('hop', 'saw it after', 'what', 'why'))
    for (const hop of hops) print(clip(row(hop, zero)))
  }
  const timed = hops[0]?.path?.includes('WithDeadline') === true
  print('', heading('hop', `the path of its context, from its root${timed ? '; in brackets the time left when it came' : ''}`))
  for (const { name, path, end, busy } of hops) print(clip(`  ${name.padEnd(11)}${path ?? notThere(end?.kind === 'gone', busy)}`))
  printWorkers(hops.filter(({ thread, busy }) => thread !== null || busy))
  if (end !== null) {
    print(
      paint('dim', 'Times are by the monotonic clock, which all processes of this machine share, from the instant of'),
      paint('dim', 'the cancel, the deadline or the loss. A worker saw it in its loop: its event loop did not turn.'),
    )
  }
}

function heading(hop: string, ...columns: [string] | [after: string, what: string, why: string]): string {
  const [first, what, why] = columns
  const text = what === undefined ? first : `${first.padStart(12)}   ${what.padEnd(19)}${why}`
  return paint('dim', `  ${hop.padEnd(11)}${text}`)
}

function row({ name, path, end, busy }: Hop, zero: number): string {
  const after = end === null || end.at === null ? '–' : `${count(end.at - zero)} µs`
  const what = end?.kind ?? (busy ? 'busy' : path === null ? 'never started' : 'finished')
  return `  ${name.padEnd(11)}${after.padStart(12)}   ${what.padEnd(19)}${(end?.cause ?? '').split('\n', 1)[0]}`
}

function notThere(gone: boolean, busy: boolean): string {
  return gone || busy ? 'cannot be asked' : 'none: the search did not come here'
}

/** A worker that answers is not in its loop any more: it has no other way to answer. */
function printWorkers(workers: readonly Hop[]): void {
  const busy = workers.filter((worker) => worker.busy).map(({ name }) => name)
  const idle = workers.filter((worker) => !worker.busy).map(({ name, thread }) => `${name} (thread ${thread})`)
  const shown = idle.length > 4 ? [...idle.slice(0, 3), `${idle.length - 3} more`] : idle
  if (busy.length === 0) print('', paint('green', `No worker is busy: ${shown.join(', ')} answered.`))
  else {
    print('', paint('red', `Still busy: ${busy.join(', ')}. That ends with the service.`))
    print('A match of a regular expression cannot be interrupted: a worker looks at its context between lines.')
  }
}

function plural(n: number, word: string, ending = 's'): string {
  return `${count(n)} ${word}${n === 1 ? '' : ending}`
}

function clip(line: string): string {
  return line.length > width ? `${line.slice(0, width - 1)}…` : line
}
