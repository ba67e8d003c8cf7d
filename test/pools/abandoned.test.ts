/** Jobs that their workers never come to, and jobs whose pools are through with them before they end. */
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { background, type Context, withCancel } from 'ctxbridge'
import * as piscina from 'ctxbridge/piscina'
import * as tinypool from 'ctxbridge/tinypool'
import { link } from 'ctxbridge/worker'
import * as workerpool from 'ctxbridge/workerpool'
import { Tinypool } from 'tinypool'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { pool as makeWorkerpool } from 'workerpool'
import type { PoolTask } from '../fixtures/pool-jobs.ts'
import { compiled } from '../support/compiled.ts'
import { impatient } from '../support/impatient.ts'
import { flag, reached, rejection } from '../worker/workers.ts'

/** By hand, as its own types do not compile under this project's strictness. */
const { Piscina } = createRequire(import.meta.url)('piscina') as {
  readonly Piscina: new (
    options: object,
  ) => piscina.PiscinaPool & {
    close(): Promise<void>
    readonly options: { execArgv?: readonly string[] | undefined }
  }
}

const file = (name: string): string => fileURLToPath(compiled(`test/fixtures/${name}.ts`))
const open: (() => unknown)[] = []
const { port1 } = new MessageChannel()
const slots = (): number => link(port1).stats().slots

afterEach(async () => {
  for (const close of open.splice(0)) await close()
  if (slots() > 0) throw new Error('A slot is left.')
})

type Run = (ctx: Context, task: PoolTask, options?: { grace: number }) => Promise<unknown>

/** With one worker, whose event loop turns between two jobs; `fails` is asked before another one is made. */
const pools: Record<string, (threads?: number) => { run: Run; failNext(fails: boolean): void }> = {
  piscina: (threads = 1) => {
    const pool = new Piscina({ filename: file('pool-jobs'), minThreads: 1, maxThreads: threads, atomics: 'disabled' })
    open.push(() => pool.close())
    return {
      run: (ctx, task, options) => piscina.run(pool, ctx, task, { name: 'run', ...options }),
      failNext: (fails) => (pool.options.execArgv = fails ? ['--no-such-flag'] : undefined),
    }
  },
  tinypool: (threads = 1) => {
    const pool = new Tinypool({ filename: file('pool-jobs'), minThreads: 1, maxThreads: threads, useAtomics: false })
    open.push(() => pool.destroy())
    return {
      run: (ctx, task, options) => tinypool.run(pool, ctx, task, { name: 'run', ...options }),
      failNext: (fails) => ((pool.options as { execArgv?: unknown }).execArgv = fails ? ['--no-such-flag'] : undefined),
    }
  },
  workerpool: (threads = 1) => {
    let mustFail = false
    const onCreateWorker = (): undefined => {
      if (mustFail) throw new Error('no-such-flag')
    }
    const options = { workerType: 'thread', maxWorkers: threads, workerTerminateTimeout: 20, onCreateWorker } as const
    const pool = makeWorkerpool(file('pool-workerpool'), options)
    open.push(() => pool.terminate(true))
    return {
      run: (ctx, task, options) => workerpool.run(pool, ctx, task, { method: 'run', ...options }),
      failNext: (fails) => (mustFail = fails),
    }
  },
}

/** Those that keep the process. */
const timers = (): number => process.getActiveResourcesInfo().filter((one) => one === 'Timeout').length

describe.each(Object.entries(pools))('%s', (_name, make) => {
  test('replaces a worker that does not come to a job that was given to it, when its context has ended', async () => {
    const { run } = make()
    const at = flag()
    await run(background(), { do: 'block afterwards', flag: at })
    await reached(at, 2)
    const [ctx, cancel] = withCancel(background())
    const call = rejection(run(ctx, { do: 'look' }, { grace: 1 }))
    const before = timers()
    onTestFinished(impatient())
    cancel('stop')
    // Nobody waits for that: the process does not stay.
    expect(timers()).toBe(before)
    expect(await call).toBe(ctx.err())
    expect(await run(background(), { do: 'look' })).toMatchObject({ err: undefined })
  })

  test('replaces a worker that cannot tell that its job has returned', async () => {
    const { run } = make()
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    const call = rejection(run(ctx, { do: 'return and block', flag: at }, { grace: 1 }))
    await reached(at, 2)
    cancel()
    expect(await call).toBe(ctx.err())
    expect(await run(background(), { do: 'look' })).toMatchObject({ err: undefined })
  })

  test('begins no job of which it has thrown', async () => {
    const { run, failNext } = make(2)
    const [busy, begun] = [flag(), flag()]
    const first = run(background(), { do: 'wait until told', flag: busy })
    await reached(busy)
    failNext(true)
    expect(String(await rejection(run(background(), { do: 'spin', flag: begun })))).toContain('no-such-flag')
    failNext(false)
    Atomics.store(busy, 0, 2)
    Atomics.notify(busy, 0)
    await first
    await run(background(), { do: 'look' })
    expect(Atomics.load(begun, 0)).toBe(0)
  })
})

