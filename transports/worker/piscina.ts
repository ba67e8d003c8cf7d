/** Contexts for the jobs of a piscina pool: `run(pool, ctx, task)` here, `export default job((ctx, task) => ...)` in the worker file. */

import type { Context } from '../../lib/context.ts'
import { attempt, named, readOptions } from '../../lib/given.ts'
import { refuseSignal, runIn, type RunOptions } from './pool.ts'
import { AbortEmitter, jobName, type Naming, poolTask } from './pool-task.ts'

export { job, type JobOptions, type RunOptions } from './pool.ts'

/** As much of piscina's options for a task as goes through. */
export interface PiscinaRunOptions extends RunOptions {
  readonly filename?: string
  readonly name?: string
  readonly transferList?: readonly unknown[]
}

/** As much of a pool as is used here. */
export interface PiscinaPool extends Naming {
  readonly queueSize?: number
  run(task: unknown, options?: never): PromiseLike<unknown>
}

/** Whether piscina would refuse the next task, with these words: of one with a signal, which it keeps in another queue, it asks for that no more. */
function isFull(pool: PiscinaPool): boolean {
  const { maxQueue } = (pool.options ?? {}) as { readonly maxQueue?: unknown }
  return typeof maxQueue === 'number' && maxQueue > 0 && (pool.queueSize ?? 0) >= maxQueue
}

/**
 * Runs a task in the pool under a context, and keeps the worker when it is cancelled.
 *
 * The promise has the job's result or error; or, once the context has ended, its `err()`: at once while the job waits in the queue, and then it never
 * starts; otherwise when the job has let go of its worker. One that goes on for longer than `grace` is aborted by piscina, at the cost of its
 * worker: then it is a `BridgeError` of code `ERR_CONTEXT_IGNORED` that names the job, with `err()` as its cause.
 *
 * A job that is cancelled in the queue leaves it; without a `grace` it stays there until its turn, which takes no time then. So end a pool by `close()`, and when all of its jobs are settled: `destroy()` makes
 * piscina emit an error for each job that it has begun to hand out; and piscina's `close()`, here as without this, waits for the first worker of two, and rejects what the other one has, and what is queued.
 *
 * With a `grace`, piscina gives the task no worker that runs another one at the same time (see its `concurrentTasksPerWorker`), and keeps it in a queue of its own, so that a `taskQueue` of the
 * program's is mostly not asked about it: with `grace: Infinity` it is.
 *
 * @returns rejects with a `TypeError` when what the worker has under that name is no `job()` (one that throws rejects with its error), and with a `BridgeError` of code `ERR_UNSENDABLE` when the task or the result cannot be cloned, or `ERR_PROTOCOL` when the worker has another version of this package
 * @throws TypeError when `pool` is no pool, `ctx` no context, `task` has one within, `grace` is no time, or `options` has a `signal`, which `withSignal(ctx, signal)` joins to the context
 */
export function run<Result = unknown>(
  pool: PiscinaPool,
  ctx: Context,
  task: unknown,
  options: PiscinaRunOptions = {},
): Promise<Result> {
  if (attempt(() => typeof pool.run) !== 'function') throw new TypeError(`run() needs a pool of piscina, but got ${named(pool)}.`)
  const given = readOptions('run', options, (all) => ({ ...all }))
  refuseSignal(given)
  const { grace, transferList, ...others } = given
  const sent = poolTask('Piscina', task, transferList)
  return runIn<Result>(ctx, sent.task, jobName(pool, others), given, (envelope) => {
    const signal = grace === Infinity ? undefined : new AbortEmitter()
    const more = {
      ...others,
      ...(sent.transferList && { transferList: sent.transferList }),
      ...(signal && { signal }),
    }
    const abort = (): void => signal?.abort()
    if (signal !== undefined && isFull(pool)) return { result: Promise.reject(new Error('Task queue is at limit')), force: abort }
    // A job that stayed in the queue would be given to a worker at its turn, for nothing: and close() takes a worker between two jobs for finished.
    return { result: pool.run(sent.label(envelope), more as never) as PromiseLike<Result>, force: abort, withdraw: abort }
  })
}
