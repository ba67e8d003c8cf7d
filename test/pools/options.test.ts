/** What a pool is told with a job, and what holds where that is left out. */
import { fileURLToPath } from 'node:url'
import { background, type Context, withCancel } from 'ctxbridge'
import * as piscina from 'ctxbridge/piscina'
import * as tinypool from 'ctxbridge/tinypool'
import * as workerpool from 'ctxbridge/workerpool'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { pool as makeWorkerpool } from 'workerpool'
import { compiled } from '../support/compiled.ts'
import { rejection } from '../worker/workers.ts'

interface Envelope {
  readonly state: Int32Array
}

interface Signal {
  once(event: 'abort', listener: () => void): unknown
}

/** As each pool is given a job whose worker never comes back to it: `forced` is called when the pool is told to end it. */
const deaf: Record<string, (ctx: Context, options: piscina.RunOptions, forced: () => void) => Promise<unknown>> =
  Object.fromEntries(
    [
      ['piscina', piscina.run] as const,
      ['tinypool', tinypool.run] as const,
      [
        'workerpool',
        (pool: piscina.PiscinaPool, ctx: Context, task: unknown, options: piscina.RunOptions) => {
          const exec = (_method: string, [envelope]: [Envelope]): unknown => {
            let cancel: () => void = () => undefined
            const signal: Signal = { once: (_event, listener) => (cancel = listener) }
            return Object.assign(pool.run(envelope, { signal } as never), { cancel: () => cancel() })
          }
          return workerpool.run({ exec } as never, ctx, task, { ...options, method: 'default' })
        },
      ] as const,
    ].map(([name, run]) => [
      name,
      (ctx, options, forced) => {
        const pool = {
          run: ({ state }: Envelope, { signal }: { readonly signal?: Signal }): Promise<unknown> => {
            Atomics.store(state, 0, 1)
            return new Promise((_resolve, reject) =>
              signal?.once('abort', () => {
                forced()
                reject(new Error('It was aborted.'))
              }),
            )
          },
        }
        return run(pool as never, ctx, 1, options)
      },
    ]),
  )

test.each(Object.entries(deaf))(
  'a job of %s is ended by force after its grace, which is 200 ms where none is said, however long it is, and never after one of Infinity',
  async (_name, give) => {
    const [ctx, cancel] = withCancel(background())
    const order: unknown[] = []
    const jobs = [Infinity, 600, 250, undefined, 150].map((grace) =>
      give(ctx, grace === undefined ? {} : { grace }, () => order.push(grace)).catch((error: unknown) => String(error)),
    )
    cancel()
    // Fires before the timer of a longer grace, however busy the machine is.
    const passed = vi.fn(() => order.includes(600))
    setTimeout(passed, 500)
    const ignored = (ms: number): string =>
      `BridgeError: The job 'default' ignored its context for ${ms} ms after that had ended, so its pool was told to end it by force.`
    expect(await Promise.all(jobs.slice(1))).toEqual([600, 250, 200, 150].map(ignored))
    expect(order).toEqual([150, undefined, 250, 600])
    expect(passed).toHaveReturnedWith(false)
  },
)

test('an option that is inherited counts, also one that only the pool knows, and is read once', async () => {
  const seen: unknown[] = []
  const take = (_task: unknown, options: object): Promise<unknown> => (seen.push(options), Promise.resolve(1))
  let reads = 0
  const defaults = {
    get name() {
      return `inherited ${++reads}`
    },
  }
  const options = Object.assign(Object.create(defaults) as object, { priority: 7 }) as object
  for (const run of [piscina.run, tinypool.run]) {
    const name = `inherited ${reads + 1}`
    expect(String(await rejection(run({ run: take } as never, background(), 1, options)))).toContain(
      `needs the worker's '${name}' to`,
    )
    expect(seen.pop()).toMatchObject({ name, priority: 7 })
  }
  const exec = (method: string, _args: unknown[], options: object): Promise<unknown> => (
    seen.push(method, options), Promise.resolve(1)
  )
  const inherits = Object.create({ method: 'theirs', metadata: 'data' }) as never
  expect(String(await rejection(workerpool.run({ exec } as never, background(), 1, inherits)))).toContain(
    "needs the worker's 'theirs' to",
  )
  expect(seen).toMatchObject(['theirs', { metadata: 'data' }])
})

