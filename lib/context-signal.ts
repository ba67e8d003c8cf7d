/** The way out to `AbortSignal`; the way in is `signal.ts`. */
import { isNode20 } from './clock.ts'
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

/**
 * A controller of the platform's, whose signal asks the scope. Whoever ends the scope aborts it.
 *
 * All these signals have one shape, so that an engine that knows how to find what it needs in one of them knows it for all; otherwise it looks that up anew at each step of each `abort`, which takes
 * twice as long. V8 before that of Node 24 gives an object a shape of its own where a property is added behind its prototype: here it comes first. In Node 20 the platform's own signals are made
 * that way; a property whose kind changes then makes a dictionary of each, and these are alike.
 */
export function controllerFor(scope: Scope, prototype: AbortSignal = ContextSignal.prototype): AbortController {
  const controller = new AbortController()
  const signal = controller.signal as ContextSignal
  signal[scopeOfSignal] = scope
  Object.setPrototypeOf(signal, prototype)
  if (isNode20) Object.defineProperty(signal, scopeOfSignal, { enumerable: false })
  return controller
}

/** Lets a signal of `controllerFor` tell of another scope. */
export function follow(signal: AbortSignal, scope: Scope): void {
  ;(signal as ContextSignal)[scopeOfSignal] = scope
}
