/**
 * What piscina and tinypool have in common: they read some of a task by symbols, and are given an envelope in its place, which must say the same; which job it is, the task or the pool says; and a
 * task is aborted by a signal.
 */

import { attempt, named } from '../../lib/given.ts'
import { readRunOptions, type RunOptions } from './pool.ts'

/** What `run` is given beside the task. */
interface CallOptions extends RunOptions {
  readonly filename?: string
  readonly name?: string
  readonly transferList?: readonly unknown[]
}

/** A call of `run`, checked as far as both pools have it. */
export interface Call<Options> {
  /** What is within `Piscina.move()`, or the task as it is. */
  readonly task: unknown
  /** That of the job, as errors have it. */
  readonly name: string
  readonly options: Options
  /** What the pool is to be given. */
  args(envelope: object, signal: AbortEmitter | undefined): [task: object, options: never]
}

/** @param kind whose it is, which is also the prefix of the pool's symbols */
export function readCall<Options extends CallOptions>(
  kind: 'Piscina' | 'Tinypool',
  pool: Naming & { readonly run: unknown },
  task: unknown,
  given: Options,
): Call<Options> {
  if (attempt(() => typeof pool.run) !== 'function')
    throw new TypeError(`run() needs a pool of ${kind.toLowerCase()}, but got ${named(pool)}.`)
  const options = readRunOptions(given)
  const { grace: _, transferList, ...others } = options
  const { filename } = options as { readonly filename?: unknown }
  // Tinypool takes a URL as well.
  if (typeof (filename ?? '') !== 'string' && !attempt(() => filename instanceof URL))
    throw new TypeError(`run() needs 'filename' to be a text, but got ${named(filename)}.`)
  const listed = attempt((): unknown[] | false => Array.isArray(transferList) && [...(transferList as unknown[])])
  if (transferList !== undefined && !listed)
    throw new TypeError(`run() needs 'transferList' to be an array, but got ${named(transferList)}.`)
  const moved = movedBy(kind, task)
  const sent = moved === undefined ? task : moved.value
  const transfers = [...(listed || []), ...(moved === undefined ? [] : [moved.transferred])]
  return {
    task: sent,
    name: jobName(pool, options),
    options,
    args: (envelope, signal) => [
      labelled(envelope, sent, Symbol.for(`${kind}.queueOptions`)),
      { ...others, ...(transfers.length > 0 && { transferList: transfers }), ...(signal && { signal }) } as never,
    ],
  }
}

/** What a pool's `move()` has made of a task. What throws when it is read cannot be cloned either, and the pool tells that. */
function movedBy(kind: string, task: unknown): { readonly value: unknown; readonly transferred: unknown } | undefined {
  const [transferable, value] = [Symbol.for(`${kind}.transferable`), Symbol.for(`${kind}.valueOf`)]
  return attempt(() =>
    isMoved(task) && transferable in task && value in task ? { value: task[value], transferred: task[transferable] } : undefined,
  )
}

/** Gives an envelope what a queue of the program's own asks of each task. */
function labelled(envelope: object, task: unknown, queue: symbol): object {
  return (
    attempt(() => isObject(task) && queue in task && Object.defineProperty(envelope, queue, { value: task[queue] })) || envelope
  )
}

/** As a pool names a job, and its file, that are not named with its task. */
export interface Naming {
  readonly options?: { readonly name?: unknown; readonly filename?: unknown }
}

/** The name of the job that the pool calls, as errors give it: that of the task, or else of the pool. Many files have one that is called 'default': so that has the name of its file as well. */
function jobName(pool: Naming, given: Pick<CallOptions, 'name' | 'filename'>): string {
  const ofPool = attempt(() => ({ name: pool.options?.name, file: pool.options?.filename }))
  const name = given.name ?? (typeof ofPool?.name === 'string' ? ofPool.name : 'default')
  const file = given.filename ?? ofPool?.file
  // A path, or the URL of a file.
  return name === 'default' && typeof file === 'string' ? `default of ${file.split(/[/\\]/).at(-1)}` : name
}

/** Whether it went through the pool's `move()`, which marks it by a symbol that it keeps for itself. */
function isMoved(task: unknown): task is Record<symbol, unknown> {
  return (
    isObject(task) &&
    Object.getOwnPropertySymbols(task).some((mark) => mark.description?.endsWith('Movable') && task[mark] === true)
  )
}

function isObject(value: unknown): value is Record<symbol, unknown> {
  return typeof value === 'object' && value !== null
}

/**
 * What a pool is given as the signal of a task: as much of an event emitter as it asks for. What it throws when it is told to abort (a queue that does not have the task, say) is
 * caught here; from a listener of an `AbortSignal` it would go to nobody, and end the process.
 */
export class AbortEmitter {
  /** Both pools refuse what is aborted before they are given it. */
  aborted = false
  #listener: (() => void) | undefined

  once(_event: 'abort', listener: () => void): this {
    this.#listener = listener
    return this
  }

  off(): this {
    this.#listener = undefined
    return this
  }

  removeListener(): this {
    return this.off()
  }

  abort(): void {
    this.aborted = true
    const listener = this.#listener
    this.#listener = undefined
    // By then its promise is rejected, and no worker will get the task.
    attempt(() => listener?.())
  }
}
