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
    if (this.aborted) throw this.reason
  }

  static {
    Object.defineProperty(this, 'name', { value: 'AbortSignal' })
  }
}

/** What signals inherit whose reason is another one than `err()`; for `controllerFor`. */
export function signalsWith(reasonOf: (scope: Scope) => unknown): AbortSignal {
  class Signal extends ContextSignal {
    override get reason(): unknown {
      return reasonOf(this[scopeOfSignal])
    }

    static {
      Object.defineProperty(this, 'name', { value: 'AbortSignal' })
    }
  }
  return Signal.prototype
}

/** A controller of the platform's, whose signal asks the scope. Whoever ends the scope aborts it. */
export function controllerFor(scope: Scope, prototype: AbortSignal = ContextSignal.prototype): AbortController {
  const controller = new AbortController()
  const signal = Object.setPrototypeOf(controller.signal, prototype) as ContextSignal
  signal[scopeOfSignal] = scope
  return controller
}

/** Lets a signal of `controllerFor` tell of another scope. */
export function follow(signal: AbortSignal, scope: Scope): void {
  ;(signal as ContextSignal)[scopeOfSignal] = scope
}
