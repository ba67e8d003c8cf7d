/** How costs grow across boundaries: with what is exported, the calls at once, the connections of a server, and the hops. */
import * as Comlink from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { background, withCancel } from 'ctxbridge'
import { connect, type Connection, wrap } from 'ctxbridge/websocket'
import { wrap as wrapWorker } from 'ctxbridge/worker'
import type { WebSocket } from 'ws'
import type { Served } from '../far/service-types.ts'
import type { ComlinkJobs, Jobs } from '../far/worker-jobs.ts'
import { now } from '../harness/clock.ts'
import type { CurveSuite } from '../harness/model.ts'
import { keepAwake } from '../harness/runner.ts'
import { median } from '../harness/samples.ts'
import { must } from './cost.ts'
import { foundTogether } from './lines.ts'
import { powers } from './scale.ts'
import { bareSocket, type Far as FarProcess, far as farProcess, urlOf } from './websocket-far.ts'
import { type Far as FarWorker, far as farWorker } from './worker-far.ts'

/** So many calls come first, in batches of twenty, as in the suites of single calls: whoever has more code needs more of them until the runtime has compiled it. */
const callsUntilCompiled = 4_000

/** All made in one turn: each one's share of the time until all have resolved. */
async function atOnce(n: number, call: () => Promise<unknown>): Promise<number> {
  for (let i = 0; i < callsUntilCompiled / 20; i++) await Promise.all(Array.from({ length: 20 }, call))
  const times: number[] = []
  // A few calls are over too soon for a single sample.
  for (let made = 0; made < 200; made += n) {
    const before = now()
    await Promise.all(Array.from({ length: n }, call))
    times.push((now() - before) / n)
  }
  return median(times)
}

/** A far side for all points of a curve, started when it is first needed. */
function shared<T extends { close(): Promise<void> }>(
  start: () => Promise<T> | T,
): { get(): Promise<T>; close(): Promise<void> } {
  let started: Promise<T> | undefined
  return {
    get: () => (started ??= Promise.resolve(start())),
    async close() {
      const it = await started
      started = undefined
      await it?.close()
    },
  }
}

const ownWorker = shared(() => withJobs('ctxbridge', ({ worker }) => wrapWorker<Jobs>(worker)))
const comlinkWorker = shared(() => withJobs('comlink', ({ worker }) => Comlink.wrap<ComlinkJobs>(nodeEndpoint(worker))))
const callService = shared(() => farProcess())

function withJobs<T>(role: 'ctxbridge' | 'comlink', wrapped: (it: FarWorker) => T): { jobs: T; close(): Promise<void> } {
  const it = farWorker(role)
  return { jobs: wrapped(it), close: () => it.close() }
}

const calls: CurveSuite = {
  id: 'scale/calls',
  title: 'Calls at once, by how many there are',
  about:
    'Of n calls, each with a context of its own, all made in one turn of the event loop: the share of each in the time until all have resolved.',
  unit: 'ns',
  axis: 'calls at once',
  expected: 'constant',
  lines: [
    {
      name: 'worker',
      points: powers(100_000),
      async measure(n) {
        const { jobs } = await ownWorker.get()
        return atOnce(n, () => jobs.nothing(withCancel(background())))
      },
    },
    {
      name: 'Comlink, without contexts',
      points: powers(10_000),
      async measure(n) {
        const { jobs } = await comlinkWorker.get()
        return atOnce(n, () => jobs.nothing())
      },
    },
    {
      name: 'WebSocket',
      points: powers(100_000),
      async measure(n) {
        const connection = await connect(urlOf((await callService.get()).ports.link), { limits: { maxCalls: 200_000 } })
        const remote = wrap<Served>(connection)
        const time = await atOnce(n, () => remote.nothing(withCancel(background())))
        connection.close()
        return time
      },
    },
  ],
  async close() {
    for (const far of [ownWorker, comlinkWorker, callService]) await far.close()
  },
}

const linkService = shared(() => farProcess())
const connections: Connection[] = []

/** So many connections of the service are open, of which the first one is used. */
async function connected(n: number): Promise<Connection> {
  const { ports } = await linkService.get()
  for (const extra of connections.splice(n)) extra.close()
  while (connections.length < n) {
    const batch = Math.min(50, n - connections.length)
    connections.push(...(await Promise.all(Array.from({ length: batch }, () => connect(urlOf(ports.link))))))
  }
  return connections[0] as Connection
}

