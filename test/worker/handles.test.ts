import { once } from 'node:events'
import { MessageChannel, MessagePort, threadId } from 'node:worker_threads'
import * as Comlink from 'comlink'
import {
  background,
  BridgeError,
  type CancelableContext,
  cause,
  type Context,
  createKey,
  createRoot,
  withCancel,
  withDeadline,
  withoutCancel,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { install } from 'ctxbridge/comlink'
import { createFakeClock } from 'ctxbridge/testing'
import { type ContextHandle, link } from 'ctxbridge/worker'
import { describe, expect, onTestFinished, test } from 'vitest'
import { tenant } from '../fixtures/worker-keys.ts'
import { arrived, collected, turn } from '../support/gc.ts'
import { Independent } from '../support/foreign.ts'
import { asker, type Asker, empty, flag, heard, reached, start, startJobs } from './workers.ts'

function begin(): { ask: Asker; mine: ReturnType<typeof link>; worker: ReturnType<typeof start> } {
  const worker = start('worker-handles')
  return { worker, ask: asker(worker), mine: link(worker, { keys: [tenant] }) }
}

test('a handle travels in a message of the program, and its context ends with the exporter', async () => {
  const { worker, ask, mine } = begin()
  const ctx = withCancel(background())
  expect(await ask({ do: 'import', handle: mine.export(ctx) })).toEqual({
    err: undefined,
    cause: undefined,
    tenant: undefined,
    deadline: false,
  })
  expect(mine.stats()).toMatchObject({ slots: 1, exports: 1 })
  expect(await ask({ do: 'observe' })).toBe('observing')
  const told = once(worker, 'message')
  ctx.cancel('by message')
  expect(await told).toMatchObject([{ told: { err: 'AbortError', cause: 'by message' } }])
  expect(await ask({ do: 'stats' })).toMatchObject({ imports: 0 })
  expect(mine.stats()).toMatchObject(empty)
})

test.each([true, false])('a handle may be imported after any number of later ones; shared memory: %s', async (sharedMemory) => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  const [mine, theirs] = [link(port1, { sharedMemory }), link(port2, { sharedMemory })]
  const ctx = withCancel(background())
  const first = mine.export(ctx)
  await arrived()
  for (let i = 0; i < 3_000; i++) {
    theirs.import(mine.export(ctx)).cancel()
    if (i % 100 === 0) await turn()
  }
  const late = theirs.import(first)
  expect([late.err(), ctx.err()]).toEqual([undefined, undefined])
  ctx.cancel('still')
  expect(await late.done).toMatchObject({ cause: 'still' })
})

test('a handle is plain data that survives JSON', async () => {
  const { ask, mine } = begin()
  const ctx = withValue(withTimeout(background(), 60_000, new Error('slow')), tenant, 'acme')
  const handle = mine.export(ctx)
  expect(JSON.stringify(handle).length).toBeLessThan(300)
  expect(structuredClone(handle)).toEqual(handle)
  expect(await ask({ do: 'importJson', handle: JSON.stringify(handle) })).toEqual({
    err: undefined,
    cause: undefined,
    tenant: 'acme',
    deadline: true,
  })
})

test('a busy loop sees the end of a context that came in a message', async () => {
  const { ask, mine } = begin()
  const ctx = withCancel(background())
  const at = flag()
  const seen = ask({ do: 'spin', handle: mine.export(ctx), flag: at })
  await reached(at)
  ctx.cancel(new Error('seen'))
  expect(await seen).toMatchObject({ err: 'AbortError', cause: { message: 'seen' } })
})

test('the same context is exported once, however often it is sent', async () => {
  const { ask, mine } = begin()
  const ctx = withCancel(background())
  const handles = [mine.export(ctx), mine.export(ctx), mine.export(withValue(ctx, tenant, 'x'))]
  expect(mine.stats()).toMatchObject({ slots: 1, exports: 1 })
  const at = flag()
  const seen = ask({ do: 'spinBoth', handles, flag: at })
  await reached(at)
  ctx.cancel('all')
  expect(await seen).toMatchObject([{ cause: 'all' }, { cause: 'all' }, { cause: 'all', tenant: 'x' }])
  // They are given back when that thread yields, which is after it has answered.
  expect(await ask({ do: 'stats' })).toMatchObject({ imports: 0 })
  expect(mine.stats()).toMatchObject(empty)
})

