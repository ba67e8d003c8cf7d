import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { background, type Context, LinkLostError, withCancel } from 'ctxbridge'
import { link, wrap } from 'ctxbridge/worker'
import { expect, test, vi } from 'vitest'
import type { Jobs } from '../fixtures/worker-jobs.ts'
import { arrived, turn } from '../support/gc.ts'
import { flag, reached, rejection, start } from './workers.ts'

const empty = { slots: 0, exports: 0, calls: 0 }

test('a method that ignores its context is ended with its worker after the grace, and named', async () => {
  const worker = start()
  const jobs = wrap<Jobs>(worker, { grace: 20 })
  const ctx = withCancel(background())
  const at = flag()
  const call = rejection(jobs.ignore(ctx, at))
  const beside = rejection(jobs.hang(withCancel(background())))
  await reached(at)
  const exit = once(worker, 'exit')
  ctx.cancel('stop')
  const named = "The method 'ignore' ignored its context for 20 ms after that had ended, so its worker was terminated."
  expect(await call).toMatchObject({ name: 'BridgeError', code: 'ERR_CONTEXT_IGNORED', message: named, cause: ctx.err() })
  expect(await beside).toMatchObject({ code: 'ERR_LINK_LOST', message: expect.stringContaining("method 'ignore'") as string })
  expect(await beside).toMatchObject({ cause: ctx.err() })
  await exit
  expect(link(worker).stats()).toMatchObject(empty)
  expect(await rejection(jobs.add(1, 1))).toBeInstanceOf(LinkLostError)
})

test('a call whose context ends while its method runs rejects when that has returned, and at once without a grace', async () => {
  const worker = start()
  const order: string[] = []
  const at = flag()
  const note =
    (text: string) =>
    (error: unknown): unknown => (order.push(text), error)
  const ctx = withCancel(background())
  // It sees the end only when it is let go on.
  const patient = wrap<Jobs>(worker, { grace: 3_600_000 }).stuck(ctx, at).catch(note('with a grace'))
  await reached(at)
  // The other thread has said that the method has begun.
  await arrived()
  const plain = wrap<Jobs>(worker).hang(ctx).catch(note('without one'))
  ctx.cancel('stop')
  expect(await plain).toBe(ctx.err())
  await arrived()
  expect(order).toEqual(['without one'])
  Atomics.store(at, 0, 2)
  expect(await patient).toBe(ctx.err())
  expect(await wrap<Jobs>(worker).add(1, 1)).toBe(2)
  expect(link(worker).stats()).toMatchObject(empty)
})

test.each([Infinity, 3_600_000])(
  'of several contexts the first that ends is what a call rejects with, with a grace of %s',
  async (grace) => {
    const worker = start()
    const jobs = wrap<Jobs>(worker, { grace })
    const [first, second] = [withCancel(background()), withCancel(background())]
    const at = flag()
    const call = rejection(jobs.stuckTwo(second, at, first))
    await reached(at)
    await arrived()
    first.cancel('first')
    second.cancel('second')
    Atomics.store(at, 0, 2)
    expect(await call).toBe(first.err())
  },
)

test.each([true, false])(
  'a call that waits for its worker is not what keeps it busy: nothing is terminated, and its method does not run; shared memory: %s',
  async (sharedMemory) => {
    const worker = start()
    const jobs = wrap<Jobs>(worker, { grace: 0, sharedMemory })
    const at = flag()
    const busy = jobs.stuck(withCancel(background()), at)
    await reached(at)
    const ctx = withCancel(background())
    const never = flag()
    const call = rejection(jobs.ignore(ctx, never))
    ctx.cancel('changed my mind')
    expect(await call).toBe(ctx.err())
    // A timer of the host that was set before this one has fired when this one has.
    await setTimeout(2)
    Atomics.store(at, 0, 2)
    expect(await busy).toBe('late')
    expect(await jobs.warm()).toMatchObject({ served: 1 })
    expect(Atomics.load(never, 0)).toBe(0)
    // By messages alone, what is given back comes another way than the answer.
    while (link(worker).stats().slots > 0) await turn()
    expect(link(worker).stats()).toMatchObject(empty)
  },
)

test('a method that cannot run, since one that began later keeps the worker, has its grace before it until that lets go', async () => {
  const worker = start()
  const jobs = wrap<Jobs>(worker, { grace: 0 })
  const ctx = withCancel(background())
  const deaf = rejection(jobs.hang(ctx))
  const at = flag()
  // Without a grace of its own, and without a context: what keeps the worker is known nevertheless.
  const busy = wrap<Jobs>(worker).stuck(background(), at)
  await reached(at)
  ctx.cancel('changed my mind')
  expect(await deaf).toBe(ctx.err())
  // A timer of the host that was set before this one has fired when this one has.
  await setTimeout(2)
  const exit = once(worker, 'exit')
  Atomics.store(at, 0, 2)
  expect(await busy).toBe('late')
  // It could run by now, and does not heed its context.
  await exit
  expect(await rejection(jobs.add(1, 1))).toMatchObject({ message: expect.stringContaining("method 'hang'") as string })
})