describe('a job that is no job() is named as', () => {
  const getter = {
    get name(): never {
      throw new Error('when it was read')
    },
  }
  test.each<[what: string, expected: string, options: unknown, more: { readonly name?: string }]>([
    ['its task is', 'mine', { name: 'ours' }, { name: 'mine' }],
    ['its pool says', 'ours', { name: 'ours' }, {}],
    ['the pools do by default', 'default', { name: undefined }, {}],
    ['the pools do by default, where nothing can be read', 'default', getter, {}],
    ['the pools do by default, where nothing is said', 'default', undefined, {}],
  ])('%s: %s', async (_what, name, options, more) => {
    const pool = { options, run: () => Promise.resolve(1) } as never
    for (const run of [piscina.run, tinypool.run])
      expect(String(await rejection(run(pool, background(), 1, more)))).toContain(`needs the worker's '${name}' to be a job()`)
  })
})

describe('what is said of a job of workerpool beside its method', () => {
  const open: { terminate(force: boolean): unknown }[] = []
  const start = (options: object = {}): workerpool.Workerpool => {
    const filename = fileURLToPath(compiled('test/fixtures/pool-workerpool.ts'))
    const pool = makeWorkerpool(filename, { workerType: 'thread', maxWorkers: 1, ...options })
    open.push(pool)
    return pool
  }

  afterEach(async () => {
    for (const pool of open.splice(0)) await pool.terminate(true)
  })

  test('on() hears what the job emits', async () => {
    const heard: unknown[] = []
    const options: workerpool.WorkerpoolRunOptions = { method: 'emit', on: (payload) => heard.push(payload) }
    expect(await workerpool.run(start(), background(), 'half of it', options)).toBe('emitted')
    expect(heard).toEqual(['half of it'])
  })

  test("a queue of the program's own finds the metadata", async () => {
    const found: unknown[] = []
    const tasks: unknown[] = []
    const queueStrategy = {
      push: (task: { readonly options?: { readonly metadata?: unknown } }) => {
        found.push(task.options?.metadata)
        tasks.push(task)
      },
      pop: () => tasks.shift(),
      size: () => tasks.length,
      contains: (task: unknown) => tasks.includes(task),
      clear: () => void tasks.splice(0),
    }
    const pool = start({ queueStrategy })
    await workerpool.run(pool, background(), 'a', { method: 'emit', metadata: { priority: 2 } })
    expect(found).toEqual([{ priority: 2 }])
  })

  test('what is to be transferred is', async () => {
    const [task, copy] = [new Uint8Array(16), new Uint8Array(8)]
    const pool = start()
    expect(await workerpool.run(pool, background(), task, { method: 'bytes', transfer: [task.buffer] })).toBe(16)
    expect(task.byteLength).toBe(0)
    expect(await workerpool.run(pool, background(), copy, { method: 'bytes' })).toBe(8)
    expect(copy.byteLength).toBe(8)
  })

  test('there is always somebody to tell what its worker prints, as workerpool does unasked', async () => {
    const told: unknown[] = []
    const exec = (_method: string, _params: unknown, { on }: { on(payload: unknown): unknown }): Promise<never> => {
      told.push(on({ stdout: 'printed' }))
      return Promise.reject(new Error('It is over.'))
    }
    await rejection(workerpool.run({ exec } as never, background(), 1, { method: 'f' }))
    expect(told).toEqual([undefined])
  })
})

test.each<[string, unknown]>([
  ['one that throws when it is read', Proxy.revocable({}, {})],
  ['a number', { proxy: 5 }],
])('options that piscina and tinypool cannot read are named: %s', (_what, wrong) => {
  const { proxy, revoke } = wrong as { proxy: unknown; revoke?: () => void }
  revoke?.()
  for (const run of [piscina.run, tinypool.run]) {
    const pool = { run: () => Promise.reject(new Error('it was asked')) }
    for (const option of ['filename', 'name', 'transferList', 'grace']) {
      expect(() => run(pool, background(), 1, { [option]: option === 'grace' ? {} : proxy })).toThrow(
        new RegExp(`^run\\(\\) needs .*(the name of a job|'${option}')`),
      )
    }
  }
})
