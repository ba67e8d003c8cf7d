import { background, withCancel, withTimeout } from 'ctxbridge'
import { link } from 'ctxbridge/worker'
import { describe, expect, test } from 'vitest'
import { run } from '../support/child-process.ts'
import { compiled } from '../support/compiled.ts'
import { empty, flag, inTime, now, quiet, reached, rejection, startJobs } from './workers.ts'

describe.each(['done', 'signal', 'sleep', 'afterFunc'] as const)('a worker that waits by %s', (how) => {
  test('is woken by a cancel', async () => {
    const { worker, jobs } = startJobs()
    const ctx = withCancel(background())
    const at = flag()
    const call = jobs.idle(ctx, how, at)
    await reached(at)
    ctx.cancel(new Error('wake up'))
    expect(await rejection(call)).toBe(ctx.err())
    await reached(at, 2)
    await quiet(worker)
    expect(await jobs.last()).toMatchObject({ name: 'AbortError', cause: { message: 'wake up' }, turned: true })
    expect(link(worker).stats()).toMatchObject(empty)
    expect(await jobs.stats()).toMatchObject({ imports: 0 })
  })

  test('is woken by a deadline, and not before', async () => {
    const { worker, jobs } = startJobs()
    await jobs.add(0, 0)
    await inTime(300, async (ms) => {
      const before = now()
      const ctx = withTimeout(background(), ms, 'time is up')
      const call = jobs.idle(ctx, how, flag())
      expect(await rejection(call)).toBe(ctx.err())
      await quiet(worker)
      expect(link(worker).stats()).toMatchObject(empty)
      const seen = await jobs.last()
      if (seen === undefined) return false
      expect(seen).toMatchObject({ name: 'TimeoutError', cause: 'time is up' })
      expect(seen.at).toBeGreaterThanOrEqual(before + ms)
      return true
    })
  })
})

test('ten thousand contexts below one that was sent cost one slot, and all end with it', async () => {
  const { worker, jobs } = startJobs()
  const ctx = withCancel(background())
  const at = flag()
  const call = jobs.family(ctx, at)
  await reached(at)
  expect(link(worker).stats()).toMatchObject({ slots: 1, exports: 1 })
  ctx.cancel('all of you')
  expect(await rejection(call)).toBe(ctx.err())
  await quiet(worker)
  expect(await jobs.last()).toMatchObject({ cause: [10_000, 5_000] })
  expect(link(worker).stats()).toMatchObject(empty)
})

test('one context in two workers ends in both', async () => {
  const workers = [startJobs(), startJobs()]
  const ctx = withCancel(background())
  const flags = [flag(), flag()]
  const calls = workers.map(({ jobs }, i) => rejection(jobs.spin(ctx, flags[i])))
  for (const at of flags) await reached(at)
  expect(link(workers[0]?.worker).stats()).toMatchObject({ slots: 2, exports: 1 })
  ctx.cancel('both')
  expect(await Promise.all(calls)).toEqual([ctx.err(), ctx.err()])
  for (const { worker } of workers) await quiet(worker)
  for (const { worker, jobs } of workers) {
    expect(await jobs.last()).toMatchObject({ cause: 'both', turned: false })
    expect(link(worker).stats()).toMatchObject(empty)
  }
})

test('a context that is out with several calls keeps its slot until the last of them is over', async () => {
  const { worker, jobs } = startJobs()
  const ctx = withCancel(background())
  const [a, b] = [flag(), flag()]
  const first = jobs.idle(ctx, 'done', a)
  await reached(a)
  expect(await jobs.look(ctx)).toMatchObject({ err: undefined })
  expect(link(worker).stats()).toMatchObject({ slots: 1, exports: 1, calls: 1 })
  const second = jobs.idle(ctx, 'signal', b)
  await reached(b)
  expect(link(worker).stats()).toMatchObject({ slots: 1, exports: 1, calls: 2 })
  ctx.cancel()
  await Promise.all([rejection(first), rejection(second)])
  await quiet(worker)
  expect(link(worker).stats()).toMatchObject(empty)
})

test('many contexts that end in one turn are all told', async () => {
  const { worker, jobs } = startJobs()
  // More than the first chunk of the table has: it grows while calls are under way.
  const contexts = Array.from({ length: 500 }, () => withCancel(background()))
  const flags = contexts.map(() => flag())
  const calls = contexts.map((ctx, i) => rejection(jobs.idle(ctx, 'done', flags[i] ?? flag())))
  for (const at of flags) await reached(at)
  expect(link(worker).stats()).toMatchObject({ slots: 500, exports: 500, calls: 500 })
  for (const [i, ctx] of contexts.entries()) ctx.cancel(i)
  const errors = await Promise.all(calls)
  expect(errors).toEqual(contexts.map((ctx) => ctx.err()))
  for (const at of flags) await reached(at, 2)
  await quiet(worker)
  expect(link(worker).stats()).toMatchObject(empty)
  expect(await jobs.stats()).toMatchObject({ imports: 0 })
})

test('a thousand calls one after the other leave nothing', async () => {
  const { worker, jobs } = startJobs()
  const parent = withCancel(background())
  for (let i = 0; i < 1_000; i++) {
    const ctx = withTimeout(parent, 60_000)
    expect(await jobs.look(i % 2 === 0 ? ctx : parent)).toMatchObject({ err: undefined })
    ctx.cancel()
  }
  expect(link(worker).stats()).toEqual({ ...empty, chunks: expect.any(Number) as number })
  expect(await jobs.stats()).toMatchObject({ imports: 0 })
})

test('where the engine cannot wait for shared memory in its event loop, messages wake a worker, and give back what nobody waits for', async () => {
  const flags = ['--import', 'data:text/javascript,delete Atomics.waitAsync']
  const source = `
    import { Worker } from 'node:worker_threads'
    import { background, withCancel } from 'ctxbridge'
    import { link, wrap } from 'ctxbridge/worker'
    const worker = new Worker(new URL('${compiled('test/fixtures/worker-jobs.ts').href}'), { execArgv: ${JSON.stringify(flags)} })
    const jobs = wrap(worker)
    const at = new Int32Array(new SharedArrayBuffer(4))
    const [ctx, cancel] = withCancel(background())
    const call = jobs.idle(ctx, 'afterFunc', at).catch((error) => error === ctx.err())
    while (Atomics.load(at, 0) < 1) await new Promise((resolve) => setImmediate(resolve))
    cancel('by a message')
    console.log(typeof Atomics.waitAsync, await call)
    while (link(worker).stats().calls + link(worker).stats().slots > 0) await new Promise((resolve) => setImmediate(resolve))
    console.log((await jobs.last()).cause)
    await worker.terminate()`
  expect(await run(source, { flags })).toMatchObject({ code: 0, stdout: 'undefined true\nby a message\n' })
})
