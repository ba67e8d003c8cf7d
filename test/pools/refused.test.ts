/** What a pool refuses, and what may not be sent to it. */
import { createRequire } from 'node:module'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { background, withCancel } from 'ctxbridge'
import * as piscina from 'ctxbridge/piscina'
import * as tinypool from 'ctxbridge/tinypool'
import { Tinypool } from 'tinypool'
import { afterEach, describe, expect, test } from 'vitest'
import { compiled } from '../support/compiled.ts'
import { turn } from '../support/gc.ts'
import { rejection } from '../worker/workers.ts'

/** By hand, as its own types do not compile under this project's strictness. */
const { Piscina } = createRequire(import.meta.url)('piscina') as {
  readonly Piscina: new (options: object) => piscina.PiscinaPool & { close(): Promise<void>; readonly completed: number }
}

const filename = fileURLToPath(compiled('test/fixtures/pool-jobs.ts'))
const flag = (): Int32Array => new Int32Array(new SharedArrayBuffer(4))
const open: { close(): unknown }[] = []

function poolOf(maxQueue: number | 'auto'): InstanceType<typeof Piscina> {
  const pool = new Piscina({ filename, minThreads: 1, maxThreads: 1, maxQueue, name: 'run' })
  open.push(pool)
  return pool
}

afterEach(async () => {
  for (const pool of open.splice(0)) await pool.close()
})

async function reached(at: Int32Array, value = 1): Promise<void> {
  while (Atomics.load(at, 0) < value) await turn()
}

test.each([200, Number.POSITIVE_INFINITY])(
  'a job that piscina refused never begins, and with a grace leaves its queue (grace %d)',
  async (grace) => {
    const pool = poolOf(0)
    await piscina.run(pool, background(), { do: 'look' })
    const [busy, begun] = [flag(), flag()]
    const first = piscina.run(pool, background(), { do: 'wait until told', flag: busy })
    await reached(busy)
    const ctx = withCancel(background())
    // That would run until its context ends.
    for (const end of [ctx, background(), withCancel(background())]) {
      const why = await rejection(piscina.run(pool, end, { do: 'spin', flag: begun }, { grace }))
      expect(String(why)).toContain('No task queue available')
    }
    // Piscina keeps the first all the same; with a grace it is taken out.
    const kept = grace === Infinity ? 1 : 0
    expect(pool.queueSize).toBe(kept)
    ctx.cancel('never mind')
    Atomics.store(busy, 0, 2)
    Atomics.notify(busy, 0)
    await first
    while (pool.completed < 2 + kept) await turn()
    expect(await piscina.run(pool, background(), { do: 'look' })).toMatchObject({ err: undefined })
    expect(Atomics.load(begun, 0)).toBe(0)
  },
)

test.each<[number | 'auto', number]>([
  [2, 200],
  ['auto', 200],
  [2, Number.POSITIVE_INFINITY],
])('the queue of piscina has its limit here as well (maxQueue %s, grace %d)', async (maxQueue, grace) => {
  const refusals = async (
    call: (pool: InstanceType<typeof Piscina>, task: object) => PromiseLike<unknown>,
  ): Promise<string[]> => {
    const pool = poolOf(maxQueue)
    await piscina.run(pool, background(), { do: 'look' })
    const busy = flag()
    const first = piscina.run(pool, background(), { do: 'wait until told', flag: busy })
    await reached(busy)
    const calls = Array.from({ length: 10 }, () => call(pool, { do: 'look' }))
    const refused: string[] = []
    const all = Promise.all(calls.map(async (one) => one.then(undefined, (error: Error) => refused.push(error.message))))
    Atomics.store(busy, 0, 2)
    Atomics.notify(busy, 0)
    await Promise.all([first, all])
    return refused
  }
  const alone = await refusals((pool, task) => pool.run(task, { name: 'bare' } as never))
  expect(alone.length).toBeGreaterThan(0)
  expect(await refusals((pool, task) => piscina.run(pool, background(), task, { grace }))).toEqual(alone)
})

test.each([0, 2])(
  'what waits in piscina counts, whatever its grace, also while its worker starts (maxQueue %d)',
  async (maxQueue) => {
    const accepted = async (
      call: (pool: InstanceType<typeof Piscina>, grace: number) => PromiseLike<unknown>,
      graces: readonly number[],
    ): Promise<number> => {
      const pool = new Piscina({ filename, minThreads: 0, maxThreads: 1, maxQueue, name: 'run' })
      open.push(pool)
      const calls = Array.from({ length: 12 }, (_, i) => call(pool, graces[i % graces.length] as number))
      const all = await Promise.allSettled(calls)
      return all.filter(({ status }) => status === 'fulfilled').length
    }
    const alone = await accepted((pool) => pool.run({ do: 'look' }, { name: 'bare' } as never), [200])
    expect(alone).toBe(maxQueue + 1)
    const ours = (pool: InstanceType<typeof Piscina>, grace: number): Promise<unknown> =>
      piscina.run(pool, background(), { do: 'look' }, { grace })
    expect(await accepted(ours, [200])).toBe(alone)
    // Without a queue, one that waits for the worker is counted with its like alone.
    expect(await accepted(ours, [200, Number.POSITIVE_INFINITY])).toBe(maxQueue === 0 ? alone + 1 : alone)
  },
)

