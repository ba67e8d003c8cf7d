import {
  afterFunc,
  background,
  type CancelableContext,
  CanceledError,
  type Context,
  ContextError,
  cause,
  createKey,
  createRoot,
  DeadlineExceededError,
  isCanceled,
  isDeadlineExceeded,
  merge,
  withCancel,
  withSignal,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { createFakeClock } from 'ctxbridge/testing'
import { describe, expect, it } from 'vitest'
import { Wrapper } from '../support/foreign.ts'
import { turn } from '../support/gc.ts'

const key = createKey<number>('number')

/** Every way to derive a context that ends with its parent. */
const derived: [string, (parent: Context) => Context][] = [
  ['withCancel', (parent) => withCancel(parent)],
  ['withTimeout', (parent) => withTimeout(parent, 1_000_000)],
  ['withValue', (parent) => withValue(parent, key, 1)],
  ['withSignal', (parent) => withSignal(parent, new AbortController().signal)],
  ['merge, as the first,', (parent) => merge(parent, withCancel(background()))],
  ['merge, as another,', (parent) => merge(withCancel(background()), parent)],
  ['a wrapper', (parent) => withCancel(new Wrapper(parent))],
]

describe('done and err', () => {
  it.each(derived)(
    'C4: done and signal of a child by %s are the same objects at every use, before and after the end',
    async (_name, derive) => {
      const [parent, cancel] = withCancel(background())
      const ctx = derive(parent)
      const { done, signal } = ctx
      expect(ctx.done).toBe(done)
      expect(ctx.signal).toBe(signal)
      cancel()
      expect(ctx.done).toBe(done)
      expect(ctx.signal).toBe(signal)
      expect(await done).toBe(ctx.err())
      expect(signal.aborted).toBe(true)
    },
  )

  it.each(derived)(
    'C4: done and signal that are first used after the end tell of it, and are the same at every use, by %s',
    async (_name, derive) => {
      const [parent, cancel] = withCancel(background())
      const ctx = derive(parent)
      cancel('why')
      const { done, signal } = ctx
      expect(signal.aborted).toBe(true)
      expect(signal.reason).toBe(ctx.err())
      expect(await done).toBe(ctx.err())
      expect(ctx.done).toBe(done)
      expect(ctx.signal).toBe(signal)
    },
  )

  it('C4: done resolves, with the very err, and never rejects', async () => {
    const [ctx, cancel] = withTimeout(background(), 1_000_000)
    const { done } = ctx
    const cause = new Error('why')
    cancel(cause)
    await expect(done).resolves.toBe(ctx.err())
    expect((await done).cause).toBe(cause)
  })

  it.each(derived)('C5: err() is undefined before the end and never after, observed or not, by %s', (_name, derive) => {
    for (const observed of [false, true]) {
      const [parent, cancel] = withCancel(background())
      const ctx = derive(parent)
      const { signal } = observed ? ctx : { signal: undefined }
      expect(ctx.err()).toBeUndefined()
      expect(() => ctx.throwIfDone()).not.toThrow()
      cancel()
      for (let i = 0; i < 3; i++) expect(ctx.err()).toBeInstanceOf(CanceledError)
      expect(signal?.aborted ?? true).toBe(true)
      let thrown: unknown
      try {
        ctx.throwIfDone()
      } catch (error) {
        thrown = error
      }
      expect(thrown).toBe(ctx.err())
    }
  })

  /** A tree with every kind of node, and branches that do not end with it. */
  function tree(top: Context, other: Context): { below: Context[]; beside: Context[]; cancels: CancelableContext[] } {
    const controller = new AbortController()
    const below: Context[] = [top]
    const cancels: CancelableContext[] = []
    for (let level = 0; level < 4; level++) {
      const parent = below.at(-1) as Context
      const here: CancelableContext[] = [
        withCancel(parent),
        withTimeout(parent, 500_000 + level),
        withSignal(parent, controller.signal),
        merge(parent, other),
        merge(other, parent),
        withCancel(new Wrapper(parent)),
        withSignal(other, parent.signal),
      ]
      cancels.push(...here)
      below.push(
        ...here,
        new Wrapper(parent),
        withValue(here[2] as Context, key, level),
        withValue(here[level] as Context, key, level),
      )
    }
    return { below, beside: [other, withCancel(other), withValue(other, key, 1)], cancels }
  }

  for (const how of ['a cancel', 'a deadline', 'a foreign signal'] as const) {
    it(`C5: no abort listener, afterFunc or done of a tree ended by ${how} ever sees one half of it ended`, async () => {
      const clock = createFakeClock()
      const root = createRoot({ clock })
      const controller = new AbortController()
      const [top, cancel] =
        how === 'a deadline' ? withTimeout(root, 10) : how === 'a cancel' ? withCancel(root) : withSignal(root, controller.signal)
      const { below, beside } = tree(top, withCancel(root))
      // Saved before: what users hold.
      const signals = new Map(below.concat(beside).map((ctx) => [ctx, ctx.signal]))
      let checks = 0
      const check = (): void => {
        checks++
        for (const ctx of below) {
          const signal = signals.get(ctx) as AbortSignal
          if (ctx.err() === undefined) throw new Error(`${String(ctx)} has no err yet`)
          if (!signal.aborted || signal.reason !== ctx.err()) throw new Error(`the signal of ${String(ctx)} is behind`)
        }
        for (const ctx of beside)
          if (ctx.err() !== undefined || signals.get(ctx)?.aborted === true) throw new Error(`${String(ctx)} has ended`)
      }
      const failures: unknown[] = []
      const guarded = (): void => {
        try {
          check()
        } catch (error) {
          failures.push(error)
        }
      }
      for (const ctx of below) {
        // A function of its own each, since some share a signal, which knows every function once.
        signals.get(ctx)?.addEventListener('abort', () => guarded())
        afterFunc(ctx, guarded)
        void ctx.done.then(guarded)
      }

      if (how === 'a deadline') clock.advanceSync(10)
      else if (how === 'a cancel') cancel()
      else controller.abort()
      expect(failures).toEqual([])
      expect(checks).toBe(below.length)
      await turn()
      expect(failures).toEqual([])
      expect(checks).toBe(3 * below.length)
    })
  }

  it('C5: while only a part of a tree ends, its listeners see that part ended as a whole and the rest live', () => {
    const root = withCancel(background())
    const middle = withCancel(root)
    const { below, cancels } = tree(middle, withCancel(background()))
    const signals = new Map(below.map((ctx) => [ctx, ctx.signal]))
    const seen: string[] = []
    const inStep = (): void => {
      for (const ctx of below) {
        const signal = signals.get(ctx) as AbortSignal
        if (signal.aborted !== (ctx.err() !== undefined)) seen.push(String(ctx))
        if (signal.aborted && signal.reason !== ctx.err()) seen.push(`reason of ${String(ctx)}`)
      }
    }
    for (const signal of signals.values()) signal.addEventListener('abort', inStep)
    for (const ctx of cancels.toReversed()) {
      ctx.cancel()
      inStep()
    }
    expect(middle.err()).toBeUndefined()
    middle.cancel()
    inStep()
    expect(seen).toEqual([])
    expect(below.every((ctx) => ctx.err() !== undefined)).toBe(true)
    expect(root.err()).toBeUndefined()
  })

  it('C5: a signal tells of a passed deadline in the same moment as err(), though no timer could fire', () => {
    for (const first of ['signal', 'err'] as const) {
      const clock = createFakeClock()
      const ctx = withTimeout(createRoot({ clock }), 10)
      const child = withValue(withCancel(ctx), key, 1)
      const { signal } = child
      clock.block(9.99)
      expect([signal.aborted, child.err()]).toEqual([false, undefined])
      expect(() => signal.throwIfAborted()).not.toThrow()
      clock.block(0.02)
      if (first === 'signal') expect(signal.aborted).toBe(true)
      expect(child.err()).toBeInstanceOf(DeadlineExceededError)
      expect(signal.aborted).toBe(true)
      expect(signal.reason).toBe(child.err())
      expect(() => signal.throwIfAborted()).toThrow(DeadlineExceededError)
    }
  })

  it('C6: err() is the same object at every call and in every descendant that nobody observed', () => {
    const [top, cancel] = withCancel(background())
    const below = derived.flatMap(([, outer]) => derived.map(([, inner]) => inner(outer(top))))
    cancel('why')
    const error = top.err()
    expect(error?.cause).toBe('why')
    for (const ctx of [top, ...below, ...below]) expect(ctx.err()).toBe(error)
  })

  it('C6: err() is the same object at every call and in every observed descendant', () => {
    const [top, cancel] = withCancel(background())
    const { below } = tree(top, withCancel(background()))
    for (const ctx of below) void ctx.signal
    cancel('why')
    const error = top.err()
    // What joined the signal of a context, and not the context, has an end of its own, caused by that: one on each level.
    const joined = below.filter((ctx) => ctx.err() !== error)
    expect(joined.map((ctx) => cause(ctx))).toEqual([error, error, error, error])
    for (const ctx of below) expect(ctx.err()).toBe(joined.includes(ctx) ? ctx.signal.reason : error)
  })

  it('C6: a later cancel, a later deadline and a later end above do not change it', () => {
    const clock = createFakeClock()
    const [parent, cancelParent] = withCancel(createRoot({ clock }))
    const [ctx, cancel] = withTimeout(parent, 10, 'late')
    cancel('first')
    const error = ctx.err()
    cancel('second')
    clock.advanceSync(20)
    cancelParent('third')
    expect(ctx.err()).toBe(error)
    expect(cause(ctx)).toBe('first')
    expect(ctx.signal.reason).toBe(error)
  })

  it('C7: a cancelled context has a CanceledError, recognisable by class, name, code and message', () => {
    const [ctx, cancel] = withCancel(background())
    cancel('why')
    const error = ctx.err()
    expect(error).toBeInstanceOf(CanceledError)
    expect(error).toBeInstanceOf(ContextError)
    expect(error).toBeInstanceOf(Error)
    expect(error).not.toBeInstanceOf(DeadlineExceededError)
    expect(error).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', message: 'context canceled', cause: 'why' })
    expect(String(error)).toBe('AbortError: context canceled')
    expect([isCanceled(error), isDeadlineExceeded(error)]).toEqual([true, false])
  })

  it('C7: a context whose deadline passed has a DeadlineExceededError, recognisable by class, name, code and message', () => {
    const ctx = withTimeout(background(), 0, 'why')
    const error = ctx.err()
    expect(error).toBeInstanceOf(DeadlineExceededError)
    expect(error).toBeInstanceOf(ContextError)
    expect(error).not.toBeInstanceOf(CanceledError)
    expect(error).toMatchObject({ name: 'TimeoutError', code: 'ETIMEDOUT', message: 'context deadline exceeded', cause: 'why' })
    expect([isCanceled(error), isDeadlineExceeded(error)]).toEqual([false, true])
  })

  it('C7: isCanceled and isDeadlineExceeded follow the chain of causes to the first error of ours', () => {
    const canceled = new CanceledError({ cause: new DeadlineExceededError() })
    const wrapped = new Error('job failed', { cause: new Error('query failed', { cause: canceled }) })
    expect([isCanceled(wrapped), isDeadlineExceeded(wrapped)]).toEqual([true, false])
    expect(isDeadlineExceeded(new Error('x', { cause: new DeadlineExceededError({ cause: canceled }) }))).toBe(true)
  })

  it('C7: isCanceled and isDeadlineExceeded say no to what only looks alike, and never throw', () => {
    const cyclic: { cause?: unknown } = {}
    cyclic.cause = cyclic
    const hostile = {
      get cause(): unknown {
        throw new Error('no')
      },
    }
    for (const other of [
      undefined,
      null,
      0,
      'context canceled',
      new Error('context canceled'),
      new DOMException('x', 'AbortError'),
      cyclic,
      hostile,
    ]) {
      expect([isCanceled(other), isDeadlineExceeded(other)]).toEqual([false, false])
    }
  })

  it('C7: the errors can be made by users, with and without a cause', () => {
    expect(new CanceledError({ cause: 1 })).toMatchObject({ message: 'context canceled', cause: 1 })
    expect(Object.hasOwn(new DeadlineExceededError(), 'cause')).toBe(false)
    expect(Object.keys(new CanceledError())).toEqual([])
  })

  it('C8: when cancel() returns, all descendants are done and the abort listeners have run', () => {
    const [top, cancel] = withCancel(background())
    const { below } = tree(top, withCancel(background()))
    let heard = 0
    for (const ctx of below) ctx.signal.addEventListener('abort', () => heard++)
    expect(heard).toBe(0)
    cancel()
    expect(heard).toBe(below.length)
    expect(below.filter((ctx) => ctx.err() === undefined)).toHaveLength(0)
  })

  it('C8: when cancel() returns, descendants that nobody observed are done, too', () => {
    const [top, cancel] = withCancel(background())
    const below = derived.flatMap(([, outer]) => derived.map(([, inner]) => inner(outer(top))))
    cancel()
    expect(below.map((ctx) => ctx.err()).filter((error) => error === top.err())).toHaveLength(below.length)
  })

  it('C8: leaving a block with using cancels', () => {
    let outside: Context
    {
      using ctx = withTimeout(background(), 1_000_000)
      outside = ctx
      expect(ctx.err()).toBeUndefined()
    }
    expect(outside.err()).toBeInstanceOf(CanceledError)
    expect(cause(outside)).toBe(outside.err())
  })

  it('C8: abort listeners run parents first, and in the order in which they were registered', () => {
    const order: string[] = []
    const [top, cancel] = withCancel(background())
    const a = withCancel(top)
    const b = withCancel(top)
    for (const [name, ctx] of Object.entries({ b, a, top, 'a again': a }))
      ctx.signal.addEventListener('abort', () => order.push(name))
    cancel()
    expect(order.indexOf('top')).toBe(0)
    expect(order.indexOf('a again')).toBe(order.indexOf('a') + 1)
    expect(order.toSorted()).toEqual(['a', 'a again', 'b', 'top'])
  })

  it('C6: each of two plain cancels has an error of its own, whoever asks first', () => {
    for (const order of ['up', 'down'] as const) {
      const families = [1, 2].map(() => {
        const parent = withCancel(background())
        return [parent, withCancel(parent), withCancel(withCancel(parent)), withTimeout(parent, 1_000_000)] as const
      })
      for (const [parent] of families) parent[Symbol.dispose]()
      const errors = families.map((family) => {
        const found = (order === 'up' ? family.toReversed() : family).map((ctx) => ctx.err())
        expect(found[0]).toBeInstanceOf(CanceledError)
        expect(new Set(found).size).toBe(1)
        return found[0]
      })
      expect(errors[0]).not.toBe(errors[1])
    }
  })

  it('C9: cancel is for ever', async () => {
    const [ctx, cancel] = withTimeout(background(), 1_000_000)
    const { signal } = ctx
    cancel()
    const error = ctx.err()
    await turn()
    cancel()
    withCancel(ctx).cancel('below')
    await turn()
    expect(ctx.err()).toBe(error)
    expect(signal.aborted).toBe(true)
    expect(ctx.signal).toBe(signal)
    expect('uncancel' in ctx).toBe(false)
  })

  it('C9: nobody can write over the end of a context', () => {
    const [ctx, cancel] = withCancel(background())
    cancel('why')
    const { signal } = ctx
    expect(() => Object.assign(signal, { aborted: false })).toThrow(TypeError)
    expect(() => Object.assign(ctx, { signal: new AbortController().signal })).toThrow(TypeError)
    expect(signal.aborted).toBe(true)
    expect(ctx.err()?.cause).toBe('why')
  })
})
