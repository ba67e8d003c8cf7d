/** From `cancel()` here to the moment when another process sees it. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { afterFunc, background, type CancelableContext, type Context, withCancel, withTimeout } from 'ctxbridge'
import { connect, serve, wrap } from 'ctxbridge/websocket'
import { pack, unpack } from 'msgpackr'
import { WebSocket, WebSocketServer } from 'ws'
import type { FromProcess, Served, ToProcess } from '../far/service-types.ts'
import { compareClocks, now } from '../harness/clock.ts'
import type { ClockResult, Contender, Started, Suite } from '../harness/model.ts'
import { Reports } from '../harness/reports.ts'
import { must } from './cost.ts'
import { latency, type Near } from './latency.ts'
import { farProgram } from './paths.ts'

type Ports = Extract<FromProcess, { ports: unknown }>['ports']

export interface Far {
  readonly ports: Ports
  readonly reports: Reports
  ask(what: 'clock' | 'bytes'): Promise<number>
  /** From now on so many events are reported as one. */
  expect(events: number): Promise<void>
  close(): Promise<void>
}

export async function far(upstream?: Ports): Promise<Far> {
  const child: ChildProcess = fork(farProgram('service'), upstream === undefined ? [] : [JSON.stringify(upstream)], {
    execArgv: [],
  })
  const reports = new Reports()
  const exited = once(child, 'exit')
  let closing = false
  void exited.then(() => closing || reports.fail(new Error('The far process has exited.')))
  const [{ ports }] = (await once(child, 'message')) as [{ ports: Ports }]
  let answer: ((value: number) => void) | undefined
  child.on('message', (message: FromProcess) => {
    if ('report' in message) reports.add(message.report)
    else if ('clock' in message) answer?.(message.clock)
    else if ('bytes' in message) answer?.(message.bytes)
  })
  const send = (order: ToProcess): void => void child.send(order)
  return {
    ports,
    reports,
    ask: (what) => {
      const value = new Promise<number>((resolve) => (answer = resolve))
      send({ ask: what })
      return value
    },
    async expect(events) {
      send({ expect: events })
      await reports.ready()
    },
    async close() {
      closing = true
      child.disconnect()
      await exited
    },
  }
}

const urlOf = (port: number): string => `ws://127.0.0.1:${port}`

async function bareSocket(port: number, first = false): Promise<WebSocket> {
  const socket = new WebSocket(urlOf(port), { perMessageDeflate: false })
  await once(socket, 'open')
  // A gateway says when its own connection is open.
  if (first) await once(socket, 'message')
  return socket
}

/** A cancel of ours, without a cause, in bytes of a message: what a bare frame is to be as long as. Measured, not believed. */
async function cancelSize(it: Far): Promise<number> {
  const connection = await connect(urlOf(it.ports.link))
  const remote = wrap<Served>(connection)
  const ctx = withCancel(background())
  const call = remote.watch(ctx).catch(() => {})
  await it.reports.ready()
  const before = await it.ask('bytes')
  ctx.cancel()
  await it.reports.seen()
  await call
  const after = await it.ask('bytes')
  connection.close()
  // A client's frame has two bytes of header and four of mask.
  return after - before - 6
}

async function ours(hops: 1 | 2, method: 'watch' | 'func' = 'watch'): Promise<Near> {
  const service = await far()
  const gateway = hops === 2 ? await far(service.ports) : undefined
  const connection = await connect(urlOf((gateway ?? service).ports.link))
  const remote = wrap<Served>(connection)
  return {
    reports: service.reports,
    arm() {
      const ctx = withCancel(background())
      const call = remote[method](ctx).catch((error: unknown) => {
        if (error !== ctx.err()) service.reports.fail(error as Error)
      })
      return (cause) => {
        ctx.cancel(cause === '' ? undefined : cause)
        return call
      }
    },
    async close() {
      connection.close()
      await gateway?.close()
      await service.close()
    },
  }
}

