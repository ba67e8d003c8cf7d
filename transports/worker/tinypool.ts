/** Contexts for the jobs of a tinypool pool: `run(pool, ctx, task)` here, `export default job((ctx, task) => ...)` in the worker file. */

import type { Context } from '../../lib/context.ts'
import { attempt } from '../../lib/given.ts'
import { runIn, type RunOptions } from './pool.ts'
import { AbortEmitter, type Naming, readCall } from './pool-task.ts'

export { job, type JobOptions, type RunOptions } from './pool.ts'

/** As much of tinypool's options for a task as goes through. */
export interface TinypoolRunOptions extends RunOptions {
  readonly filename?: string
  readonly name?: string
  readonly transferList?: readonly unknown[]
}

/** As much of a pool as is used here. */
export interface TinypoolPool extends Naming {
  run(task: unknown, options?: never): PromiseLike<unknown>
  readonly queueSize?: number
  readonly options?: Naming['options'] & {
    readonly runtime?: unknown
    readonly concurrentTasksPerWorker?: unknown
    readonly maxQueue?: unknown
  }
}

/**
 * Runs a task in the pool under a context, and keeps the worker when it is cancelled.
 *
 * The promise has the job's result or error; or, once the context has ended, its `err()`: at once while the job waits in the queue, and then it never
 * starts; otherwise when the job has let go of its worker. One that goes on for longer than `grace` is aborted by tinypool, at the cost of its
 * worker: then it is a `BridgeError` of code `ERR_CONTEXT_IGNORED` that names the job, with `err()` as its cause. In a pool with a `teardown` a job that never returns runs on in a worker that the pool
 * has no more: tinypool terminates that when the teardown is done, for which the job would have to let go of it. Where tinypool replaces a worker whose job is over before it tells that, `run` does not wait for it beyond `grace`.
 *
 * A job that was given to a worker and has not begun is rejected at once, too. A worker that does not come to it within `grace`, or 5 s where that is less, as something else blocks it, it has exited, or it takes
 * longer to load its file, is ended by tinypool like that of a job that goes on. So is one that cannot tell within `grace` that its job is over, as something that this has left behind blocks it; then `run` has `err()`.
 *
 * A job that is cancelled in the queue leaves it, and tinypool emits no `drain` for that. In a pool whose workers run several tasks at a time (`concurrentTasksPerWorker`) it stays there until its
 * turn, which takes no time then: tinypool fails at taking out what it has put aside. There, with a `grace`, a job is given no worker that runs another one.
 *
 * Tinypool does not notice when a worker exits by itself (`process.exit()`): its job ends by force when its context has ended and its `grace` is over. Nothing of that keeps the process alive: one that has nothing else to do
 * ends in the middle, with code 13 where the job is awaited at its top level.
 *
 * @returns rejects with a `TypeError` when what the worker has under that name is no `job()` (one that throws rejects with its error), and with a `BridgeError` of code `ERR_UNSENDABLE` when the task or the result cannot be cloned, or `ERR_PROTOCOL` when the worker has another version of this package
 * @throws TypeError when `pool` is no pool or one of processes, which share no memory; when `ctx` is no context, `task` has one within, `grace` is no time, `filename` or `transferList` is not what its name says, or `options` has a `signal`, which `withSignal(ctx, signal)` joins to the context
 */
export function run<Result = unknown>(
  pool: TinypoolPool,
  ctx: Context,
  task: unknown,
  options: TinypoolRunOptions = {},
): Promise<Result> {
  const call = readCall('Tinypool', pool, task, options)
  const { runtime } = call.options as { readonly runtime?: unknown }
  if ((runtime ?? attempt(() => pool.options?.runtime)) === 'child_process')
    throw new TypeError("run() needs a pool of threads: make it with the option runtime: 'worker_threads'.")
  return runIn<Result>(ctx, call.task, call.name, call.options, (envelope) => {
    const oneByOne = (attempt(() => pool.options?.concurrentTasksPerWorker) ?? 1) === 1
    const signal = oneByOne || call.options.grace !== Infinity ? new AbortEmitter() : undefined
    const abort = (): void => signal?.abort()
    const hadRoom = attempt(() => (pool.queueSize as number) < (pool.options?.maxQueue as number))
    const result = pool.run(...call.args(envelope, signal)) as PromiseLike<Result>
    // One that tinypool refuses, as its queue is full, is not in there: to abort it would reject a promise that nobody has. The refusal is heard in the next microtask.
    let refused = false
    if (!hadRoom) Promise.resolve(result).then(undefined, () => (refused = true))
    const withdraw = hadRoom ? abort : (): void => queueMicrotask(() => refused || abort())
    return { result, force: abort, ...(oneByOne && { withdraw }) }
  })
}
