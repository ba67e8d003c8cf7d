/** What it costs to make a context and to end it, while nobody observes it. */
import { background, type Context, withCancel, withTimeout, withValue } from 'ctxbridge'
import type { Suite } from '../harness/model.ts'
import { key, minute, never, parent, reason, seenBy, seenBySignal } from './core-common.ts'
import { cost, must } from './cost.ts'
import { go } from './go.ts'

/** The least that a context must be: of as many fields, and known to its parent until its end. */
class Least {
  readonly parent: Least | undefined
  readonly bindings: object | undefined
  readonly bounds: object
  readonly rule: object
  end: object | undefined
  cancel: object | undefined
  first: Least | undefined
  next: Least | undefined
  previous: Least | undefined

  constructor(parent: Least | undefined, bindings: object | undefined, bounds: object, rule: object) {
    this.parent = parent
    this.bindings = bindings
    this.bounds = bounds
    this.rule = rule
    this.end = undefined
    this.cancel = undefined
    this.first = undefined
    this.previous = undefined
    this.next = parent?.first
    if (parent === undefined) return
    if (parent.first !== undefined) parent.first.previous = this
    parent.first = this
  }

  finish(): void {
    const { parent, previous, next } = this
    this.end = ended
    if (parent === undefined) return
    if (previous === undefined) parent.first = next
    else previous.next = next
    if (next !== undefined) next.previous = previous
  }
}

const ended = {}
const leastParent = new Least(undefined, undefined, ended, ended)
const leastSibling = new Least(leastParent, undefined, ended, ended)

const cancel: Suite = {
  id: 'core/cancel',
  title: 'Make and end: cancel',
  about: 'One context under a cancellable parent, made and cancelled.',
  unit: 'ns',
  sample: 'mean',
  contenders: () => [
    cost({
      name: 'withCancel(p), disposed in finally',
      kind: 'ours',
      note: 'what `using` means, without the helper that the compiler writes for engines that have none',
      prove: () => seenBy(() => withCancel(parent)),
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          const ctx = withCancel(parent)
          try {
            if (ctx.err() === undefined) live++
          } finally {
            ctx[Symbol.dispose]()
          }
        }
        return live
      },
    }),
    cost({
      name: 'using ctx = withCancel(p), compiled for Node 20',
      kind: 'ours',
      note: "with TypeScript's helper for `using`, which takes longer than the context",
      prove: () => seenBy(() => withCancel(parent)),
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          using ctx = withCancel(parent)
          if (ctx.err() === undefined) live++
        }
        return live
      },
    }),
    cost({
      name: 'const [ctx, cancel] = withCancel(p)',
      kind: 'ours',
      prove: () => seenBy(() => withCancel(parent)),
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          const [ctx, cancel] = withCancel(parent)
          if (ctx.err() === undefined) live++
          cancel()
        }
        return live
      },
    }),
    cost({
      name: 'new AbortController(), abort(reason)',
      kind: 'platform',
      note: 'no parent: nothing is linked; the reason is ready made',
      prove: () => {
        const controller = new AbortController()
        return seenBySignal(controller, controller.signal)
      },
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          const controller = new AbortController()
          if (!controller.signal.aborted) live++
          controller.abort(reason)
        }
        return live
      },
    }),
    cost({
      name: 'new AbortController(), abort()',
      kind: 'platform',
      note: 'the same without a reason, as it is often written: an error with its stack is made each time',
      prove: () => {
        const controller = new AbortController()
        return seenBySignal(controller, controller.signal)
      },
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          const controller = new AbortController()
          if (!controller.signal.aborted) live++
          controller.abort()
        }
        return live
      },
    }),
    cost({
      name: 'AbortController under AbortSignal.any([p])',
      kind: 'platform',
      note: 'given a reason that is ready made',
      prove: () => {
        const own = new AbortController()
        return seenBySignal(own, AbortSignal.any([never, own.signal]))
      },
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          const own = new AbortController()
          if (!AbortSignal.any([never, own.signal]).aborted) live++
          own.abort(reason)
        }
        return live
      },
    }),
    cost({
      name: "an object in and out of its parent's list",
      kind: 'limit',
      note: 'with as many fields as a context has; ours is in no list while nobody observes it',
      prove: () => {
        const one = new Least(leastParent, undefined, ended, ended)
        must(leastParent.first === one, 'it was in the list')
        one.finish()
        must(leastParent.first === leastSibling && one.end === ended, 'it was taken out')
        return 'was in the list, and taken out'
      },
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          const one = new Least(leastParent, undefined, ended, ended)
          try {
            if (one.end === undefined) live++
          } finally {
            one.finish()
          }
        }
        return live
      },
    }),
    go("Go's WithCancel", 'cancel'),
  ],
}