async function bareWs(hops: 1 | 2): Promise<Near> {
  const service = await far()
  const gateway = hops === 2 ? await far(service.ports) : undefined
  const frame = Buffer.alloc(await cancelSize(service), 1)
  const socket = await bareSocket((gateway ?? service).ports.ws, hops === 2)
  return {
    reports: service.reports,
    arm() {
      socket.send('ready?')
      return () => socket.send(frame)
    },
    async close() {
      socket.close()
      await gateway?.close()
      await service.close()
    },
  }
}

async function bareTcp(): Promise<Near> {
  const it = await far()
  const socket = connectTcp(it.ports.tcp, '127.0.0.1').setNoDelay(true)
  await once(socket, 'connect')
  return {
    reports: it.reports,
    arm() {
      socket.write(Buffer.of(0))
      return () => socket.write(Buffer.of(1))
    },
    async close() {
      socket.destroy()
      await it.close()
    },
  }
}

async function fetchAbort(): Promise<Near> {
  const it = await far()
  return {
    reports: it.reports,
    arm() {
      const controller = new AbortController()
      const response = fetch(`http://127.0.0.1:${it.ports.http}`, { signal: controller.signal }).catch(() => {})
      return () => {
        controller.abort()
        return response
      }
    },
    close: () => it.close(),
  }
}

const carries = { name: 'AbortError', cause: 'proof' }

const cancel: Suite = {
  id: 'websocket/cancel',
  title: 'Cancel to another process',
  about: "From cancel() until an observer of the handler's context runs in another process; loopback.",
  unit: 'ns',
  sample: 'event',
  contenders: () => [
    latency({ name: 'ctxbridge/websocket, afterFunc', kind: 'ours', carries, start: () => ours(1, 'func') }),
    latency({
      name: "ctxbridge/websocket, 'abort' listener",
      kind: 'ours',
      note: 'an AbortController is made and aborted',
      carries,
      start: () => ours(1),
    }),
    latency({ name: 'bare ws frame of the same size', kind: 'limit', start: () => bareWs(1) }),
    latency({ name: 'bare TCP', kind: 'limit', start: bareTcp }),
    latency({
      name: 'fetch abort',
      kind: 'platform',
      note: "until the server's response closes: the connection is lost",
      start: fetchAbort,
    }),
  ],
}

const hops: Suite = {
  id: 'websocket/two-hops',
  title: 'Cancel through a gateway to a third process',
  about: 'The gateway passes its own context on. Three processes on the same machine, of which two share a core.',
  unit: 'ns',
  sample: 'event',
  contenders: () => [
    latency({ name: 'ctxbridge/websocket', kind: 'ours', carries, start: () => ours(2) }),
    latency({ name: 'bare ws frames, forwarded', kind: 'limit', start: () => bareWs(2) }),
  ],
}

const call: Suite = {
  id: 'websocket/call',
  title: 'A call to another process and back',
  about: 'From the call until its promise has resolved; no arguments, a number as the result, one call at a time.',
  unit: 'ns',
  sample: 'event',
  contenders: () => [
    {
      name: 'ctxbridge/websocket',
      kind: 'ours',
      note: 'with a context',
      async start() {
        const it = await far()
        const connection = await connect(urlOf(it.ports.link))
        const remote = wrap<Served>(connection)
        const ctx = withCancel(background())
        return trips(
          () => remote.nothing(ctx),
          async () => {
            connection.close()
            await it.close()
          },
        )
      },
    },
    {
      name: 'bare ws with msgpackr, echo',
      kind: 'limit',
      async start() {
        const it = await far()
        const socket = await bareSocket(it.ports.ws)
        const waiting = new Map<number, (value: number) => void>()
        let id = 0
        socket.on('message', (data: Buffer) => {
          const [id, value] = unpack(data) as [number, number]
          waiting.get(id)?.(value)
          waiting.delete(id)
        })
        return trips(
          () =>
            new Promise((resolve) => {
              waiting.set(++id, resolve)
              socket.send(pack([1, id, 'nothing']))
            }),
          async () => {
            socket.close()
            await it.close()
          },
        )
      },
    },
  ],
}

