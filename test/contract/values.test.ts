import {
  background,
  type Context,
  createKey,
  createRoot,
  type Key,
  withCancel,
  withoutCancel,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { createFakeClock } from 'ctxbridge/testing'
import { describe, expect, it } from 'vitest'
import { Wrapper } from '../support/foreign.ts'

const name = createKey<string | null | undefined>('name')
const count = createKey<number>('count')

describe('values', () => {
  it('C43: the nearest binding wins, and the parent is unchanged', () => {
    const outer = withValue(background(), name, 'outer')
    const middle = withCancel(withValue(outer, count, 1))
    const inner = withValue(middle, name, 'inner')
    expect([outer.value(name), middle.value(name), inner.value(name)]).toEqual(['outer', 'outer', 'inner'])
    expect([outer.value(count), inner.value(count)]).toEqual([undefined, 1])
  })

  it('C43: each of many bindings is found from each of the contexts below it, and what hides another is', () => {
    const keys = Array.from({ length: 9 }, (_, i) => createKey<string | undefined>(`key ${i}`))
    const bottom = withValue(background(), name, 'bottom')
    // A context of somebody else's is asked for what is not bound below it, however many bindings that are.
    for (const root of [bottom, new Wrapper(bottom)]) {
      const bound = new Map<Key<string | undefined>, string | undefined>()
      let ctx: Context = root
      const bind = (key: Key<string | undefined>, value: string | undefined): void => {
        bound.set(key, value)
        ctx = withValue(ctx, key, value)
        expect(keys.map((each) => ctx.value(each))).toEqual(keys.map((each) => bound.get(each)))
        expect([ctx.value(name), ctx.value(count)]).toEqual(['bottom', undefined])
      }
      for (const [i, key] of keys.entries()) {
        bind(key, String(i))
        const before = keys[i - 2]
        if (before !== undefined && i % 3 === 2) bind(before, i % 2 === 0 ? undefined : 'hides')
      }
    }
  })

  it('C43: an unknown key is undefined, never an error, at the root and below', () => {
    const unknown = createKey<number>('unknown')
    for (const ctx of [background(), withCancel(background()), withValue(background(), name, 'x'), withoutCancel(background())]) {
      expect(ctx.value(unknown)).toBeUndefined()
    }
  })

  it.each([undefined, null])('C44: a binding to %s hides the outer one', (hidden) => {
    const ctx = withCancel(withValue(withValue(background(), name, 'outer'), name, hidden))
    expect(ctx.value(name)).toBe(hidden)
  })

  it('C45: two keys of one name are two keys', () => {
    const other = createKey<string>('name')
    const ctx = withValue(withValue(background(), name, 'a'), other, 'b')
    expect([ctx.value(name), ctx.value(other)]).toEqual(['a', 'b'])
  })

  it.each(['name', Symbol('name'), 7, null, undefined, {}, { name: 'name' }, [], () => {}])(
    'C45: anything else as a key throws a TypeError: %s',
    (key) => {
      for (const ctx of [background(), withValue(background(), name, 'a'), withCancel(background())]) {
        expect(() => withValue(ctx, key as never, 1)).toThrow(/^withValue\(\) needs a key from createKey\(\), but got /)
        expect(() => withValue(ctx, key as never, 1)).toThrow(TypeError)
        expect(() => ctx.value(key as never)).toThrow(/^value\(\) needs a key from createKey\(\), but got /)
      }
    },
  )

  it('C45: createKey says what is misuse, and keys cannot be changed', () => {
    for (const bad of ['', 7, undefined, null]) expect(() => createKey(bad as never)).toThrow(/^createKey\(\) needs a name/)
    expect(() => createKey('k', null as never)).toThrow(/^createKey\(\) needs its options to be an object/)
    expect(() => createKey('k', { portable: { encode: (x: unknown) => x } as never })).toThrow(/encode and decode/)
    expect(() => createKey('k', { show: 'yes' as never })).toThrow(/'show'/)
    expect(() => Object.assign(name, { name: 'other' })).toThrow(TypeError)
    expect(String(name)).toBe('Key(name)')
  })

  it('C46: a value context shares the end, the deadline and the signal of its parent', async () => {
    const clock = createFakeClock()
    const parent = withTimeout(createRoot({ clock }), 100)
    const ctx = withValue(withValue(parent, name, 'a'), count, 1)
    expect([ctx.remaining(), ctx.deadline]).toEqual([100, parent.deadline])
    expect(ctx.signal).toBe(parent.signal)
    expect(ctx.done).toBe(parent.done)
    parent.cancel()
    expect(ctx.err()).toBe(parent.err())
    expect(await ctx.done).toBe(parent.err())
    expect(() => ctx.throwIfDone()).toThrow(parent.err())
    expect(clock.timers).toBe(0)
  })

  it('C46: a value context has no cancel', () => {
    expect('cancel' in withValue(withCancel(background()), count, 1)).toBe(false)
  })

  it('C47: values still answer after the end', () => {
    const parent = withCancel(withValue(background(), name, 'kept'))
    const ctx = withValue(parent, count, 1)
    parent.cancel()
    expect([ctx.value(name), ctx.value(count), withCancel(ctx).value(count)]).toEqual(['kept', 1, 1])
  })

  it('C45: a key cannot be cloned, and so neither can what holds one: no value leaves the thread by a bare postMessage', () => {
    class Clock {
      now(): number {
        return 0
      }
      wall(): number {
        return 0
      }
      setTimer(): number {
        return 0
      }
      clearTimer(): void {}
    }
    const ctx = withValue(createRoot({ clock: new Clock() }), name, 'secret')
    for (const held of [name, ctx, withCancel(ctx)]) expect(() => structuredClone(held)).toThrow('could not be cloned')
  })

  it('C48: look-up does not recurse: 100,000 bindings deep works', () => {
    const keys: Key<number>[] = []
    let ctx: Context = withValue(background(), name, 'deepest')
    for (let i = 0; i < 100_000; i++) {
      const key = createKey<number>(`k${i}`)
      keys.push(key)
      ctx = i % 1_000 === 0 ? withCancel(withValue(ctx, key, i)) : withValue(ctx, key, i)
    }
    expect(ctx.value(name)).toBe('deepest')
    for (const i of [0, 1, 50_000, 99_999]) expect(ctx.value(keys[i] as Key<number>)).toBe(i)
    expect(ctx.value(count)).toBeUndefined()
  })
})
