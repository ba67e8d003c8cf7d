/** The way in from `AbortSignal`; the way out is `ctx.signal`. */
import { withSource } from './boundary.ts'
import type { CancelableContext, Context } from './context.ts'
import { End } from './end.ts'
import { kindOf } from './errors.ts'
import { named } from './given.ts'
import { SignalledSource } from './listening.ts'

/** Asks the signal while nobody observes, and listens to it while somebody does. */
class SignalSource extends SignalledSource {
  protected override readonly signal: AbortSignal
  #end: End | undefined

  constructor(signal: AbortSignal) {
    super()
    this.signal = signal
  }

  poll(): End | undefined {
    if (!this.signal.aborted) return undefined
    if (this.#end === undefined) {
      const reason: unknown = this.signal.reason
      // Noted before the reason is looked at, whose getters may ask in turn.
      this.#end = new End('canceled', reason, Number.NaN)
      if (kindOf(reason) === 'deadline') this.#end = new End('deadline', reason, Number.NaN)
    }
    return this.#end
  }

  override label(): string {
    return 'WithSignal'
  }
}

/**
 * A context that ends when `signal` aborts, too, with `signal.reason` as its cause: the way to join an `AbortSignal` into the tree. Where the reason is the error of a context, as that of `ctx.signal` is, or was caused by one, it ends as
 * that has: cancelled, or by its deadline; else it is cancelled, also by `AbortSignal.timeout`, which knows no contexts. Its own cancel does not abort the signal.
 *
 * The signal gets one listener for all contexts that join it, which holds none that nobody observes. Cancel a context when you are through with it: the last cancel removes the listener. A context that is dropped
 * instead is collected, and what is left of it, some bytes, goes later. Joined one below the other through their signals, contexts may be some 1,000 deep; derived from each other, any number.
 *
 * @throws TypeError when `parent` is no context, or `signal` no AbortSignal
 */
export function withSignal(parent: Context, signal: AbortSignal): CancelableContext {
  if (!isSignal(signal)) throw new TypeError(`withSignal() needs an AbortSignal, but got ${named(signal)}.`)
  return withSource(parent, new SignalSource(signal), 'withSignal')
}

/** An AbortSignal of this realm, of another one, or of a polyfill. Throws what a getter or a proxy of somebody else's throws. */
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
