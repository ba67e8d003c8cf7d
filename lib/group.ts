/** Several tasks that succeed or fail together. Go: `golang.org/x/sync/errgroup`. */
import { dispose } from './dispose.ts'
import { type Context, withCancel } from './context.ts'
import { scopeOf } from './foreign.ts'
import { named, readOptions } from './given.ts'

export interface GroupOptions {
  /** How many tasks run at once; the others wait for their turn. Default: no limit. */
  readonly limit?: number
}

/** Tasks under one context. The first failure cancels it, with that error as cause. */
export interface Group<T> extends Disposable {
  /** What the tasks are given. Ends with the parent, with the first failure, and when `wait` is done. */
  readonly context: Context
  /**
   * Runs a task, now or when its turn comes. After the end of the context it starts nothing, and `wait` rejects.
   * @throws TypeError when `f` is no function, or when `wait` has settled
   */
  go(f: (ctx: Context) => T | PromiseLike<T>): void
  /** Waits for all tasks, also after a failure. Resolves with their results in the order of `go`; rejects with the first failure, or with `err()` where a task was not started. */
  wait(): Promise<T[]>
  /** Cancels the context. Tasks that have begun are not waited for: `wait` does that. */
  [Symbol.dispose](): void
}

/**
 * Starts a group of tasks under `parent`.
 *
 * @throws TypeError when `parent` is no context, or an option is of another name; RangeError when `limit` is no whole number of at least 1
 */
export function group<T = unknown>(parent: Context, options: GroupOptions = {}): Group<T> {
  scopeOf(parent, 'group')
  const limit = readOptions('group', options, ['limit'], ({ limit = Infinity }) => limit)
  if (limit !== Infinity && (!Number.isSafeInteger(limit) || limit < 1)) {
    throw new RangeError(`group() needs a limit that is a whole number of at least 1, but got ${named(limit)}.`)
  }
  return new TaskGroup<T>(parent, limit)
}

class TaskGroup<T> implements Group<T> {
  readonly context: Context
  readonly #cancel: (cause?: unknown) => void
  readonly #limit: number
  readonly #results: T[] = []
  /** Those who came since the last time that `#turn` was filled. */
  #queue: (() => void)[] = []
  /** Whose turn is next, the next one last: an array gives its first away in time that grows with its length. */
  #turn: (() => void)[] = []
  readonly #waiting: (() => void)[] = []
  #count = 0
  #running = 0
  #failure: { error: unknown } | undefined
  #settled = false

  constructor(parent: Context, limit: number) {
    const [context, cancel] = withCancel(parent)
    this.context = context
    this.#cancel = cancel
    this.#limit = limit
  }

  go(f: (ctx: Context) => T | PromiseLike<T>): void {
    if (typeof f !== 'function') throw new TypeError(`go() needs a function to run, but got ${named(f)}.`)
    if (this.#settled) throw new TypeError('go() was called on a group whose wait() has settled. Make a new group.')
    const index = this.#count++
    const start = (): void => void this.#run(index, f)
    if (this.#running < this.#limit) start()
    else this.#queue.push(start)
  }

  async wait(): Promise<T[]> {
    // oxlint-disable-next-line no-await-in-loop -- more may have been started by now, right after the last one had ended
    while (this.#running > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#settled = true
    this.#cancel()
    if (this.#failure !== undefined) throw this.#failure.error
    return this.#results
  }

  [dispose](): void {
    this.#cancel()
  }

  toString(): string {
    return `Group of ${String(this.context)}`
  }

  toJSON(): string {
    return String(this)
  }

  async #run(index: number, f: (ctx: Context) => T | PromiseLike<T>): Promise<void> {
    const ended = this.context.err()
    if (ended !== undefined) {
      this.#failure ??= { error: ended }
      return
    }
    this.#running++
    try {
      this.#results[index] = await f(this.context)
    } catch (error) {
      this.#failure ??= { error }
      this.#cancel(error)
    } finally {
      this.#running--
      this.#next()
    }
  }

  /** Gives the freed places away; with nobody left, wakes those who wait. */
  #next(): void {
    while (this.#running < this.#limit) {
      if (this.#turn.length === 0) {
        this.#turn = this.#queue.reverse()
        this.#queue = []
      }
      const start = this.#turn.pop()
      if (start === undefined) break
      start()
    }
    if (this.#running === 0) for (const resolve of this.#waiting.splice(0)) resolve()
  }
}
