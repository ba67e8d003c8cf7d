/** From `cancel()` to a listener in the same thread, and how late deadlines are. */
import { once } from 'node:events'
import { afterFunc, background, type Context, withCancel, withTimeout } from 'ctxbridge'
import { connect, wrap } from 'ctxbridge/websocket'
import { wrap as wrapWorker } from 'ctxbridge/worker'
import type { Served } from '../far/service-types.ts'
import type { How, Jobs } from '../far/worker-jobs.ts'
import { now } from '../harness/clock.ts'
import type { Contender, Kind, Suite } from '../harness/model.ts'
import type { Reports } from '../harness/reports.ts'
import { must } from './cost.ts'
import { far as farProcess, urlOf } from './websocket-far.ts'
import { far as farWorker } from './worker-far.ts'

/** Samples that begin and end here. */
function local(name: string, kind: Kind, one: () => number, note?: string): Contender {
  return {
    name,
    kind,
    ...(note !== undefined && { note }),
    start: () => ({
      prove() {
        must(one() > 0, 'the listener ran before the cancel returned')
        return 'the listener had run when the cancel returned'
      },
      round(record) {
        for (let i = 0; i < 1_000; i++) record(one())
      },
    }),
  }
}

const thread: Suite = {
  id: 'thread/cancel',
  title: 'Cancel to a listener in the same thread',
  about: "From cancel() until the 'abort' listener of a context 3 levels below runs.",
  unit: 'ns',
  sample: 'event',
  contenders: () => [
    local('ctx.signal', 'ours', () => {
      const top = withCancel(background())
      const ctx = withTimeout(withCancel(withCancel(top)), 60_000)
      let at = 0
      ctx.signal.addEventListener('abort', () => (at = now()), { once: true })
      const before = now()
      top.cancel()
      return at - before
    }),
    local('AbortController, 3 of them linked by hand', 'platform', () => {
      const top = new AbortController()
      let last = top
      for (let i = 0; i < 3; i++) {
        const next = new AbortController()
        last.signal.addEventListener('abort', () => next.abort(), { once: true })
        last = next
      }
      let at = 0
      last.signal.addEventListener('abort', () => (at = now()), { once: true })
      const before = now()
      top.abort()
      return at - before
    }),
    local('AbortSignal.any, 3 levels', 'platform', () => {
      const top = new AbortController()
      const signal = AbortSignal.any([AbortSignal.any([AbortSignal.any([top.signal])])])
      let at = 0
      signal.addEventListener('abort', () => (at = now()), { once: true })
      const before = now()
      top.abort()
      return at - before
    }),
  ],
}

/** ms; fractions, so that the host's timers, which count in whole ones, are met at every phase. */
function delay(): number {
  return 6 + Math.random() * 3
}

interface Clockwork {
  /** How late one was, in ns. */
  readonly one: () => Promise<number>
  readonly close?: () => Promise<void>
}

/** Latenesses; one that is early is an error, since no deadline may be. */
function late(name: string, kind: Kind, start: () => Promise<Clockwork> | Clockwork, mayBeEarly = false): Contender {
  return {
    name,
    kind,
    async start() {
      const { one, close } = await start()
      let early = 0
      return {
        async prove() {
          const lateness = await one()
          must(mayBeEarly || lateness >= 0, `it was never early, but it was, by ${-lateness} ns`)
          return mayBeEarly ? 'it fired' : 'it fired, and not early; each sample is checked'
        },
        async round(record) {
          for (let i = 0; i < 12; i++) {
            const lateness = await one()
            if (lateness < 0) early++
            must(mayBeEarly || lateness >= 0, `it was never early, but it was, by ${-lateness} ns`)
            record(Math.max(0, lateness))
          }
        },
        remark: () => (early > 0 ? `it was early ${early} times, warm-up included, which counts as 0` : undefined),
        async close() {
          await close?.()
        },
      }
    },
  }
}

/** A deadline that another side sees: `watch` calls it with the context, `reports` are what it says. */
async function afar(reports: Reports, watch: (ctx: Context) => Promise<unknown>): Promise<number> {
  const ms = delay()
  const start = now()
  const ctx = withTimeout(background(), ms)
  const call = watch(ctx).catch(() => {})
  // On a busy machine the deadline may be there before the other side is: then the job never starts, and nothing is told.
  const tooLate = call.then(() => new Promise<boolean>((resolve) => setTimeout(resolve, 100, false)))
  if (!(await Promise.race([reports.ready().then(() => true), tooLate]))) return afar(reports, watch)
  const { at, name } = await reports.seen()
  must(name === 'TimeoutError', 'the other side saw a deadline')
  await call
  return at - start - ms * 1e6
}

function lateWorker(name: string, how: How): Contender {
  return late(name, 'ours', async () => {
    const it = farWorker('ctxbridge')
    const jobs = wrapWorker<Jobs>(it.worker)
    await jobs.nothing(background())
    return { one: () => afar(it.reports, (ctx) => jobs.watch(ctx, how)), close: () => it.close() }
  })
}

function lateProcess(name: string): Contender {
  return late(name, 'ours', async () => {
    const it = await farProcess()
    const connection = await connect(urlOf(it.ports.link))
    const remote = wrap<Served>(connection)
    await remote.nothing(background())
    return {
      one: () => afar(it.reports, (ctx) => remote.func(ctx)),
      async close() {
        connection.close()
        await it.close()
      },
    }
  })
}

const deadline: Suite = {
  id: 'deadline/late',
  title: 'How late a deadline is',
  about:
    'From the instant of the deadline, 6 to 9 ms after it was set, until it is seen. Never early: a sample below zero would fail the run.',
  unit: 'ns',
  sample: 'event',
  rounds: 6,
  warmUp: 1,
  contenders: () => [
    late('afterFunc, same thread', 'ours', () => ({
      async one() {
        const ms = delay()
        const start = now()
        const ctx = withTimeout(background(), ms)
        const at = await new Promise<number>((resolve) => afterFunc(ctx, () => resolve(now())))
        return at - start - ms * 1e6
      },
    })),
    lateWorker('ctx.err() in a busy worker', 'err'),
    lateWorker("'abort' listener in an idle worker", 'signal'),
    lateWorker('sleepSync in a blocked worker', 'sleepSync'),
    lateProcess('afterFunc in another process, over a WebSocket'),
    late('bare setTimeout', 'limit', () => ({
      async one() {
        const ms = delay()
        const start = now()
        const at = await new Promise<number>((resolve) => setTimeout(() => resolve(now()), Math.ceil(ms)))
        return Math.max(0, at - start - ms * 1e6)
      },
    })),
    late(
      'AbortSignal.timeout',
      'platform',
      () => ({
        async one() {
          const ms = delay()
          const start = now()
          const signal = AbortSignal.timeout(Math.ceil(ms))
          await once(signal, 'abort')
          return now() - start - ms * 1e6
        },
      }),
      true,
    ),
  ],
}

export const threadSuites: readonly Suite[] = [thread, deadline]
