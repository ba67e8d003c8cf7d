/** How a context ended. */
import { CanceledError, type ContextError, DeadlineExceededError, type Kind, withoutStack } from './errors.ts'

/** Counts ends as they are found, and deadlines as they are set: of two at one instant, the lower is first. */
let order = 0

export function nextOrder(): number {
  return ++order
}

function make(kind: Kind, cause: unknown): ContextError {
  const options = cause === undefined ? undefined : { cause }
  return withoutStack(() => (kind === 'deadline' ? new DeadlineExceededError(options) : new CanceledError(options)))
}

/** Errors of cancels that have not happened yet: one that has a cause, still to be filled in, and one that has none. */
const spare: { caused: CanceledError | undefined; plain: CanceledError | undefined } = { caused: undefined, plain: undefined }

/** Makes the error of a coming cancel now. For who polls another thread: to make it takes longer than all else between the cancel and the look that sees it. */
export function prepareError(): void {
  spare.plain ??= withoutStack(() => new CanceledError())
  spare.caused ??= withoutStack(() => new CanceledError({ cause: null }))
}

function takeSpare(cause: unknown): CanceledError | undefined {
  if (cause === undefined) {
    const { plain } = spare
    spare.plain = undefined
    return plain
  }
  const { caused } = spare
  spare.caused = undefined
  if (caused !== undefined) caused.cause = cause
  return caused
}

/** An end as it happened: shared by every context that it ended. Its error is made when somebody first looks. */
export class End {
  readonly kind: Kind
  readonly cause: unknown
  /** The instant, by the tree's clock; NaN where nobody below could need it. */
  readonly at: number
  readonly #order: number
  #error: ContextError | undefined

  constructor(kind: Kind, cause: unknown, at: number, error?: ContextError, count: number = ++order) {
    this.kind = kind
    this.cause = cause
    this.at = at
    this.#order = count
    this.#error = error
  }

  get error(): ContextError {
    return (this.#error ??= (this.kind === 'canceled' ? takeSpare(this.cause) : undefined) ?? make(this.kind, this.cause))
  }

  /** Whether there is an error already, which somebody has, or may have, seen: then kind and cause do not say all of it, as with one of a foreign context. */
  get told(): boolean {
    return this.#error !== undefined
  }

  /** The same, of which it is known only now when it happened. */
  dated(at: number): End {
    return new End(this.kind, this.cause, at, this.#error)
  }

  /** Whether this end came before another one, as far as the instants are known; at one instant a deadline comes first. */
  before(other: End): boolean {
    if (this.at < other.at) return true
    if (this.at > other.at) return false
    if (this.at === other.at && this.kind !== other.kind) return this.kind === 'deadline'
    return this.#order < other.#order
  }

  /** Whether this end came before a deadline at `at` passed. One of unknown instant did not; of two deadlines at once the outer one counts. */
  cameBefore(at: number): boolean {
    return this.at < at || (this.at === at && this.kind === 'deadline')
  }
}

/**
 * What stands in for the end of a context that was cancelled, without a cause and at an instant that nobody needs, until somebody wants to know of it.
 * Most ends are never asked for, and so cost nothing. Only told apart, never read: `takenEnd` puts a real one in its place.
 */
export const unread: End = new End('canceled', undefined, Number.NaN)
