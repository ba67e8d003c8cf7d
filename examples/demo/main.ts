/**
 * The client, and the program that the user starts: `npm run demo -- --help` tells what it does.
 *
 *     client  ──WebSocket──  gateway  ──WebSocket──  service  ──shared memory──  worker threads
 *
 * It starts the gateway and the service as processes of their own, has a folder searched, ends that by a cancel, a deadline or Ctrl-C,
 * and asks every hop when and why it saw the end.
 *
 * Exit codes: 0 finished, 1 failed, 2 bad command line, 3 cancelled by --cancel-after, 124 deadline, 128 + n for signal n (Ctrl-C: 130).
 */
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import { background, cause, type Context, group, LinkLostError, sleep, withCancel, withTimeout } from 'ctxbridge'
import { notifyContext, SignalError } from 'ctxbridge/node'
import { type Connection, connect, type Remote, wrap } from 'ctxbridge/websocket'
import { Child, Failure } from './child.ts'
import { type Hop, type HopEnd, type Job, newHop, now, recorded, type Report, type Searcher } from './job.ts'
import { type Options, readOptions, UsageError, usage } from './options.ts'
import { printHeading, printHint, printReport, printStart, ProgressLine } from './report.ts'

/** What is to end one search, in milliseconds from its beginning. */
export type Plan = Pick<Options, 'deadline' | 'cancelAfter' | 'killGateway'>

/** The way to the service. */
interface Route {
  readonly service: Child
  readonly gateway: Child
  readonly connection: Connection
  readonly searcher: Remote<Searcher>
}

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args)
  if (options === 'help') {
    process.stdout.write(usage)
    return 0
  }
  // Everything hangs under this. A second Ctrl-C ends this process at once, and with it its children.
  using signals = notifyContext(background(), 'SIGINT', 'SIGTERM', 'SIGHUP')
  try {
    await using service = await Child.start(signals, 'service', options.workers)
    await using gateway = await Child.start(signals, 'gateway', service.url, options.port)
    using connection = await connect(gateway.url, { name: 'client', context: signals })
    const route = { service, gateway, connection, searcher: wrap<Searcher>(connection) }
    await rehearse(signals, route)
    printHeading(gateway, service, options)
    const tour: Plan[] = [
      { deadline: undefined, cancelAfter: 1_000, killGateway: undefined },
      { deadline: 1_000, cancelAfter: undefined, killGateway: undefined },
    ]
    if (args.length > 0) return await search(signals, route, { id: 1, ...options }, options)
    for (const [i, plan] of tour.entries()) {
      const code = await search(signals, route, { id: i + 1, ...options }, plan)
      if (code !== 0 && code !== exitCodes.canceled && code !== exitCodes.deadline) return code
    }
    printHint()
    return 0
  } catch (error) {
    const why = cause(signals)
    if (!(why instanceof SignalError)) throw error
    process.stderr.write(`Stopped before there was a result: ${why.message}.\n`)
    return 128 + constants.signals[why.signal]
  }
}

/** Code that runs for the first time takes longer than a cancel does. So all hops go through a few before one is measured. */
async function rehearse(signals: Context, { searcher }: Route): Promise<void> {
  const job = { id: 0, dir: fileURLToPath(new URL('.', import.meta.url)), pattern: 'rehearse', repeat: 1_000_000 }
  for (let i = 0; i < 3; i++) {
    const [ctx, cancel] = withCancel(signals)
    const searching = searcher.search(ctx, job).catch(() => {})
    while ((await searcher.progress(ctx, job.id)).files === 0) await sleep(ctx, 1)
    cancel(new Error('this was a rehearsal'))
    await searching
    await searcher.report(signals, job.id)
  }
}

/** One search, from its call to the last line that is printed about it. Returns the exit code. */
async function search(signals: Context, route: Route, job: Job, plan: Plan): Promise<number> {
  printStart(job, plan)
  const line = new ProgressLine()
  const start = now()
  using ctx = withTimeout(signals, plan.deadline ?? Infinity, new Error(`the search was given ${plan.deadline} ms`))
  const hop = newHop('client')
  let zero: number | undefined
  {
    // What happens beside the search ends with it.
    using beside = group(ctx)
    beside.go((ctx) => line.follow(ctx, route.searcher, job.id))
    beside.go(async (beside) => {
      await sleep(beside, plan.cancelAfter ?? Infinity)
      zero = now()
      ctx.cancel(new Error(`stopped by --cancel-after ${plan.cancelAfter}`))
    })
    beside.go(async (ctx) => {
      await sleep(ctx, plan.killGateway ?? Infinity)
      zero = now()
      route.gateway.kill()
    })
    // What it rejects with, the hop has recorded.
    await recorded(ctx, hop, () => route.searcher.search(ctx, job)).catch(() => {})
  }
  const took = now() - start
  const { progress, hops } = await ask(route, job)
  line.clear()
  if (hop.end?.kind === 'deadline exceeded') zero = start + (plan.deadline ?? 0) * 1_000
  // Nobody knows when a signal was sent, or something broke: then it is the instant at which the first hop saw it.
  zero ??= Math.min(...[hop, ...hops].map(({ end }) => end?.at ?? Infinity))
  printReport({ progress, hops: [hop, ...hops], took, zero })
  return hops.some(({ busy }) => busy) ? exitCodes.failed : exitCode(hop.end, cause(ctx))
}

/** Asks everybody on the way how the search ended; where the gateway is gone, the service directly. */
async function ask(route: Route, { id }: Job): Promise<Report> {
  // The search's context may be done: this one has to do with it no more.
  using ctx = withTimeout(background(), 5_000)
  try {
    if (route.connection.stats().state === 'open') return await route.searcher.report(ctx, id)
    using direct = await connect(route.service.url, { name: 'client', context: ctx })
    const report = await wrap<Searcher>(direct).report(ctx, id)
    const gone: Hop = newHop('gateway', { end: { kind: 'gone', cause: 'its process was killed', at: null } })
    return { ...report, hops: [gone, ...report.hops] }
  } catch (error) {
    throw new Failure(`Nobody can tell how the search ended: ${String(error)}`)
  }
}

const exitCodes = { done: 0, failed: 1, usage: 2, canceled: 3, deadline: 124 }

function exitCode(end: HopEnd | null, why: unknown): number {
  if (end === null) return exitCodes.done
  if (end.kind === 'deadline exceeded') return exitCodes.deadline
  if (end.kind !== 'canceled') return exitCodes.failed
  return why instanceof SignalError ? 128 + constants.signals[why.signal] : exitCodes.canceled
}

// Whoever reads what we print may have had enough: `npm run demo | head`.
process.stdout.on('error', () => process.exit(exitCodes.failed))

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const known = error instanceof Failure || error instanceof UsageError || error instanceof LinkLostError
  if (!known) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = error instanceof UsageError ? exitCodes.usage : exitCodes.failed
}
