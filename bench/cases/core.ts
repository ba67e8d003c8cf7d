/** What contexts cost in one thread. */
import {
  afterFunc,
  background,
  type CancelableContext,
  cause,
  type Context,
  createKey,
  merge,
  withCancel,
  withSignal,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { now } from '../harness/clock.ts'
import type { Contender, Suite } from '../harness/model.ts'
import { cost, must } from './cost.ts'
import { go } from './go.ts'

const parent = withCancel(background())
const never = new AbortController().signal
const key = createKey<string>('key')
const minute = 60_000
const reason = new Error('a reason')
let heard = 0
const listener = (): void => void heard++

function seenBy(make: () => CancelableContext): string {
  const ctx = make()
  const reason = new Error('proof')
  must(ctx.err() === undefined, 'the context was live')
  ctx.cancel(reason)
  must(cause(ctx) === reason, 'the cause arrived')
  must(ctx.err()?.name === 'AbortError', 'the context ended')
  return 'ended with its cause'
}

function seenBySignal(controller: AbortController, signal: AbortSignal): string {
  const reason = new Error('proof')
  controller.abort(reason)
  must(signal.aborted && signal.reason === reason, 'the signal aborted with its reason')
  return 'aborted with its reason'
}

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
      name: 'new AbortController(), abort()',
      kind: 'platform',
      note: 'no parent: nothing is linked',
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
      prove: () => {
        const own = new AbortController()
        return seenBySignal(own, AbortSignal.any([never, own.signal]))
      },
      loop(n) {
        let live = 0
        for (let i = 0; i < n; i++) {
          const own = new AbortController()
          if (!AbortSignal.any([never, own.signal]).aborted) live++
          own.abort()
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
      name: 'AbortController with setTimeout, cleared',
      kind: 'platform',
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
    go("Go's WithTimeout", 'timeout'),
  ],
}

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
      note: 'it cannot be ended by itself: a batch shares one p, which is aborted at its end',
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
        own.abort()
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
      note: 'by hand, as programs do it that have no library',
      prove: () => {
        const controller = new AbortController()
        return seenBySignal(controller, controller.signal)
      },
      loop(n) {
        const before = heard
        for (let i = 0; i < n; i++) {
          const own = new AbortController()
          const abort = (): void => own.abort()
          const timer = setTimeout(abort, minute)
          never.addEventListener('abort', abort)
          own.signal.addEventListener('abort', listener)
          own.abort()
          clearTimeout(timer)
          never.removeEventListener('abort', abort)
        }
        must(heard === before + n, 'every listener ran')
        return heard
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
const other = withCancel(background())

const check: Suite = {
  id: 'core/check',
  title: 'One check in a hot loop',
  about: 'err() of a live context two levels down; the cost of one turn of the loop.',
  unit: 'ns',
  sample: 'mean',
  contenders: () => {
    const ctx = withCancel(withCancel(parent))
    const timed = withTimeout(ctx, 3_600_000)
    const { signal } = new AbortController()
    const poll = (ctx: Context) => (n: number) => {
      let i = 0
      while (i < n && ctx.err() === undefined) i++
      return i
    }
    return [
      cost({ name: 'ctx.err()', kind: 'ours', prove: () => pollsItsEnd(withCancel(ctx)), loop: poll(ctx) }),
      cost({
        name: 'ctx.err(), with a deadline',
        kind: 'ours',
        note: 'reads the clock',
        prove: () => pollsItsEnd(withTimeout(ctx, minute)),
        loop: poll(timed),
      }),
      cost({
        name: 'signal.aborted',
        kind: 'platform',
        prove: () => {
          const controller = new AbortController()
          return seenBySignal(controller, controller.signal)
        },
        loop(n) {
          let i = 0
          while (i < n && !signal.aborted) i++
          return i
        },
      }),
      go("Go's ctx.Err()", 'err'),
      go("Go's ctx.Err(), with a deadline", 'err-deadline'),
    ]
  },
}

function pollsItsEnd(ctx: CancelableContext): string {
  let turns = 0
  while (ctx.err() === undefined) if (++turns === 1_000) ctx.cancel()
  must(turns === 1_000, 'the loop saw the cancel at once')
  return 'the loop saw the cancel at once'
}

function lookUp(depth: number): Suite {
  return {
    id: `core/lookup-${depth}`,
    title: `Look up a value, ${depth === 1 ? '1 binding' : `${depth} bindings`} deep`,
    about: 'The outermost of so many bindings, each of a key of its own.',
    unit: 'ns',
    sample: 'mean',
    contenders: () => {
      let ctx = withValue(parent, key, 'found')
      for (let i = 1; i < depth; i++) ctx = withValue(ctx, createKey<number>(`key ${i}`), i)
      return [
        cost({
          name: 'ctx.value(key)',
          kind: 'ours',
          prove: () => {
            must(ctx.value(key) === 'found', 'the value was found')
            return 'the value was found'
          },
          loop(n) {
            let found = 0
            for (let i = 0; i < n; i++) if (ctx.value(key) === 'found') found++
            return found
          },
        }),
        go("Go's ctx.Value(key)", `lookup-${depth}`),
      ]
    },
  }
}

function ending(look: boolean): Contender {
  const children: CancelableContext[] = []
  const end = (): number => {
    const family = withCancel(parent)
    for (let i = 0; i < 1_000; i++) children[i] = withCancel(family)
    const before = now()
    family.cancel()
    let live = 0
    if (look) for (const child of children) if (child.err() === undefined) live++
    const time = now() - before
    must(live === 0, 'all children had ended')
    return time
  }
  return {
    name: look ? 'cancel(), then err() of each child' : 'cancel()',
    kind: 'ours',
    start: () => ({
      prove: () => {
        end()
        must(
          children.every((child) => child.err() !== undefined),
          'all children had ended',
        )
        return 'all 1,000 children had ended when cancel() returned'
      },
      round(record) {
        for (let i = 0; i < 100; i++) record(end())
      },
    }),
  }
}

const children: Suite = {
  id: 'core/children',
  title: 'End 1,000 children that nobody observes',
  about: "The parent's cancel(), and then the same with a look at every child's error.",
  unit: 'ns',
  sample: 'event',
  contenders: () => [
    ending(false),
    ending(true),
    go("Go's cancel()", 'children', 50),
    go("Go's cancel(), then Err() of each child", 'children-look', 50),
  ],
}

const many = 50_000

function bytes(name: string, kind: 'ours' | 'platform', make: () => unknown): Contender {
  return {
    name,
    kind,
    start: () => {
      const measure = (): number => {
        const kept = Array.from<unknown>({ length: many }).fill(0)
        globalThis.gc?.()
        const before = process.memoryUsage().heapUsed
        for (let i = 0; i < many; i++) kept[i] = make()
        globalThis.gc?.()
        const used = process.memoryUsage().heapUsed - before
        must(kept.length === many, 'all were kept')
        return used / many
      }
      return {
        prove: () => {
          must(globalThis.gc !== undefined, 'the process was started with --expose-gc')
          return `${many.toLocaleString('en')} kept, heap measured after collecting before and after`
        },
        round: (record) => record(measure()),
      }
    },
  }
}

const size: Suite = {
  id: 'core/bytes',
  title: 'Memory of a live context',
  about: 'Heap bytes for each of many that are kept.',
  unit: 'bytes',
  sample: 'mean',
  rounds: 5,
  warmUp: 1,
  contenders: () => [
    bytes('withCancel(p)', 'ours', () => withCancel(parent)),
    bytes('withTimeout(p, ms)', 'ours', () => withTimeout(parent, minute)),
    bytes('withValue(p, key, value)', 'ours', () => withValue(parent, key, 'v')),
    bytes('withCancel(p), with a listener on its signal', 'ours', () => {
      const ctx = withCancel(parent)
      ctx.signal.addEventListener('abort', listener)
      return ctx
    }),
    bytes('new AbortController()', 'platform', () => {
      const controller = new AbortController()
      return controller.signal.aborted ? undefined : controller
    }),
    bytes('AbortController with a listener', 'platform', () => {
      const controller = new AbortController()
      controller.signal.addEventListener('abort', listener)
      return controller
    }),
  ],
}

export const coreSuites: readonly Suite[] = [
  cancel,
  timeout,
  signal,
  value,
  linked,
  check,
  lookUp(1),
  lookUp(10),
  lookUp(100),
  children,
  size,
]
