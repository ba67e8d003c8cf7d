/** What is shared by many runs on nobody's behalf: no listener sees the AsyncLocalStorage of another request. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { MessageChannel } from 'node:worker_threads'
import { afterFunc, background, type Context, createRoot, withCancel, withTimeout } from 'ctxbridge'
import { run } from 'ctxbridge/piscina'
import { link } from 'ctxbridge/worker'
import { expect, onTestFinished, test } from 'vitest'
import { arrived, collected } from '../support/gc.ts'

const storage = new AsyncLocalStorage<string>()

/** In whose storage an `abort` listener and an `afterFunc` run, and what comes after `done`. */
function observe(ctx: Context): Promise<readonly (string | undefined)[]> {
  const listener = new Promise<string | undefined>((resolve) =>
    ctx.signal.addEventListener('abort', () => resolve(storage.getStore())),
  )
  const func = new Promise<string | undefined>((resolve) => afterFunc(ctx, () => resolve(storage.getStore())))
  const done = (async () => {
    await ctx.done
    return storage.getStore()
  })()
  return Promise.all([listener, func, done])
}

test('a deadline is told on nobody’s behalf, whoever armed the timer; what awaits goes on in its own', async () => {
  let now = 0
  const clock = { now: () => now, wall: () => now, setTimer: (f: () => void) => setTimeout(f, 1), clearTimer: () => undefined }
  const root = createRoot({ clock })
  const ann = storage.run('ann', () => observe(withTimeout(root, 10)))
  const bob = storage.run('bob', () => observe(withTimeout(root, 20)))
  now = 10
  expect(await ann).toEqual([undefined, undefined, 'ann'])
  now = 20
  expect(await bob).toEqual([undefined, undefined, 'bob'])
})

test('also where another request has found it before the timer', async () => {
  let now = 0
  const clock = { now: () => now, wall: () => now, setTimer: () => undefined, clearTimer: () => undefined }
  const root = createRoot({ clock })
  const ann = storage.run('ann', () => observe(withTimeout(root, 5)))
  const other = withTimeout(root, 5)
  now = 10
  expect(storage.run('bob', () => other.err())).toBeDefined()
  expect(await ann).toEqual([undefined, undefined, 'ann'])
})

test('a cancel is told on behalf of who cancelled, as an event is', async () => {
  const ctx = withCancel(background())
  const ann = storage.run('ann', () => observe(ctx))
  storage.run('bob', () => ctx.cancel())
  expect(await ann).toEqual(['bob', 'bob', 'ann'])
})

test('an end in another thread is told on nobody’s behalf, whoever was the first to wait for one', async () => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  const [mine, its] = [link(port1), link(port2)]
  const parents = [withCancel(background()), withCancel(background())] as const
  const handles = parents.map((parent) => mine.export(parent))
  await arrived()
  const ann = storage.run('ann', () => observe(its.import(handles[0])))
  const bob = storage.run('bob', () => observe(its.import(handles[1])))
  parents[1].cancel()
  expect(await bob).toEqual([undefined, undefined, 'bob'])
  parents[0].cancel()
  expect(await ann).toEqual([undefined, undefined, 'ann'])
})

test('also where another request has found it before it was its turn', async () => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  const [mine, its] = [link(port1, { sharedMemory: false }), link(port2)]
  const parent = withCancel(background())
  const handles = [mine.export(parent), mine.export(withCancel(background()))] as const
  await arrived()
  const ann = storage.run('ann', () => observe(its.import(handles[0])))
  parent.cancel()
  storage.run('bob', () => its.import(handles[1]))
  expect(await ann).toEqual([undefined, undefined, 'ann'])
})

test('a deadline that is far keeps no store of its request alive', async () => {
  let ctx: Context | undefined
  const store = (() => {
    const made = { name: 'ann' }
    objects.run(made, () => {
      ctx = withTimeout(background(), 3_600_000)
      return ctx.signal
    })
    return new WeakRef(made)
  })()
  expect(await collected(store)).toBe(true)
  expect(ctx?.err()).toBe(undefined)
})

test('a channel of a link, or of all pools, keeps no store of the request alive that was the first to use it', async () => {
  const { port1 } = new MessageChannel()
  onTestFinished(() => port1.close())
  const mine = link(port1)
  const pool = { run: (task: unknown) => Promise.resolve((task as { readonly state: unknown }).state) }
  const ctx = withCancel(background())
  const uses: (() => unknown)[] = [() => mine.export(ctx), () => run(pool, ctx, 'a task').catch(() => undefined)]
  const stores = uses.map((use) => {
    const made = { name: 'ann' }
    objects.run(made, use)
    return new WeakRef(made)
  })
  for (const store of stores) expect(await collected(store)).toBe(true)
  expect(mine.stats().exports).toBe(1)
})

const objects = new AsyncLocalStorage<{ readonly name: string }>()
