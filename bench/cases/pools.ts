/** How soon a worker does its next job after one that was busy was cancelled: of our own calls, and of pools that run their jobs with contexts. */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { background, cause, type Context, withCancel } from 'ctxbridge'
import { type PiscinaPool, run as runPiscina } from 'ctxbridge/piscina'
import { run as runTinypool } from 'ctxbridge/tinypool'
import { wrap } from 'ctxbridge/worker'
import { run as runWorkerpool } from 'ctxbridge/workerpool'
import { Tinypool } from 'tinypool'
import { pool as makeWorkerpool } from 'workerpool'
import type { Jobs } from '../far/worker-jobs.ts'
import { now } from '../harness/clock.ts'
import type { Contender, Suite } from '../harness/model.ts'
import { turn } from '../harness/runner.ts'
import { must } from './cost.ts'
import { pause } from './latency.ts'
import { farProgram } from './paths.ts'
import { far } from './worker-far.ts'

// Its declarations do not compile with `exactOptionalPropertyTypes`.
const { Piscina } = createRequire(import.meta.url)('piscina') as {
  readonly Piscina: new (options: object) => PiscinaPool & { destroy(): Promise<void> }
}

interface OneWorker {
  /** A job that is busy until its context ends. */
  spin(ctx: Context): Promise<unknown>
  /** Resolves once that job is busy. */
  begun(): Promise<void>
  /** A job that returns 1 at once. */
  nothing(): Promise<number>
  /** Resolves once the busy job has been seen to end, where that is reported. */
  seen?(): Promise<unknown>
  close(): Promise<unknown>
}

function next(name: string, note: string, start: () => OneWorker): Contender {
  return {
    name,
    kind: 'ours',
    note,
    async start() {
      const it = start()
      must((await it.nothing()) === 1, 'the worker does jobs')
      const one = async (): Promise<number> => {
        const ctx = withCancel(background())
        const busy = it.spin(ctx).catch((error: unknown) => error)
        await it.begun()
        pause()
        const before = now()
        ctx.cancel('proof')
        const result = await it.nothing()
        const time = now() - before
        must(result === 1, 'the next job was done')
        await it.seen?.()
        must((await busy) === ctx.err() && cause(ctx) === 'proof', 'the busy job rejected with the end of its context')
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
        close: async () => void (await it.close()),
      }
    },
  }
}

function calls(): OneWorker {
  const it = far('ctxbridge')
  const jobs = wrap<Jobs>(it.worker)
  return {
    spin: (ctx) => jobs.watch(ctx, 'err'),
    begun: () => it.reports.ready(),
    nothing: () => jobs.nothing(background()),
    seen: () => it.reports.seen(),
    close: () => it.close(),
  }
}

interface Task {
  readonly flag?: Int32Array
}

function jobsOf(run: (ctx: Context, task: Task) => Promise<number>, close: () => Promise<unknown>): OneWorker {
  let flag = new Int32Array(new SharedArrayBuffer(4))
  return {
    spin(ctx) {
      flag = new Int32Array(new SharedArrayBuffer(4))
      return run(ctx, { flag })
    },
    async begun() {
      while (Atomics.load(flag, 0) === 0) await turn()
    },
    nothing: () => run(background(), {}),
    close,
  }
}

const one = { minThreads: 1, maxThreads: 1 } as const
const filename = fileURLToPath(farProgram('pool-jobs'))
const name = 'run'
const goesOn = 'the same thread goes on, with all that it has loaded'

const suite: Suite = {
  id: 'pool/next',
  title: 'The next job after a cancelled one',
  about:
    'A worker is busy; its job is cancelled, and another one given to it at once. From the cancel until that one has answered. No thread is kept on one core here: a pool starts threads of its own, which would be on that of the thread that measures.',
  unpinned: true,
  unit: 'ns',
  sample: 'event',
  contenders: () => [
    next('ctxbridge/worker', goesOn, calls),
    next('piscina, by ctxbridge/piscina', goesOn, () => {
      const pool = new Piscina({ filename, name, ...one })
      return jobsOf(
        (ctx, task) => runPiscina<number>(pool, ctx, task),
        () => pool.destroy(),
      )
    }),
    next('tinypool, by ctxbridge/tinypool', goesOn, () => {
      const pool = new Tinypool({ filename, name, ...one, runtime: 'worker_threads' })
      return jobsOf(
        (ctx, task) => runTinypool<number>(pool, ctx, task),
        () => pool.destroy(),
      )
    }),
    next('workerpool, by ctxbridge/workerpool', goesOn, () => {
      const file = fileURLToPath(farProgram('pool-workerpool'))
      const pool = makeWorkerpool(file, { minWorkers: 1, maxWorkers: 1, workerType: 'thread' })
      return jobsOf(
        (ctx, task) => runWorkerpool<number>(pool, ctx, task, { method: 'run' }),
        async () => pool.terminate(true),
      )
    }),
  ],
}

export const poolSuites: readonly Suite[] = [suite]
