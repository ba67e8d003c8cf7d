/** The way in from `AbortSignal`; the way out is `ctx.signal`. */
import { withSource } from './boundary.ts'
import type { CancelableContext, Context } from './context.ts'
import { End } from './end.ts'
import { named } from './key.ts'
import { SignalledSource } from './listening.ts'

/** Asks the signal while nobody observes, and listens to it while somebody does. */
class SignalSource extends SignalledSource {
  protected override readonly signal: AbortSignal

  constructor(signal: AbortSignal) {
    super()
    this.signal = signal
  }

  poll(): End | undefined {
    return this.signal.aborted ? new End('canceled', this.signal.reason, Number.NaN) : undefined
  }

  override label(): string {
    return 'WithSignal'
  }
}

/**
 * A context that ends when `signal` aborts, too, with `signal.reason` as its cause: the way to join an `AbortSignal` into the tree. Its
 * own cancel does not abort the signal. Joined one below the other through their signals, contexts may be some 1,000 deep; derived from each other, they may be any number.
 *
 * The signal gets one listener for all such contexts, which holds none that nobody observes. Cancel the contexts to remove it. One that is dropped without a cancel is collected, and its entry is removed later.
 *
 * @throws TypeError when `parent` is no context, or `signal` no AbortSignal
 */
export function withSignal(parent: Context, signal: AbortSignal): CancelableContext {
  if (!isSignal(signal)) throw new TypeError(`withSignal() needs an AbortSignal, but got ${named(signal)}.`)
  return withSource(parent, new SignalSource(signal), 'withSignal')
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