const timeout: Suite = {
  id: 'core/timeout',
  title: 'Make and end: timeout',
  about: 'One context with a timeout of a minute under a cancellable parent, made and cancelled.',
  unit: 'ns',
  sample: 'mean',
  contenders: () => [
    cost({
      name: 'withTimeout(p, ms), disposed in finally',
      kind: 'ours',
      note: 'two readings of the clock; no timer, since nobody observes',
      prove: () => seenBy(() => withTimeout(parent, minute)),
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          const ctx = withTimeout(parent, minute)
          try {
            live++
          } finally {
            ctx[Symbol.dispose]()
          }
        }
        return live
      },
    }),
    cost({
      name: 'const [ctx, cancel] = withTimeout(p, ms)',
      kind: 'ours',
      prove: () => seenBy(() => withTimeout(parent, minute)),
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          const [, cancel] = withTimeout(parent, minute)
          live++
          cancel()
        }
        return live
      },
    }),
    cost({
      name: 'AbortController with setTimeout, cleared, abort(reason)',
      kind: 'platform',
      note: 'the reason is ready made',
      prove: () => {
        const controller = new AbortController()
        return seenBySignal(controller, controller.signal)
      },
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          const controller = new AbortController()
          const timer = setTimeout(() => controller.abort(reason), minute)
          live++
          clearTimeout(timer)
          controller.abort(reason)
        }
        return live
      },
    }),
    cost({
      name: 'AbortController with setTimeout, cleared',
      kind: 'platform',
      note: 'the same without a reason, as it is often written: an error with its stack is made each time',
      prove: () => {
        const controller = new AbortController()
        return seenBySignal(controller, controller.signal)
      },
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          const controller = new AbortController()
          const timer = setTimeout(() => controller.abort(), minute)
          live++
          clearTimeout(timer)
          controller.abort()
        }
        return live
      },
    }),
    cost({
      name: 'two readings of the clock',
      kind: 'limit',
      note: 'one tells when the deadline is, the other whether it came before the cancel',
      prove: () => {
        const first = performance.now()
        must(performance.now() >= first, 'the clock did not step back')
        return 'the clock did not step back'
      },
      loop(n) {
        let passed = 0
        for (let i = 0; i < n; i++) {
          const at = performance.now() + minute
          if (performance.now() >= at) passed++
        }
        return passed
      },
    }),
    go("Go's WithTimeout", 'timeout'),
  ],
}

const timeoutSignal: Suite = {
  id: 'core/timeout-signal',
  title: 'Make: a signal with a timeout',
  about:
    'A signal that aborts in a minute, with no parent and no listener. What `AbortSignal.timeout` leaves behind weighs on the collector: so it has a suite of its own, beside what is to be used instead.',
  unit: 'ns',
  sample: 'mean',
  contenders: () => [
    cost({
      name: 'withTimeout(background(), ms).signal, ended',
      kind: 'ours',
      note: 'as the other cannot be: nothing is left',
      prove: () => {
        const ctx = withTimeout(background(), minute)
        const { signal } = ctx
        must(!signal.aborted, 'the signal was live')
        ctx.cancel()
        must(signal.aborted, 'the signal aborted')
        return 'aborted when it was ended'
      },
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          const ctx = withTimeout(background(), minute)
          try {
            if (!ctx.signal.aborted) live++
          } finally {
            ctx[Symbol.dispose]()
          }
        }
        return live
      },
    }),
    cost({
      name: 'AbortSignal.timeout(ms)',
      kind: 'platform',
      note: 'made only: nobody can end it, and its timer stays until the collector has found the signal',
      prove: () => {
        const signal = AbortSignal.timeout(minute)
        must(signal instanceof AbortSignal && !signal.aborted, 'the signal was live')
        return 'the signal was live; deadline/late shows that it aborts'
      },
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          if (!AbortSignal.timeout(minute).aborted) live++
        }
        return live
      },
    }),
  ],
}

const value: Suite = {
  id: 'core/value',
  title: 'Make: value',
  about: 'A context with one more value.',
  unit: 'ns',
  sample: 'mean',
  contenders: () => [
    cost({
      name: 'withValue(p, key, value)',
      kind: 'ours',
      prove: () => {
        must(withValue(parent, key, 'v').value(key) === 'v', 'the value was found')
        return 'the value was found'
      },
      loop(n) {
        let ctx: Context = parent
        for (let i = 0; i < n; i++) ctx = withValue(parent, key, 'v')
        return ctx
      },
    }),
    go("Go's WithValue", 'value'),
  ],
}
export const coreMakeSuites: readonly Suite[] = [cancel, timeout, timeoutSignal, value]
