/** `npm run bench`: measures, prints, and writes the page of a whole run, and what it was asked to write. */
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { relative } from 'node:path'
import { judge } from './bars.ts'
import { allCurves, allSuites } from './cases/all.ts'
import { projectFile } from './cases/paths.ts'
import { measuredAlone, type Outcome } from './harness/alone.ts'
import { commitOf } from './harness/commit.ts'
import { compareRuns, machineRatio } from './harness/compare.ts'
import { load, machine, peerVersions } from './harness/machine.ts'
import { type ClockResult, type CurveResult, failuresOf, type Run, type SuiteResult } from './harness/model.ts'
import { reportOf } from './harness/report.ts'
import { barText, comparisonText, curveText, failureText, print, progress, runText, suiteText } from './harness/terminal.ts'
import { type Options, pageOf, parseOptions, usage, UsageError } from './options.ts'
import { installPeers, peerSuites } from './peers.ts'
import { mustBeWritable, readRun } from './run-file.ts'

async function main(options: Options): Promise<void> {
  if (options.help) return print(usage.trimEnd())
  const earlier = options.compare === undefined ? undefined : readRun(options.compare, '--compare')
  if (options.json !== undefined) mustBeWritable(options.json, '--json')
  const page = pageOf(options)
  if (page !== undefined && !options.list) mustBeWritable(page, '--report')
  const wanted = ({ id }: { readonly id: string }): boolean => options.only?.pattern.test(id) ?? true
  const suites = allSuites(options.peers ? peerSuites() : []).filter(wanted)
  const curves = allCurves().filter(wanted)
  if (suites.length + curves.length === 0) {
    throw new UsageError(`Nothing that can be measured matches '${options.only?.text ?? ''}'. See --list.`)
  }
  if (options.list) {
    for (const { id, title } of [...suites, ...curves]) print(`${id.padEnd(24)} ${title}`)
    return
  }
  if (options.peers) installPeers(print)

  const started = new Date()
  // Before: who works on while it measures changes nothing of what it measures, which is built.
  const commit = commitOf(projectFile(''))
  const before = load()
  // Once: whoever asks for it a second time does not want to wait for what is to be written.
  const interrupted = new AbortController()
  process.once('SIGINT', () => interrupted.abort())
  let pinned: string | undefined
  let done = 0
  const compared: ClockResult[] = []
  const [measured, drawn]: [SuiteResult[], CurveResult[]] = [[], []]
  const lost: { id: string; reason: string }[] = []
  const found = async (id: string | undefined, pin: boolean): Promise<Outcome> => {
    const part = { id, peers: options.peers, rounds: options.rounds, pin, seed: started.getTime() + done }
    const what = id ?? 'compares clocks'
    progress(what)
    const result = await measuredAlone(
      new URL('part.js', import.meta.url),
      part,
      (share, doing) =>
        progress(`${what}  ${Math.round(share * 100)}%  ${doing}  (${done + 1} of ${suites.length + curves.length})`),
      { stop: interrupted.signal },
    )
    // Of the clocks, which come first, or else of what is timed: what only counts bytes is not pinned.
    if (pin === options.pin) pinned ??= result.pinned
    return result.outcome
  }
  const take = async (id: string | undefined, pin = options.pin): Promise<void> => {
    if (interrupted.signal.aborted) return
    let outcome: Outcome
    try {
      outcome = await found(id, pin)
    } catch (error) {
      // The others are measured all the same; that this one is missing is said at the end, and by the exit code.
      const reason = interrupted.signal.aborted ? 'It was interrupted.' : (error as Error).message
      lost.push({ id: id ?? 'clocks', reason })
      return
    }
    if ('clocks' in outcome) {
      compared.push(...outcome.clocks)
      return
    }
    done++
    if ('suite' in outcome) {
      measured.push(outcome.suite)
      print(suiteText(outcome.suite))
    } else {
      drawn.push(outcome.curve)
      print(curveText(outcome.curve))
    }
  }
  const parts = [...suites, ...curves]
  const [counted, timed] = [parts.filter(({ unit }) => unit === 'bytes'), parts.filter(({ unit }) => unit !== 'bytes')]
  await take(undefined)
  await sideBySide(counted, ({ id }) => take(id, false))
  for (const { id } of timed) await take(id)
  const known = new Set([...measured, ...drawn, ...lost].map(({ id }) => id))
  const left = parts.filter(({ id }) => !known.has(id)).map(({ id }) => id)
  if (left.length > 0) lost.push({ id: left.join(', '), reason: 'Not begun, since the run was interrupted.' })
  const place = ({ id }: { readonly id: string }): number => parts.findIndex((part) => part.id === id)
  for (const list of [measured, drawn]) list.sort((a, b) => place(a) - place(b))
  const run: Run = {
    format: 1,
    ...(commit !== undefined && { commit }),
    started: started.toISOString(),
    ...(options.rounds !== undefined && { rounds: options.rounds }),
    seconds: Math.round((Date.now() - started.getTime()) / 1_000),
    machine: machine(before, pinned ?? 'no', options.peers ? peerVersions() : {}),
    clocks: compared,
    suites: measured,
    curves: drawn,
    bars: judge(measured),
    ...(lost.length > 0 && { lost }),
  }
  // First of all: what follows could fail, and this took minutes.
  const unwritten = [
    ...write(options.json, '--json', () => `${JSON.stringify(run, rounded, 1)}\n`),
    ...write(page, '--report', () => reportOf(run)),
  ]
  if (run.bars.length > 0) print(barText(run.bars))
  print(runText(run))
  print(page === undefined ? 'as a page, with charts: --report FILE' : `as a page, with charts: ${relative('', page)}`)
  if (earlier !== undefined) print(comparisonText(compareRuns(earlier, run), machineRatio(earlier, run), earlier.commit))
  const failures = [...failuresOf(run), ...unwritten]
  if (failures.length === 0) return
  print(failureText(failures))
  process.exitCode = interrupted.signal.aborted ? 130 : 1
}

/** For what only counts bytes, which are as many whatever else runs: as many of these at a time as there are processors. */
async function sideBySide<T>(all: readonly T[], f: (one: T) => Promise<void>): Promise<void> {
  const rest = all.values()
  const lane = async (): Promise<void> => {
    for (const one of rest) await f(one)
  }
  await Promise.all(Array.from({ length: availableParallelism() }, lane))
}

/** What went wrong, in a sentence: a full disk takes with it the file, but not what is printed. */
function write(file: string | undefined, option: string, content: () => string): string[] {
  if (file === undefined) return []
  try {
    writeFileSync(file, content())
    return []
  } catch (error) {
    return [`${option} could not write ${file}: ${(error as Error).message}.`]
  }
}

/** Four figures are more than any of these numbers has, but for what clocks that begin at different times differ by. */
function rounded(key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) && key !== 'offset' ? Number(value.toPrecision(5)) : value
}

// Whoever read it has gone, as with `| head`.
process.stdout.on('error', () => process.exit(1))
try {
  await main(parseOptions(process.argv.slice(2)))
} catch (error) {
  progress('')
  if (!(error instanceof UsageError)) throw error
  console.error(`${error.message}\n\n${usage.trimEnd()}`)
  process.exitCode = 2
}