test('releasing an import gives its slot back and ends nothing here', async () => {
  const { ask, mine } = begin()
  const ctx = withCancel(background())
  await ask({ do: 'import', handle: mine.export(ctx) })
  expect(await ask({ do: 'release' })).toMatchObject({ imports: 0 })
  expect(mine.stats()).toMatchObject(empty)
  expect(ctx.err()).toBe(undefined)
  // And it can be sent again.
  expect(await ask({ do: 'import', handle: mine.export(ctx) })).toMatchObject({ err: undefined })
})

test('an import that is dropped is released when it is collected', async () => {
  const { ask, mine } = begin()
  const handle = await ask({ do: 'export' })
  const ref = new WeakRef(mine.import(handle))
  expect(mine.stats()).toMatchObject({ imports: 1 })
  expect(await collected(ref)).toBe(true)
  // A finalizer runs in a turn of its own.
  for (let i = 0; i < 20 && mine.stats().imports > 0; i++) await turn()
  expect(mine.stats()).toMatchObject({ imports: 0 })
  expect(await ask({ do: 'stats' })).toMatchObject({ slots: 0, exports: 0 })
})

test('an import that is observed is not collected', async () => {
  const { ask, mine } = begin()
  const handle = await ask({ do: 'export' })
  const told: Promise<string> = (() => mine.import(handle).done.then((error) => String(error.cause)))()
  await collected(new WeakRef({}))
  await ask({ do: 'cancel' })
  expect(await told).toBe('the worker says so')
})

test('a context of a worker ends here when it ends there', async () => {
  const { ask, mine } = begin()
  const ctx = mine.import(await ask({ do: 'export' }))
  expect(ctx.err()).toBe(undefined)
  expect(ctx.remaining()).toBeLessThanOrEqual(60_001)
  const aborted = once(ctx.signal, 'abort')
  await ask({ do: 'cancel' })
  await aborted
  expect(cause(ctx)).toBe('the worker says so')
  expect(mine.stats()).toMatchObject({ imports: 0 })
  expect(await ask({ do: 'stats' })).toMatchObject({ slots: 0, exports: 0 })
})

test('a context that is imported can be sent on', async () => {
  const { worker, ask, mine } = begin()
  const { jobs } = startJobs()
  const at = flag()
  const ctx = mine.import(await ask({ do: 'export' }))
  const call = jobs.spin(ctx, at).catch((error: unknown) => error)
  await reached(at)
  worker.postMessage({ do: 'cancel' })
  expect(await call).toBe(ctx.err())
  for (let seen; seen?.cause !== 'the worker says so'; ) seen = await jobs.last()
})

test('the path of an import says which thread it came from', async () => {
  const { worker, ask, mine } = begin()
  const ctx = mine.import(await ask({ do: 'export' }))
  expect(String(withCancel(ctx))).toMatch(new RegExp(`\\.Import\\(thread ${worker.threadId}\\)\\.WithCancel$`))
  expect(await startJobs().jobs.path(withCancel(background()))).toMatch(new RegExp(`\\.Import\\(thread ${threadId}\\)$`))
})

test('cancelling an import ends it here alone', async () => {
  const { ask, mine } = begin()
  const ctx = mine.import(await ask({ do: 'export' }))
  ctx.cancel('mine')
  expect(cause(ctx)).toBe('mine')
  expect(mine.stats()).toMatchObject({ imports: 0 })
  expect(await ask({ do: 'stats' })).toMatchObject({ slots: 0 })
})

