/**
 * What ends a context, and what a boundary reports.
 *
 * A context ends with exactly one of two errors, its kind: {@link CanceledError} or {@link DeadlineExceededError}.
 * Why it ended is that error's `cause`. Both, and a {@link LinkLostError} that is sent, are recognised by brand (`Symbol.for`), so
 * two copies of this package in one program understand each other's errors.
 */

/** How a context ended. Go: `context.Canceled` and `context.DeadlineExceeded`. */
export type Kind = 'canceled' | 'deadline'

const brand: unique symbol = Symbol.for('ctxbridge.kind') as never

/**
 * What `err()` returns, `throwIfDone()` throws and `signal.reason` is: the kind of the end, with its reason as `cause`.
 *
 * `cause` is an own property exactly when the canceller gave a reason (contract C40). An error that the library makes
 * when a context ends has no stack frames, because it is shared by all descendants and is made when somebody first
 * looks: pass an `Error` as the reason where the place matters.
 */
export abstract class ContextError extends Error {
  abstract readonly code: string

  /** What a log that is JSON has of it: `name`, `message`, `code` and `cause`, that as data where it is plain and short, else as text. Never throws. */
  toJSON(): object {
    return tellError(this)
  }
}

/** The context was cancelled. Named as the platform names it, so that libraries know it for an abort. */
export class CanceledError extends ContextError {
  declare readonly name: 'AbortError'
  declare readonly code: 'ABORT_ERR'

  /** @param options `cause`: why; left out, the error has no `cause` property. */
  constructor(options?: ErrorOptions) {
    super('context canceled', options)
  }

  static {
    describe(this.prototype, 'canceled', 'AbortError', 'ABORT_ERR')
  }
}

/** The context's deadline passed. Named as the platform names it, so that libraries know it for a timeout. */
export class DeadlineExceededError extends ContextError {
  declare readonly name: 'TimeoutError'
  declare readonly code: 'ETIMEDOUT'

  /** @param options `cause`: the reason that was given with the deadline; left out, the error has no `cause` property. */
  constructor(options?: ErrorOptions) {
    super('context deadline exceeded', options)
  }

  static {
    describe(this.prototype, 'deadline', 'TimeoutError', 'ETIMEDOUT')
  }
}

/**
 * Whether `error` is a {@link CanceledError}, or was caused by one: the chain of `cause`s is followed to the first
 * context error in it, and that one decides. Never throws; a chain that is cyclic or longer than 100 is cut there.
 */
export function isCanceled(error: unknown): boolean {
  return kindOf(error) === 'canceled'
}

/** Whether `error` is a {@link DeadlineExceededError}, or was caused by one. See {@link isCanceled}. */
export function isDeadlineExceeded(error: unknown): boolean {
  return kindOf(error) === 'deadline'
}

/** The kind of the first context error in a chain of causes, by brand; undefined where there is none. Never throws. */
export function kindOf(error: unknown): Kind | undefined {
  try {
    for (let e = error, depth = 0; typeof e === 'object' && e !== null && depth < 100; depth++) {
      const kind = (e as { [brand]?: unknown })[brand]
      if (kind === 'canceled' || kind === 'deadline') return kind
      e = (e as { cause?: unknown }).cause
    }
  } catch {
    // A getter of somebody else's threw: then it is no error of ours.
  }
  return undefined
}

/** The codes of {@link BridgeError}: what can go wrong at a boundary. `docs/errors.md` explains each. */
export type BridgeErrorCode =
  | 'ERR_LINK_LOST' // the connection, the worker or the other process is gone
  | 'ERR_PROTOCOL' // the peer sent what the protocol does not allow
  | 'ERR_LIMIT' // a limit was reached
  | 'ERR_NO_METHOD' // the served object has no own method of that name
  | 'ERR_HANDLE' // a handle that is forged, stale, or of another link
  | 'ERR_UNSENDABLE' // an argument or a result that cannot cross
  | 'ERR_CONTEXT_IGNORED' // a job or a method went on after its context had ended, and was ended by force
  | 'ERR_GOING_AWAY' // the peer takes no new calls
  | 'ERR_REFUSED' // a server answered a request for a WebSocket with a status of its own

/** Something went wrong at a boundary. `code` says what, from a closed set. */
export class BridgeError extends Error {
  readonly code: BridgeErrorCode
  /** The status of HTTP that a server answered with, of an `ERR_REFUSED`; no others have it. */
  declare readonly status?: number

  constructor(code: BridgeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }

  /** See {@link ContextError.toJSON}. */
  toJSON(): object {
    return tellError(this)
  }

  static {
    named(this.prototype, 'BridgeError')
  }
}

/**
 * The cause of every context and call that ended because the other side is gone: a closed connection, a worker that
 * exited. Never the cause of a deadline. `cause`, where present, says what is known about the loss.
 */
export class LinkLostError extends BridgeError {
  declare readonly code: 'ERR_LINK_LOST'

  constructor(message: string, options?: ErrorOptions) {
    super('ERR_LINK_LOST', message, options)
  }

  static {
    named(this.prototype, 'LinkLostError')
    // No kind: nothing ends with it, but it is known by that when another copy sends it.
    Object.defineProperty(this.prototype, brand, { value: 'lost' })
  }
}

/**
 * An error that came over a boundary and is none of this package's own. It has the `name`, `message`, `code` and `cause`
 * that the sender's error had, as data: its name never chooses a class. Its `stack` is the sender's where that side sends stacks, and has no frames otherwise.
 */
export class RemoteError extends Error {
  declare readonly code?: string | number

  constructor(name: string, message: string, code?: string | number, options?: ErrorOptions) {
    super(message, options)
    named(this, name)
    if (code !== undefined) Object.defineProperty(this, 'code', { value: code, enumerable: true })
  }

  /** See {@link ContextError.toJSON}. */
  toJSON(): object {
    return tellError(this)
  }

  static {
    named(this.prototype, 'RemoteError')
  }
}

function tellError(error: Error & { readonly code?: string | number }): object {
  const { name, message, code, cause } = error
  return { name, message, code, cause: cause === undefined ? cause : tellCause(cause) }
}

/** How many causes are being told. What one has within is told as text, since it may have what was before it, and that several times. */
let telling = 0

function tellCause(cause: unknown): unknown {
  try {
    const text = telling++ > 0 || cause instanceof Error ? '' : JSON.stringify(cause)
    if (text.length <= 1_000) return JSON.parse(text) as unknown
  } catch {
    // An error; or what JSON does not take, such as a cycle, a function, a getter that throws.
  } finally {
    telling--
  }
  try {
    return String(cause).slice(0, 1_000)
  } catch {
    return 'what cannot be told'
  }
}

/** Makes an error without walking the stack, which would cost more than everything else in a cancel. */
export function withoutStack<E extends Error>(make: () => E): E {
  const host = Error as { stackTraceLimit?: number }
  const limit = host.stackTraceLimit
  if (limit === undefined || limit === 0) return make()
  try {
    host.stackTraceLimit = 0
  } catch {
    // Frozen or read-only, as hardened environments have it.
    return make()
  }
  try {
    return make()
  } finally {
    host.stackTraceLimit = limit
  }
}

/** Names an error as the platform's own are named: on the prototype or not enumerable, so that it prints once. */
function named(target: object, name: string): void {
  Object.defineProperty(target, 'name', { value: name, writable: true, configurable: true })
}

function describe(prototype: object, kind: Kind, name: string, code: string): void {
  named(prototype, name)
  Object.defineProperty(prototype, 'code', { value: code })
  Object.defineProperty(prototype, brand, { value: kind })
}
