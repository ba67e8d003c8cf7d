/** What it costs to look at a context, and to end many. */
import { type CancelableContext, type Context, createKey, withCancel, withTimeout, withValue } from 'ctxbridge'
import { now } from '../harness/clock.ts'
import type { Contender, Suite } from '../harness/model.ts'
import { key, minute, parent, seenBySignal } from './core-common.ts'
import { cost, must } from './cost.ts'
import { go } from './go.ts'

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

export const coreUseSuites: readonly Suite[] = [check, lookUp(1), lookUp(10), lookUp(100), children]