test.each<[string, (typeof pools)[string]]>([
  ['workerpool', pools['workerpool'] as never],
  [
    'tinypool with several tasks at a time',
    () => {
      const options = { minThreads: 1, maxThreads: 1, concurrentTasksPerWorker: 2, useAtomics: false }
      const pool = new Tinypool({ filename: file('pool-jobs'), ...options })
      open.push(() => pool.destroy())
      const run: Run = (ctx, task, options) => tinypool.run(pool, ctx, task, { name: 'run', ...options })
      return { run, failNext: () => undefined }
    },
  ],
])('%s replaces a worker that does not come to a job which was cancelled in the queue, and stayed there', async (_name, make) => {
  const { run } = make()
  const at = flag()
  const first = run(background(), { do: 'answer when told and block', flag: at }, { grace: 1 })
  await reached(at)
  const [ctx, cancel] = withCancel(background())
  const call = rejection(run(ctx, { do: 'look' }, { grace: 1 }))
  const next = run(background(), { do: 'look' }, { grace: 1 })
  cancel('in the queue')
  expect(await call).toBe(ctx.err())
  onTestFinished(impatient())
  Atomics.store(at, 0, 2)
  Atomics.notify(at, 0)
  await first
  expect(await next).toMatchObject({ err: undefined })
})

test('tinypool replaces a worker that has exited between two jobs', async () => {
  const pool = new Tinypool({ filename: file('pool-jobs'), minThreads: 1, maxThreads: 1, useAtomics: false })
  open.push(() => pool.destroy())
  const run: Run = (ctx, task, options) => tinypool.run(pool, ctx, task, { name: 'run', ...options })
  const exited = once(pool.threads[0] as never, 'exit')
  await run(background(), { do: 'exit afterwards' })
  await exited
  const [ctx, cancel] = withCancel(background())
  const call = rejection(run(ctx, { do: 'spin' }, { grace: 1 }))
  onTestFinished(impatient())
  cancel()
  expect(await call).toBe(ctx.err())
  expect(await run(background(), { do: 'look' })).toMatchObject({ err: undefined })
})

test('piscina replaces a worker that is never loaded', async () => {
  const loads = flag()
  const pool = new Piscina({ filename: file('pool-hangs'), minThreads: 1, maxThreads: 1, workerData: [loads, flag()] })
  open.push(() => pool.close())
  await reached(loads)
  const [ctx, cancel] = withCancel(background())
  const call = rejection(piscina.run(pool, ctx, 1, { name: 'run', grace: 1 }))
  onTestFinished(impatient())
  cancel()
  expect(await call).toBe(ctx.err())
  expect(await piscina.run(pool, background(), 1, { name: 'run' })).toBe(2)
})

test.each<[string, (options: object) => (ctx: Context, options: object) => Promise<unknown>]>([
  [
    'piscina',
    (options) => {
      const pool = new Piscina(options)
      open.push(() => pool.close())
      return (ctx, more) => piscina.run(pool, ctx, 1, more)
    },
  ],
  [
    'tinypool',
    (options) => {
      const pool = new Tinypool(options)
      open.push(() => pool.destroy())
      return (ctx, more) => tinypool.run(pool, ctx, 1, more)
    },
  ],
])('%s keeps a worker that is still loading the file of its job when the context of that has ended', async (_name, make) => {
  const [loads, told] = [flag(), flag()]
  const run = make({ minThreads: 1, maxThreads: 1, workerData: [loads, told] })
  const its = { filename: file('pool-hangs'), name: 'run', grace: 1 }
  const [ctx, cancel] = withCancel(background())
  const call = rejection(run(ctx, its))
  await reached(loads)
  cancel()
  expect(await call).toBe(ctx.err())
  // A grace is over one timer after its own: where that began before these, and is shorter, it is over when these are.
  for (const ms of [3, 1]) await setTimeout(ms)
  Atomics.store(told, 0, 1)
  expect(await run(background(), its)).toBe(1)
})

