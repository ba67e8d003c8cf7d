/** What a call gives. */

type Resolve = (value: unknown) => void

/** What resolves the promise that is being made; kept no longer than that. */
let taken: Resolve | undefined

/** One function for all promises. */
function take(resolve: Resolve): void {
  taken = resolve
}

/**
 * A promise; of a stream, one that is an async iterable as well: what reads it waits for the stream first. For the language it is a plain promise (see its
 * `constructor`): so `await` takes it as it is, and `then` gives plain ones.
 */
class AnswerPromise extends Promise<unknown> implements AsyncIterable<unknown> {
  [Symbol.asyncIterator](): AsyncIterator<unknown> {
    return new Reader(this)
  }

  static {
    Reflect.defineProperty(this.prototype, 'constructor', { value: Promise })
  }
}

/** An answer that is awaited, and what settles it: a value, or a {@link Failure}. The promise's own way to reject would be as large as the promise, and is dropped. */
export class Pending {
  readonly answer: Promise<unknown>
  readonly resolve: Resolve

  constructor() {
    this.answer = new AnswerPromise(take)
    this.resolve = taken as Resolve
    taken = undefined
  }
}

/** Makes the promises reject that are resolved with it. */
export class Failure {
  readonly #error: unknown

  constructor(error: unknown) {
    this.#error = error
  }

  // oxlint-disable-next-line unicorn/no-thenable -- it is what a promise asks
  then(_resolve: unknown, reject: (error: unknown) => void): void {
    reject(this.#error)
  }
}

/** The answer of a call that was not made. */
export function failed(error: unknown): Promise<unknown> {
  return new AnswerPromise((_resolve, reject) => reject(error))
}

class Reader implements AsyncIterator<unknown> {
  readonly #answer: Promise<unknown>

  constructor(answer: Promise<unknown>) {
    this.#answer = answer
  }

  async next(): Promise<IteratorResult<unknown>> {
    const stream = await this.#answer
    if (!isStream(stream)) throw new TypeError('The method returned no stream: await its result instead.')
    return stream.next()
  }

  async return(value?: unknown): Promise<IteratorResult<unknown>> {
    const stream = await this.#answer.catch(() => undefined)
    if (isStream(stream)) await stream.return(value)
    return { done: true, value }
  }
}

function isStream(value: unknown): value is AsyncGenerator {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}
