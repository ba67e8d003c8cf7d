/** Contexts for the jobs of a piscina pool: `run(pool, ctx, task)` here, `export default job((ctx, task) => ...)` in the worker file. */

import type { Context } from '../../lib/context.ts'
import { runIn, type RunOptions } from './pool.ts'
import { AbortEmitter, type Naming, readCall } from './pool-task.ts'

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

interface PoolLimits {
  readonly maxQueue?: number
  readonly concurrentTasksPerWorker?: number
}

/**
 * Runs a task in the pool under a context, and keeps the worker when it is cancelled.
 *
 * The promise has the job's result or error; or, once the context has ended, its `err()`: at once while the job waits in the queue, and then it never
 * starts; otherwise when the job has let go of its worker. One that goes on for longer than `grace` is aborted by piscina, at the cost of its
 * worker: then it is a `BridgeError` of code `ERR_CONTEXT_IGNORED` that names the job, with `err()` as its cause.
 *
 * A job that was given to a worker and has not begun is rejected at once, too. A worker that does not come to it within `grace`, or 5 s where that is less, as something else blocks it, it has exited, or it takes
 * longer to load its file, is ended by piscina like that of a job that goes on. So is one that cannot tell within `grace` that its job is over, as something that this has left behind blocks it; then `run` has `err()`.
 *
 * A job that is cancelled in the queue leaves it; without a `grace` it stays there until its turn, which takes no time then. So end a pool by `close()`, and when all of its jobs are settled: `destroy()` makes
 * piscina emit an error for each job that it has begun to hand out; and piscina's `close()`, here as without this, waits for the first worker of two, and rejects what the other one has, and what is queued.
 *
 * With a `grace`, piscina gives the task no worker that runs another one at the same time (see its `concurrentTasksPerWorker`), and keeps it in a queue of its own, so that a `taskQueue` of the
 * program's is mostly not asked about it: with `grace: Infinity` it is. And a worker that runs such a task counts for none that is in use, so that `needsDrain` and `drain` do not tell of it. Piscina does all of that to any task with a
 * signal. `run` counts what is in that queue against `maxQueue`, which piscina does not; only whether a job with `grace: Infinity` has a place where workers run several tasks is left to piscina.
 *
 * @returns rejects with a `TypeError` when what the worker has under that name is no `job()` (one that throws rejects with its error), and with a `BridgeError` of code `ERR_UNSENDABLE` when the task or the result cannot be cloned, or `ERR_PROTOCOL` when the worker has another version of this package
 * @throws TypeError when `pool` is no pool, `ctx` no context, `task` has one within, `grace` is no time, `filename` or `transferList` is not what its name says, or `options` has a `signal`, which `withSignal(ctx, signal)` joins to the context
 */
export function run<Result = unknown>(
  pool: PiscinaPool,
  ctx: Context,
  task: unknown,
  options: PiscinaRunOptions = {},
): Promise<Result> {
  const call = readCall('Piscina', pool, task, options)
  return runIn<Result>(ctx, call.task, call.name, call.options, (envelope) => {
    const { maxQueue = Infinity, concurrentTasksPerWorker = 1 } = (pool.options ?? {}) as PoolLimits
    const queued = (): number => pool.queueSize ?? 0
    const before = queued()
    const hasGrace = call.options.grace !== Infinity
    // Without a signal it may run at once, beside others, whatever waits: piscina alone knows.
    const mayPass = !hasGrace && concurrentTasksPerWorker > 1
    const isFull = !mayPass && maxQueue > 0 && before >= maxQueue
    const signal = hasGrace || isFull ? new AbortEmitter() : undefined
    const abort = (): void => signal?.abort()
    // Piscina asks that only of the queue of those without a signal. What is aborted before, it does not even queue.
    if (isFull) abort()
    const result = pool.run(...call.args(envelope, signal)) as PromiseLike<Result>
    // A pool without a queue keeps as many as there are workers that start, which it does not tell before.
    if (!isFull && (maxQueue > 0 || signal === undefined || queued() <= before)) return { result, force: abort, withdraw: abort }
    abort()
    return { result: result.then(undefined, (error: unknown) => Promise.reject(refusal(error, isFull))), force: abort }
  })
}

/** Piscina's own words, also where it was made to refuse a task: one that closes has aborted it for a reason. */
function refusal(error: unknown, isFull: boolean): unknown {
  const { name, cause } = error as Error
  if (name !== 'AbortError' || cause !== undefined) return error
  return new Error(isFull ? 'Task queue is at limit' : 'No task queue available and all Workers are busy')
}
