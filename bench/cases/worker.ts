/** From `cancel()` here to the moment when a worker thread sees it. */
import * as Comlink from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { transferableAbortSignal } from 'node:util'
import { MessageChannel, Worker } from 'node:worker_threads'
import { background, withCancel, withTimeout } from 'ctxbridge'
import { wrap } from 'ctxbridge/worker'
import { installSignalHandler } from '../far/signal-handler.ts'
import { clockSamples, type ComlinkJobs, type FarData, type How, type Jobs, type Role } from '../far/worker-jobs.ts'
import { compareClocks, now } from '../harness/clock.ts'
import type { ClockResult, Contender, Suite } from '../harness/model.ts'
import { type Report, Reports } from '../harness/reports.ts'
import { type Act, latency, type Near, pause } from './latency.ts'
import { must } from './cost.ts'
import { farProgram } from './paths.ts'

interface Far {
  readonly worker: Worker
  readonly words: Int32Array<SharedArrayBuffer>
  readonly reports: Reports
  close(): Promise<void>
}

export function far(role: Role): Far {
  const { port1, port2 } = new MessageChannel()
  const words = new Int32Array(new SharedArrayBuffer(128))
  const data: FarData = { role, report: port2, words }
  const worker = new Worker(farProgram('worker'), { workerData: data, transferList: [port2] })
  const reports = new Reports()
  port1.on('message', (report: Report) => reports.add(report))
  worker.on('error', (error) => reports.fail(error))
  worker.on('exit', () => reports.fail(new Error('The worker has exited.')))
  return {
    worker,
    words,
    reports,
    async close() {
      port1.close()
      await worker.terminate()
    },
  }
}

/** A way that is not ours: `arm` is told the worker, and returns what causes the event. */
function bare(role: Role, arm: (far: Far) => Act): () => Near {
  return () => {
    const it = far(role)
    return { reports: it.reports, arm: () => arm(it), close: () => it.close() }
  }
}

function ours(how: How, name: string, timeout = false): Contender {
  return latency({
    name,
    kind: 'ours',
    carries: { name: 'AbortError', cause: 'proof' },
    start() {
      const it = far('ctxbridge')
      const jobs = wrap<Jobs>(it.worker)
      return {
        reports: it.reports,
        arm() {
          const ctx = timeout ? withTimeout(background(), 3_600_000) : withCancel(background())
          const call = jobs.watch(ctx, how).catch((error: unknown) => {
            if (error !== ctx.err()) it.reports.fail(error as Error)
          })
          return (cause) => {
            ctx.cancel(cause)
            return call
          }
        },
        close: () => it.close(),
      }
    },
  })
}

const store = ({ worker, words }: Far): Act => {
  worker.postMessage({})
  return () => Atomics.store(words, 0, 1)
}

const storeAndNotify = ({ worker, words }: Far): Act => {
  worker.postMessage({})
  return () => {
    Atomics.store(words, 0, 1)
    Atomics.notify(words, 0)
  }
}

/** A message that a loop must stop for to see. */
const message = 'It tells by a message, which a loop that does not yield never receives.'

const busy: Suite = {
  id: 'worker/busy',
  title: 'Cancel to a worker in a busy loop',
  about: 'From cancel() until the loop of the worker, which never yields, has seen it and read the clock.',
  unit: 'ns',
  sample: 'event',
  contenders: () => [
    ours('err', 'ctx.err()'),
    ours('err', 'ctx.err(), with a deadline', true),
    ours('aborted', 'ctx.signal.aborted'),
    latency({ name: 'bare Atomics flag', kind: 'limit', start: bare('atomics-flag', store) }),
    { name: 'transferableAbortSignal', kind: 'platform', cannot: message },
    { name: 'Comlink, handler by hand', kind: 'peer', cannot: message },
  ],
}

function messagePort(): Near {
  const it = far('message-port')
  const { port1, port2 } = new MessageChannel()
  let first = true
  return {
    reports: it.reports,
    arm() {
      if (first) it.worker.postMessage({ port: port2 }, [port2])
      else it.worker.postMessage({})
      first = false
      return () => port1.postMessage(1)
    },
    close: () => {
      port1.close()
      return it.close()
    },
  }
}

const idle: Suite = {
  id: 'worker/idle',
  title: 'Cancel to an idle worker',
  about: 'From cancel() until a listener runs in a worker whose event loop had nothing to do.',
  unit: 'ns',
  sample: 'event',
  contenders: () => [
    ours('signal', "ctx.signal, 'abort' listener"),
    ours('afterFunc', 'afterFunc(ctx, f)'),
    latency({ name: 'bare Atomics.waitAsync', kind: 'limit', start: bare('wait-async', storeAndNotify) }),
    latency({ name: 'bare MessagePort, long-lived', kind: 'limit', start: messagePort }),
    latency({
      name: 'bare MessageChannel for each job',
      kind: 'limit',
      start: bare('channel-per-job', ({ worker }) => {
        const { port1, port2 } = new MessageChannel()
        worker.postMessage({ port: port2 }, [port2])
        return () => port1.postMessage(1)
      }),
    }),
    latency({
      name: 'transferableAbortSignal',
      kind: 'platform',
      note: 'the reason does not arrive',
      start: bare('transferable-signal', ({ worker }) => {
        const controller = new AbortController()
        const signal = transferableAbortSignal(controller.signal)
        worker.postMessage({ signal }, [signal as never])
        return (cause) => controller.abort(cause)
      }),
    }),
    latency({
      name: 'Comlink, handler by hand',
      kind: 'peer',
      note: 'a transfer handler that makes a MessageChannel for each signal',
      carries: { cause: 'proof' },
      start() {
        installSignalHandler()
        const it = far('comlink')
        const jobs = Comlink.wrap<ComlinkJobs>(nodeEndpoint(it.worker))
        return {
          reports: it.reports,
          arm() {
            const controller = new AbortController()
            const call = jobs.watch(controller.signal)
            return (cause) => {
              controller.abort(cause)
              return call
            }
          },
          close: () => it.close(),
        }
      },
    }),
  ],
}

