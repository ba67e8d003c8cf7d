/** AbortSignals on their way to another thread: as contexts that end with them. */

import { listen } from '../../lib/boundary.ts'
import { background, cause, type Context } from '../../lib/context.ts'
import { controllerFor, signalsWith } from '../../lib/context-signal.ts'
import { isContext, scopeOf } from '../../lib/foreign.ts'
import { withSignal } from '../../lib/signal.ts'

/** An argument that ends: a context, or an AbortSignal as one. */
export class Tie {
  readonly ctx: Context
  readonly isSignal: boolean

  constructor(ctx: Context, isSignal: boolean) {
    this.ctx = ctx
    this.isSignal = isSignal
  }

  /** Undefined where the argument is neither. */
  static to(arg: unknown): Tie | undefined {
    if (isContext(arg)) return new Tie(arg, false)
    return arg instanceof AbortSignal ? new Tie(withSignal(background(), arg), true) : undefined
  }

  /** What a call rejects with that ends with it: `err()`, or the signal's reason. Undefined while it is live. */
  end(): unknown {
    return this.isSignal ? cause(this.ctx) : this.ctx.err()
  }
}

const signals = signalsWith(cause)

/**
 * The signal that was sent as `ctx`: it aborts with the reason of the one that it stands for, which is the context's cause. `aborted` and `reason` tell that also in a
 * loop that never yields.
 */
export function signalFrom(ctx: Context): AbortSignal {
  const controller = controllerFor(scopeOf(ctx, 'signalFrom'), signals)
  listen(ctx, () => controller.abort(cause(ctx)))
  return controller.signal
}