test('a context that has ended, never ends, or is foreign can be sent, too', async () => {
  const { ask, mine } = begin()
  const done = withCancel(background())
  done.cancel(new Error('long ago'))
  const foreign = new Independent()
  for (const ctx of [done, background(), withoutCancel(withValue(done, tenant, 'kept')), foreign]) {
    await ask({ do: 'import', handle: mine.export(ctx) })
  }
  expect(mine.stats()).toMatchObject({ slots: 1 })
  expect(await ask({ do: 'state' })).toMatchObject([
    { err: 'AbortError', cause: { message: 'long ago' } },
    { err: undefined, deadline: false },
    { err: undefined, tenant: 'kept' },
    { err: undefined },
  ])
  foreign.end('abroad')
  await turn()
  expect(await ask({ do: 'state' })).toMatchObject([
    {},
    { err: undefined },
    { err: undefined },
    { err: 'AbortError', cause: 'abroad' },
  ])
})

test('of a context with a clock of its own only the end is told, not the deadline', async () => {
  const { ask, mine } = begin()
  const clock = createFakeClock()
  const ctx = withTimeout(createRoot({ clock }), 5, 'simulated')
  expect(await ask({ do: 'import', handle: mine.export(ctx) })).toMatchObject({ err: undefined, deadline: false })
  clock.advanceSync(5)
  expect(await ask({ do: 'state' })).toMatchObject([{ err: 'TimeoutError', cause: 'simulated' }])
})

test('values cross by portable keys that are registered, and no others', async () => {
  const { worker, ask, mine } = begin()
  const local = createKey<string>('local')
  const unknown = createKey<string>('unknown', { portable: { encode: (value) => value, decode: String } })
  let ctx = withValue(withValue(withValue(withCancel(background()), tenant, 'acme'), local, 'secret'), unknown, 'u')
  const handle = mine.export(ctx)
  expect(JSON.stringify(handle)).not.toContain('secret')
  expect(await ask({ do: 'import', handle })).toMatchObject({ tenant: 'acme' })
  ctx = withValue(ctx, tenant, undefined as unknown as string)
  expect(await ask({ do: 'import', handle: mine.export(ctx) })).toMatchObject({ tenant: undefined })

  const warned = once(process, 'warning')
  const broken = withValue(withCancel(background()), tenant, 7 as unknown as string)
  expect(await ask({ do: 'import', handle: mine.export(broken) })).toMatchObject({ tenant: undefined })
  const refusing = createKey<string>('refusing', {
    portable: {
      encode: () => {
        throw new Error('no')
      },
      decode: String,
    },
  })
  expect(await ask({ do: 'import', handle: mine.export(withValue(ctx, refusing, 'x')) })).toMatchObject({ err: undefined })
  expect(await warned).toMatchObject([{ name: 'CtxbridgeWarning', message: expect.stringContaining('"refusing"') as string }])
  expect(worker.threadId).toBeGreaterThan(0)
})

test('a value is bound in a method that is called with its context', async () => {
  const { jobs } = startJobs()
  const ctx = withValue(background(), tenant, 'acme')
  expect(await jobs.tenant(ctx)).toBe('acme')
  expect(await jobs.tenantBelow(withTimeout(ctx, 60_000))).toBe('acme')
  expect(await jobs.tenant(background())).toBe(undefined)
})

test('remaining() in the worker is never less than here', async () => {
  const { jobs } = startJobs()
  const ctx = withDeadline(background(), Date.now() + 60_000)
  const there = await jobs.remaining(ctx)
  expect(there).toBeGreaterThan(ctx.remaining())
  expect(there).toBeLessThan(60_001)
})

