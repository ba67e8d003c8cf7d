/** The package in a realm whose classes are not those of what ports deliver, as under Jest: contexts come in all the same. */
import { createRequire } from 'node:module'
import { MessageChannel } from 'node:worker_threads'
import { background, type Context, withCancel } from 'ctxbridge'
import { type PiscinaPool, run } from 'ctxbridge/piscina'
import { wrap } from 'ctxbridge/worker'
import { expect, onTestFinished, test } from 'vitest'
import { realm } from '../fixtures/realm.ts'
import type { CallbackJobs } from '../fixtures/worker-callbacks.ts'
import { compiled } from '../support/compiled.ts'
import { turn } from '../support/gc.ts'
import { flag, reached, rejection, start } from './workers.ts'

// Its types are not for this compiler.
const { Piscina } = createRequire(import.meta.url)('piscina') as {
  readonly Piscina: new (options: object) => PiscinaPool & { destroy(): Promise<void> }
}

function channel(): MessageChannel {
  const channel = new MessageChannel()
  onTestFinished(() => channel.port1.close())
  return channel
}

/** Until its context has ended; then how. */
async function wait(ctx: Context, at: Int32Array): Promise<string> {
  Atomics.store(at, 0, 1)
  Atomics.notify(at, 0)
  return `${(await ctx.done).name}: ${String(realm.core.cause(ctx))}`
}

test('what the tests below run in has classes of its own', () => {
  expect(realm.Uint8Array).not.toBe(Uint8Array)
  expect(realm.core.background()).not.toBeInstanceOf(Object)
})

test.each([true, false])('a live context that comes into another realm ends there (shared memory: %s)', async (shared) => {
  const { port1, port2 } = channel()
  realm.worker.expose({ wait }, port1, { sharedMemory: shared })
  const [ctx, cancel] = withCancel(background())
  const at = flag()
  const call = wrap<{ wait: typeof wait }>(port2, { sharedMemory: shared }).wait(ctx, at)
  const rejected = rejection(call)
  await reached(at)
  cancel('why')
  expect(await rejected).toBe(ctx.err())
})

test('a worker calls what another realm serves, with a context of its own', async () => {
  const worker = start('worker-callbacks')
  const seen: string[] = []
  const keep = async (ctx: Context, at: Int32Array): Promise<void> => void seen.push(await wait(ctx, at))
  realm.worker.expose({ wait: keep }, worker)
  expect(await realm.worker.wrap<CallbackJobs>(worker).byWrap('wait')).toBe('my own end')
  // Its caller is told at once, whatever the method is at.
  while (seen.length === 0) await turn()
  expect(seen).toEqual(['AbortError: Error: the worker says so'])
})

test('a callback of plain Comlink in another realm gets a live context', async () => {
  realm.comlink.install(realm.Comlink)
  const jobs = realm.worker.wrap<CallbackJobs>(start('worker-callbacks'))
  expect(await jobs.byProxy(realm.Comlink.proxy(wait))).toBe('AbortError: Error: the worker says so')
})

test("a job of a pool runs in its worker's realm, and sees the cancel in a loop that never yields", async () => {
  const pool = new Piscina({ filename: compiled('test/fixtures/realm.ts').href, maxThreads: 1 })
  onTestFinished(() => pool.destroy())
  const [ctx, cancel] = withCancel(background())
  const at = flag()
  const job = rejection(run(pool, ctx, at, { name: 'look', grace: 10_000 }))
  await reached(at)
  cancel('why')
  expect(await job).toBe(ctx.err())
})

test('a connection over a port carries contexts and bytes into another realm', async () => {
  const { port1, port2 } = channel()
  const service = { double: (ctx: Context, bytes: Uint8Array) => [ctx.err(), bytes.map((byte) => 2 * byte)] }
  const [, connection] = await Promise.all([
    realm.port.connect(port1, { serve: service }),
    realm.port.connect(port2, { context: realm.core.background() }),
  ])
  onTestFinished(() => connection.close())
  const [ctx] = realm.core.withCancel(realm.core.background())
  const [, bytes] = (await realm.port.wrap<typeof service>(connection).double(ctx, new realm.Uint8Array([1, 2]))) as [
    unknown,
    Uint8Array,
  ]
  expect([...bytes]).toEqual([2, 4])
})
