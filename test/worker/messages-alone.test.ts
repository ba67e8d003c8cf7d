import { MessageChannel, MessagePort } from 'node:worker_threads'
import { background, type Context, withCancel, withTimeout } from 'ctxbridge'
import { expose, link, wrap } from 'ctxbridge/worker'
import { afterEach, expect, test, vi } from 'vitest'
import { run } from '../support/child-process.ts'
import { compiled } from '../support/compiled.ts'
import { arrived, turn } from '../support/gc.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

interface Api {
  hold: (ctx: Context) => Promise<string>
  quick: (ctx: Context) => string
}

test('by messages alone, each handle is given back when its own call is over, also while another call holds the same context', async () => {
  const post = vi.spyOn(MessagePort.prototype, 'postMessage')
  const { port1, port2 } = new MessageChannel()
  let letGo = (): void => undefined
  const until = new Promise<string>((resolve) => (letGo = () => resolve('held')))
  expose({ hold: () => until, quick: () => 'ok' } satisfies Api, port2)
  const remote = wrap<Api>(port1, { sharedMemory: false })
  const ctx = withCancel(background())
  const held = remote.hold(ctx)
  for (let i = 0; i < 100; i++) await remote.quick(ctx)
  await arrived()
  const grants = post.mock.calls.flatMap(([message]) =>
    Array.isArray(message) && message[0] === 4 ? (message[1] as number[]) : [],
  )
  const back = grants.filter((grant) => grant < 0)
  expect(back).toHaveLength(100)
  expect(new Set(back).size).toBe(100)
  letGo()
  expect(await held).toBe('held')
  while (link(port1).stats().slots > 0) await turn()
  port1.close()
})

test('by messages alone, what is imported and given back within one turn holds nothing after it, and ends no other import', async () => {
  const { port1, port2 } = new MessageChannel()
  const near = link(port1, { sharedMemory: false })
  const far = link(port2)
  const ctx = withCancel(background())
  const [first, second] = [near.export(ctx), near.export(ctx)]
  // The attach has to come first.
  await arrived()
  const stays = far.import(first)
  far.import(second).cancel()
  await arrived()
  expect(stays.err()).toBe(undefined)
  expect(near.stats().slots).toBe(1)
  stays.cancel()
  while (near.stats().slots > 0) await turn()
  expect(ctx.err()).toBe(undefined)
  port1.close()
})

test('by messages alone, a handle that was given back and is imported again is held again, as long as others are', async () => {
  const { port1, port2 } = new MessageChannel()
  const near = link(port1, { sharedMemory: false })
  const far = link(port2)
  const ctx = withCancel(background())
  const [first, second] = [near.export(ctx), near.export(ctx)]
  // The attach has to come first.
  await arrived()
  const other = far.import(second)
  far.import(first).cancel()
  const again = far.import(first)
  await arrived()
  other.cancel()
  await arrived()
  expect(again.err()).toBe(undefined)
  ctx.cancel('over')
  expect(await again.done).toMatchObject({ cause: 'over' })
  while (near.stats().slots > 0) await turn()
  port1.close()
})

test('by messages alone, the first look after the deadline sees it, however often it was looked at before', async () => {
  const { port1, port2 } = new MessageChannel()
  const near = link(port1, { sharedMemory: false })
  const far = link(port2)
  near.export(withCancel(background()))
  await arrived()
  const ctx = withTimeout(background(), 200)
  // One for each number of looks: those of slots go by without the clock up to 15 times.
  const imports = Array.from({ length: 17 }, () => far.import(near.export(ctx)))
  for (const [looks, at] of imports.entries()) for (let i = 0; i < 200 + looks; i++) at.err()
  block(210)
  // The exporter has not had a turn.
  expect(imports.map((at) => at.err()?.name)).toEqual(imports.map(() => 'TimeoutError'))
  port1.close()
})

test('in a process that has no shared memory everything goes by messages alone, without being told to', async () => {
  const { stdout, stderr } = await run(`
    // Node makes its threads with shared memory all the same.
    import { Worker } from 'node:worker_threads'
    delete globalThis.SharedArrayBuffer
    const { background, withCancel, withTimeout } = await import('ctxbridge')
    const { link, wrap } = await import('ctxbridge/worker')
    const worker = new Worker(new URL(${JSON.stringify(compiled('test/fixtures/worker-jobs.ts'))}), { execArgv: [] })
    const jobs = wrap(worker)
    const answered = async () => {
      while (link(worker).stats().calls > 0) await new Promise(setImmediate)
    }
    const [ctx, cancel] = withCancel(background())
    const held = jobs.hold(ctx, new Int32Array(1)).catch((error) => error)
    await jobs.add(1, 1)
    cancel('why')
    console.log((await held) === ctx.err())
    await answered()
    console.log(JSON.stringify(await jobs.keptIsDone()))
    await jobs.spin(withTimeout(background(), 50), new Int32Array(1)).catch((error) => console.log(error.name))
    await answered()
    const { slots, exports, calls } = link(worker).stats()
    console.log(slots, exports, calls)
    await worker.terminate()
  `)
  expect(stderr).toBe('')
  expect(stdout.split('\n')).toEqual(['true', expect.stringContaining('why'), 'TimeoutError', '0 0 0', ''])
})

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