/** Tinypool takes a message of a worker's own for a fault, and is through with its job; the worker lives until its teardown is done. */
function tearing(maxThreads = 1, more: object = {}): { run: Run; down: Int32Array; pool: Tinypool } {
  const down = flag()
  const options = { filename: file('pool-jobs'), minThreads: maxThreads, maxThreads, teardown: 'teardown', workerData: down }
  const pool = new Tinypool({ ...options, ...more })
  open.push(() => {
    Atomics.store(down, 0, 2)
    return pool.destroy()
  })
  return { run: (ctx, task, options) => tinypool.run(pool, ctx, task, { name: 'run', ...options }), down, pool }
}

describe('a job that its pool is through with', () => {
  test.each(['tell and spin', 'tell and wait'] as const)('has a context that has ended, and answers nobody: %s', async (how) => {
    const uncaught: unknown[] = []
    const note = (error: unknown): void => void uncaught.push(error)
    process.on('uncaughtException', note)
    onTestFinished(() => void process.off('uncaughtException', note))
    const { run, down, pool } = tearing()
    const [worker] = pool.threads
    const at = flag()
    const error = await rejection(run(withCancel(background()), { do: how, flag: at }))
    expect(String(error)).toContain('Unexpected message')
    expect(slots()).toBe(0)
    await reached(at, 2)
    const exited = once(worker as never, 'exit')
    Atomics.store(down, 0, 2)
    await exited
    expect(uncaught).toEqual([])
  })

  test('has one that ends with the last of those that had it then', async () => {
    const { run } = tearing(3)
    const ctx = withCancel(background())
    const [mine, theirs, later] = [flag(), flag(), flag()]
    const other = run(ctx, { do: 'wait until told', flag: theirs })
    await reached(theirs)
    expect(String(await rejection(run(ctx, { do: 'tell and spin', flag: mine })))).toContain('Unexpected message')
    const last = run(ctx, { do: 'wait until told', flag: later })
    await reached(later)
    expect(Atomics.load(mine, 0)).toBe(1)
    for (const [at, call] of [
      [theirs, other],
      [later, last],
    ] as const) {
      Atomics.store(at, 0, 2)
      Atomics.notify(at, 0)
      await call
      await reached(mine, 2)
    }
  })

  test('in a workerpool that is terminated, too', async () => {
    const pool = makeWorkerpool(file('pool-workerpool'), { workerType: 'thread', maxWorkers: 1, workerTerminateTimeout: 60_000 })
    const at = flag()
    const call = rejection(workerpool.run(pool, withCancel(background()), { do: 'spin', flag: at }, { method: 'run' }))
    await reached(at)
    const terminated = pool.terminate(true)
    expect(String(await call)).toContain('Worker terminated')
    await reached(at, 2)
    await terminated
  })
})

test.each<[string, object, (pool: Tinypool) => unknown]>([
  ['has workers of its own for each', { isolateWorkers: true }, () => undefined],
  ['replaces its workers', {}, (pool) => pool.recycleWorkers()],
])('a job that its worker is through with ignores nothing, where its tinypool %s', async (_name, more, recycle) => {
  for (const how of ['wait until told', 'wait'] as const) {
    const { run, down, pool } = tearing(1, more)
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    const call = rejection(run(ctx, { do: how, flag: at }, { grace: 20 }))
    await reached(at)
    await recycle(pool)
    if (how === 'wait') cancel()
    else {
      Atomics.store(at, 0, 2)
      Atomics.notify(at, 0)
    }
    await reached(down)
    cancel()
    expect(await call).toBe(ctx.err())
    expect(slots()).toBe(0)
    // It tears down once.
    expect(Atomics.load(down, 0)).toBe(1)
    Atomics.store(down, 0, 2)
    expect(await run(background(), { do: 'look' })).toMatchObject({ err: undefined })
  }
})
