/** From `cancel()` to a listener in the same thread, and how late deadlines are. */
import { afterFunc, background, withCancel, withTimeout } from 'ctxbridge'
import { connect, wrap } from 'ctxbridge/websocket'
import { type ContextHandle, link, wrap as wrapWorker } from 'ctxbridge/worker'
import type { Served } from '../far/service-types.ts'
import type { Awaiting, Expiring, Jobs } from '../far/worker-jobs.ts'
import { now } from '../harness/clock.ts'
import type { Contender, Kind, Recorder, Suite } from '../harness/model.ts'
import { turn } from '../harness/runner.ts'
import { errorLikeOurs } from './core-common.ts'
import { must } from './cost.ts'
import { far as farProcess, urlOf } from './websocket-far.ts'
import { far as farWorker } from './worker-far.ts'

const likeOurs = 'given an error without a stack, as ours makes one for its signal'

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
    local(
      'AbortController, 3 of them linked by hand',
      'platform',
      () => {
        const top = new AbortController()
        let last = top
        for (let i = 0; i < 3; i++) {
          const next = new AbortController()
          const { signal } = last
          signal.addEventListener('abort', () => next.abort(signal.reason), { once: true })
          last = next
        }
        let at = 0
        last.signal.addEventListener('abort', () => (at = now()), { once: true })
        const before = now()
        top.abort(errorLikeOurs())
        return at - before
      },
      likeOurs,
    ),
    local(
      'AbortSignal.any, 3 levels',
      'platform',
      () => {
        const top = new AbortController()
        const signal = AbortSignal.any([AbortSignal.any([AbortSignal.any([top.signal])])])
        let at = 0
        signal.addEventListener('abort', () => (at = now()), { once: true })
        const before = now()
        top.abort(errorLikeOurs())
        return at - before
      },
      likeOurs,
    ),
    local(
      'bare EventTarget, dispatchEvent',
      'limit',
      () => {
        const target = new EventTarget()
        let at = 0
        target.addEventListener('abort', () => (at = now()), { once: true })
        const event = new Event('abort')
        const before = now()
        target.dispatchEvent(event)
        return at - before
      },
      'one level, and the event is ready made',
    ),
  ],
}

/** ms until the first deadline of a turn: by then all are set, and whoever is to see them waits. */
const lead = 10
/** In a turn. Two of these in each of eight rounds are some more than the 2,000 that p99.9 needs, as one that the far side was too late for does not count. */
const perTurn = 135

/** A deadline that was seen: when it was due, since when it was waited for, and when it was seen; ns by the machine's clock. */
interface Expiry {
  readonly due: number
  readonly from: number
  readonly at: number
}

interface Clockwork {
  /** Sets a deadline for each of these instants, in ns, and waits until all have been seen. */
  all(due: readonly number[]): Promise<readonly Expiry[]>
  close?(): Promise<void>
}

/**
 * The instants of a turn, 0.3 to 0.7 ms after one another and not in whole ones, in which the host's timers count: so these are met at every phase. Two or three can be due at one
 * tick of these timers, and then each waits for the listeners of those before it, which are some microseconds each.
 */
function schedule(): number[] {
  let at = now() + lead * 1e6
  return Array.from({ length: perTurn }, () => (at += (0.3 + 0.4 * Math.random()) * 1e6))
}

/** ms that are left. The host's timers begin to count when their turn of the event loop began: so each is set in a turn of its own, as if it were alone. */
async function until(due: number): Promise<number> {
  await turn()
  return Math.max(0, (due - now()) / 1e6)
}

/** Latenesses; one that is early is an error, since no deadline may be. */
export function late(name: string, kind: Kind, start: () => Promise<Clockwork> | Clockwork, mayBeEarly = false): Contender {
  return {
    name,
    kind,
    async start() {
      const its = await start()
      let [early, missed] = [0, 0]
      const round = async (record: Recorder): Promise<void> => {
        for (const { due, from, at } of await its.all(schedule())) {
          // It was due before anybody waited for it: what took so long was not the deadline.
          if (from > due) missed++
          else if (at >= due) record(at - due)
          else {
            must(mayBeEarly, `it was never early, but it was, by ${due - at} ns`)
            early++
            record(0)
          }
        }
      }
      return {
        turns: 2,
        async prove() {
          await round(() => {})
          return mayBeEarly ? 'it fired' : 'it fired, and not early; each sample is checked'
        },
        round,
        remark() {
          const remarks = [
            early > 0 && `it was early ${early} times, warm-up included, which counts as 0`,
            missed > 0 && `${missed} were due before the far side was there, warm-up included, and do not count`,
          ].filter((one) => one !== false)
          return remarks.length > 0 ? remarks.join('; ') : undefined
        },
        close: () => its.close?.(),
      }
    },
  }
}

