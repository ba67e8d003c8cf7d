/** How soon a worker does its next job after one that was busy was cancelled: of our own calls, and of pools that run their jobs with contexts. */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { background, type CancelableContext, cause, type Context, withCancel } from 'ctxbridge'
import { type PiscinaPool, run as runPiscina } from 'ctxbridge/piscina'
import { run as runTinypool } from 'ctxbridge/tinypool'
import { wrap } from 'ctxbridge/worker'
import { run as runWorkerpool } from 'ctxbridge/workerpool'
import { Tinypool } from 'tinypool'
import { pool as makeWorkerpool } from 'workerpool'
import type { Jobs } from '../far/worker-jobs.ts'
import type { Contender, Suite } from '../harness/model.ts'
import { turn } from '../harness/runner.ts'
import { must } from './cost.ts'
import { type Busy, nextJobs, type OneWorker } from './next-job.ts'
import { farProgram } from './paths.ts'
import { far } from './worker-far.ts'

// Its declarations do not compile with `exactOptionalPropertyTypes`.
const { Piscina } = createRequire(import.meta.url)('piscina') as {
  readonly Piscina: new (options: object) => PiscinaPool & { destroy(): Promise<void> }
}

function next(name: string, note: string, start: () => OneWorker): Contender {
  return { name, kind: 'ours', note, start: () => nextJobs(start(), 100) }
}

/** What ends a job by its context, and shows that it did. */
function ending(ctx: CancelableContext, job: Promise<unknown>, seen?: () => Promise<unknown>): Busy {
  const busy = job.catch((error: unknown) => error)
  return {
    cancel: () => ctx.cancel('proof'),
    async over() {
      await seen?.()
      must((await busy) === ctx.err() && cause(ctx) === 'proof', 'the busy job rejected with the end of its context')
    },
  }
}

function calls(): OneWorker {
  const it = far('ctxbridge')
  const jobs = wrap<Jobs>(it.worker)
  return {
    async begin() {
      const ctx = withCancel(background())
      const busy = ending(ctx, jobs.watch(ctx, 'err'), () => it.reports.seen())
      await it.reports.ready()
      return busy
    },
    nothing: () => jobs.nothing(background()),
    close: () => it.close(),
  }
}

interface Task {
  readonly flag?: Int32Array
}

function jobsOf(run: (ctx: Context, task: Task) => Promise<number>, close: () => Promise<unknown>): OneWorker {
  return {
    async begin() {
      const flag = new Int32Array(new SharedArrayBuffer(4))
      const ctx = withCancel(background())
      const busy = ending(ctx, run(ctx, { flag }))
      while (Atomics.load(flag, 0) === 0) await turn()
      return busy
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
    'A worker is busy; its job is cancelled, and another one given to it at once. From the cancel until that one has answered. No thread is kept on one core here: a pool starts threads of its own, which would be on that of the thread that measures. There are 100 samples to a round, as the next one waits until the pool is at rest; three of pools that start another thread, and one of who waits a second before that. So p99.9 is beyond a run of some minutes.',
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
