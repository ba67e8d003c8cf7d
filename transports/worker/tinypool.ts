/** Contexts for the jobs of a tinypool pool: `run(pool, ctx, task)` here, `export default job((ctx, task) => ...)` in the worker file. */

import type { Context } from '../../lib/context.ts'
import { named } from '../../lib/key.ts'
import { attempt, readOptions } from './options.ts'
import { refuseSignal, runIn, type RunOptions } from './pool.ts'
import { AbortEmitter, poolTask } from './pool-task.ts'

export { job, type JobOptions, type RunOptions } from './pool.ts'

/** As much of tinypool's options for a task as goes through. */
export interface TinypoolRunOptions extends RunOptions {
  readonly filename?: string
  readonly name?: string
  readonly transferList?: readonly unknown[]
}

/** As much of a pool as is used here. */
export interface TinypoolPool {
  run(task: unknown, options?: never): PromiseLike<unknown>
  readonly queueSize?: number
  readonly options?: { readonly runtime?: unknown; readonly concurrentTasksPerWorker?: unknown }
}

/**
 * Runs a task in the pool under a context, and keeps the worker when it is cancelled.
 *
 * The promise has the job's result or error; or, once the context has ended, its `err()`: at once while the job waits in the queue, and then it never
 * starts; otherwise when the job has let go of its worker. One that goes on for longer than `grace` is aborted by tinypool, which terminates its
 * worker: then it is a `BridgeError` of code `ERR_CONTEXT_IGNORED` that names the job, with `err()` as its cause.
 *
 * A job that is cancelled in the queue leaves it, and tinypool emits no `drain` for that. In a pool whose workers run several tasks at a time (`concurrentTasksPerWorker`) it stays there until its
 * turn, which takes no time then: tinypool fails at taking out what it has put aside. There, with a `grace`, a job is given no worker that runs another one.
 *
 * Tinypool does not notice when a worker exits by itself (`process.exit()`): its job ends by force when its context has ended and its `grace` is over. Nothing of that keeps the process alive: one that has nothing else to do
 * ends in the middle, with code 13 where the job is awaited at its top level.
 *
 * @returns rejects with a `TypeError` when what the worker has under that name is no `job()`, and with a `BridgeError` of code `ERR_UNSENDABLE` when its result cannot be cloned
 * @throws TypeError when `pool` is no pool or one of processes, which share no memory; when `ctx` is no context, `task` has one within, `grace` is no time, or `options` has a `signal`, which `withSignal(ctx, signal)` joins to the context
 */
export function run<Result = unknown>(
  pool: TinypoolPool,
  ctx: Context,
  task: unknown,
  options: TinypoolRunOptions = {},
): Promise<Result> {
  if (attempt(() => typeof pool.run) !== 'function')
    throw new TypeError(`run() needs a pool of tinypool, but got ${named(pool)}.`)
  const given = readOptions('run', options, (all) => ({ ...all }))
  refuseSignal(given)
  const { grace, transferList, ...others } = given
  if (((others as { readonly runtime?: unknown }).runtime ?? attempt(() => pool.options?.runtime)) === 'child_process')
    throw new TypeError("run() needs a pool of threads: make it with the option runtime: 'worker_threads'.")
  const sent = poolTask('Tinypool', task, transferList)
  return runIn<Result>(ctx, sent.task, others.name ?? 'default', given, (envelope) => {
    const oneByOne = (attempt(() => pool.options?.concurrentTasksPerWorker) ?? 1) === 1
    const signal = oneByOne || grace !== Infinity ? new AbortEmitter() : undefined
    const abort = (): void => signal?.abort()
    const more = {
      ...others,
      ...(sent.transferList && { transferList: sent.transferList }),
      ...(signal && { signal }),
    }
    const size = (): unknown => attempt(() => pool.queueSize)
    const before = size()
    const result = pool.run(sent.label(envelope), more as never) as PromiseLike<Result>
    // One that tinypool has refused, as its queue is full, is not in there: to abort it would reject a promise that nobody has.
    const isQueued = before === undefined || size() !== before
    return { result, force: abort, ...(oneByOne && isQueued && { withdraw: abort }) }
  })
}
