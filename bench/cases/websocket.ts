/** From `cancel()` here to the moment when another process sees it. */
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { background, withCancel, withTimeout } from 'ctxbridge'
import { connect, wrap } from 'ctxbridge/websocket'
import type { Served } from '../far/service-types.ts'
import { now } from '../harness/clock.ts'
import type { Started, Suite } from '../harness/model.ts'
import { must } from './cost.ts'
import { latency, type Near, told, untilCompiled } from './latency.ts'
import { bareSocket, cancelSize, type Far, far, urlOf } from './websocket-far.ts'

/** @param measured the cause of what is measured; its proof has one always */
async function ours(hops: 1 | 2, method: 'watch' | 'func' = 'watch', measured?: string): Promise<Near> {
  const service = await far()
  const gateway = hops === 2 ? await far(service.ports) : undefined
  const connection = await connect(urlOf((gateway ?? service).ports.link))
  const remote = wrap<Served>(connection)
  return {
    reports: service.reports,
    arm() {
      const [ctx, cancel] = withCancel(background())
      const call = remote[method](ctx).catch((error: unknown) => {
        if (error !== ctx.err()) service.reports.fail(error as Error)
      })
      return (cause) => {
        cancel(cause === '' ? measured : cause)
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

/** Ready made. An empty text would not do: for that, too, fetch makes an error of its own. */
const reason = new Error('a reason')

async function fetchAbort(): Promise<Near> {
  const it = await far()
  return {
    reports: it.reports,
    arm() {
      const controller = new AbortController()
      const response = fetch(`http://127.0.0.1:${it.ports.http}`, { signal: controller.signal }).catch(() => {})
      return () => {
        controller.abort(reason)
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
  about:
    "From cancel() until an observer of the handler's context runs in another process; loopback. Without a cause, as the bare frame, unless it says so; each proof of ours has one.",
  unit: 'ns',
  sample: 'event',
  warmUp: untilCompiled,
  contenders: () => [
    latency({ name: 'ctxbridge/websocket, afterFunc', kind: 'ours', carries, start: () => ours(1, 'func') }),
    latency({
      name: "ctxbridge/websocket, 'abort' listener",
      kind: 'ours',
      note: 'an AbortController is made and aborted',
      carries,
      start: () => ours(1),
    }),
    latency({
      name: 'ctxbridge/websocket, afterFunc, with a cause',
      kind: 'ours',
      note: 'a text of 12 characters; the others carry none while they are measured, as the bare frame',
      carries,
      start: () => ours(1, 'func', 'no more need'),
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
  warmUp: untilCompiled,
  contenders: () => [
    latency({ name: 'ctxbridge/websocket', kind: 'ours', carries, start: () => ours(2) }),
    latency({ name: 'bare ws frames, forwarded', kind: 'limit', start: () => bareWs(2) }),
  ],
}
/**
 * A cancel each millisecond, whatever became of those before: an event's latency counts from its instant in the schedule, so that a stall is in every
 * sample that it delayed, and not in one alone.
 */
const rate: Suite = {
  id: 'rate/websocket',
  title: 'Cancel to another process, 1,000 a second by schedule',
  about: "From the instant at which the schedule wanted the cancel until the handler's listener has run.",
  unit: 'ns',
  sample: 'event',
  warmUp: 1,
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
            const [ctx, cancel] = withTimeout(background(), 60_000)
            void remote.watch(ctx).catch(() => {})
            await it.reports.ready()
            return (cause) => cancel(cause)
          },
          () => connection.close(),
          'seen as AbortError, cause: proof',
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
          'seen; it carries no error',
        )
      },
    },
  ],
}

const period = 1_000_000
const perRound = 250

/** @param proof what its far side must tell of an event */
export function scheduled(
  it: Pick<Far, 'reports' | 'close'>,
  arm: () => Promise<(cause?: string) => void>,
  close: () => void,
  proof: string,
): Started {
  return {
    async prove() {
      const act = await arm()
      act('proof')
      const found = told(await it.reports.seen())
      must(found === proof, `the far side told "${proof}", and not "${found}"`)
      return found
    },
    async round(record) {
      const acts: ((cause?: string) => void)[] = []
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
export const websocketSuites: readonly Suite[] = [cancel, hops, rate]
