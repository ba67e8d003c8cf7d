/**
 * What piscina and tinypool have in common: they read some of a task by symbols, and are given an envelope in its place, which must say the same; which job it is, the task or the pool says; and a
 * task is aborted by a signal.
 */

import { attempt } from '../../lib/given.ts'

/** A task as a pool takes it. */
export interface PoolTask {
  /** What is within `Piscina.move()`, or the task as it is. */
  readonly task: unknown
  /** What is to be transferred: what the caller lists, and what is within `move()`. */
  readonly transferList: readonly unknown[] | undefined
  /** Gives an envelope what a queue of the program's own asks of each task. */
  label(envelope: object): object
}

/** @param pool the prefix of the pool's symbols */
export function poolTask(pool: 'Piscina' | 'Tinypool', task: unknown, transferList: readonly unknown[] | undefined): PoolTask {
  const [transferable, value, queue] = ['transferable', 'valueOf', 'queueOptions'].map((name) =>
    Symbol.for(`${pool}.${name}`),
  ) as [symbol, symbol, symbol]
  // What throws when it is read cannot be cloned either, and the pool tells that.
  const moved = attempt(() => isMoved(task) && transferable in task && value in task && [task[transferable], task[value]])
  const given = moved ? moved[1] : task
  return {
    task: given,
    transferList: moved ? [...(transferList ?? []), moved[0]] : transferList,
    label: (envelope) =>
      attempt(() => isObject(given) && queue in given && Object.defineProperty(envelope, queue, { value: given[queue] })) ||
      envelope,
  }
}

/** As a pool names a job, and its file, that are not named with its task. */
export interface Naming {
  readonly options?: { readonly name?: unknown; readonly filename?: unknown }
}

/** The name of the job that the pool calls, as errors give it: that of the task, or else of the pool. Many files have one that is called 'default': so that has the name of its file as well. */
export function jobName(pool: Naming, given: { readonly name?: string; readonly filename?: string }): string {
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
    const listener = this.#listener
    this.#listener = undefined
    // By then its promise is rejected, and no worker will get the task.
    attempt(() => listener?.())
  }
}
