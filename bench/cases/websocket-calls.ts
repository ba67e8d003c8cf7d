/** What calls to another process cost: one at a time, and ten thousand ended at once. */
import type { Socket } from 'node:net'
import { background, type CancelableContext, withCancel } from 'ctxbridge'
import { connect, wrap } from 'ctxbridge/websocket'
import type { Served } from '../far/service-types.ts'
import { now } from '../harness/clock.ts'
import type { Contender, Kind, Started, Suite } from '../harness/model.ts'
import { listed } from '../harness/text.ts'
import { must } from './cost.ts'
import { untilCompiled } from './latency.ts'
import { bareEcho, bareSocket, cancelSize, far, rest, urlOf } from './websocket-far.ts'

const call: Suite = {
  id: 'websocket/call',
  title: 'A call to another process and back',
  about: 'From the call until its promise has resolved; no arguments, a number as the result, one call at a time.',
  unit: 'ns',
  sample: 'event',
  warmUp: untilCompiled,
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
        const { call, close } = await bareEcho(it)
        return trips(call, close)
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
/** Each is proven with so many at once, as those of others are, some of which lose the connection beyond a thousand. */
const sizes = [125, 1_000, 1_500, 2_000, manyCalls]

/** So many calls are opened, then ended at once. A sample is the time until the far side has seen the last of them. */
function storm(name: string, kind: Kind, note: string, act: 'parent' | 'each' | 'frames' | 'corked'): Contender {
  const frames = act === 'frames' || act === 'corked'
  return {
    name,
    kind,
    note,
    async start() {
      const it = await far()
      const frame = Buffer.alloc(frames ? await cancelSize(it) : 0, 1)
      const connection = await connect(urlOf(it.ports.link), { limits: { maxCalls: 2 * manyCalls } })
      const remote = wrap<Served>(connection)
      const socket = await bareSocket(it.ports.ws)
      const { _socket: wire } = socket as unknown as { readonly _socket: Socket }
      const strike = async (many = manyCalls): Promise<number> => {
        const family = withCancel(background())
        const contexts: CancelableContext[] = []
        const calls: Promise<unknown>[] = []
        // A call that has nothing to do with those, on the same connection: it must live through it.
        const other = remote.hold(background())
        if (!frames) {
          for (let i = 0; i < many; i++) {
            const ctx = act === 'parent' ? family : withCancel(background())
            contexts.push(ctx)
            calls.push(
              remote.one(ctx).catch((error: unknown) => {
                if (error !== ctx.err()) it.reports.fail(error as Error)
              }),
            )
          }
          await it.reports.ready()
        }
        await rest()
        const before = now()
        if (act === 'parent') family.cancel()
        else if (act === 'each') for (const ctx of contexts) ctx.cancel()
        else {
          if (act === 'corked') wire.cork()
          for (let i = 0; i < many; i++) socket.send(frame)
          if (act === 'corked') wire.uncork()
        }
        const { at } = await it.reports.seen()
        await Promise.all(calls)
        await remote.go(background())
        await other
        return at - before
      }
      return {
        async prove() {
          // The last one is what is measured.
          for (const many of sizes) {
            await it.expect(many)
            await strike(many)
          }
          return `another call on the same connection lived through ${listed(sizes)} at once, of which all were seen`
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
  about:
    'From the first cancel() until the far process has seen the last end. The calls have been open for 50 ms: the garbage of opening them is collected by then. A sample is one storm, since to read the clock at each of its ends would be a good part of what the shortest takes: so there are few, and no p99.',
  unit: 'ns',
  sample: 'event',
  rounds: 5,
  warmUp: 4,
  contenders: () => [
    storm('all under one parent', 'ours', 'one cancel', 'parent'),
    storm('all unrelated', 'ours', 'a cancel for each, in one turn of the event loop', 'each'),
    storm(
      'as many bare ws frames',
      'peer',
      'as one sends them, one by one; nothing is ended: only received and counted',
      'frames',
    ),
    storm(
      'as many bare ws frames, in one write',
      'limit',
      'the socket below is corked meanwhile, which ws has no method for; nothing is ended: only received and counted',
      'corked',
    ),
  ],
}

export const websocketCallSuites: readonly Suite[] = [call, storms]
