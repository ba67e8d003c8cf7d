import {
  background,
  CanceledError,
  cause,
  DeadlineExceededError,
  merge,
  withCancel,
  withSignal,
  withTimeout,
  withValue,
  createKey,
} from 'ctxbridge'
import { link } from 'ctxbridge/worker'
import { expect, onTestFinished, test, vi } from 'vitest'
import { turn } from '../support/gc.ts'
import { empty, flag, inTime, now, quiet, reached, rejection, startJobs } from './workers.ts'

test('a loop that never yields stops with the cause of the cancel', async () => {
  const { worker, jobs } = startJobs()
  const [ctx, cancel] = withCancel(background())
  const at = flag()
  const call = jobs.spin(ctx, at)
  await reached(at)
  cancel(new RangeError('enough'))
  const error = await rejection(call)
  expect(error).toBe(ctx.err())
  expect(error).toBeInstanceOf(CanceledError)
  await quiet(worker)
  expect(await jobs.last()).toMatchObject({
    name: 'AbortError',
    code: 'ABORT_ERR',
    cause: { name: 'RangeError', message: 'enough' },
    turned: false,
  })
})

test('a cancel reaches a loop in another thread before any listener runs here, whoever came first', async () => {
  for (const why of [undefined, 'enough']) {
    const { worker, jobs } = startJobs()
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    let seen = 0
    // It returns when the loop has seen the end; an export that came after it would be too late for that.
    ctx.signal.addEventListener('abort', () => {
      for (const until = now() + 10_000; Atomics.load(at, 0) !== 2 && now() < until; );
      seen = Atomics.load(at, 0)
    })
    const call = rejection(jobs.spin(ctx, at))
    await reached(at)
    cancel(why)
    expect(seen).toBe(2)
    expect(await call).toBe(ctx.err())
    await quiet(worker)
    expect(await jobs.last()).toMatchObject({ name: 'AbortError', cause: why ?? 'itself' })
    expect(link(worker).stats()).toMatchObject(empty)
  }
})

test('a loop that never yields stops at the deadline, never before, and with its cause, though this thread is blocked, too', async () => {
  const { worker, jobs } = startJobs()
  await jobs.add(0, 0)
  await inTime(300, async (ms) => {
    const at = flag()
    const before = now()
    const ctx = withTimeout(background(), ms, 'too slow')
    // Answered before the job starts. Blocks until the loop has seen the end: no timer and no message of ours can have helped it.
    const blocked = new Promise<number>((resolve) => {
      worker.on('message', function block(message) {
        if (message !== 'pong') return
        worker.off('message', block)
        while (Atomics.load(at, 0) === 0 && now() < before + ms);
        while (Atomics.load(at, 0) === 1 && now() < before + ms + 10_000);
        resolve(Atomics.load(at, 0))
        // And now its answer is likely to be here before our own timer fires.
        Atomics.wait(at, 0, 2, 50)
      })
    })
    worker.postMessage('ping')
    const call = rejection(jobs.spin(ctx, at))
    const reached = await blocked
    expect(await call).toBe(ctx.err())
    expect(ctx.err()).toBeInstanceOf(DeadlineExceededError)
    expect(cause(ctx)).toBe('too slow')
    await quiet(worker)
    expect(link(worker).stats()).toMatchObject(empty)
    if (reached === 0) return false
    expect(reached).toBe(2)
    const seen = await jobs.last()
    expect(seen).toMatchObject({ name: 'TimeoutError', code: 'ETIMEDOUT', cause: 'too slow', turned: false })
    expect(seen?.at).toBeGreaterThanOrEqual(before + ms)
    return true
  })
})

test.each([
  ['few looks at an import read the clock, since its owner guards its deadline in shared memory, too', true],
  ['each look at an import reads the clock, where that alone guards its deadline', false],
])('%s', async (_name, sharedMemory) => {
  const { port1, port2 } = new MessageChannel()
  using near = link(port1, { sharedMemory })
  using far = link(port2)
  const probe = withCancel(background())
  // Until they have heard of each other.
  while (far.import(near.export(probe)).err() !== undefined) await turn()
  const ctx = far.import(near.export(withTimeout(background(), 3_600_000)))
  // A clock that stands is one of a machine that is as fast as can be.
  const instant = performance.now()
  const clock = vi.spyOn(performance, 'now').mockReturnValue(instant)
  onTestFinished(() => clock.mockRestore())
  for (let looks = 0; looks < 16_000; looks++) ctx.throwIfDone()
  const reads = clock.mock.calls.length
  if (sharedMemory) expect([reads > 0, reads < 16_000 / 4]).toEqual([true, true])
  else expect(reads).toBe(16_000)
})

test('deadlines in the worker are never early, however short', async () => {
  const { worker, jobs } = startJobs()
  for (let i = 0; i < 100; i++) {
    await inTime((i % 10) * 2 + 2.5 + i / 1_000, async (ms) => {
      const before = now()
      const error = await rejection(jobs.spin(withTimeout(background(), ms)))
      expect(error).toBeInstanceOf(DeadlineExceededError)
      await quiet(worker)
      const seen = await jobs.last()
      // It is that of another job where there was none.
      if (seen === undefined || seen.at < before) return false
      expect(seen.at - before).toBeGreaterThanOrEqual(ms)
      return true
    })
  }
})

test('the end is seen by a loop that asks a signal', async () => {
  const { worker, jobs } = startJobs()
  const [ctx, cancel] = withCancel(background())
  const at = flag()
  const call = jobs.spinSignal(at, ctx)
  await reached(at)
  cancel('by signal')
  expect(await rejection(call)).toBe(ctx.err())
  await quiet(worker)
  expect(await jobs.last()).toMatchObject({ name: 'AbortError', cause: 'by signal', turned: false })
})