test('a method that began later, and waits, keeps nobody else from running', async () => {
  const worker = start()
  const jobs = wrap<Jobs>(worker, { grace: 0 })
  const ctx = withCancel(background())
  const deaf = rejection(jobs.hang(ctx))
  const at = flag()
  const waits = rejection(jobs.idle(withCancel(background()), 'done', at))
  await reached(at)
  ctx.cancel()
  expect(await deaf).toMatchObject({ code: 'ERR_CONTEXT_IGNORED', cause: ctx.err() })
  expect(await waits).toMatchObject({ message: expect.stringContaining("method 'hang'") as string })
})

test('a method that has been answered keeps nobody from running: nothing is asked, and the grace is as long as it says', async () => {
  const worker = start()
  const post = vi.spyOn(worker, 'postMessage')
  const jobs = wrap<Jobs>(worker, { grace: 0 })
  const ctx = withCancel(background())
  const deaf = rejection(jobs.hang(ctx))
  expect(await jobs.add(1, 1)).toBe(2)
  const exit = once(worker, 'exit')
  ctx.cancel()
  await deaf
  await exit
  const tags = post.mock.calls.map(([message]) => (Array.isArray(message) ? (message[0] as unknown) : undefined))
  expect(tags.filter((tag) => tag !== undefined)).toEqual(['ctxbridge.call', 'ctxbridge.call'])
})

test('a method that heeds its context keeps its worker', async () => {
  const worker = start()
  const jobs = wrap<Jobs>(worker, { grace: 30_000 })
  const { threadId } = worker
  for (let i = 0; i < 20; i++) {
    const ctx = withCancel(background())
    const at = flag()
    const call = rejection(jobs.spin(ctx, at))
    await reached(at)
    ctx.cancel(i)
    expect(await call).toBe(ctx.err())
  }
  expect(await jobs.warm()).toEqual({ threadId, served: 20 })
  expect(link(worker).stats()).toMatchObject(empty)
})

test('a method that has answered in time keeps its worker, though this thread was busy and has not read that yet', async () => {
  const worker = start()
  const jobs = wrap<Jobs>(worker, { grace: 20 })
  const { threadId } = worker
  const ctx = withCancel(background())
  const [at, answered] = [flag(), flag()]
  const call = rejection(jobs.spin(ctx, at))
  worker.postMessage(answered)
  await reached(at)
  // From here on it has been read that the method has begun, and after the block timers come first.
  await arrived()
  ctx.cancel()
  // The answer comes, and the grace is over, while this thread blocks.
  for (const giveUp = performance.now() + 10_000; Atomics.load(answered, 0) !== 1 && performance.now() < giveUp; );
  Atomics.wait(answered, 0, 1, 200)
  expect(await call).toBe(ctx.err())
  expect(await jobs.warm()).toEqual({ threadId, served: 1 })
})

test('what a grace must be, which is told before anything listens, or is posted', () => {
  const worker = start()
  const { port1, port2 } = new MessageChannel()
  for (const grace of [-1, Number.NaN, '1', null])
    for (const endpoint of [worker, port1])
      expect(() => wrap(endpoint, { grace: grace as number })).toThrow(/^wrap\(\) needs 'grace'/)
  expect(() => wrap(port1, { grace: 1 })).toThrow(/^wrap\(\) can only give a 'grace' to a Worker/)
  expect(() => wrap('x' as never, { grace: 1 })).toThrow(/^wrap\(\) needs a Worker or a MessagePort/)
  expect([worker.listenerCount('message'), port1.listenerCount('message')]).toEqual([0, 0])
  expect(receiveMessageOnPort(port2)).toBeUndefined()
  const never: (ctx: Context) => Promise<unknown> = wrap<Jobs>(worker, { grace: Infinity }).hang
  expect(never).toBeTypeOf('function')
})

test('a grace of 30 days is longer than a timer of the host takes, and ends nothing at once', async () => {
  const worker = start()
  const jobs = wrap<Jobs>(worker, { grace: 30 * 86_400_000 })
  const ctx = withCancel(background())
  const told = vi.fn()
  const call = jobs.hang(ctx).catch(told)
  await jobs.add(1, 1)
  ctx.cancel()
  // A timer of the host that was set before this one has fired when this one has.
  await setTimeout(2)
  expect(await jobs.add(1, 1)).toBe(2)
  expect(told).not.toHaveBeenCalled()
  await worker.terminate()
  await call
  expect(told).toHaveBeenCalledWith(ctx.err())
})
