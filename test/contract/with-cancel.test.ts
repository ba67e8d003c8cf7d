import {
  afterFunc,
  background,
  type CancelableContext,
  CanceledError,
  type Context,
  cause,
  createKey,
  createRoot,
  DeadlineExceededError,
  group,
  merge,
  withCancel,
  withDeadline,
  withoutCancel,
  withSignal,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { createFakeClock } from 'ctxbridge/testing'
import { describe, expect, it } from 'vitest'
import { Wrapper } from '../support/foreign.ts'
import { collected, turn } from '../support/gc.ts'

const key = createKey<number>('number')

const cancelable: [string, (parent: Context) => CancelableContext][] = [
  ['withCancel', (parent) => withCancel(parent)],
  ['withTimeout', (parent) => withTimeout(parent, 1_000_000)],
  ['withDeadline', (parent) => withDeadline(parent, Date.now() + 1_000_000)],
  ['withSignal', (parent) => withSignal(parent, new AbortController().signal)],
  ['merge, as the first,', (parent) => merge(parent, withCancel(background()))],
  ['merge, as another,', (parent) => merge(withCancel(background()), parent)],
  ['withCancel of a wrapper', (parent) => withCancel(new Wrapper(parent))],
  ['withCancel of a value context', (parent) => withCancel(withValue(parent, key, 1))],
]

describe('withCancel', () => {
  it.each(cancelable)('C10: a child by %s is done by its own cancel or by its parent, whichever comes first', (_name, derive) => {
    for (const observed of [false, true]) {
      for (const first of ['own', 'parent'] as const) {
        const [parent, cancelParent] = withCancel(background())
        const ctx = derive(parent)
        if (observed) void ctx.signal
        if (first === 'own') ctx.cancel('own')
        cancelParent('parent')
        ctx.cancel('late')
        expect(cause(ctx)).toBe(first)
        expect(cause(parent)).toBe('parent')
      }
    }
  })

  it.each(cancelable)('C11: the cancel of a child by %s touches neither its parent nor its siblings', (_name, derive) => {
    for (const observed of [false, true]) {
      const parent = withCancel(background())
      const siblings = [derive(parent), derive(parent), derive(parent)] as const
      const grandchild = withCancel(siblings[1])
      if (observed) for (const ctx of [parent, ...siblings, grandchild]) void ctx.signal
      siblings[1].cancel('why')
      expect([parent, siblings[0], siblings[2]].map((ctx) => ctx.err())).toEqual([undefined, undefined, undefined])
      expect(grandchild.err()).toBe(siblings[1].err())
      expect([parent, siblings[0], siblings[2]].map((ctx) => ctx.signal.aborted)).toEqual([false, false, false])
      parent.cancel('above')
      expect(siblings.map((ctx) => cause(ctx))).toEqual(['above', 'why', 'above'])
    }
  })

  it.each(cancelable)('C12: a second cancel of a child by %s, with or without a cause, changes nothing', (_name, derive) => {
    for (const [first, second] of [
      [['a'], ['b']],
      [[], ['b']],
      [['a'], []],
      [[], []],
    ] as const) {
      const ctx = derive(withCancel(background()))
      let heard = 0
      ctx.signal.addEventListener('abort', () => heard++)
      ctx.cancel(...first)
      const [error, why] = [ctx.err(), cause(ctx)]
      ctx.cancel(...second)
      ctx[Symbol.dispose]()
      expect(ctx.err()).toBe(error)
      expect(cause(ctx)).toBe(why)
      expect(why).toBe(first[0] ?? error)
      expect(heard).toBe(1)
    }
  })

  it('C12: cancel is one function, works when taken off its context, and is that of both destructurings', () => {
    const ctx = withCancel(background())
    const [same, cancel] = ctx
    const { cancel: again } = ctx
    expect(same).toBe(ctx)
    expect(cancel).toBe(ctx.cancel)
    expect(again).toBe(ctx.cancel)
    expect(ctx[1]).toBe(cancel)
    expect(ctx[0]).toBe(ctx)
    expect([...ctx]).toEqual([ctx, cancel])
    again.call(undefined, 'why')
    expect(cause(ctx)).toBe('why')
  })

  const derivable: [string, (parent: Context) => Context][] = [
    ...cancelable,
    ['withValue', (parent) => withValue(parent, key, 1)],
    ['withTimeout(0)', (parent) => withTimeout(parent, 0, 'own')],
    ['group', (parent) => group(parent).context],
    ['withSignal, aborted,', (parent) => withSignal(parent, AbortSignal.abort('own'))],
  ]

  it.each(derivable)(
    'C13: a child by %s of a context that is done is done on return, with the same err and cause',
    (_name, derive) => {
      const parents: [Context, unknown][] = []
      const canceled = withCancel(background())
      canceled.cancel('why')
      parents.push(
        [canceled, 'why'],
        [withTimeout(background(), -1, 'late'), 'late'],
        [withSignal(background(), AbortSignal.abort('gone')), 'gone'],
      )
      // Ended from above, and not looked at since.
      const [top, cancel] = withCancel(background())
      const unobserved = withCancel(withCancel(top))
      cancel('above')
      parents.push([unobserved, 'above'])
      for (const [parent, why] of parents) {
        const ctx = derive(parent)
        expect(ctx.err()).toBe(parent.err())
        expect(cause(ctx)).toBe(why)
        expect(ctx.signal.aborted).toBe(true)
        expect(ctx.signal.reason).toBe(parent.err())
      }
    },
  )

  it('C14: cancel from inside a listener works: of its own context, its parent, its child, and a stranger', async () => {
    const top = withCancel(background())
    const parent = withCancel(top)
    const ctx = withCancel(parent)
    const child = withCancel(ctx)
    const sibling = withCancel(parent)
    const stranger = withCancel(background())
    const all = { top, parent, ctx, child, sibling, stranger }
    const runs: string[] = []
    for (const [name, each] of Object.entries(all)) {
      each.signal.addEventListener('abort', () => {
        runs.push(name)
        for (const other of Object.values(all)) other.cancel(`from ${name}`)
        runs.push(`${name} end`)
      })
      each.signal.addEventListener('abort', () => runs.push(`${name} second`))
      afterFunc(each, () => runs.push(`${name} after`))
    }
    ctx.cancel('first')
    await turn()

    expect(cause(ctx)).toBe('first')
    expect(cause(child)).toBe('first')
    expect(cause(top)).toBe('from ctx')
    // It descends from top, which was cancelled before it.
    expect(cause(sibling)).toBe('from ctx')
    expect(sibling.err()).toBe(top.err())
    expect(cause(stranger)).toBe('from top')
    for (const name of Object.keys(all)) {
      for (const what of ['', ' end', ' second', ' after']) expect(runs.filter((run) => run === name + what)).toHaveLength(1)
    }
    expect(runs).toHaveLength(4 * Object.keys(all).length)
  })

  it('C14: a listener that stops others, or registers more, while an end is spreading skips none and runs none twice', async () => {
    const ctx = withCancel(background())
    const child = withCancel(ctx)
    const runs: string[] = []
    const stops: (() => boolean)[] = []
    ctx.signal.addEventListener('abort', () => {
      runs.push('listener')
      // Too late: the end was first.
      expect(stops.map((stop) => stop())).toEqual([false, false])
      afterFunc(child, () => runs.push('added to the child'))
      child.signal.addEventListener('abort', () => runs.push('listener of the child, added on the way'))
    })
    stops.push(afterFunc(ctx, () => runs.push('first')))
    stops.push(afterFunc(child, () => runs.push('of the child')))
    ctx.cancel()
    await turn()
    expect(runs.toSorted()).toEqual(['added to the child', 'first', 'listener', 'of the child'])
  })

  it('C14: cancels that answer one another across trees come to an end', () => {
    const contexts = Array.from({ length: 100 }, () => withCancel(background()))
    let heard = 0
    contexts.forEach((ctx, i) => {
      ctx.signal.addEventListener('abort', () => {
        heard++
        contexts[(i + 1) % contexts.length]?.cancel()
        contexts[(i * 7) % contexts.length]?.cancel()
      })
    })
    contexts[0]?.cancel()
    expect(heard).toBe(100)
    expect(contexts.every((ctx) => ctx.err() !== undefined)).toBe(true)
  })

  it.each(derivable)(
    'C15: a child by %s derived inside a cancel listener of its parent is done on return',
    async (_name, derive) => {
      const [parent, cancel] = withCancel(background())
      const grandparent = withCancel(parent)
      const made: Context[] = []
      const make = (): void => {
        for (const from of [parent, grandparent, withValue(parent, key, 1)]) {
          const ctx = derive(from)
          expect(ctx.err()).toBe(parent.err())
          expect(ctx.signal.aborted).toBe(true)
          made.push(ctx)
        }
      }
      const failures: unknown[] = []
      const guarded = (): void => {
        try {
          make()
        } catch (error) {
          failures.push(error)
        }
      }
      parent.signal.addEventListener('abort', guarded)
      afterFunc(grandparent, guarded)
      cancel('why')
      await turn()
      expect(failures).toEqual([])
      expect(made).toHaveLength(6)
      expect(made.map((ctx) => cause(ctx))).toEqual(Array.from({ length: 6 }, () => 'why'))
    },
  )

  it('C16: cancel does not wait for the work of anybody', async () => {
    const [ctx, cancel] = withCancel(background())
    const work = group(ctx)
    let finish = (): void => {}
    work.go(() => new Promise<void>((resolve) => (finish = resolve)))
    let started = false
    afterFunc(ctx, async () => {
      started = true
      await new Promise(() => {})
    })
    let finished = false
    const waiting = work.wait().then(() => (finished = true))
    cancel()
    expect(ctx.err()).toBeInstanceOf(CanceledError)
    expect(started).toBe(false)
    await turn()
    expect([started, finished]).toEqual([true, false])
    finish()
    await waiting
    expect(finished).toBe(true)
  })

  it('C17: deriving from a root that can never be done registers nothing with it: observed children are collected', async () => {
    const root = createRoot({ clock: createFakeClock() })
    for (const parent of [background(), root, withoutCancel(withCancel(root)), withValue(root, key, 1)]) {
      const refs = [withCancel, (ctx: Context) => merge(ctx, ctx), (ctx: Context) => withCancel(withValue(ctx, key, 1))].map(
        (derive) => {
          const ctx = derive(parent)
          void ctx.signal
          void ctx.done
          afterFunc(ctx, () => {})
          return new WeakRef(ctx)
        },
      )
      expect(await collected(...refs)).toBe(true)
      expect(parent.err()).toBeUndefined()
    }
  })

  it('C17: an afterFunc on a root that can never be done is not kept by it', async () => {
    const ref = (() => {
      const payload = { f: () => {} }
      afterFunc(background(), () => payload.f())
      return new WeakRef(payload)
    })()
    expect(await collected(ref)).toBe(true)
  })
})

describe('deep and wide trees', { timeout: 60_000 }, () => {
  const deep = 100_000
  const other = withCancel(background())
  const aside = new AbortController()

  /** A chain of contexts: each step derives from the last, and every so often in the special way. */
  function chain(top: Context, depth: number, every: number, special: (parent: Context, level: number) => Context): Context {
    let ctx = top
    for (let level = 1; level <= depth; level++) ctx = level % every === 0 ? special(ctx, level) : withCancel(ctx)
    return ctx
  }

  const chains: [string, number, number, (parent: Context, level: number) => Context][] = [
    ['withCancel alone', deep, 2, (parent) => withCancel(parent)],
    ['withTimeout, each nearer', deep, 1, (parent, level) => withTimeout(parent, 1e9 - 100 * level)],
    ['withTimeout, each farther', deep, 1, (parent, level) => withTimeout(parent, 1e9 + 100 * level)],
    ['value contexts', deep, 2, (parent, level) => withValue(parent, key, level)],
    ['the first parent of merges', deep, 1, (parent) => merge(parent, other)],
    ['the other parents of merges', deep, 1, (parent) => merge(other, parent)],
    ['both parents of merges', deep, 1, (parent) => merge(parent, parent)],
    ['withSignal', deep, 500, (parent) => withSignal(parent, aside.signal)],
    ['wrappers', deep, 10_000, (parent) => withCancel(new Wrapper(parent))],
    // Each signal is asked at every look, so that more of them cost the square; recursion would not survive these either.
    ['merges of both ways', deep, 1, (parent, level) => (level % 2 === 0 ? merge(parent, other) : merge(other, parent))],
    ['withSignal alone', 3_000, 1, (parent) => withSignal(parent, aside.signal)],
  ]

  it.each(chains)(
    'C18: a deep chain through %s ends, observed or not, without a stack overflow',
    async (_name, depth, every, special) => {
      for (const observed of [false, true]) {
        const [top, cancel] = withCancel(background())
        const bottom = chain(top, depth, every, special)
        let ran = false
        const { signal } = observed ? bottom : { signal: undefined }
        if (observed) afterFunc(bottom, () => (ran = true))
        expect(bottom.err()).toBeUndefined()
        cancel('why')
        expect(signal?.aborted ?? true).toBe(true)
        expect(bottom.err()).toBe(top.err())
        expect(cause(bottom)).toBe('why')
        await turn()
        expect(ran).toBe(observed)
      }
    },
  )

  it('C18: the bottom of a deep chain can be observed, let go, and observed again', () => {
    const [top, cancel] = withCancel(background())
    const bottom = chain(top, deep, 10, (parent) => withTimeout(parent, 1e9))
    for (let i = 0; i < 3; i++) expect(afterFunc(bottom, () => {})()).toBe(true)
    const { signal } = bottom
    cancel()
    expect(signal.aborted).toBe(true)
  })

  it('C18: a deadline that passes at the top of a deep chain ends it, observed or not', () => {
    for (const observed of [false, true]) {
      const clock = createFakeClock()
      const top = withTimeout(createRoot({ clock }), 10)
      const bottom = chain(top, deep, 10, (parent) => withTimeout(parent, 1e9))
      const { signal } = observed ? bottom : { signal: undefined }
      clock.advanceSync(10)
      expect(signal?.aborted ?? true).toBe(true)
      expect(bottom.err()).toBeInstanceOf(DeadlineExceededError)
      expect(bottom.err()).toBe(top.err())
    }
  })

  it('C18: a chain as deep, of which every context is observed, ends from its top', () => {
    const [top, cancel] = withCancel(background())
    let heard = 0
    const contexts: Context[] = [top]
    for (let i = 0; i < deep; i++) {
      const ctx = withCancel(contexts.at(-1) as Context)
      afterFunc(ctx, () => {})
      if (i % 100 === 0) ctx.signal.addEventListener('abort', () => heard++)
      contexts.push(ctx)
    }
    cancel()
    expect(heard).toBe(deep / 100)
    expect(contexts.every((ctx) => ctx.err() === top.err())).toBe(true)
  })

  it('C18: a million children that nobody observes end with their parent', () => {
    const [top, cancel] = withCancel(background())
    const children = Array.from({ length: 1_000_000 }, () => withCancel(top))
    expect(children.some((ctx) => ctx.err() !== undefined)).toBe(false)
    cancel('why')
    expect(children.every((ctx) => ctx.err() === top.err())).toBe(true)
  })

  it('C18: a million observed children end with their parent, and none is forgotten', async () => {
    const [top, cancel] = withCancel(background())
    let ran = 0
    const f = (): void => void ran++
    const children = Array.from({ length: 1_000_000 }, () => {
      const ctx = withCancel(top)
      afterFunc(ctx, f)
      return ctx
    })
    cancel('why')
    expect(children.every((ctx) => ctx.err() === top.err())).toBe(true)
    await turn()
    expect(ran).toBe(1_000_000)
  })

  it('C18: a merge of many parents ends with the last of them, observed or not, and can be let go', () => {
    const last = withCancel(background())
    const parents = [...Array.from({ length: 50_000 }, () => withCancel(background())), last]
    const merged = merge(withCancel(background()), ...parents)
    const [observed, polled] = [withCancel(merged), withCancel(merged)]
    expect(afterFunc(observed, () => {})()).toBe(true)
    const { signal } = observed
    last.cancel('why')
    expect(signal.aborted).toBe(true)
    expect(cause(polled)).toBe('why')
  })
})

it('a context that was frozen cannot note its end, and says so: its cancel throws', () => {
  for (const ctx of [withCancel(background()), withTimeout(background(), 1_000)]) {
    Object.freeze(ctx)
    expect(() => ctx.cancel('why')).toThrow(TypeError)
    expect(ctx.err()).toBeUndefined()
  }
  const parent = withCancel(background())
  const observed = withCancel(parent)
  afterFunc(observed, () => undefined)
  Object.freeze(observed)
  expect(() => parent.cancel('why')).toThrow(TypeError)
})