describe('a bad handle', () => {
  test.each([undefined, null, 1, 'text', [], {}, { slot: 0, generation: 1, grant: 1 }, { ctxbridge: 'context' }])(
    '%j is a TypeError',
    async (handle) => {
      const { ask, mine } = begin()
      expect(() => mine.import(handle)).toThrow(/^import\(\) needs a handle that export\(\) made, but got .+\.$/)
      expect(await ask({ do: 'import', handle })).toMatchObject({ threw: 'TypeError' })
    },
  )

  test('that is forged, of another link, or of no use any more gives a context that is done', async () => {
    const { ask, mine } = begin()
    const ctx: CancelableContext = withCancel(background())
    const good = mine.export(ctx)
    const { slot = 0, generation = 0, grant = 0 } = good
    const foreign = link(start('worker-handles')).export(ctx)
    const bad: unknown[] = [
      { ...good, ctxbridge: 99 },
      { ...good, table: good.table + 1 },
      { ...good, link: good.link + 1 },
      { ...good, table: 'x' },
      { ...good, slot: slot + 1 },
      { ...good, slot: -1 },
      { ...good, slot: 2 ** 30 },
      { ...good, slot: 2 ** 60 },
      { ...good, generation: generation + 1 },
      { ...good, generation: 0 },
      { ...good, grant: grant + 1 },
      { ...good, grant: Number.NaN },
      { ...good, grant: undefined },
      { ...good, slot: String(slot), generation: '1', grant: '1' },
      { ...good, slot: [slot, generation, grant] },
      { ...good, slot: null },
      { ...good, slot: undefined, end: ['nonsense'] },
      { ...good, slot: undefined, end: [0, 'no end'] },
      { ...good, values: 'x' },
      { ...good, values: [['tenant']] },
      foreign,
    ]
    for (const handle of bad) {
      expect(await ask({ do: 'import', handle }), JSON.stringify(handle)).toMatchObject({
        err: 'AbortError',
        cause: { name: 'BridgeError', code: 'ERR_HANDLE' },
      })
    }
    // None of that has touched the slot.
    expect(await ask({ do: 'import', handle: good })).toMatchObject({ err: undefined })
    await ask({ do: 'release' })
    // Over, and then somebody else's.
    expect(await ask({ do: 'import', handle: good })).toMatchObject({ cause: { code: 'ERR_HANDLE' } })
    ctx.cancel()
    mine.stats()
    for (let i = 0; i < 200; i++) mine.export(withCancel(background()))
    expect(await ask({ do: 'import', handle: good })).toMatchObject({ cause: { code: 'ERR_HANDLE' } })
  })

  test('that points into memory of the wrong kind or size, or was announced wrongly, gives a context that is done, and others go on', async () => {
    const { worker, ask, mine } = begin()
    const ctx = withCancel(background())
    const good = mine.export(ctx)
    expect(await ask({ do: 'import', handle: good })).toMatchObject({ err: undefined })
    expect(await ask({ do: 'observe' })).toBe('observing')
    const memory = (bytes: number): SharedArrayBuffer => new SharedArrayBuffer(bytes)
    const channel = (): MessagePort => new MessageChannel().port1
    // A first chunk has 9,280 bytes, but not all zero.
    const sizes = [0, 5, 64, 2_000, 9_280, 20_000]
    const chunks = [[], ['x'], [null], [new ArrayBuffer(9_280)], ...sizes.map((bytes) => [memory(bytes)])]
    const unknown = [
      ...chunks.map((list) => ({ chunks: list, port: channel() })),
      ...['x', 1.5, -1, {}].map((thread) => ({ chunks: [memory(0)], port: channel(), thread })),
    ]
    const attaches: object[] = [
      ...unknown,
      { chunks: [memory(20_000)], port: 'x' },
      { chunks: 'x', port: channel() },
      { chunks: [memory(20_000)], port: channel(), version: 99 },
      { chunks: [memory(20_000)], port: channel(), link: 0 },
      // What is announced already stays as it is.
      { chunks: [memory(20_000)], port: channel(), table: good.table, link: good.link },
    ]
    for (const [i, attach] of attaches.entries()) {
      const said = { ctxbridge: 'attach', version: 1, table: good.table + 1 + i, link: 1, ...attach }
      worker.postMessage(said, 'port' in attach && attach.port instanceof MessagePort ? [attach.port as never] : [])
      if (said.table === good.table) continue
      const handle = { ...good, table: said.table, link: said.link, slot: 0, generation: 1, grant: 1 }
      // An attach of its form is taken, and its memory is looked at; any other is nobody's.
      const announced = i === 0 ? /was never announced/ : /shared memory that it points to is damaged/
      const why = i < unknown.length ? announced : /made for another link/
      expect(await ask({ do: 'import', handle }), String(i)).toMatchObject({
        err: 'AbortError',
        cause: { code: 'ERR_HANDLE', message: expect.stringMatching(why) as string },
      })
    }
    expect(await ask({ do: 'stats' })).toMatchObject({ imports: 1 })
    const told = once(worker, 'message')
    ctx.cancel('still heard')
    expect(await told).toMatchObject([{ told: { err: 'AbortError', cause: 'still heard' } }])
    expect(mine.stats()).toMatchObject(empty)
  })

  test('that came through Comlink is a context that is done, and its channel is closed', async () => {
    install(Comlink)
    const { serialize, deserialize } = Comlink.transferHandlers.get('ctxbridge.context') as Comlink.TransferHandler<
      Context,
      { handle: ContextHandle; attach: { port: MessagePort } }
    >
    const ctx = withCancel(background())
    const [{ handle, attach }] = serialize(ctx)
    const { generation = 0 } = handle
    const closed = once(attach.port, 'close')
    const bad: unknown[] = [
      ...[undefined, null, 1, 'x', [], {}, { handle: 'x' }, { handle }, { handle, attach: 'x' }],
      { handle: { ...handle, generation: generation + 1 }, attach },
    ]
    for (const sent of bad) expect(cause(deserialize(sent as never))).toMatchObject({ code: 'ERR_HANDLE' })
    await closed
    expect(ctx.err()).toBe(undefined)
    ctx.cancel()
  })

  test('of this very side is refused here', () => {
    const mine = link(start('worker-handles'))
    const ctx = mine.import(mine.export(withCancel(background())))
    expect(cause(ctx)).toBeInstanceOf(BridgeError)
    expect(cause(ctx)).toMatchObject({ code: 'ERR_HANDLE' })
  })

  test('with a cause or values that are not of their form is a live context without them', async () => {
    const { ask, mine } = begin()
    const good = mine.export(withCancel(background()))
    expect(
      await ask({
        do: 'import',
        handle: {
          ...good,
          why: 'x',
          values: [
            ['tenant', 7],
            ['other', 1],
          ],
        },
      }),
    ).toMatchObject({ err: undefined, tenant: undefined })
  })
})

