/** The caller's end of a stream: an async iterable for one reader. */

import { asyncDispose } from '../dispose.ts'

/** What a stream tells the call that it belongs to. */
export interface StreamOwner {
  /** The reader has taken so many items: as many more may come. */
  credit(n: number): void
  /** The reader has gone before the end. */
  leave(): void
}

interface Waiting {
  readonly resolve: (result: IteratorResult<unknown, unknown>) => void
  readonly reject: (error: unknown) => void
}

/**
 * Items in the order in which they came, then the end. Whoever leaves early, by `break` or `return()`, ends the call. No more than the window waits
 * here for the reader.
 */
export class RemoteStream implements AsyncGenerator<unknown, unknown, undefined> {
  declare readonly [Symbol.asyncDispose]: () => Promise<void>
  readonly #owner: StreamOwner
  readonly #window: number
  #items: unknown[] = []
  #waiting: Waiting[] = []
  #taken = 0
  #end: { readonly value: unknown } | { readonly error: unknown } | undefined
  /** Whether the end was told to somebody: whoever asks again is told that there is no more. */
  #told = false

  constructor(owner: StreamOwner, window: number) {
    this.#owner = owner
    this.#window = window
  }

  /** Returns false where the sender was not allowed to send it. */
  push(item: unknown): boolean {
    const waiting = this.#waiting.shift()
    if (waiting !== undefined) {
      this.#took()
      waiting.resolve({ done: false, value: item })
      return true
    }
    if (this.#items.length + this.#taken >= this.#window) return false
    this.#items.push(item)
    return true
  }

  /** The far side has ended it; what waits is still read. */
  finish(end: { readonly value: unknown } | { readonly error: unknown }): void {
    this.#end ??= end
    for (const waiting of this.#waiting.splice(0)) this.#tell(waiting)
  }

  /** It ended on this side: what waits is dropped. */
  abort(error: unknown): void {
    this.#items = []
    this.finish({ error })
  }

  next(): Promise<IteratorResult<unknown, unknown>> {
    return new Promise((resolve, reject) => {
      const waiting = { resolve, reject }
      if (this.#items.length > 0) {
        const item = this.#items.shift()
        this.#took()
        resolve({ done: false, value: item })
      } else if (this.#end !== undefined) this.#tell(waiting)
      else this.#waiting.push(waiting)
    })
  }

  #took(): void {
    this.#taken++
    if (this.#end !== undefined || this.#taken * 2 < this.#window) return
    const n = this.#taken
    this.#taken = 0
    this.#owner.credit(n)
  }

  #tell({ resolve, reject }: Waiting): void {
    const end = this.#told ? { value: undefined } : this.#end
    this.#told = true
    if (end !== undefined && 'error' in end) reject(end.error)
    else resolve({ done: true, value: end?.value })
  }

  return(value?: unknown): Promise<IteratorResult<unknown, unknown>> {
    this.#items = []
    if (this.#end === undefined) {
      this.#end = { value: undefined }
      this.#owner.leave()
    }
    this.#told = true
    for (const waiting of this.#waiting.splice(0)) this.#tell(waiting)
    return Promise.resolve({ done: true, value })
  }

  async throw(error: unknown): Promise<IteratorResult<unknown, unknown>> {
    await this.return()
    throw error
  }

  static {
    Object.defineProperty(this.prototype, asyncDispose, { value: leave, configurable: true, writable: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

async function leave(this: RemoteStream): Promise<void> {
  await this.return()
}
