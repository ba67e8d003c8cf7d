/** Pools that are not a main thread's, and worker files that are no modules. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { background, type Context, isDeadlineExceeded, withCancel, withTimeout } from 'ctxbridge'
import * as piscina from 'ctxbridge/piscina'
import * as tinypool from 'ctxbridge/tinypool'
import { link, wrap } from 'ctxbridge/worker'
import * as workerpool from 'ctxbridge/workerpool'
import { Tinypool } from 'tinypool'
import { afterAll, expect, test } from 'vitest'
import { pool as makeWorkerpool } from 'workerpool'
import type { PoolTask } from '../fixtures/pool-jobs.ts'
import type { outer } from '../fixtures/pool-outer.ts'
import { compiled } from '../support/compiled.ts'
import { turn } from '../support/gc.ts'
import { flag, reached, rejection } from '../worker/workers.ts'

/** By hand, as its own types do not compile under this project's strictness. */
const { Piscina } = createRequire(import.meta.url)('piscina') as {
  readonly Piscina: new (options: object) => piscina.PiscinaPool & { close(): Promise<void> }
}

const file = compiled('test/fixtures/pool-outer.ts')
const { port1 } = new MessageChannel()

interface Outer {
  pass(ctx: Context, task: PoolTask): Promise<unknown>
  slots(): Promise<unknown>
  close(): Promise<unknown>
}

test.each<[name: string, make: () => Outer]>([
  [
    'a job',
    () => {
      const pool = new Piscina({ filename: fileURLToPath(file), minThreads: 1, maxThreads: 1 })
      return {
        pass: (ctx, task) => piscina.run(pool, ctx, task, { name: 'pass', grace: 3_600_000 }),
        slots: () => piscina.run(pool, background(), undefined, { name: 'slots' }),
        close: () => pool.close(),
      }
    },
  ],
  [
    'a method of a worker',
    () => {
      const worker = new Worker(file, { workerData: 'serves' })
      const remote = wrap<typeof outer>(worker)
      return { pass: remote.pass, slots: () => remote.slots(background()), close: () => worker.terminate() }
    },
  ],
])('%s may run a job of a pool of its own, which ends with it', async (_name, make) => {
  const { pass, slots, close } = make()
  const look = async (): Promise<unknown> =>
    ((await pass(background(), { do: 'look' })) as { readonly threadId: unknown }).threadId
  const before = await look()
  for (const how of ['spin', 'wait'] as const) {
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    const call = rejection(pass(ctx, { do: how, flag: at }))
    await reached(at)
    cancel(`no more of: ${how}`)
    expect(await call).toBe(ctx.err())
    expect(await pass(background(), { do: 'last' })).toEqual({ name: 'AbortError', cause: `no more of: ${how}` })
  }
  expect(await look()).toBe(before)
  const [ctx, cancel] = withCancel(background())
  const at = flag()
  const call = rejection(pass(ctx, { do: 'ignore', flag: at }))
  await reached(at)
  cancel()
  expect(await call).toBe(ctx.err())
  expect(await look()).not.toBe(before)
  while ((await slots()) !== 0) await turn()
  await close()
  while (link(port1).stats().slots > 0) await turn()
})

const folder = mkdtempSync(fileURLToPath(new URL('cjs-', compiled(''))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const execArgv = ['--no-warnings']
const commonJs: Record<
  string,
  (lines: readonly string[]) => { run(ctx: Context, task: number): Promise<unknown>; close(): unknown }
> = {
  piscina: (lines) => {
    const pool = new Piscina({ filename: write('piscina', [...lines, 'module.exports = count']), maxThreads: 1, execArgv })
    return { run: (ctx, task) => piscina.run(pool, ctx, task), close: () => pool.close() }
  },
  tinypool: (lines) => {
    const pool = new Tinypool({ filename: write('tinypool', [...lines, 'module.exports = count']), maxThreads: 1, execArgv })
    return { run: (ctx, task) => tinypool.run(pool, ctx, task), close: () => pool.destroy() }
  },
  workerpool: (lines) => {
    const script = write('workerpool', [...lines, "require('workerpool').worker({ count })"])
    const pool = makeWorkerpool(script, { workerType: 'thread', maxWorkers: 1, workerThreadOpts: { execArgv } })
    return { run: (ctx, task) => workerpool.run(pool, ctx, task, { method: 'count' }), close: () => pool.terminate(true) }
  },
}

function write(name: string, lines: readonly string[]): string {
  const path = `${folder}/${name}.cjs`
  writeFileSync(path, lines.join('\n'))
  return path
}

test.each(Object.entries(commonJs))('a worker file of %s may be a CommonJS one', async (name, make) => {
  const { run, close } = make([
    `const { job } = require('ctxbridge/${name}')`,
    'const count = job((ctx, to) => {',
    '  let n = 0',
    '  while (n < to && ctx.err() === undefined) n++',
    '  return n',
    '})',
  ])
  expect(await run(background(), 1_000)).toBe(1_000)
  const ctx = withTimeout(background(), 20)
  expect(isDeadlineExceeded(await rejection(run(ctx, Infinity)))).toBe(true)
  expect(await run(background(), 2_000)).toBe(2_000)
  await close()
})
