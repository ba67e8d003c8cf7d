/** What a call to a worker costs. */
import * as Comlink from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { background, withCancel, withTimeout } from 'ctxbridge'
import { wrap } from 'ctxbridge/worker'
import { installSignalHandler } from '../far/signal-handler.ts'
import type { ComlinkJobs, Jobs } from '../far/worker-jobs.ts'
import { now } from '../harness/clock.ts'
import type { Contender, Suite } from '../harness/model.ts'
import { must } from './cost.ts'
import { untilCompiled } from './latency.ts'
import { far } from './worker-far.ts'

/** How many turns a round is taken in, as in the suites of latency, and for the same reason. */
const turns = 5

/** Ready made: without one the platform makes an error for each abort. */
const over = new Error('The call is over.')

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
        turns,
        async prove() {
          must((await call()) === 1, 'the call returned what the method returns')
          return 'the result came back'
        },
        async round(record) {
          for (let i = 0; i < 250 / turns; i++) {
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
  warmUp: untilCompiled,
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
        return {
          async call() {
            const controller = new AbortController()
            try {
              return await jobs.nothing(controller.signal)
            } finally {
              controller.abort(over)
            }
          },
          close: () => it.close(),
        }
      },
      'through the handler by hand; aborted each time, as that gives its channel back only then: those that stay would be in the way of all others',
    ),
  ],
}

export const workerCallSuites: readonly Suite[] = [call]