/** The median of some latencies, one after the other. */
async function medianOf(samples: number, one: () => Promise<number>): Promise<number> {
  for (let i = 0; i < 20; i++) await one()
  const times: number[] = []
  for (let i = 0; i < samples; i++) times.push(await one())
  return median(times)
}

async function cancelOver(connection: Connection, { reports }: FarProcess): Promise<number> {
  const ctx = withCancel(background())
  const call = wrap<Served>(connection)
    .func(ctx)
    .catch(() => {})
  await reports.ready()
  const before = now()
  ctx.cancel()
  const { at } = await reports.seen()
  await call
  return at - before
}

const links: CurveSuite = {
  id: 'scale/links',
  title: 'One connection, by how many the server has',
  about: 'A call and back, and a cancel to the handler, on one connection; the others are open and silent.',
  unit: 'ns',
  axis: 'connections',
  expected: 'constant',
  lines: foundTogether(
    { call: 'a call and back', cancel: 'a cancel, until the handler sees it' },
    [1, 30, 300, 3_000],
    async (n) => {
      const connection = await connected(n)
      const remote = wrap<Served>(connection)
      const it = await linkService.get()
      const call = await medianOf(100, async () => {
        const before = now()
        must((await remote.nothing(background())) === 1, 'the call returned what the method returns')
        return now() - before
      })
      return { call, cancel: await medianOf(100, () => cancelOver(connection, it)) }
    },
  ),
  async close() {
    for (const connection of connections.splice(0)) connection.close()
    await linkService.close()
  },
}

const hopCounts = [1, 2, 4, 8]
const mostHops = Math.max(...hopCounts)
let chain: Promise<readonly FarProcess[]> | undefined

/** A service, and gateways before it: the one of index k is k + 1 hops away from the service's handler. */
async function startChain(): Promise<readonly FarProcess[]> {
  const started: FarProcess[] = []
  for (let i = 0; i < mostHops; i++) started.push(await farProcess(started.at(-1)?.ports))
  await warmUp(started)
  return started
}

/**
 * So many events of either kind pass through all processes first, as in the suites of latency. Else the outermost one, through which only those of the longest way pass, would run code
 * that is new to the runtime, the one behind it half of them, and so on: that alone made the curve of whoever has more code steeper than linear.
 */
const untilCompiled = 2_000

async function warmUp(processes: readonly FarProcess[]): Promise<void> {
  const [service, first] = [processes[0] as FarProcess, processes.at(-1) as FarProcess]
  const connection = await connect(urlOf(first.ports.link))
  const socket = await bareSocket(first.ports.ws, true)
  const sleep = keepAwake()
  try {
    for (let i = 0; i < untilCompiled; i++) {
      await cancelOver(connection, service)
      await frameOver(socket, service)
    }
  } finally {
    sleep()
    connection.close()
    socket.close()
  }
}

async function hop(n: number): Promise<{ service: FarProcess; first: FarProcess }> {
  const all = await (chain ??= startChain())
  return { service: all[0] as FarProcess, first: all[n - 1] as FarProcess }
}

const hops: CurveSuite = {
  id: 'scale/hops',
  title: 'A cancel, by the number of hops',
  about: 'From cancel() to the handler in the last process; each one before it passes its own context on. All share two cores.',
  unit: 'ns',
  axis: 'hops',
  expected: 'linear',
  lines: [
    {
      name: 'ctxbridge/websocket',
      points: hopCounts,
      async measure(n) {
        const { service, first } = await hop(n)
        const connection = await connect(urlOf(first.ports.link))
        const time = await medianOf(60, () => cancelOver(connection, service))
        connection.close()
        return time
      },
    },
    {
      name: 'bare ws frames, forwarded',
      points: hopCounts,
      async measure(n) {
        const { service, first } = await hop(n)
        const socket = await bareSocket(first.ports.ws, n > 1)
        const time = await medianOf(60, () => frameOver(socket, service))
        socket.close()
        return time
      },
    },
  ],
  async close() {
    // The outermost first: one that loses its service ends.
    for (const one of [...((await chain) ?? [])].reverse()) await one.close()
    chain = undefined
  },
}

const frame = Buffer.alloc(6, 1)

async function frameOver(socket: WebSocket, { reports }: FarProcess): Promise<number> {
  socket.send('ready?')
  await reports.ready()
  const before = now()
  socket.send(frame)
  return (await reports.seen()).at - before
}

export const linkCurves: readonly CurveSuite[] = [calls, links, hops]
