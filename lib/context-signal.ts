/** The way out to `AbortSignal`; the way in is `signal.ts`. */
import type { Scope } from './scope.ts'
import { endOf } from './tree.ts'

const scopeOfSignal: unique symbol = Symbol('ctxbridge.scope')

/** A context's signal: the platform's, but `aborted` and `reason` tell what the context knows, in step with `err()` (C5). */
class ContextSignal extends AbortSignal {
  declare [scopeOfSignal]: Scope

  override get aborted(): boolean {
    return endOf(this[scopeOfSignal]) !== undefined
  }

  override get reason(): unknown {
    return endOf(this[scopeOfSignal])?.error
  }

  override throwIfAborted(): void {
    const end = endOf(this[scopeOfSignal])
    if (end !== undefined) throw end.error
  }

  static {
    Object.defineProperty(this, 'name', { value: 'AbortSignal' })
  }
}

/** A controller of the platform's, whose signal asks the scope. Whoever ends the scope aborts it. */
export function controllerFor(scope: Scope): AbortController {
  const controller = new AbortController()
  const signal = Object.setPrototypeOf(controller.signal, ContextSignal.prototype) as ContextSignal
  signal[scopeOfSignal] = scope
  return controller
}