test('over a MessageChannel both sides may export', async () => {
  const { port1, port2 } = new MessageChannel()
  const [a, b] = [link(port1), link(port2)]
  const there = withCancel(background())
  const back = withCancel(background())
  port1.postMessage(a.export(there))
  const handle = await heard(port2, (message) => 'slot' in (message as object))
  const arrived = b.import(handle)
  expect(arrived.err()).toBe(undefined)
  there.cancel('out')
  expect(cause(arrived)).toBe('out')
  const answered = new Promise((resolve) => port1.on('message', (message: object) => 'slot' in message && resolve(message)))
  port2.postMessage(b.export(back))
  const returned = a.import(await answered)
  expect(returned.err()).toBe(undefined)
  back.cancel('home')
  expect(cause(returned)).toBe('home')
  port1.close()
  await once(port2, 'close')
  expect(a.stats()).toMatchObject(empty)
})

test('a hundred thousand contexts are out at once, each in a slot of its own', () => {
  const { port1 } = new MessageChannel()
  const mine = link(port1)
  const before = mine.stats().slots
  const contexts = Array.from({ length: 100_000 }, () => withCancel(background()))
  const slots = new Set(contexts.map((ctx) => mine.export(ctx).slot))
  expect([slots.size, slots.has(undefined)]).toEqual([100_000, false])
  expect(mine.stats()).toMatchObject({ exports: 100_000, slots: before + 100_000 })
  for (const ctx of contexts) ctx.cancel()
  expect(mine.stats()).toMatchObject({ exports: 0 })
  mine[Symbol.dispose]()
  expect(mine.stats()).toMatchObject({ exports: 0, slots: before })
})
