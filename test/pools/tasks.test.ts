/** What the pools themselves read of a task, which they find in the envelope, too. */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { background } from 'ctxbridge'
import * as piscina from 'ctxbridge/piscina'
import * as tinypool from 'ctxbridge/tinypool'
import * as workerpool from 'ctxbridge/workerpool'
import { Tinypool } from 'tinypool'
import { expect, test } from 'vitest'
import { pool as makeWorkerpool } from 'workerpool'
import { compiled } from '../support/compiled.ts'

interface Pool extends piscina.PiscinaPool {
  destroy(): Promise<void>
}

interface Kind {
  new (options: object): Pool
  move(value: object): unknown
  readonly queueOptionsSymbol: symbol
}

/** By hand, as its own types do not compile under this project's strictness. */
const { Piscina } = createRequire(import.meta.url)('piscina') as { readonly Piscina: Kind }
const filename = fileURLToPath(compiled('test/fixtures/pool-jobs.ts'))

const kinds: readonly (readonly [name: string, Kind, typeof piscina.run])[] = [
  ['piscina', Piscina, piscina.run],
  ['tinypool', Tinypool, tinypool.run],
]

const threads = makeWorkerpool(fileURLToPath(compiled('test/fixtures/pool-workerpool.ts')), {
  workerType: 'thread',
  maxWorkers: 1,
})

/** A queue as programs make them: it asks each task for what was said of it. */
class Queue<T extends object> {
  readonly asked: unknown[] = []
  readonly #key: symbol
  #tasks: T[] = []

  constructor(key: symbol) {
    this.#key = key
  }

  get size(): number {
    return this.#tasks.length
  }

  push(task: T): void {
    this.asked.push((task as Record<symbol, unknown>)[this.#key])
    this.#tasks.push(task)
  }

  shift(): T | null {
    return this.#tasks.shift() ?? null
  }

  remove(task: T): void {
    this.#tasks = this.#tasks.filter((other) => other !== task)
  }
}

test.each(kinds)('what is within move() of %s is transferred, beside what is listed', async (_name, kind, run) => {
  const pool = new kind({ filename, minThreads: 1, maxThreads: 1 })
  const bytes = new Uint8Array(16)
  expect(await run(pool, background(), kind.move(bytes), { name: 'bytes' })).toBe(16)
  expect(bytes.byteLength).toBe(0)
  const [more, other] = [new Uint8Array(8), new ArrayBuffer(8)]
  expect(await run(pool, background(), kind.move(more), { name: 'bytes', transferList: [other] })).toBe(8)
  expect([more.byteLength, other.byteLength]).toEqual([0, 0])
  const kept = new Uint8Array(4)
  expect(await run(pool, background(), kept, { name: 'bytes' })).toBe(4)
  expect(kept.byteLength).toBe(4)
  await pool.destroy()
})

test.each<[string, (name: string, task: unknown) => Promise<unknown>, () => Promise<unknown>]>([
  ...kinds.map(([name, kind, run]) => {
    const pool = new kind({ filename, minThreads: 1, maxThreads: 1 })
    const ask = (name: string, task: unknown): Promise<unknown> => run(pool, background(), task, { name })
    return [name, ask, () => pool.destroy()] as never
  }),
  ['workerpool', (method, task) => workerpool.run(threads, background(), task, { method }), async () => threads.terminate(true)],
])('a result that is moved in the way of %s is not copied', async (name, ask, close) => {
  expect(await ask('move', name)).toEqual(new Uint8Array(16))
  expect(await ask('left', undefined)).toBe(0)
  await close()
})

test.each(kinds)("a queue of the program's own finds its options in the tasks of %s", async (_name, kind, run) => {
  const key = kind.queueOptionsSymbol
  const queue = new Queue(key)
  const pool = new kind({ filename, minThreads: 1, maxThreads: 1, taskQueue: queue })
  // The first is the worker's at once. Of what can be aborted piscina has a queue of its own.
  const tasks = [{}, { [key]: { priority: 1 } }, {}, { [key]: { priority: 2 } }]
  const runs = tasks.map((task) => run(pool, background(), task, { name: 'bytes', grace: Infinity }))
  for (const priority of [1, 2]) expect(queue.asked).toContainEqual({ priority })
  expect(await Promise.all(runs)).toEqual(tasks.map(String))
  await pool.destroy()
})