function trips(once: () => Promise<number>, close: () => Promise<void>): Started {
  return {
    async prove() {
      must((await once()) === 1, 'the call returned what the method returns')
      return 'the result came back'
    },
    async round(record) {
      for (let i = 0; i < 250; i++) {
        const before = now()
        await once()
        record(now() - before)
      }
    },
    close,
  }
}

const manyCalls = 10_000

/** So many calls are opened, then ended at once. A sample is the time until the far side has seen the last of them. */
function storm(name: string, kind: 'ours' | 'limit', note: string, act: 'parent' | 'each' | 'frames'): Contender {
  return {
    name,
    kind,
    note,
    async start() {
      const it = await far()
      const frame = Buffer.alloc(act === 'frames' ? await cancelSize(it) : 0, 1)
      await it.expect(manyCalls)
      const connection = await connect(urlOf(it.ports.link), { limits: { maxCalls: 2 * manyCalls } })
      const remote = wrap<Served>(connection)
      const socket = await bareSocket(it.ports.ws)
      const strike = async (): Promise<number> => {
        const family = withCancel(background())
        const contexts: CancelableContext[] = []
        const calls: Promise<unknown>[] = []
        if (act !== 'frames') {
          for (let i = 0; i < manyCalls; i++) {
            const ctx = act === 'parent' ? family : withCancel(background())
            contexts.push(ctx)
            calls.push(remote.one(ctx).catch(() => {}))
          }
          await it.reports.ready()
        }
        const before = now()
        if (act === 'parent') family.cancel()
        else if (act === 'each') for (const ctx of contexts) ctx.cancel()
        else for (let i = 0; i < manyCalls; i++) socket.send(frame)
        const { at } = await it.reports.seen()
        await Promise.all(calls)
        // A call that has nothing to do with those: it lives on the same connection.
        must((await remote.nothing(background())) === 1, 'the connection lived on')
        return at - before
      }
      return {
        async prove() {
          await strike()
          return `all ${manyCalls.toLocaleString('en')} were seen, and a call on the same connection was answered after`
        },
        round: async (record) => record(await strike()),
        async close() {
          socket.close()
          connection.close()
          await it.close()
        },
      }
    },
  }
}

const storms: Suite = {
  id: 'websocket/storm',
  title: `End ${manyCalls.toLocaleString('en')} calls of one connection at once`,
  about: 'From the first cancel() until the far process has seen the last end.',
  unit: 'ns',
  sample: 'event',
  rounds: 7,
  warmUp: 1,
  contenders: () => [
    storm('all under one parent', 'ours', 'one cancel', 'parent'),
    storm('all unrelated', 'ours', 'a cancel for each, in one turn of the event loop', 'each'),
    storm('as many bare ws frames', 'limit', 'nothing is ended: only received and counted', 'frames'),
  ],
}

const openCalls = 5_000

