/** Contexts for the jobs of real pools. What holds, holds for each of them. */
import type { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { ResourceLimits } from 'node:worker_threads'
import {
  background,
  BridgeError,
  type Context,
  DeadlineExceededError,
  isCanceled,
  RemoteError,
  withCancel,
  withTimeout,
  withValue,
} from 'ctxbridge'
import * as piscina from 'ctxbridge/piscina'
import * as tinypool from 'ctxbridge/tinypool'
import * as workerpool from 'ctxbridge/workerpool'
import { assertNoLeaks } from 'ctxbridge/testing'
import { link } from 'ctxbridge/worker'
import { Tinypool } from 'tinypool'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { pool as makeWorkerpool } from 'workerpool'
import { type GiveTask, type PoolTask, tenant } from '../fixtures/pool-jobs.ts'
import { compiled } from '../support/compiled.ts'
import { turn } from '../support/gc.ts'

/** By hand, as its own types do not compile under this project's strictness. */
const { Piscina, ArrayTaskQueue } = createRequire(import.meta.url)('piscina') as {
  readonly ArrayTaskQueue: new () => object
  readonly Piscina: new (options: object) => piscina.PiscinaPool & { close(): Promise<void>; readonly queueSize: number }
}

interface Pool {
  run(ctx: Context, task: PoolTask | GiveTask, options?: { grace?: number; name?: string }): Promise<unknown>
  /** As the pool itself runs it. */
  bare(task: unknown): PromiseLike<unknown>
  close(): unknown
}

/** No machine is so busy that a job exceeds it; with `Infinity` piscina takes another way. */
const patient = { grace: 3_600_000 }

const file = (name: string): string => fileURLToPath(compiled(`test/fixtures/${name}.ts`))

const pools: Record<string, (threads: number, resourceLimits?: ResourceLimits) => Pool> = {
  piscina: (threads, resourceLimits = {}) => {
    const pool = new Piscina({ filename: file('pool-jobs'), minThreads: threads, maxThreads: threads, resourceLimits })
    return {
      run: (ctx, task, options) => piscina.run(pool, ctx, task, { name: 'run', ...options }),
      bare: (task) => pool.run(task, { name: 'run' } as never),
      // Not destroy(): piscina answers for jobs that it was still to do, also those that were withdrawn, by an uncaught error.
      close: () => pool.close(),
    }
  },
  tinypool: (threads, resourceLimits = {}) => {
    const pool = new Tinypool({ filename: file('pool-jobs'), minThreads: threads, maxThreads: threads, resourceLimits })
    return {
      run: (ctx, task, options) => tinypool.run(pool, ctx, task, { name: 'run', ...options }),
      bare: (task) => pool.run(task, { name: 'run' }),
      close: () => pool.destroy(),
    }
  },
  workerpool: (threads, resourceLimits = {}) => {
    const workers = { minWorkers: threads, maxWorkers: threads, workerThreadOpts: { resourceLimits } }
    const pool = makeWorkerpool(file('pool-workerpool'), { workerType: 'thread', ...workers })
    return {
      run: (ctx, task, options) => workerpool.run(pool, ctx, task, { method: options?.name ?? 'run', ...options }),
      bare: (task) => pool.exec('run', [task]),
      close: () => pool.terminate(true),
    }
  },
}

async function rejection(promise: PromiseLike<unknown>): Promise<unknown> {
  return promise.then(
    (value) => {
      throw new Error(`The promise was fulfilled with ${JSON.stringify(value)}.`)
    },
    (error: unknown) => error,
  )
}

const flag = (): Int32Array => new Int32Array(new SharedArrayBuffer(4))

async function reached(at: Int32Array, value = 1): Promise<void> {
  while (Atomics.load(at, 0) < value) await turn()
}

/** From now on, to the end of the test: exceptions that nobody could catch, and rejections that nobody has. */
function caughtUncaught(): () => unknown[] {
  const caught: unknown[] = []
  const note = (error: unknown): void => void caught.push(error)
  const host: EventEmitter = process
  for (const event of ['uncaughtException', 'unhandledRejection']) {
    const others = host.listeners(event) as (typeof note)[]
    host.removeAllListeners(event).on(event, note)
    onTestFinished(() => {
      host.off(event, note)
      for (const other of others) host.on(event, other)
    })
  }
  return () => caught
}

/** A link of this thread's own, to ask what it holds in all. */
const { port1 } = new MessageChannel()
const slots = (): number => link(port1).stats().slots

describe.each(Object.entries(pools))('a job of %s', (name, make) => {
  const open: Pool[] = []
  const start = (threads = 1, resourceLimits?: ResourceLimits): Pool => {
    const pool = make(threads, resourceLimits)
    open.push(pool)
    return pool
  }

  afterEach(async () => {
    for (const pool of open.splice(0)) await pool.close()
    if (slots() > 0) throw new Error('A slot is left.')
  })

  test('gets the context: its deadline and its values', async () => {
    const pool = start()
    const ctx = withTimeout(withValue(background(), tenant, 'acme'), 60_000)
    const seen = (await pool.run(ctx, { do: 'look' })) as { left: number }
    expect(seen).toMatchObject({
      err: undefined,
      tenant: 'acme',
      shown: expect.stringMatching(/\.Import$/) as string,
    })
    expect(seen.left).toBeLessThanOrEqual(60_000)
    expect(seen.left).toBeGreaterThan(1_000)
    expect(slots()).toBe(0)
  })

  test('has no result where its deadline has passed, also in a thread that has its context from another one, which has not noticed yet', async () => {
    const pool = start()
    await pool.run(background(), { do: 'look' })
    const { port1, port2 } = new MessageChannel()
    const [near, far] = [link(port1), link(port2)]
    const probe = withCancel(background())
    // Until they have heard of each other.
    while (far.import(near.export(probe)).err() !== undefined) await turn()
    for (let i = 0; i < 50; i++) {
      // Between two whole milliseconds: so that the job returns before the timer of who made the context fires.
      const ctx = far.import(near.export(withTimeout(background(), 4.2)))
      while (ctx.remaining() > 3.2) ctx.throwIfDone()
      const outcome: unknown = await pool.run(ctx, { do: 'spin and return' }, patient).catch((error: unknown) => error)
      expect(outcome).toBeInstanceOf(DeadlineExceededError)
      expect(outcome).toBe(ctx.err())
    }
    near[Symbol.dispose]()
    far[Symbol.dispose]()
    port1.close()
  })

  test.each(['spin', 'wait'] as const)('is cancelled with its cause and keeps its worker warm: %s', async (how) => {
    const pool = start()
    const before = (await pool.run(background(), { do: 'look' })) as { threadId: number }
    for (let i = 0; i < 10; i++) {
      const [ctx, cancel] = withCancel(background())
      const at = flag()
      const call = rejection(pool.run(ctx, { do: how, flag: at }, { grace: Infinity }))
      await reached(at)
      cancel(new Error(`stop ${i}`))
      expect(await call).toBe(ctx.err())
      expect(Atomics.load(at, 0)).toBe(2)
      expect(await pool.run(background(), { do: 'last' })).toEqual({ name: 'AbortError', cause: `stop ${i}` })
    }
    expect(await pool.run(background(), { do: 'look' })).toMatchObject({ threadId: before.threadId })
    expect(slots()).toBe(0)
  })

  test('has its slot in any part of the table, as where hundreds of contexts are out already: it gets the context, and is cancelled with its cause', async () => {
    const pool = start()
    const { port1, port2 } = new MessageChannel()
    using other = link(port1)
    const exported: Context[] = []
    let low = 0
    for (const enough of [100, 500]) {
      // The lowest 64 slots, which are the first part of the table, are taken whatever was used before.
      while (exported.length < enough || (low < 64 && exported.length < 10_000)) {
        const ctx = withCancel(background())
        exported.push(ctx)
        if ((other.export(ctx).slot as number) < 64) low++
      }
      expect(low).toBe(64)
      const ctx = withTimeout(withValue(background(), tenant, 'acme'), 3_600_000)
      const seen = (await pool.run(ctx, { do: 'look' })) as { left: number }
      expect(seen).toMatchObject({ err: undefined, tenant: 'acme' })
      expect(seen.left).toBeGreaterThan(1_000_000)
      const at = flag()
      const call = rejection(pool.run(ctx, { do: 'spin', flag: at }, patient))
      await reached(at)
      ctx.cancel(new Error(`stop after ${enough}`))
      expect(await call).toBe(ctx.err())
      expect(await pool.run(background(), { do: 'last' })).toEqual({ name: 'AbortError', cause: `stop after ${enough}` })
      expect(slots()).toBe(exported.length)
    }
    other[Symbol.dispose]()
    expect(slots()).toBe(0)
    port2.close()
  })

  test('has a cause that is too long for a slot whole', async () => {
    const pool = start()
    for (const how of ['spin', 'wait'] as const) {
      const [ctx, cancel] = withCancel(background())
      const at = flag()
      const call = rejection(pool.run(ctx, { do: how, flag: at }, patient))
      await reached(at)
      cancel(new Error(`long ${'x'.repeat(900)}`))
      expect(await call).toBe(ctx.err())
      expect(await pool.run(background(), { do: 'last' })).toMatchObject({ cause: `long ${'x'.repeat(900)}` })
    }
  })

  test('ends by its deadline', async () => {
    const pool = start()
    const ctx = withTimeout(background(), 50, 'the budget')
    expect(await rejection(pool.run(ctx, { do: 'wait' }, patient))).toBe(ctx.err())
    expect(ctx.err()?.name).toBe('TimeoutError')
  })

  test('that waits in the queue never starts once its context has ended, and the next ones run', async () => {
    const pool = start()
    const [busy, free] = withCancel(background())
    const first = flag()
    const running = rejection(pool.run(busy, { do: 'spin', flag: first }, patient))
    await reached(first)
    const [ctx, cancel] = withCancel(background())
    const flags = Array.from({ length: 20 }, flag)
    const queued = flags.map((at) => rejection(pool.run(ctx, { do: 'spin', flag: at })))
    const after = pool.run(background(), { do: 'look' })
    cancel('not any more')
    expect(await Promise.all(queued)).toEqual(queued.map(() => ctx.err()))
    free()
    expect(await running).toBe(busy.err())
    expect(await after).toMatchObject({ err: undefined })
    expect(flags.map((at) => Atomics.load(at, 0))).toEqual(flags.map(() => 0))
  })

  test('does not feel that the one before it was cancelled', async () => {
    const pool = start()
    for (let i = 0; i < 50; i++) {
      const [ctx, cancel] = withCancel(background())
      const at = flag()
      const cancelled = rejection(pool.run(ctx, { do: 'wait', flag: at }, patient))
      const next = pool.run(withCancel(background()), { do: 'look' })
      await reached(at)
      cancel()
      expect(await cancelled).toBe(ctx.err())
      expect(await next).toMatchObject({ err: undefined })
    }
    expect(slots()).toBe(0)
  })

  test('leaves nothing with a context that lives on, however it ends', async () => {
    const pool = start()
    const ctx = withCancel(background())
    for (let i = 0; i < 20; i++) {
      expect(await pool.run(ctx, { do: 'look' })).toMatchObject({ err: undefined })
      assertNoLeaks(ctx)
      expect(await rejection(pool.run(ctx, { do: 'fail' }))).toBeInstanceOf(RemoteError)
      assertNoLeaks(ctx)
      const child = withCancel(ctx)
      const at = flag()
      const call = rejection(pool.run(child, { do: i % 2 === 0 ? 'spin' : 'wait', flag: at }, patient))
      await reached(at)
      child.cancel()
      expect(await call).toBe(child.err())
      assertNoLeaks(ctx)
    }
    expect(slots()).toBe(0)
  })

  test('that ignores its context is ended by force after the grace, and named; the pool goes on', async () => {
    const pool = start()
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    const call = rejection(pool.run(ctx, { do: 'ignore', flag: at }, { grace: 20 }))
    await reached(at)
    cancel('stop')
    const error = await call
    expect(error).toBeInstanceOf(BridgeError)
    expect(error).toMatchObject({
      code: 'ERR_CONTEXT_IGNORED',
      message: "The job 'run' ignored its context for 20 ms after that had ended, so its pool was told to end it by force.",
      cause: ctx.err(),
    })
    expect(isCanceled(error)).toBe(true)
    expect(await pool.run(background(), { do: 'look' })).toMatchObject({ err: undefined })
  })

  test('that has ended within its grace is not taken for one that ignores its context, though its caller was busy and has not read that yet', async () => {
    const pool = start()
    const before = (await pool.run(background(), { do: 'look' })) as { threadId: number }
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    const call = rejection(pool.run(ctx, { do: 'spin and tell', flag: at }, { grace: 20 }))
    await reached(at)
    // After a block that begins here timers come first.
    await turn()
    cancel()
    // Its result comes, and the grace is over, while this thread blocks.
    for (const giveUp = performance.now() + 10_000; Atomics.load(at, 0) !== 3 && performance.now() < giveUp; );
    Atomics.wait(at, 0, 3, 200)
    expect(await call).toBe(ctx.err())
    expect(await pool.run(background(), { do: 'look' })).toMatchObject({ threadId: before.threadId })
  })

  test('whose worker exits by itself is over when its context has ended and its grace is over, if not before, and the pool goes on', async () => {
    const pool = start()
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    // Workerpool notices that itself, and is stuck for good where it is told to cancel a job while the worker exits.
    const grace = name === 'workerpool' ? Infinity : 20
    const call = rejection(pool.run(ctx, { do: 'exit', flag: at }, { grace }))
    await reached(at)
    cancel('stop')
    expect(await call).toBeInstanceOf(Error)
    expect(await pool.run(background(), { do: 'look' })).toMatchObject({ err: undefined })
    expect(slots()).toBe(0)
  })

  test('whose worker runs out of memory fails, gives all back, and the pool goes on', async () => {
    const pool = start(1, { maxOldGenerationSizeMb: 24 })
    expect(await rejection(pool.run(withCancel(background()), { do: 'fill' }))).toMatchObject({
      message: expect.stringContaining('out of memory') as string,
    })
    expect(slots()).toBe(0)
    expect(await pool.run(background(), { do: 'look' })).toMatchObject({ err: undefined })
  })

  test('may have a grace that is longer than a timer of the host takes', async () => {
    const pool = start()
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    const call = rejection(pool.run(ctx, { do: 'wait until told', flag: at }, { grace: 30 * 86_400_000 }))
    await reached(at)
    cancel('stop')
    // A timer of the host that was set before this one has fired when this one has.
    await setTimeout(2)
    Atomics.store(at, 0, 2)
    Atomics.notify(at, 0)
    expect(await call).toBe(ctx.err())
  })

  test('fails with name, code, causes and frames of its own, whatever the pool keeps of an error', async () => {
    const pool = start()
    const error = await rejection(pool.run(withCancel(background()), { do: 'fail' }))
    expect(error).toBeInstanceOf(RemoteError)
    expect(error).toMatchObject({ name: 'RangeError', message: 'out of range', code: 'E_RANGE', cause: { message: 'inner' } })
    expect((error as Error).stack).toMatch(/^RangeError: out of range\n +at .*pool-jobs/)
    expect(slots()).toBe(0)
  })

  test('fails with the whole of a long message', async () => {
    const pool = start()
    const error = await rejection(pool.run(background(), { give: 'nothing, but throws at length' }, { name: 'give' }))
    expect(error).toMatchObject({ message: 'm'.repeat(60_000) })
  })

  test('that is no job() is told, and not taken for one', async () => {
    const pool = start()
    const error = await rejection(pool.run(withCancel(background()), { do: 'look' }, { name: 'bare' }))
    expect(error).toBeInstanceOf(TypeError)
    expect(error).toMatchObject({
      message: expect.stringMatching(/^run\(\) needs the worker's 'bare' to be a job\(\), .+\.$/) as string,
    })
    expect(await pool.run(background(), { do: 'look' })).toMatchObject({ err: undefined })
    expect(slots()).toBe(0)
  })

  test('is not even queued when its context is done', async () => {
    const pool = start()
    const ctx = withTimeout(background(), 0)
    const at = flag()
    expect(await rejection(pool.run(ctx, { do: 'look', flag: at }))).toBe(ctx.err())
    await pool.run(background(), { do: 'look' })
    expect(Atomics.load(at, 0)).toBe(0)
  })

  test('several workers share one slot for one context, and all see its end', async () => {
    const pool = start(2)
    const [ctx, cancel] = withCancel(background())
    const flags = [flag(), flag()]
    const calls = flags.map((at, i) => rejection(pool.run(ctx, { do: i === 0 ? 'spin' : 'wait', flag: at }, patient)))
    for (const at of flags) await reached(at)
    expect(slots()).toBe(1)
    cancel('all')
    expect(await Promise.all(calls)).toEqual([ctx.err(), ctx.err()])
    expect(flags.map((at) => Atomics.load(at, 0))).toEqual([2, 2])
  })

  test('leaves nothing in a worker that goes from job to job without a turn of its event loop', async () => {
    const pool = start()
    const inTurn = async (count: number): Promise<number> => {
      for (let i = 0; i < count; i += 100)
        await Promise.all(Array.from({ length: 100 }, () => pool.run(background(), { do: 'look' })))
      return (await pool.run(background(), { do: 'heap' })) as number
    }
    await inTurn(2_000)
    const before = await inTurn(2_000)
    const after = await inTurn(10_000)
    // One hundred bytes for each job.
    expect(after - before).toBeLessThan(1_000_000)
  })

  test('takes no signal as an option, as the pool itself would: it would abort nothing, or the worker', async () => {
    const pool = start()
    const options = { signal: AbortSignal.abort() }
    expect(() => pool.run(background(), { do: 'look' }, options as never)).toThrow(
      new TypeError("run() has no option 'signal': make a context that ends with it, by withSignal(ctx, signal)."),
    )
    expect(await pool.run(background(), { do: 'look' }, { signal: undefined } as never)).toMatchObject({ err: undefined })
  })

  test.each<[string, object]>([
    ['a context', withCancel(background())],
    ['a signal', new AbortController().signal],
    ['an object that has a context', { do: 'look', ctx: background() }],
    ['an object that has a signal', { do: 'look', signal: AbortSignal.timeout(1) }],
  ])('takes no task that is %s: which would be lost, or be no context there', async (_what, task) => {
    const pool = start()
    expect(() => pool.run(background(), task as PoolTask)).toThrow(
      /^run\(\) cannot send a context, or an AbortSignal, within a task: .+ withSignal\(ctx, signal\)\.$/,
    )
    expect(await pool.run(background(), { do: 'look' })).toMatchObject({ err: undefined })
  })

  test.each<[string, (ctx: Context) => object]>([
    ['a list', (ctx) => [ctx]],
    ['a map', (ctx) => new Map([['ctx', ctx]])],
    ['a list of objects', (ctx) => ({ list: [1, { ctx }] })],
  ])('tells of a context deep within a task: %s', async (_what, make) => {
    const pool = start()
    const within = make(withCancel(background())) as PoolTask
    // At once, where the pool itself would never tell.
    expect(await rejection((async () => pool.run(background(), within))())).toMatchObject({
      name: 'TypeError',
      message: expect.stringMatching(
        /^run\(\) cannot send a context, or an AbortSignal, within a task: .+ withSignal\(ctx, signal\)\.$/,
      ) as string,
    })
    expect(await pool.run(background(), { do: 'look' })).toMatchObject({ err: undefined })
    expect(slots()).toBe(0)
  })

  test.each<[GiveTask['give'], RegExp]>([
    ['a function', /: \(\) => 1 could not be cloned\.$/],
    ['a context', /: a context, or an AbortSignal, is no result: .+\.$/],
    ['an object that has a context', /: a context, or an AbortSignal, is no result: .+\.$/],
    ['a signal', /: a context, or an AbortSignal, is no result: .+\.$/],
    ['an object that has a signal', /: a context, or an AbortSignal, is no result: .+\.$/],
    ['a generator', /: what a generator gives does not cross here\. .+\.$/],
  ])('whose result is %s is told why that cannot be sent, and its worker lives', async (give, why) => {
    const pool = start()
    const before = (await pool.run(background(), { do: 'look' })) as { threadId: number }
    const error = await rejection(pool.run(background(), { give }, { name: 'give' }))
    expect(error).toBeInstanceOf(BridgeError)
    expect(error).toMatchObject({ code: 'ERR_UNSENDABLE', message: expect.stringMatching(why) as unknown })
    expect(String(error)).toMatch(/: The result of the job 'give' cannot be sent to the other thread: /)
    expect(await pool.run(background(), { do: 'look' })).toMatchObject({ threadId: before.threadId })
  })

  test('whose result has something deep within that cannot be cloned is told so, where the pool says nothing', async () => {
    const pool = start()
    const error = await rejection(pool.run(background(), { give: 'a function deep within' }, { name: 'give' }))
    expect(error).toMatchObject({ name: 'BridgeError', code: 'ERR_UNSENDABLE' })
    expect(String(error)).toMatch(/: The result of the job 'give' cannot be sent to the other thread: .+ cannot be cloned, .+\.$/)
    expect(await pool.run(background(), { do: 'look' })).toMatchObject({ err: undefined })
  })

  test('whose result has a port that is not to be transferred is told so', async () => {
    const pool = start()
    const error = await rejection(pool.run(background(), { give: 'a port that nobody has given away' }, { name: 'give' }))
    expect(error).toMatchObject({ name: 'BridgeError', code: 'ERR_UNSENDABLE' })
    // In the words of the platform on Node 20; from 22 on it is an error like all others, of which a pool leaves nothing.
    expect(String(error)).toMatch(
      /: The result of the job 'give' cannot be sent to the other thread: .*(transfer|cannot be cloned)/,
    )
  })

  test('is not blamed for its result where it has thrown something that says nothing, or has returned what says more', async () => {
    const pool = start()
    expect(await rejection(pool.run(background(), { give: 'nothing, but throws' }, { name: 'give' }))).toEqual({})
    const thrown = await rejection(pool.run(background(), { give: 'what throws when it is read' }, { name: 'give' }))
    expect(thrown).toMatchObject({ message: 'when it was read' })
    expect(await pool.run(background(), { give: 'an iterator of data' }, { name: 'give' })).toEqual({ at: 1 })
    const like = { ctxbridge: 'failed', version: 1 }
    expect(await pool.run(background(), { give: 'what looks like a failure' }, { name: 'give' })).toEqual(like)
  })

  test('needs its context', async () => {
    const pool = start()
    expect(await rejection(pool.bare({ do: 'look' }))).toMatchObject({
      message: 'A job() needs its context: call it with run(pool, ctx, task), not by the pool itself.',
    })
    expect(() => pool.run({} as Context, { do: 'look' })).toThrow(/^run\(\) needs a context/)
    expect(() => pool.run(background(), { do: 'look' }, { grace: -1 })).toThrow(/^run\(\) needs 'grace'/)
  })
})

/** Those that take a job out of their queue, when they are told that it is not wanted any more. */
const queueing = {
  piscina: (options: object) => {
    const pool = new Piscina({ filename: file('pool-jobs'), ...options })
    const run: Run = (ctx, task, more) => piscina.run(pool, ctx, task, { name: 'run', ...more })
    return { pool, run, close: () => pool.close() }
  },
  tinypool: (options: object) => {
    const pool = new Tinypool({ filename: file('pool-jobs'), ...options })
    const run: Run = (ctx, task, more) => tinypool.run(pool, ctx, task, { name: 'run', ...more })
    return { pool, run, close: () => pool.destroy() }
  },
}
type Run = (ctx: Context, task: PoolTask, options?: { grace: number }) => Promise<unknown>
type Queueing = (options: object) => { pool: { readonly queueSize: number }; run: Run; close(): Promise<void> }

test('what is no pool, or no job, is told', () => {
  for (const run of [piscina.run, tinypool.run, workerpool.run]) {
    for (const wrong of [undefined, null, {}, 1])
      expect(() => run(wrong as never, background(), 1, { method: 'run' })).toThrow(TypeError)
  }
  const processes = makeWorkerpool(file('pool-workerpool'), { workerType: 'process' })
  expect(() => workerpool.run(processes, background(), 1, { method: 'run' })).toThrow(/threads/)
  const ofProcesses: readonly (readonly [object, object])[] = [
    [{ runtime: 'child_process' }, {}],
    [{}, { runtime: 'child_process' }],
  ]
  for (const [options, more] of ofProcesses) {
    const other = { options, run: () => Promise.reject(new Error('it was asked')) }
    expect(() => tinypool.run(other, background(), 1, more)).toThrow(/^run\(\) needs a pool of threads: .+'worker_threads'\.$/)
  }
  const threads = makeWorkerpool(file('pool-workerpool'), { workerType: 'thread' })
  expect(() => workerpool.run(threads, background(), 1, {} as never)).toThrow(/'method'/)
  for (const run of [piscina.run, tinypool.run, workerpool.run]) {
    const some = { run: () => Promise.reject(new Error('it was asked')), exec: () => Promise.reject(new Error('it was asked')) }
    for (const options of [null, 1, 'name', []])
      expect(() => run(some as never, background(), 1, options as never)).toThrow(
        /^run\(\) needs its options to be an object, but got .+\.$/,
      )
  }
  expect(() => piscina.job(() => 1, null as never)).toThrow(/^job\(\) needs its options to be an object, but got null\.$/)
  expect(() => piscina.job(1 as never)).toThrow(/^job\(\) needs a function/)
  expect(() => piscina.job(() => 1, { keys: ['tenant' as never] })).toThrow(/^job\(\) needs 'keys'/)
})

test.each<[name: string, Queueing, options?: { grace: number }]>([
  ['piscina', queueing.piscina],
  ['tinypool', queueing.tinypool],
  ['tinypool, however long its grace', queueing.tinypool, { grace: Infinity }],
])(
  'a job that is cancelled in the queue leaves it, so that others find a place there, and closing finds no jobs left: %s',
  async (_name, make, options) => {
    const { pool, run, close } = make({ minThreads: 1, maxThreads: 1, maxQueue: 21 })
    const before = (await run(background(), { do: 'look' })) as { threadId: number }
    const [busy, free] = withCancel(background())
    const first = flag()
    const running = rejection(run(busy, { do: 'spin', flag: first }, patient))
    await reached(first)
    const [ctx, cancel] = withCancel(background())
    const queued = Array.from({ length: 20 }, () => rejection(run(ctx, { do: 'look' }, options)))
    const last = run(background(), { do: 'look' })
    expect(pool.queueSize).toBe(21)
    cancel('not any more')
    expect(pool.queueSize).toBe(1)
    expect(await Promise.all(queued)).toEqual(queued.map(() => ctx.err()))
    const more = Array.from({ length: 20 }, () => run(background(), { do: 'look' }, options))
    free()
    expect(await running).toBe(busy.err())
    for (const seen of await Promise.all([last, ...more]))
      expect(seen).toMatchObject({ err: undefined, threadId: before.threadId })
    await close()
    expect(slots()).toBe(0)
  },
)

test.each<[name: string, jobs: number, options: object]>([
  ['whose queue has room', 4, { maxThreads: 1, maxQueue: 3 }],
  ['that has no queue', 1, { maxThreads: 2, maxQueue: 0 }],
])(
  'a job that is cancelled while its worker starts leaves the queue, so that others find a place there: tinypool %s',
  async (_name, jobs, options) => {
    const { run, close } = queueing.tinypool({ minThreads: 0, ...options })
    const [ctx, cancel] = withCancel(background())
    const queued = Array.from({ length: jobs }, () => rejection(run(ctx, { do: 'look' })))
    cancel()
    // Where there is no queue tinypool may have refused it, which is not heard before.
    if (jobs === 1) await Promise.resolve()
    const more = Array.from({ length: jobs }, () => run(background(), { do: 'look' }))
    for (const seen of await Promise.all(more)) expect(seen).toMatchObject({ err: undefined })
    expect(await Promise.all(queued)).toEqual(queued.map(() => ctx.err()))
    await close()
    expect(slots()).toBe(0)
  },
)

test('each job of a tinypool that isolates its workers has a worker of its own, whatever became of the one before, and nothing is left', async () => {
  const { run, close } = queueing.tinypool({ minThreads: 1, maxThreads: 1, isolateWorkers: true })
  const seen = new Set<unknown>()
  const look = async (): Promise<void> => {
    const { threadId } = (await run(background(), { do: 'look' })) as { readonly threadId: number }
    expect(seen).not.toContain(threadId)
    seen.add(threadId)
  }
  await look()
  for (const how of ['spin', 'wait', 'ignore'] as const) {
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    const call = rejection(run(ctx, { do: how, flag: at }, how === 'ignore' ? { grace: 1 } : patient))
    await reached(at)
    const [other, cancelOther] = withCancel(background())
    const queued = rejection(run(other, { do: 'look' }))
    cancelOther()
    expect(await queued).toBe(other.err())
    cancel()
    expect(await call).toMatchObject(how === 'ignore' ? { code: 'ERR_CONTEXT_IGNORED' } : { name: 'AbortError' })
    await look()
  }
  await close()
  expect(slots()).toBe(0)
})

test.each<[name: string, make: (name: string) => { run(more?: object): Promise<unknown>; close(): Promise<void> }]>([
  [
    'piscina',
    (name) => {
      const pool = new Piscina({ filename: file('pool-jobs'), maxThreads: 1, name })
      return { run: (more) => piscina.run(pool, background(), { give: 'a function' }, more), close: () => pool.close() }
    },
  ],
  [
    'tinypool',
    (name) => {
      const pool = new Tinypool({ filename: file('pool-jobs'), minThreads: 1, maxThreads: 1, name })
      return { run: (more) => tinypool.run(pool, background(), { give: 'a function' }, more), close: () => pool.destroy() }
    },
  ],
])('a job that is named by its pool is called by that name in errors, as far as it has no other: %s', async (_name, make) => {
  const { run, close } = make('give')
  expect(String(await rejection(run()))).toMatch(/: The result of the job 'give' cannot be sent to the other thread: /)
  expect(String(await rejection(run({ name: 'bare' })))).toMatch(/^TypeError: run\(\) needs the worker's 'bare' to be a job\(\)/)
  await close()
})

test('a job that tinypool has put aside, as its worker runs others, is left there when it is cancelled, and nothing is thrown', async () => {
  const { run, close } = queueing.tinypool({ minThreads: 1, maxThreads: 1, concurrentTasksPerWorker: 2 })
  const others = [withCancel(background()), withCancel(background())] as const
  const flags = [flag(), flag()]
  const running = others.map((ctx, i) => rejection(run(ctx, { do: 'wait', flag: flags[i] as Int32Array }, { grace: Infinity })))
  for (const at of flags) await reached(at)
  const [ctx, cancel] = withCancel(background())
  const aside = rejection(run(ctx, { do: 'look' }))
  others[0].cancel()
  expect(await running[0]).toBe(others[0].err())
  cancel()
  expect(await aside).toBe(ctx.err())
  const next = run(background(), { do: 'look' })
  others[1].cancel()
  expect(await running[1]).toBe(others[1].err())
  expect(await next).toMatchObject({ err: undefined })
  await close()
  expect(slots()).toBe(0)
})

test('a job that piscina has given to its worker, and that has not begun, costs no worker when it is cancelled', async () => {
  const pool = new Piscina({ filename: file('pool-jobs'), minThreads: 1, maxThreads: 1 })
  const options = { name: 'run', ...patient }
  const look = (ctx: Context): Promise<unknown> => piscina.run(pool, ctx, { do: 'look' } satisfies PoolTask, options)
  const before = (await look(background())) as { threadId: number }
  for (let i = 0; i < 20; i++) {
    const [ctx, cancel] = withCancel(background())
    const call = rejection(look(ctx))
    cancel()
    expect(await call).toBe(ctx.err())
    expect(await look(background())).toMatchObject({ threadId: before.threadId })
  }
  await pool.close()
})

test("what piscina's own queue throws, as it does not have a job that was put aside, goes to nobody: the job is rejected and never begins", async () => {
  const uncaught = caughtUncaught()
  const { run, close } = queueing.piscina({ minThreads: 1, maxThreads: 1, taskQueue: new ArrayTaskQueue() })
  const before = (await run(background(), { do: 'look' })) as { threadId: number }
  const [busy, free] = withCancel(background())
  const at = flag()
  const running = rejection(run(busy, { do: 'spin', flag: at }))
  await reached(at)
  const begun = flag()
  const contexts = Array.from({ length: 6 }, () => withCancel(background()))
  const queued = contexts.map((ctx) => run(ctx, { do: 'wait', flag: begun }).catch((error: unknown) => error))
  const last = run(background(), { do: 'look' })
  for (const ctx of contexts) {
    ctx.cancel()
    await turn()
  }
  expect(await Promise.all(queued)).toEqual(contexts.map((ctx) => ctx.err()))
  free()
  await running
  expect(await last).toMatchObject({ threadId: before.threadId })
  expect(begun[0]).toBe(0)
  await close()
  expect(slots()).toBe(0)
  expect(uncaught()).toEqual([])
})

test.each(Object.entries(queueing))('a job that %s refuses may be cancelled in the same turn', async (_name, make) => {
  const uncaught = caughtUncaught()
  const { run, close } = make({
    minThreads: 1,
    maxThreads: 1,
    maxQueue: 1,
    ...(make === queueing.piscina && { taskQueue: new ArrayTaskQueue() }),
  })
  await run(background(), { do: 'look' })
  const [ctx, cancel] = withCancel(background())
  const at = flag()
  const running = rejection(run(ctx, { do: 'spin', flag: at }))
  await reached(at)
  const more = Array.from({ length: 4 }, () => rejection(run(ctx, { do: 'look' })))
  cancel()
  expect(await Promise.all([running, ...more])).toEqual([1, 2, 3, 4, 5].map(() => ctx.err()))
  await turn()
  expect(uncaught()).toEqual([])
  await close()
})