/** One after the other is set, and all are waited for together. */
function here(one: (ms: number) => Promise<number>): Clockwork {
  return {
    async all(due) {
      const seen: Promise<Expiry>[] = []
      for (const at of due) {
        const ms = await until(at)
        const from = now()
        seen.push(one(ms).then((seen) => ({ due: at, from, at: seen })))
      }
      return Promise.all(seen)
    },
  }
}

function lateWorker(name: string, how: Expiring): Contender {
  return late(name, 'ours', async () => {
    const it = farWorker('ctxbridge')
    const jobs = wrapWorker<Jobs>(it.worker)
    const out = link(it.worker)
    await jobs.nothing(background())
    return {
      async all(due) {
        const handles: ContextHandle[] = []
        for (const at of due) handles.push(out.export(withTimeout(background(), await until(at))))
        const [from, seen] = await jobs.expire(background(), handles, how)
        return due.map((due, i) => ({ due, from, at: seen[i] as number }))
      },
      close: () => it.close(),
    }
  })
}

function bareWorker(name: string, how: Awaiting, note: string): Contender {
  const start = async (): Promise<Clockwork> => {
    const it = farWorker('ctxbridge')
    const jobs = wrapWorker<Jobs>(it.worker)
    await jobs.nothing(background())
    return {
      async all(due) {
        const [from, seen] = await jobs.await(background(), due, how)
        return due.map((due, i) => ({ due, from, at: seen[i] as number }))
      },
      close: () => it.close(),
    }
  }
  return { ...late(name, 'limit', start), note }
}

function lateProcess(name: string): Contender {
  return late(name, 'ours', async () => {
    const it = await farProcess()
    const connection = await connect(urlOf(it.ports.link))
    const remote = wrap<Served>(connection)
    await remote.nothing(background())
    return {
      async all(due) {
        const calls: Promise<unknown>[] = []
        for (const [i, at] of due.entries()) {
          const ctx = withTimeout(background(), await until(at))
          calls.push(
            remote.expire(ctx, i).catch((error: unknown) => {
              if (error !== ctx.err()) throw error
            }),
          )
        }
        await Promise.all(calls)
        const seen = new Map((await remote.expired(background())).map(([i, from, at]) => [i, { from, at }]))
        // One that did not get there in time was never begun.
        return due.map((due, i) => ({ due, ...(seen.get(i) ?? { from: Infinity, at: Infinity }) }))
      },
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
    'From the instant of the deadline until it is seen. 135 are set beforehand, 0.3 to 0.7 ms after one another, and nobody waits for one before the next is due: each counts from its own instant, so a stall is in every deadline that it delayed. One that is alone is seen later, by code that has not run for a while. Never early: a sample below zero would fail the run.',
  unit: 'ns',
  sample: 'event',
  warmUp: 1,
  contenders: () => [
    late('afterFunc, same thread', 'ours', () =>
      here((ms) => {
        const ctx = withTimeout(background(), ms)
        return new Promise((resolve) => afterFunc(ctx, () => resolve(now())))
      }),
    ),
    lateWorker('ctx.err() in a busy worker', 'err'),
    lateWorker("'abort' listener in an idle worker", 'signal'),
    lateWorker('sleepSync in a blocked worker', 'sleepSync'),
    lateProcess('afterFunc in another process, over a WebSocket'),
    bareWorker('a busy worker that reads the clock', 'loop', 'over and over, and does nothing else'),
    bareWorker('bare Atomics.wait with a timeout', 'wait', 'in a blocked worker; again where it woke up early'),
    late(
      'bare setTimeout',
      'platform',
      () => here((ms) => new Promise((resolve) => setTimeout(() => resolve(now()), Math.ceil(ms)))),
      true,
    ),
    late(
      'AbortSignal.timeout',
      'platform',
      () =>
        here((ms) => {
          const signal = AbortSignal.timeout(Math.ceil(ms))
          return new Promise((resolve) => signal.addEventListener('abort', () => resolve(now()), { once: true }))
        }),
      true,
    ),
  ],
}

export const threadSuites: readonly Suite[] = [thread, deadline]