const memory: Suite = {
  id: 'websocket/memory',
  title: 'Memory of an open call',
  about:
    'Heap bytes of caller and handler together, both in this process; the promise of the caller, that of the handler, and the afterFunc of the handler are in it.',
  unit: 'bytes',
  sample: 'mean',
  rounds: 4,
  warmUp: 1,
  contenders: () => [
    {
      name: 'an open call, both sides',
      kind: 'ours',
      async start() {
        const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: 1_048_576 })
        let running = 0
        let all = (): void => {}
        const methods = {
          // It ends with its context: a cancelled call counts until its handler has finished.
          hold(ctx: Context) {
            if (++running === openCalls) all()
            return new Promise<void>((resolve) => afterFunc(ctx, resolve))
          },
        }
        const service = serve(server, methods, { limits: { maxCalls: 3 * openCalls } })
        await once(server, 'listening')
        const connection = await connect(urlOf((server.address() as { port: number }).port))
        const remote = wrap<typeof methods>(connection)
        const one = async (): Promise<number> => {
          running = 0
          const ctx = withCancel(background())
          const arrived = new Promise<void>((resolve) => (all = resolve))
          const calls = Array.from<Promise<unknown> | undefined>({ length: openCalls }).fill(undefined)
          globalThis.gc?.()
          const before = process.memoryUsage().heapUsed
          for (let i = 0; i < openCalls; i++) calls[i] = remote.hold(ctx)
          await arrived
          globalThis.gc?.()
          const used = process.memoryUsage().heapUsed - before
          const settled = Promise.allSettled(calls)
          ctx.cancel()
          must(
            (await settled).every(({ status }) => status === 'rejected'),
            'every call ended',
          )
          while (service.stats().handlers > 0) await new Promise((resolve) => setImmediate(resolve))
          return used / openCalls
        }
        return {
          async prove() {
            must(globalThis.gc !== undefined, 'the process was started with --expose-gc')
            await one()
            return `${openCalls.toLocaleString('en')} open at once, then all ended`
          },
          round: async (record) => record(await one()),
          async close() {
            connection.close()
            service.close()
            server.close()
            await once(server, 'close')
          },
        }
      },
    },
  ],
}

/**
 * A cancel each 2 ms, whatever became of those before: an event's latency counts from its instant in the schedule, so that a stall is in every
 * sample that it delayed, and not in one alone.
 */
const rate: Suite = {
  id: 'rate/websocket',
  title: 'Cancel to another process, 500 a second by schedule',
  about: "From the instant at which the schedule wanted the cancel until the handler's listener has run.",
  unit: 'ns',
  sample: 'event',
  contenders: () => [
    {
      name: 'ctxbridge/websocket',
      kind: 'ours',
      async start() {
        const it = await far()
        const connection = await connect(urlOf(it.ports.link))
        const remote = wrap<Served>(connection)
        return scheduled(
          it,
          async () => {
            const ctx = withTimeout(background(), 60_000)
            void remote.watch(ctx).catch(() => {})
            await it.reports.ready()
            return () => ctx.cancel()
          },
          () => connection.close(),
        )
      },
    },
    {
      name: 'bare ws frame of the same size',
      kind: 'limit',
      async start() {
        const it = await far()
        const frame = Buffer.alloc(await cancelSize(it), 1)
        const socket = await bareSocket(it.ports.ws)
        return scheduled(
          it,
          async () => {
            socket.send('ready?')
            await it.reports.ready()
            return () => socket.send(frame)
          },
          () => socket.close(),
        )
      },
    },
  ],
}

const period = 2_000_000
const perRound = 100

function scheduled(it: Far, arm: () => Promise<() => void>, close: () => void): Started {
  return {
    async prove() {
      const act = await arm()
      act()
      await it.reports.seen()
      return 'seen'
    },
    async round(record) {
      const acts: (() => void)[] = []
      for (let i = 0; i < perRound; i++) acts.push(await arm())
      const start = now() + period
      for (const [i, act] of acts.entries()) {
        // Not a timer: those of the host are late by up to a millisecond.
        while (now() < start + i * period) await new Promise((resolve) => setImmediate(resolve))
        act()
      }
      for (let i = 0; i < perRound; i++) record((await it.reports.seen()).at - (start + i * period))
    },
    async close() {
      close()
      await it.close()
    },
  }
}

export const websocketSuites: readonly Suite[] = [cancel, hops, rate, call, storms, memory]

export async function processClock(): Promise<ClockResult> {
  const it = await far()
  const result = await compareClocks('this process and another', () => it.ask('clock'))
  await it.close()
  return result
}
