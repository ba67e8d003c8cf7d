import {
  afterFunc,
  background,
  createKey,
  createRoot,
  merge,
  todo,
  withCancel,
  withoutCancel,
  withSignal,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { createFakeClock } from 'ctxbridge/testing'
import { describe, expect, it } from 'vitest'
import { run } from '../support/child-process.ts'
import { EndWrapper, Wrapper } from '../support/foreign.ts'
import { turn } from '../support/gc.ts'

const microtasks = async (): Promise<void> => {
  for (let i = 0; i < 5; i++) await undefined
}

describe('afterFunc', () => {
  it('C49: runs once, after the end, never before, and not within cancel()', async () => {
    const [ctx, cancel] = withCancel(background())
    const seen: unknown[] = []
    afterFunc(ctx, () => seen.push(ctx.err()))
    await microtasks()
    expect(seen).toEqual([])
    cancel('first')
    expect(seen, 'cancel() does not wait for it').toEqual([])
    cancel('second')
    await microtasks()
    expect(seen).toEqual([ctx.err()])
    await turn()
    expect(seen).toHaveLength(1)
  })

  it('C49: cancel() never sees its exception; an uncaught exception does', async () => {
    const { code, stdout } = await run(`
      import { afterFunc, background, withCancel } from 'ctxbridge'
      process.on('uncaughtException', (error) => console.log('uncaught', error.message))
      const [ctx, cancel] = withCancel(background())
      afterFunc(ctx, () => { throw new Error('from f') })
      cancel()
      console.log('returned')
    `)
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'returned\nuncaught from f\n' })
  })

  it('C50: on a context that is done, it is started at once, still asynchronously, and stop() returns false', async () => {
    const [ctx, cancel] = withCancel(background())
    cancel()
    let runs = 0
    const stop = afterFunc(ctx, () => runs++)
    expect(runs).toBe(0)
    expect(stop()).toBe(false)
    await microtasks()
    expect(runs).toBe(1)
    expect(stop()).toBe(false)
  })

  it('C51: stop() returns true exactly when it prevented the run', async () => {
    const [ctx, cancel] = withCancel(background())
    let runs = 0
    const stop = afterFunc(ctx, () => runs++)
    expect(stop()).toBe(true)
    expect(stop(), 'a second one').toBe(false)
    cancel()
    await microtasks()
    expect(runs).toBe(0)
    expect(stop()).toBe(false)
  })

  it('C51: stop() after the end returns false, also before the function has run, and also when nobody saw the deadline pass', async () => {
    const clock = createFakeClock()
    const [canceled, cancel] = withCancel(createRoot({ clock }))
    let runs = 0
    const stopCanceled = afterFunc(canceled, () => runs++)
    cancel()
    expect(stopCanceled()).toBe(false)
    const stopExpired = afterFunc(withTimeout(createRoot({ clock }), 10), () => runs++)
    clock.block(10)
    expect(stopExpired()).toBe(false)
    await microtasks()
    expect(runs).toBe(2)
  })

  it('C52: registrations are independent, and one function registered twice runs twice', async () => {
    const [ctx, cancel] = withCancel(background())
    const seen: string[] = []
    const f = (): void => void seen.push('f')
    afterFunc(ctx, f)
    const stop = afterFunc(ctx, () => seen.push('stopped'))
    afterFunc(ctx, f)
    afterFunc(ctx, () => seen.push('g'))
    stop()
    cancel()
    await microtasks()
    expect(seen).toEqual(['f', 'f', 'g'])
  })

  it('C52: a failing one is reported and stops no other', async () => {
    const { code, stdout } = await run(`
      import { afterFunc, background, withCancel } from 'ctxbridge'
      process.on('uncaughtException', (error) => console.log('uncaught', error.message))
      const [ctx, cancel] = withCancel(background())
      const child = withCancel(ctx)
      afterFunc(ctx, () => console.log('a'))
      afterFunc(ctx, () => { throw new Error('b') })
      afterFunc(ctx, () => console.log('c'))
      afterFunc(child, () => console.log('d'))
      cancel()
    `)
    expect(code).toBe(0)
    expect(stdout.split('\n').filter(Boolean).sort()).toEqual(['a', 'c', 'd', 'uncaught b'])
  })

  it('C52: without a handler, the first failing one ends the process as any uncaught exception does, after cancel() has returned', async () => {
    const { code, stdout, stderr } = await run(`
      import { afterFunc, background, withTimeout } from 'ctxbridge'
      const [ctx, cancel] = withTimeout(background(), 3_600_000)
      ctx.signal.addEventListener('abort', () => console.log('aborted'))
      afterFunc(ctx, () => { throw new Error('out of order') })
      cancel()
      console.log('returned')
    `)
    expect({ code, stdout }).toEqual({ code: 1, stdout: 'aborted\nreturned\n' })
    expect(stderr).toContain('Error: out of order')
  })

  it('C52: an abort listener that throws is reported, and stops no other, nor the end of a descendant', async () => {
    const { code, stdout } = await run(`
      import { afterFunc, background, withCancel } from 'ctxbridge'
      process.on('uncaughtException', (error) => console.log('uncaught', error.message))
      const [ctx, cancel] = withCancel(background())
      const child = withCancel(ctx)
      ctx.signal.addEventListener('abort', () => { throw new Error('a') })
      ctx.signal.addEventListener('abort', () => console.log('b'))
      child.signal.addEventListener('abort', () => console.log('c'))
      afterFunc(child, () => console.log('d'))
      child.done.then(() => console.log('e'))
      cancel()
      console.log('returned', child.err() === ctx.err())
    `)
    expect(code).toBe(0)
    expect(stdout.split('\n').filter(Boolean).sort()).toEqual(['b', 'c', 'd', 'e', 'returned true', 'uncaught a'])
  })

  it('C52: those that a late timer starts together are independent, too', async () => {
    const { code, stdout } = await run(`
      import { afterFunc, background, withTimeout } from 'ctxbridge'
      process.on('uncaughtException', (error) => console.log('uncaught', error.message))
      for (const ms of [1, 2, 3]) {
        const ctx = withTimeout(background(), ms)
        afterFunc(ctx, () => { throw new Error(ms) })
        afterFunc(ctx, () => console.log('after', ms))
      }
      const until = performance.now() + 10
      while (performance.now() < until);
      setTimeout(() => {}, 20)
    `)
    expect(code).toBe(0)
    expect(stdout.split('\n').filter(Boolean).sort()).toEqual([
      'after 1',
      'after 2',
      'after 3',
      'uncaught 1',
      'uncaught 2',
      'uncaught 3',
    ])
  })

  it('C49: runs once and asynchronously whatever the kind of its context, and in the order of registration', async () => {
    const clock = createFakeClock()
    const controller = new AbortController()
    const root = createRoot({ clock })
    const top = withTimeout(root, 10)
    const contexts = [
      top,
      withCancel(top),
      withValue(top, createKey('k'), 1),
      merge(root, top),
      new Wrapper(top),
      new EndWrapper(top),
    ]
    const seen: number[] = []
    contexts.forEach((ctx, i) => {
      expect(ctx.err()).toBeUndefined()
      for (const j of [0, 1]) afterFunc(ctx, () => seen.push(10 * i + j))
    })
    withSignal(root, controller.signal)
    clock.advanceSync(10)
    expect(seen).toEqual([])
    await turn()
    expect(seen.toSorted((a, b) => a - b)).toEqual(contexts.flatMap((_, i) => [10 * i, 10 * i + 1]))
    for (const i of contexts.keys()) expect(seen.indexOf(10 * i)).toBeLessThan(seen.indexOf(10 * i + 1))
  })

  it('C53: on roots and under withoutCancel it never runs, and the first stop() returns true', async () => {
    const [parent, cancel] = withCancel(background())
    let runs = 0
    for (const ctx of [
      background(),
      todo(),
      createRoot(),
      withoutCancel(parent),
      withValue(withoutCancel(parent), createKey('k'), 1),
    ]) {
      const stop = afterFunc(ctx, () => runs++)
      cancel()
      expect(stop()).toBe(true)
      expect(stop()).toBe(false)
    }
    await turn()
    expect(runs).toBe(0)
  })

  it('C54: runs when the deadline passes, and when a joined signal aborts', async () => {
    const clock = createFakeClock()
    const controller = new AbortController()
    const seen: string[] = []
    afterFunc(withTimeout(createRoot({ clock }), 10), () => seen.push('deadline'))
    afterFunc(withSignal(background(), controller.signal), () => seen.push('signal'))
    clock.advanceSync(9.999)
    await microtasks()
    expect(seen).toEqual([])
    clock.advanceSync(0.001)
    controller.abort()
    await microtasks()
    expect(seen).toEqual(['deadline', 'signal'])
  })

  it('C3: refuses what is no function', () => {
    expect(() => afterFunc(background(), 'f' as never)).toThrow(/^afterFunc\(\) needs a function to run, but got "f"\.$/)
  })
})
