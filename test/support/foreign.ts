/** Contexts that are not the package's own, as users write them: around one of ours, or from nothing. */
import { background, CanceledError, type Context, type ContextError, DeadlineExceededError, type Key } from 'ctxbridge'

type Member = keyof Context

/** Passes everything on, and adds nothing. `asked` tells which of its members were used. */
export class Wrapper implements Context {
  readonly asked = new Set<Member>()
  readonly #inner: Context

  constructor(inner: Context) {
    this.#inner = inner
  }

  get deadline(): Date | undefined {
    this.asked.add('deadline')
    return this.#inner.deadline
  }

  remaining(): number {
    this.asked.add('remaining')
    return this.#inner.remaining()
  }

  err(): ContextError | undefined {
    this.asked.add('err')
    return this.#inner.err()
  }

  get done(): Promise<ContextError> {
    this.asked.add('done')
    return this.#inner.done
  }

  get signal(): AbortSignal {
    this.asked.add('signal')
    return this.#inner.signal
  }

  value<T>(key: Key<T>): T | undefined {
    this.asked.add('value')
    return this.#inner.value(key)
  }

  throwIfDone(): void {
    this.asked.add('throwIfDone')
    this.#inner.throwIfDone()
  }
}

/** Passes everything on but one value, which it has itself. */
export class ValueWrapper<V> extends Wrapper {
  readonly #key: Key<V>
  readonly #value: V

  constructor(inner: Context, key: Key<V>, value: V) {
    super(inner)
    this.#key = key
    this.#value = value
  }

  override value<T>(key: Key<T>): T | undefined {
    return (key as unknown) === this.#key ? (this.#value as unknown as T) : super.value(key)
  }
}

/** Has an end of its own beside that of what it wraps: whichever comes first. */
export class EndWrapper extends Wrapper {
  readonly #inner: Context
  readonly #controller = new AbortController()
  readonly #done: Promise<ContextError>
  #error: ContextError | undefined
  #listens = false

  constructor(inner: Context) {
    super(inner)
    this.#inner = inner
    this.#done = new Promise((resolve) => {
      this.#controller.signal.addEventListener('abort', () => resolve(this.#error as ContextError), { once: true })
    })
  }

  end(cause?: unknown): void {
    if (this.err() === undefined) this.#end(new CanceledError(cause === undefined ? undefined : { cause }))
  }

  #end(error: ContextError): void {
    this.#error = error
    this.#controller.abort(error)
  }

  override err(): ContextError | undefined {
    if (this.#error === undefined) {
      const error = this.#inner.err()
      if (error !== undefined) this.#end(error)
    }
    return this.#error
  }

  override throwIfDone(): void {
    const error = this.err()
    if (error !== undefined) throw error
  }

  override get signal(): AbortSignal {
    this.#listen()
    return this.#controller.signal
  }

  override get done(): Promise<ContextError> {
    this.#listen()
    return this.#done
  }

  #listen(): void {
    if (this.#listens || this.err() !== undefined) return
    this.#listens = true
    this.#inner.signal.addEventListener('abort', () => this.err(), { once: true })
  }
}

export interface IndependentOptions {
  /** By the wall clock; `at` says when by `now`. */
  readonly deadline?: Date
  readonly now?: () => number
  readonly at?: number
  readonly values?: ReadonlyMap<unknown, unknown>
}

/** Written on an AbortController alone: nothing of ours is inside but the classes of the errors. */
export class Independent implements Context {
  readonly deadline: Date | undefined
  readonly #controller = new AbortController()
  readonly #now: () => number
  readonly #at: number
  readonly #values: ReadonlyMap<unknown, unknown>
  #done: Promise<ContextError> | undefined
  /** How many listeners its signal has at present. */
  listeners = 0

  constructor({ deadline, now = () => 0, at = Infinity, values = new Map() }: IndependentOptions = {}) {
    this.deadline = deadline
    this.#now = now
    this.#at = at
    this.#values = values
    const { signal } = this.#controller
    const add = signal.addEventListener.bind(signal) as (...args: unknown[]) => void
    const remove = signal.removeEventListener.bind(signal) as (...args: unknown[]) => void
    Object.assign(signal, {
      addEventListener: (...args: unknown[]) => (this.listeners++, add(...args)),
      removeEventListener: (...args: unknown[]) => (this.listeners--, remove(...args)),
    })
  }

  end(cause?: unknown): void {
    this.#controller.abort(new CanceledError(cause === undefined ? undefined : { cause }))
  }

  expire(cause?: unknown): void {
    this.#controller.abort(new DeadlineExceededError(cause === undefined ? undefined : { cause }))
  }

  remaining(): number {
    return Math.max(0, this.#at - this.#now())
  }

  err(): ContextError | undefined {
    return this.#controller.signal.aborted ? (this.#controller.signal.reason as ContextError) : undefined
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get done(): Promise<ContextError> {
    return (this.#done ??= new Promise((resolve) => {
      if (this.signal.aborted) resolve(this.signal.reason as ContextError)
      else this.#controller.signal.addEventListener('abort', () => resolve(this.signal.reason as ContextError), { once: true })
    }))
  }

  value<T>(key: Key<T>): T | undefined {
    // As every context does: what is no key is refused, by one of ours, which knows.
    background().value(key)
    return this.#values.get(key) as T | undefined
  }

  throwIfDone(): void {
    const error = this.err()
    if (error !== undefined) throw error
  }
}
