/** Contexts for the jobs of a workerpool: `run(pool, ctx, task, { method })` here, `worker({ method: job((ctx, task) => ...) })` in the worker file. */

import type { Context } from '../../lib/context.ts'
import { attempt, named } from '../../lib/given.ts'
import { contextWithin, readRunOptions, runIn, type RunOptions } from './pool.ts'
import { holdsContext } from './within.ts'

export { job, type JobOptions, type RunOptions } from './pool.ts'

/** As much of workerpool's options for a task as goes through. */
export interface WorkerpoolRunOptions extends RunOptions {
  /** The name of the method in the worker. */
  readonly method: string
  readonly transfer?: readonly unknown[]
  /** Is given what the job sends by `workerEmit()`, and, with `emitStdStreams`, what its worker prints. */
  on?(payload: unknown): unknown
  /** What a `queueStrategy` of the program's own finds in the task. */
  readonly metadata?: unknown
}

/** As much of a pool as is used here. */
export interface Workerpool {
  exec(method: string, params?: unknown[] | null, options?: never): PromiseLike<unknown>
  readonly workerType?: string
}

/**
 * Runs a method in the pool under a context, and keeps the worker when it is cancelled.
 *
 * The promise has the job's result or error; or, once the context has ended, its `err()`: at once while the job waits in the queue, and then it never
 * starts; otherwise when the job has let go of its worker. One that goes on for longer than `grace` is cancelled by the pool, at the cost of its
 * worker: then it is a `BridgeError` of code `ERR_CONTEXT_IGNORED` that names the method, with `err()` as its cause. The worker may run on after that for twice the pool's `workerTerminateTimeout`, which is 1 s by
 * default: workerpool asks it twice before it kills it.
 *
 * A job that was given to a worker and has not begun is rejected at once, too. A worker that does not come to it within `grace`, or 5 s where that is less, as something else blocks it, is
 * ended by workerpool like that of a job that goes on. So is one that cannot tell within `grace` that its job is over, as something that this has left behind blocks it; then `run` has `err()`.
 *
 * A job that is cancelled in the queue stays there until its turn, which takes no time then. What workerpool is told to cancel there stays as well, and many of those
 * would stop it for good: it steps over them by recursion. What it keeps for a worker that is still loading its file is like that: such a worker is not ended.
 *
 * What cannot be posted, as the task cannot be cloned, or something in `transfer` cannot be transferred, costs workerpool a worker, as it does without this: it takes that for busy from then on. The promise
 * rejects where that worker was up and had nothing to do; otherwise it is pending until the context ends, and where the worker was still starting, workerpool throws to nobody. A context that stands within a
 * task is looked for before.
 *
 * @returns rejects with a `TypeError` when what the worker has under that name is no `job()` (one that throws rejects with its error), and with a `BridgeError` of code `ERR_UNSENDABLE` when the task or the result cannot be cloned, or `ERR_PROTOCOL` when the worker has another version of this package
 * @throws TypeError when `pool` is no pool or one of processes, which share no memory; when `ctx` is no context, `task` has one within, `method` is no name, `grace` no time, or `options` has a `signal`, which `withSignal(ctx, signal)` joins to the context
 */
export function run<Result = unknown>(
  pool: Workerpool,
  ctx: Context,
  task: unknown,
  options: WorkerpoolRunOptions,
): Promise<Result> {
  if (attempt(() => typeof pool.exec) !== 'function') throw new TypeError(`run() needs a workerpool, but got ${named(pool)}.`)
  if (attempt(() => pool.workerType) === 'process')
    throw new TypeError("run() needs a pool of threads: make it with the option workerType: 'thread'.")
  const given: Partial<WorkerpoolRunOptions> = options === undefined ? {} : options
  // Without an `on` among its options workerpool throws to nobody when it is to tell what a worker prints.
  const { method, grace = 200, on = (): void => undefined, ...others } = readRunOptions(given)
  if (typeof method !== 'string')
    throw new TypeError(`run() needs the name of a method of the worker as 'method', but got ${named(method)}.`)
  // Of what it cannot post workerpool tells nobody, and its worker is lost to it.
  if (holdsContext([task])) throw contextWithin()
  return runIn<Result>(ctx, task, method, { grace }, (envelope) => {
    const result = pool.exec(method, [envelope], { ...others, on } as never) as PromiseLike<Result> & { cancel(): unknown }
    return { result, force: () => void result.cancel() }
  })
}
