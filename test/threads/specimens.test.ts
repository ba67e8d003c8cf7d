/** What a thread keeps of contexts that come and go. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { MessageChannel } from 'node:worker_threads'
import { expect, onTestFinished, test, vi } from 'vitest'
import type { Context } from '../../lib/context.ts'
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
  // Long enough for a machine with other work to have listened by then.
  const ctx = context.withTimeout(context.background(), 200)
  ctx.signal.addEventListener('abort', told)
  expect(ctx.signal.aborted).toBe(false)
  const until = performance.now() + 205
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

/** The ways on which a context comes into a thread. What is given is to come in, in this one. */
const ways: Record<string, (ctx: Context) => Promise<unknown>> = {
  async 'a link'(ctx) {
    const { link } = await import('../../transports/worker/link.ts')
    const { port1, port2 } = new MessageChannel()
    const near = link(port1)
    link(port2)
    onTestFinished(() => near[Symbol.dispose]())
    near.export(ctx)
    for (let kind; kind !== 'attach'; ) [{ ctxbridge: kind }] = (await once(port2, 'message')) as [{ ctxbridge: string }]
  },
  async 'a job of a pool'(ctx) {
    const { job, runIn } = await import('../../transports/worker/pool.ts')
    const answer = job(() => 1)
    await runIn(ctx, 'task', 'answer', {}, (envelope) => ({ result: answer(envelope as never), force: () => undefined }))
  },
  async 'plain Comlink'(ctx) {
    const { install } = await import('../../transports/worker/install.ts')
    const transferHandlers = new Map<
      string,
      { serialize(ctx: Context): [unknown, unknown]; deserialize(sent: unknown): Context }
    >()
    install({ transferHandlers })
    const handler = transferHandlers.get('ctxbridge.context')
    handler?.deserialize(handler.serialize(ctx)[0])
  },
}

test.each(Object.entries(ways))('%s keeps them before anything comes in', async (_name, comesIn) => {
  vi.resetModules()
  const keepSpecimens = vi.fn<(shared: boolean) => void>()
  vi.doMock('../../transports/worker/specimens.ts', () => ({ keepSpecimens }))
  onTestFinished(() => {
    vi.doUnmock('../../transports/worker/specimens.ts')
  })
  const { background, withCancel } = await import('../../lib/context.ts')
  const [ctx, cancel] = withCancel(background())
  onTestFinished(() => cancel())
  await comesIn(ctx)
  expect(keepSpecimens).toHaveBeenCalledExactlyOnceWith(true)
})
