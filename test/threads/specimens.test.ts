/** What a thread keeps of contexts that come and go. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { MessageChannel } from 'node:worker_threads'
import { expect, onTestFinished, test, vi } from 'vitest'
import { collected } from '../support/gc.ts'

/** A thread that has kept none as yet, as far as its modules know. */
async function fresh(): Promise<{ keepSpecimens(shared: boolean): void; context: typeof import('../../lib/context.ts') }> {
  vi.resetModules()
  const { keepSpecimens } = await import('../../transports/worker/specimens.ts')
  return { keepSpecimens, context: await import('../../lib/context.ts') }
}

test.each([true, false])('nothing is left, nor is whoever came first (in shared memory: %s)', async (shared) => {
  // Modules take it when they are loaded.
  const waits = vi.spyOn(Atomics as unknown as { waitAsync(): { readonly value: Promise<string> | string } }, 'waitAsync')
  const { keepSpecimens } = await fresh()
  onTestFinished(() => {
    vi.restoreAllMocks()
    vi.unstubAllGlobals()
  })
  const closed: Promise<unknown>[] = []
  vi.stubGlobal('MessageChannel', function () {
    const channel = new MessageChannel()
    for (const port of [channel.port1, channel.port2]) closed.push(once(port, 'close'))
    return channel
  })
  const exits = process.listenerCount('exit')
  const store = new WeakRef({})
  new AsyncLocalStorage<object>().run(store.deref() as object, () => keepSpecimens(shared))
  expect(closed).toHaveLength(2)
  await Promise.all(closed)
  expect(waits).toHaveBeenCalledTimes(shared ? 1 : 0)
  expect(await Promise.all(waits.mock.results.map(({ value }) => (value as { value: unknown }).value))).toEqual(
    shared ? ['ok'] : [],
  )
  expect(await collected(store)).toBe(true)
  expect(process.listenerCount('exit')).toBe(exits)
})

test('what is due is not told meanwhile', async () => {
  const { keepSpecimens, context } = await fresh()
  const told = vi.fn<() => void>()
  const ctx = context.withTimeout(context.background(), 1)
  ctx.signal.addEventListener('abort', told)
  const until = performance.now() + 5
  while (performance.now() < until);
  keepSpecimens(true)
  keepSpecimens(false)
  expect(told).not.toHaveBeenCalled()
  expect(ctx.err()).toBeDefined()
  expect(told).toHaveBeenCalledOnce()
})

test.each(['AbortController', 'EventTarget', 'MessageChannel', 'SharedArrayBuffer'])(
  'whoever imports is not told that %s is broken',
  async (name) => {
    const { keepSpecimens } = await fresh()
    onTestFinished(() => void vi.unstubAllGlobals())
    const broken = vi.fn<() => void>(function () {
      throw new Error('It is broken.')
    })
    vi.stubGlobal(name, broken)
    keepSpecimens(true)
    expect(broken).toHaveBeenCalled()
  },
)
