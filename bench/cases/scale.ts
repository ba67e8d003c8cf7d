/** How costs grow within one thread: with the width and the depth of a tree, its observers, and its deadlines. */
import { afterFunc, background, type CancelableContext, type Context, withCancel, withTimeout } from 'ctxbridge'
import type { CurveSuite } from '../harness/model.ts'
import { must, timed } from './cost.ts'
import { foundTogether } from './lines.ts'

export const powers = (last: number): number[] => Array.from({ length: Math.round(Math.log10(last)) + 1 }, (_, i) => 10 ** i)

function widths(n: number, observe: boolean): [parent: CancelableContext, children: CancelableContext[]] {
  const parent = withCancel(background())
  const children: CancelableContext[] = []
  for (let i = 0; i < n; i++) {
    const child = withCancel(parent)
    if (observe) afterFunc(child, () => {})
    children.push(child)
  }
  return [parent, children]
}

function chain(n: number): [top: CancelableContext, last: Context] {
  const top = withCancel(background())
  let last = top
  for (let i = 0; i < n; i++) last = withCancel(last)
  return [top, last]
}

/** The median of some of a kind, for what can be done over and over on the same tree. */
function often(f: () => void): number {
  for (let i = 0; i < 2_000; i++) f()
  const times = Array.from({ length: 201 }, () => timed(f))
  return times.sort((a, b) => a - b)[100] ?? Number.NaN
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/**
 * A cost of something that can be done once only: it is done before on many trees of up to a hundred contexts, so that it is not the compiler that is measured.
 * Trees of one context would not do: with the first larger one, whose loops go on, the code is compiled anew, and until then it is a dozen times as slow.
 */
async function once(prepare: () => () => void, warm: (n: number) => () => void): Promise<number> {
  for (let i = 0; i < 300; i++) {
    warm(1 + (i % 100))()
    if (i % 100 === 0) await turn()
  }
  const act = prepare()
  await turn()
  return timed(act)
}

const cancel: CurveSuite = {
  id: 'scale/cancel',
  title: 'One cancel, by the size of the tree below',
  about: 'The cancel() of the top alone. Of unobserved contexts nothing is told until they look; observers are told one by one.',
  unit: 'ns',
  axis: 'contexts below',
  expected: 'constant',
  lines: [
    {
      name: 'children, unobserved',
      points: powers(1_000_000),
      async measure(n) {
        const [parent, children] = widths(n, false)
        const time = await once(
          () => parent.cancel,
          (few) => widths(few, false)[0].cancel,
        )
        must(children.at(-1)?.err() !== undefined, 'the last child had ended')
        return time
      },
    },
    {
      name: 'a chain, unobserved',
      points: powers(1_000_000),
      async measure(n) {
        const [top, last] = chain(n)
        const time = await once(
          () => top.cancel,
          (few) => chain(few)[0].cancel,
        )
        must(last.err() !== undefined, 'the last of the chain had ended')
        return time
      },
    },
    {
      name: 'children, each with an afterFunc',
      points: powers(1_000_000),
      expected: 'linear',
      async measure(n) {
        const [parent, children] = widths(n, true)
        const time = await once(
          () => parent.cancel,
          (few) => widths(few, true)[0].cancel,
        )
        must(children.at(-1)?.err() !== undefined, 'the last child had ended')
        await turn()
        return time
      },
    },
  ],
}

/** Ends something that has descendants, so that all others must ask upwards at their next look; then looks. */
function elsewhere(look: () => void): () => void {
  const other = withCancel(background())
  withCancel(other)
  other.cancel()
  return look
}

const look: CurveSuite = {
  id: 'scale/look',
  title: 'One look at a context, by what is around it',
  about: 'err() of one context: right after an end elsewhere, when it must ask upwards, and again, when it knows.',
  unit: 'ns',
  axis: 'contexts',
  expected: 'constant',
  lines: [
    {
      name: 'first look, depth',
      points: powers(1_000_000),
      expected: 'linear',
      measure(n) {
        const [, last] = chain(n)
        const look = (ctx: Context) => () => {
          must(ctx.err() === undefined, 'it was live')
        }
        return once(
          () => elsewhere(look(last)),
          (few) => elsewhere(look(chain(few)[1])),
        )
      },
    },
    {
      name: 'second look, depth',
      points: powers(1_000_000),
      measure(n) {
        const [, last] = chain(n)
        return often(() => must(last.err() === undefined, 'it was live'))
      },
    },
    {
      name: 'one more child beside n, made and ended',
      points: powers(1_000_000),
      measure(n) {
        const [parent, children] = widths(n, false)
        const time = often(() => withCancel(parent).cancel())
        must(children.length === n, 'all were kept')
        return time
      },
    },
  ],
}

const timers: CurveSuite = {
  id: 'scale/deadlines',
  title: 'One more armed deadline, by how many there are',
  about: 'withTimeout, an observer, and its end, beside n others that are armed. One timer of the host serves all.',
  unit: 'ns',
  axis: 'armed deadlines',
  expected: 'constant',
  lines: [
    {
      name: 'made, observed and ended',
      points: powers(1_000_000),
      measure(n) {
        const parent = withCancel(background())
        for (let i = 0; i < n; i++) afterFunc(withTimeout(parent, 60_000 + Math.random() * 60_000), () => {})
        const time = often(() => {
          const ctx = withTimeout(parent, 90_000)
          afterFunc(ctx, () => {})
          ctx.cancel()
        })
        parent.cancel()
        return time
      },
    },
  ],
}

/** Many on one context: what one more of them costs, and each one's share of the end. */
async function observed(n: number): Promise<{ add: number; end: number }> {
  const ctx = withCancel(background())
  for (let i = 1; i < n; i++) afterFunc(ctx, () => {})
  const add = often(() => void afterFunc(ctx, () => {})())
  afterFunc(ctx, () => {})
  const end = await once(
    () => ctx.cancel,
    (few) => {
      const small = withCancel(background())
      for (let i = 0; i < few; i++) afterFunc(small, () => {})
      return small.cancel
    },
  )
  return { add, end: end / n }
}

const observers: CurveSuite = {
  id: 'scale/observers',
  title: 'Observers of one context, by how many there are',
  about: "One more afterFunc and its stop; and each one's share of the cancel() that starts them all.",
  unit: 'ns',
  axis: 'functions',
  expected: 'constant',
  lines: foundTogether({ add: 'one more, and its stop', end: 'its share of the end' }, powers(1_000_000), async (n) => {
    const found = await observed(n)
    // They run before the next point is measured.
    await turn()
    return found
  }),
}

export const treeCurves: readonly CurveSuite[] = [cancel, look, observers, timers]