test('a job without a grace runs at once beside another one in a worker of piscina that takes two, whatever waits there', async () => {
  const pool = new Piscina({ filename, minThreads: 1, maxThreads: 1, concurrentTasksPerWorker: 2, maxQueue: 1, name: 'run' })
  open.push(pool)
  const [ctx, cancel] = withCancel(background())
  const at = flag()
  const first = rejection(piscina.run(pool, ctx, { do: 'wait', flag: at }, { grace: Infinity }))
  await reached(at)
  // That is to have a worker for itself.
  const queued = piscina.run(pool, background(), { do: 'look' })
  expect(pool.queueSize).toBe(1)
  expect(await piscina.run(pool, background(), { do: 'look' }, { grace: Infinity })).toMatchObject({ err: undefined })
  expect(pool.queueSize).toBe(1)
  expect(String(await rejection(piscina.run(pool, background(), { do: 'look' })))).toBe('Error: Task queue is at limit')
  cancel()
  expect(await first).toBe(ctx.err())
  expect(await queued).toMatchObject({ err: undefined })
})

test.each([200, Number.POSITIVE_INFINITY])('a piscina that closes says so, also where it is full (grace %d)', async (grace) => {
  const pool = poolOf(1)
  const busy = flag()
  const first = piscina.run(pool, background(), { do: 'wait until told', flag: busy })
  await reached(busy)
  const queued = piscina.run(pool, background(), { do: 'look' }, { grace })
  const closed = pool.close()
  expect(await rejection(piscina.run(pool, background(), { do: 'look' }, { grace }))).toMatchObject({ name: 'AbortError' })
  Atomics.store(busy, 0, 2)
  Atomics.notify(busy, 0)
  await Promise.all([first, queued, closed])
})

describe('a task that cannot be cloned is told with the job that it was for, and the worker lives on', () => {
  const task = { f: () => 1 }
  const message = /^The task of the job 'run' cannot be sent to the other thread: .+could not be cloned\.$/

  test('piscina', async () => {
    const pool = poolOf(10)
    const [before, why, after] = [
      await piscina.run(pool, background(), { do: 'look' }),
      await rejection(piscina.run(pool, background(), task)),
      await piscina.run(pool, background(), { do: 'look' }),
    ]
    expect(why).toMatchObject({ name: 'BridgeError', code: 'ERR_UNSENDABLE', message: expect.stringMatching(message) as string })
    expect(after).toMatchObject({ threadId: (before as { threadId: number }).threadId })
  })

  test('tinypool', async () => {
    const pool = new Tinypool({ filename, minThreads: 1, maxThreads: 1 })
    open.push({ close: () => pool.destroy() })
    const why = await rejection(tinypool.run(pool, background(), task, { name: 'run' }))
    expect(why).toMatchObject({ name: 'BridgeError', code: 'ERR_UNSENDABLE', message: expect.stringMatching(message) as string })
    expect(await tinypool.run(pool, background(), { do: 'look' }, { name: 'run' })).toMatchObject({ err: undefined })
  })
})

describe('where many files have a job that is called default, its error names the file', () => {
  const pool = (options: object): piscina.PiscinaPool => ({ options, run: () => Promise.resolve('of another function') })
  const named = (name: string): RegExp => new RegExp(`^run\\(\\) needs the worker's '${name}' to be a job\\(\\)`)

  test.each<[string, object, object]>([
    ['default of resize.mjs', { filename: '/jobs/resize.mjs' }, {}],
    ['default of other.mjs', { filename: '/jobs/resize.mjs', name: 'default' }, { filename: 'file:///jobs/other.mjs' }],
    ['default of win.mjs', {}, { filename: 'C:\\jobs\\win.mjs', name: 'default' }],
    ['default', {}, {}],
    ['resize', { filename: '/jobs/resize.mjs', name: 'resize' }, {}],
    ['crop', { filename: '/jobs/resize.mjs', name: 'resize' }, { name: 'crop' }],
  ])('%s', async (name, options, given) => {
    for (const run of [piscina.run, tinypool.run]) {
      expect(await rejection(run(pool(options), background(), 1, given))).toMatchObject({
        message: expect.stringMatching(named(name.replaceAll('.', '\\.'))) as string,
      })
    }
  })

  test('as a real pool has it', async () => {
    const real = new Piscina({ filename, minThreads: 1, maxThreads: 1, name: 'bare' })
    open.push(real)
    expect(String(await rejection(piscina.run(real, background(), 1)))).toContain("the worker's 'bare'")
    const why = await rejection(piscina.run(real, background(), 1, { name: 'default' }))
    expect(String(why)).not.toContain(`of ${basename(filename)} of`)
  })
})
