/** What it costs to make a context that is observed, or hangs under more than one thing, and to end it. */
import { afterFunc, cause, merge, withCancel, withSignal, withTimeout } from 'ctxbridge'
import type { Suite } from '../harness/model.ts'
import { errorLikeOurs, minute, never, other, parent, reason, seenBy, seenBySignal } from './core-common.ts'
import { cost, must } from './cost.ts'

let heard = 0
const listener = (): void => void heard++

const signal: Suite = {
  id: 'core/signal',
  title: 'Make, listen, end',
  about: 'A context with a timeout of a minute whose AbortSignal has a listener, made and ended; the listener runs.',
  unit: 'ns',
  sample: 'mean',
  contenders: () => [
    cost({
      name: 'withTimeout(p, ms).signal',
      kind: 'ours',
      prove: () => {
        const ctx = withTimeout(parent, minute)
        const { signal } = ctx
        const before = heard
        signal.addEventListener('abort', listener)
        ctx.cancel('proof')
        must(heard === before + 1 && signal.reason === ctx.err(), 'the listener ran')
        return 'the listener ran, with reason === err()'
      },
      loop(n) {
        const before = heard
        for (let i = 0; i < n; i++) {
          using ctx = withTimeout(parent, minute)
          ctx.signal.addEventListener('abort', listener)
        }
        must(heard === before + n, 'every listener ran')
        return heard
      },
    }),
    cost({
      name: 'AbortSignal.any([p, AbortSignal.timeout(ms)])',
      kind: 'platform',
      note: 'it cannot be ended by itself: a batch shares one p, which is aborted at its end, with a reason that is ready made',
      prove: () => {
        const own = new AbortController()
        return seenBySignal(own, AbortSignal.any([own.signal, AbortSignal.timeout(minute)]))
      },
      loop(n) {
        const before = heard
        const own = new AbortController()
        for (let i = 0; i < n; i++) {
          AbortSignal.any([own.signal, AbortSignal.timeout(minute)]).addEventListener('abort', listener)
        }
        own.abort(reason)
        must(heard === before + n, 'every listener ran')
        return heard
      },
    }),
    cost({
      name: 'bare AbortController with a listener, aborted',
      kind: 'limit',
      note: 'given a reason, since without one the platform makes an error each time; no parent, no timeout',
      prove: () => {
        const controller = new AbortController()
        return seenBySignal(controller, controller.signal)
      },
      loop(n) {
        const before = heard
        for (let i = 0; i < n; i++) {
          const controller = new AbortController()
          controller.signal.addEventListener('abort', listener)
          controller.abort(reason)
        }
        must(heard === before + n, 'every listener ran')
        return heard
      },
    }),
    cost({
      name: 'AbortController with setTimeout, and p listened to',
      kind: 'platform',
      note: 'by hand, as programs do it that have no library; given an error without a stack each time, as ours makes one for its signal',
      prove: () => {
        const controller = new AbortController()
        return seenBySignal(controller, controller.signal)
      },
      loop(n) {
        const before = heard
        for (let i = 0; i < n; i++) {
          const own = new AbortController()
          const abort = (): void => own.abort(errorLikeOurs())
          const timer = setTimeout(abort, minute)
          never.addEventListener('abort', abort)
          own.signal.addEventListener('abort', listener)
          own.abort(errorLikeOurs())
          clearTimeout(timer)
          never.removeEventListener('abort', abort)
        }
        must(heard === before + n, 'every listener ran')
        return heard
      },
    }),
  ],
}
const linked: Suite = {
  id: 'core/linked',
  title: 'Make and end: linked into the tree',
  about: 'A context that hangs under more than one thing, or is observed, made and cancelled.',
  unit: 'ns',
  sample: 'mean',
  contenders: () => [
    cost({
      name: 'withCancel(p), afterFunc, stop',
      kind: 'ours',
      prove: () => seenBy(() => withCancel(parent)),
      loop(n) {
        let stopped = 0
        for (let i = 0; i < n; i++) {
          using ctx = withCancel(parent)
          if (afterFunc(ctx, listener)()) stopped++
        }
        must(stopped === n, 'every function was stopped')
        return stopped
      },
    }),
    cost({
      name: 'merge(p, q)',
      kind: 'ours',
      prove: () => seenBy(() => merge(parent, other)),
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          using ctx = merge(parent, other)
          if (ctx.err() === undefined) live++
        }
        return live
      },
    }),
    cost({
      name: 'withSignal(p, signal)',
      kind: 'ours',
      prove: () => {
        const controller = new AbortController()
        const ctx = withSignal(parent, controller.signal)
        controller.abort('proof')
        must(cause(ctx) === 'proof', 'the reason became the cause')
        return 'the reason became the cause'
      },
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          using ctx = withSignal(parent, never)
          if (ctx.err() === undefined) live++
        }
        return live
      },
    }),
    cost({
      name: 'AbortSignal.any([p, q])',
      kind: 'platform',
      note: 'not ended: it has no cancel of its own',
      prove: () => {
        const own = new AbortController()
        return seenBySignal(own, AbortSignal.any([never, own.signal]))
      },
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) if (!AbortSignal.any([never, never]).aborted) live++
        return live
      },
    }),
  ],
}
export const coreObserveSuites: readonly Suite[] = [signal, linked]