test('a loop that asks a context derived from it stops with the parent, or by its own deadline', async () => {
  const { worker, jobs } = startJobs()
  const [ctx, cancel] = withCancel(background())
  expect(await jobs.spinChild(ctx, flag(), 10)).toBe('by itself')
  expect(await jobs.last()).toMatchObject({ name: 'TimeoutError', turned: false })

  const at = flag()
  const call = jobs.spinChild(ctx, at, 60_000)
  await reached(at)
  cancel('from above')
  expect(await rejection(call)).toBe(ctx.err())
  await quiet(worker)
  expect(await jobs.last()).toMatchObject({ name: 'AbortError', cause: 'from above', turned: false })
})

test('a context may stand anywhere in the argument list, and be of any kind', async () => {
  const { worker, jobs } = startJobs()
  const controller = new AbortController()
  const [other, cancelOther] = withCancel(background())
  const kinds = [
    [withSignal(background(), controller.signal), () => controller.abort('any')],
    [merge(withCancel(background()), other), () => cancelOther('any')],
    [withValue(withCancel(other), createKey('k'), 1), () => cancelOther('any')],
  ] as const
  // The last two share what ends them: the first of all goes first.
  for (const [ctx, end] of [kinds[0], kinds[1]]) {
    const at = flag()
    const call = jobs.spinAnywhere('a', at, ctx, 'b')
    await reached(at)
    end()
    expect(await rejection(call)).toBe(ctx.err())
    await quiet(worker)
    expect(await jobs.last()).toMatchObject({ name: 'AbortError', cause: 'any', turned: false })
  }
  expect(await rejection(jobs.spinAnywhere('a', flag(), kinds[2][0], 'b'))).toBe(other.err())
})

test('of several contexts each ends by itself, and the caller gets the first end', async () => {
  const { worker, jobs } = startJobs()
  for (const which of [0, 1] as const) {
    const both = [withCancel(background()), withCancel(background())] as const
    const at = flag()
    const call = jobs.spinTwo(both[0], at, both[1])
    await reached(at)
    expect(link(worker).stats()).toMatchObject({ slots: 2, exports: 2, calls: 1 })
    both[which].cancel(which)
    expect(await rejection(call)).toBe(both[which].err())
    await quiet(worker)
    expect(await jobs.last()).toMatchObject({ cause: which, turned: false })
    expect(link(worker).stats()).toMatchObject(empty)
  }
})

test('one context given twice is one slot', async () => {
  const { worker, jobs } = startJobs()
  const [ctx, cancel] = withCancel(background())
  const at = flag()
  const call = jobs.spinTwo(ctx, at, ctx)
  await reached(at)
  expect(link(worker).stats().slots).toBe(1)
  cancel()
  expect(await rejection(call)).toBe(ctx.err())
  await quiet(worker)
  expect(link(worker).stats()).toMatchObject(empty)
})

test('the caller is told at once though the worker is stuck, and the slots are kept until it is not', async () => {
  const { worker, jobs } = startJobs()
  const ctx = withCancel(background())
  const other = withCancel(background())
  const at = flag()
  const call = jobs.stuckTwo(ctx, at, other)
  await reached(at)
  ctx.cancel('now')
  expect(await rejection(call)).toBe(ctx.err())
  expect(link(worker).stats()).toMatchObject({ exports: 1, calls: 1, slots: 2 })
  Atomics.store(at, 0, 2)
  await quiet(worker)
  expect(link(worker).stats()).toMatchObject(empty)
  expect(other.err()).toBe(undefined)
})

test('a call with a context that is done is never sent', async () => {
  const { worker, jobs } = startJobs()
  await jobs.add(1, 1)
  const { served } = await jobs.warm()
  const ctx = withCancel(background())
  ctx.cancel('before')
  const at = flag()
  expect(await rejection(jobs.spin(ctx, at))).toBe(ctx.err())
  expect(await rejection(jobs.spinTwo(withCancel(background()), at, withTimeout(background(), 0)))).toBeInstanceOf(
    DeadlineExceededError,
  )
  expect(link(worker).stats()).toMatchObject(empty)
  expect(await jobs.warm()).toMatchObject({ served })
  expect(Atomics.load(at, 0)).toBe(0)
})

test('the worker stays: same thread, its state kept, and the next job does not feel the cancelled one', async () => {
  const { worker, jobs } = startJobs()
  const first = await jobs.warm()
  for (let i = 1; i <= 20; i++) {
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    const call = jobs.spin(ctx, at)
    await reached(at)
    // The next one is on its way while this one is being stopped.
    const next = jobs.look(withCancel(background()))
    cancel(i)
    expect(await rejection(call)).toBe(ctx.err())
    expect(await next).toEqual({ err: undefined, cause: undefined, deadline: false, same: true })
    expect(await jobs.last()).toMatchObject({ cause: i })
  }
  expect(await jobs.warm()).toEqual({ threadId: first.threadId, served: first.served + 20 })
  expect(link(worker).stats()).toMatchObject(empty)
})

test('a slot that serves another context by now does not end it', async () => {
  const { worker, jobs } = startJobs()
  for (let i = 0; i < 300; i++) {
    const ctx = withCancel(background())
    expect(await jobs.keep(ctx)).toBe(true)
    // The call is over, so this reaches nobody, also not whoever has the slot now.
    ctx.cancel(i)
    expect((await jobs.look(withCancel(background()))).err).toBe(undefined)
  }
  expect(link(worker).stats()).toMatchObject(empty)
  // What a method keeps of its call's context is done when the call is over.
  expect(await jobs.keptIsDone()).toMatchObject({ name: 'AbortError' })
})
