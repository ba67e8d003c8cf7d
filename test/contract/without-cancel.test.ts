import {
  afterFunc,
  CanceledError,
  createKey,
  createRoot,
  DeadlineExceededError,
  merge,
  withCancel,
  withoutCancel,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { createFakeClock } from 'ctxbridge/testing'
import { describe, expect, it } from 'vitest'
import { turn } from '../support/gc.ts'

const key = createKey<string>('key')

describe('withoutCancel', () => {
  it('C41: keeps the values, and nothing else, whether its parent is done before or after', async () => {
    for (const before of [true, false]) {
      const clock = createFakeClock()
      const parent = withTimeout(withValue(createRoot({ clock }), key, 'kept'), 10)
      if (before) parent.cancel()
      const ctx = withoutCancel(parent)
      let settled = false
      void ctx.done.then(() => (settled = true))
      ctx.signal.addEventListener('abort', () => expect.unreachable('it never ends'))
      parent.cancel()
      clock.advanceSync(20)
      await turn()
      expect([ctx.value(key), ctx.deadline, ctx.remaining(), ctx.err(), ctx.signal.aborted, settled]).toEqual([
        'kept',
        undefined,
        Infinity,
        undefined,
        false,
        false,
      ])
      expect('cancel' in ctx).toBe(false)
      ctx.throwIfDone()
      expect(clock.timers).toBe(0)
    }
  })

  it('C42: its own children can be cancelled, and nothing above reaches them', async () => {
    const clock = createFakeClock()
    const parent = withTimeout(createRoot({ clock }), 10)
    const detached = withoutCancel(parent)
    const [child, cancel] = withCancel(detached)
    const timed = withTimeout(detached, 100)
    let ran = 0
    for (const ctx of [child, timed]) afterFunc(ctx, () => ran++)
    expect(timed.remaining()).toBe(100)
    parent.cancel('parent')
    clock.advanceSync(99)
    await turn()
    expect([child.err(), timed.err(), ran]).toEqual([undefined, undefined, 0])
    cancel('own')
    clock.advanceSync(1)
    await turn()
    expect(child.err()).toBeInstanceOf(CanceledError)
    expect(timed.err()).toBeInstanceOf(DeadlineExceededError)
    expect([detached.err(), ran]).toEqual([undefined, 2])
  })

  it('C42: cut the tree once, and the clock stays', () => {
    const clock = createFakeClock()
    const root = createRoot({ clock })
    const detached = withoutCancel(withCancel(root))
    expect(merge(detached, withCancel(root)).err()).toBeUndefined()
    expect(withoutCancel(detached).err()).toBeUndefined()
    clock.block(5)
    expect(withTimeout(detached, 1).remaining()).toBe(1)
  })
})
