import * as Comlink from 'comlink'
import { background, withCancel, withTimeout } from 'ctxbridge'
import { link, sleepSync } from 'ctxbridge/worker'
import { describe, expect, test } from 'vitest'
import { turn } from '../support/gc.ts'
import { empty, flag, inTime, quiet, reached, rejection, startJobs } from './workers.ts'

describe('a worker that blocks in sleepSync', () => {
  test.each(['itself', 'child', 'merged', 'wrapped'] as const)('is woken by a cancel: %s', async (how) => {
    const { worker, jobs } = startJobs()
    const [ctx, cancel] = withCancel(background())
    const other = withCancel(background())
    const at = flag()
    const call = rejection(jobs.block(at, Infinity, how, ctx, other))
    await reached(at)
    cancel(new Error('wake up'))
    expect(await call).toBe(ctx.err())
    await quiet(worker)
    expect(link(worker).stats()).toMatchObject(empty)
  })

  test.each([
    ['given', 'this thread'],
    ['held', 'this thread'],
    ['given', 'another worker'],
    ['held', 'another worker'],
  ] as const)('under contexts of two threads, %s first, is woken by a cancel in %s', async (first, who) => {
    const [sleeper, lender] = [startJobs(), startJobs()]
    const { port1, port2 } = new MessageChannel()
    await sleeper.jobs.serveOver(Comlink.transfer(port2, [port2]) as never)
    const arrived = flag()
    await lender.jobs.lend(Comlink.transfer(port1, [port1]) as never, arrived)
    await reached(arrived)
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    const call = sleeper.jobs.blockBetween(at, first, ctx).catch((error: unknown) => error)
    await reached(at)
    if (who === 'this thread') cancel(`said by ${who}`)
    else await lender.jobs.takeBack(`said by ${who}`)
    expect(await call).toBe(who === 'this thread' ? ctx.err() : 'woken')
    await quiet(sleeper.worker)
    expect(await sleeper.jobs.last()).toMatchObject({ name: 'AbortError', cause: `said by ${who}`, turned: false })
    // One of them does not ring where it waits.
    expect(await sleeper.jobs.longestWait()).toBeGreaterThan(0)
    expect(await sleeper.jobs.longestWait()).toBeLessThanOrEqual(5)
    expect(link(sleeper.worker).stats()).toMatchObject(empty)
  })

  test('sees the cause, and its event loop does not turn', async () => {
    const { worker, jobs } = startJobs()
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    const call = rejection(jobs.block(at, 60_000, 'itself', ctx))
    await reached(at)
    cancel(new Error('wake up'))
    expect(await call).toBe(ctx.err())
    await quiet(worker)
    expect(await jobs.last()).toMatchObject({ name: 'AbortError', cause: { message: 'wake up' }, turned: false })
  })

  test('is woken by the deadline of its context, and sees it', async () => {
    const { worker, jobs } = startJobs()
    await jobs.add(1, 1)
    await inTime(50, async (ms) => {
      const ctx = withTimeout(background(), ms, 'the budget')
      expect(await rejection(jobs.block(flag(), Infinity, 'itself', ctx))).toBe(ctx.err())
      await quiet(worker)
      const seen = await jobs.last()
      if (seen === undefined) return false
      expect(seen).toMatchObject({ name: 'TimeoutError', cause: 'the budget', turned: false })
      return true
    })
  })

  test('is woken by the deadline of its context also while the thread that it is of is blocked', async () => {
    const { jobs } = startJobs()
    await jobs.add(1, 1)
    await inTime(300, async (ms) => {
      const at = flag()
      const ctx = withTimeout(background(), ms)
      const call = rejection(jobs.block(at, Infinity, 'itself', ctx))
      while (Atomics.load(at, 0) === 0 && ctx.err() === undefined) await turn()
      // Who has seen the deadline pass may have told the worker.
      const blocks = ctx.err() === undefined
      if (blocks) {
        Atomics.wait(at, 0, 1, 20_000)
        expect(Atomics.load(at, 0)).toBe(2)
      }
      await call
      return blocks
    })
  })

  test('sleeps to the end when nothing happens, and not at all when its context is done or there is nothing to sleep', async () => {
    const { jobs } = startJobs()
    const ctx = withTimeout(background(), 60_000)
    expect(await jobs.block(flag(), 5, 'itself', ctx)).toBe('slept')
    expect(await jobs.block(flag(), 0, 'itself', ctx)).toBe('slept')
    expect(await jobs.block(flag(), -1, 'itself', ctx)).toBe('slept')
    expect(await jobs.block(flag(), 5, 'itself', background())).toBe('slept')
  })

  test('is told what is wrong', async () => {
    const { jobs } = startJobs()
    expect(await jobs.blockWrongly(background())).toEqual([
      expect.stringMatching(/^TypeError: sleepSync\(\) needs a context, but got .+\.$/),
      expect.stringMatching(/^TypeError: sleepSync\(\) needs a number of milliseconds, but got NaN\.$/),
      expect.stringMatching(/^TypeError: sleepSync\(\) needs a number of milliseconds, but got .+\.$/),
    ])
    expect(() => sleepSync(background(), 1)).toThrow(/^sleepSync\(\) needs a worker thread that may block, .+\.$/)
  })
})
