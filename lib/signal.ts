/** The way in from `AbortSignal`; the way out is `ctx.signal`. */
import { withSource } from './boundary.ts'
import type { CancelableContext, Context } from './context.ts'
import type { Source } from './source.ts'
import { End } from './end.ts'
import type { Scope } from './scope.ts'
import { listenTo, listenWeakly } from './foreign.ts'
import { named } from './key.ts'

/** Asks the signal while nobody observes, and listens to it while somebody does. */
class SignalSource implements Source {
  readonly #signal: AbortSignal
  #stop: (() => void) | undefined
  #close: (() => void) | undefined

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  poll(): End | undefined {
    return this.#signal.aborted ? new End('canceled', this.#signal.reason, Number.NaN) : undefined
  }

  watch(wake: () => void): void {
    this.#stop = listenTo(this.#signal, wake)
    if (this.#signal.aborted) wake()
  }

  unwatch(): void {
    this.#stop?.()
    this.#stop = undefined
  }

  watchWeakly(scope: WeakRef<Scope>, wake: (scope: Scope) => void): void {
    this.#close = listenWeakly(this.#signal, scope, wake)
  }

  close(): void {
    this.#close?.()
  }
}

/**
 * A context that ends when `signal` aborts, too, with `signal.reason` as its cause: the way to join an `AbortSignal` into the tree. Its
 * own cancel does not abort the signal. The signal gets one listener for all, which holds no context that nobody observes; it goes with the last of these that is cancelled. So join the
 * signal last, and cancel what you got: what is dropped instead leaves some bytes on the signal until others come to listen, or the signal is collected.
 *
 * @throws TypeError when `parent` is no context, or `signal` no AbortSignal
 */
export function withSignal(parent: Context, signal: AbortSignal): CancelableContext {
  if (!isSignal(signal)) throw new TypeError(`withSignal() needs an AbortSignal, but got ${named(signal)}.`)
  return withSource(parent, 'WithSignal', new SignalSource(signal), 'withSignal')
}

/** An AbortSignal of this realm, of another one, or of a polyfill. */
function isSignal(value: unknown): value is AbortSignal {
  const signal = value as Partial<AbortSignal> | null
  return (
    typeof signal === 'object' &&
    signal !== null &&
    typeof signal.aborted === 'boolean' &&
    typeof signal.addEventListener === 'function' &&
    typeof signal.removeEventListener === 'function'
  )
}