const blocked: Suite = {
  id: 'worker/blocked',
  title: 'Cancel to a blocked worker',
  about: 'From cancel() until sleepSync has thrown in the worker, which blocked in it.',
  unit: 'ns',
  sample: 'event',
  contenders: () => [
    ours('sleepSync', 'sleepSync(ctx, ms)'),
    latency({ name: 'bare Atomics.wait', kind: 'limit', start: bare('atomics-wait', storeAndNotify) }),
    {
      name: 'transferableAbortSignal',
      kind: 'platform',
      cannot: 'It tells by a message, which a blocked thread does not receive.',
    },
  ],
}

/** Round trips, one after the other. */
function roundTrips(
  name: string,
  kind: 'ours' | 'peer' | 'limit',
  start: () => { call: () => Promise<unknown>; close: () => Promise<void> },
  note?: string,
): Contender {
  return {
    name,
    kind,
    ...(note !== undefined && { note }),
    start() {
      const { call, close } = start()
      return {
        async prove() {
          must((await call()) === 1, 'the call returned what the method returns')
          return 'the result came back'
        },
        async round(record) {
          for (let i = 0; i < 150; i++) {
            const before = now()
            await call()
            record(now() - before)
          }
        },
        close,
      }
    },
  }
}

const call: Suite = {
  id: 'worker/call',
  title: 'A call to a worker and back',
  about: 'From the call until its promise has resolved; no other argument, a number as the result, one call at a time.',
  unit: 'ns',
  sample: 'event',
  contenders: () => [
    roundTrips('with a context', 'ours', () => {
      const it = far('ctxbridge')
      const jobs = wrap<Jobs>(it.worker)
      const ctx = withCancel(background())
      return { call: () => jobs.nothing(ctx), close: () => it.close() }
    }),
    roundTrips(
      'with a context of its own for each call',
      'ours',
      () => {
        const it = far('ctxbridge')
        const jobs = wrap<Jobs>(it.worker)
        return {
          async call() {
            using ctx = withTimeout(background(), 60_000)
            return await jobs.nothing(ctx)
          },
          close: () => it.close(),
        }
      },
      'made, exported, imported, released and ended each time',
    ),
    roundTrips('Comlink, without a context', 'peer', () => {
      const it = far('comlink')
      const jobs = Comlink.wrap<ComlinkJobs>(nodeEndpoint(it.worker))
      return { call: () => jobs.nothing(), close: () => it.close() }
    }),
    roundTrips(
      'Comlink, with a signal of its own for each call',
      'peer',
      () => {
        installSignalHandler()
        const it = far('comlink')
        const jobs = Comlink.wrap<{ nothing(signal: AbortSignal): number }>(nodeEndpoint(it.worker))
        return { call: () => jobs.nothing(new AbortController().signal), close: () => it.close() }
      },
      'through the handler by hand',
    ),
  ],
}

const next: Suite = {
  id: 'pool/next',
  title: 'The next job after a cancelled one',
  about:
    'A worker is busy; its job is cancelled, and another one given to it at once. From the cancel until that one has answered.',
  unit: 'ns',
  sample: 'event',
  contenders: () => [
    {
      name: 'ctxbridge/worker',
      kind: 'ours',
      note: 'the same thread goes on, with all that it has loaded',
      start() {
        const it = far('ctxbridge')
        const jobs = wrap<Jobs>(it.worker)
        const one = async (): Promise<number> => {
          const ctx = withCancel(background())
          const busy = jobs.watch(ctx, 'err').catch(() => {})
          await it.reports.ready()
          pause()
          const before = now()
          ctx.cancel()
          const result = await jobs.nothing(background())
          const time = now() - before
          must(result === 1, 'the next job was done')
          await it.reports.seen()
          await busy
          return time
        }
        return {
          async prove() {
            await one()
            return 'the busy job was stopped, and the next one done'
          },
          async round(record) {
            for (let i = 0; i < 100; i++) record(await one())
          },
          close: () => it.close(),
        }
      },
    },
  ],
}

export const workerSuites: readonly Suite[] = [busy, idle, blocked, call, next]

export async function workerClock(): Promise<ClockResult> {
  const { worker, words, reports, close } = far('clock')
  const readings = new BigInt64Array(words.buffer)
  worker.postMessage({})
  await reports.ready()
  let question = 0
  const ask = (): number => {
    Atomics.store(words, 0, ++question)
    while (Atomics.load(words, 1) !== question);
    return Number(Atomics.load(readings, 1))
  }
  const result = await compareClocks('this thread and a worker', ask, clockSamples)
  await close()
  return result
}
