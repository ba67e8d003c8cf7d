import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import * as Comlink from 'comlink'
import { background, type CancelableContext, cause, type Context, createKey, withCancel, withTimeout, withValue } from 'ctxbridge'
import { install } from 'ctxbridge/comlink'
import { expose, link, wrap } from 'ctxbridge/worker'
import { expect, test } from 'vitest'
import { comlinkSuite } from '../conformance/comlink-suite.ts'
import { compiled } from '../support/compiled.ts'
import { collected, turn } from '../support/gc.ts'
import { rejection } from './workers.ts'

// It comes without types.
const adapter = ['comlink', 'dist/esm/node-adapter.mjs'].join('/')
const { default: nodeEndpoint } = (await import(adapter)) as { default: (side: Worker | MessagePort) => Comlink.Endpoint }

for (const sharedMemory of [true, false]) {
  const name = sharedMemory ? 'in Node' : 'in Node, without shared memory'
  const start = () => {
    const worker = new Worker(compiled('test/conformance/plain-comlink.ts'))
    return Promise.resolve({ endpoint: nodeEndpoint(worker), terminate: () => worker.terminate() })
  }
  comlinkSuite(name, sharedMemory, start, { sharedMemory })
}

test('a call that Comlink cannot post gives back its contexts, and one that was posted keeps them', async () => {
  install(Comlink)
  const { port1, port2 } = new MessageChannel()
  const tell = async (ctx: Context): Promise<unknown> => {
    await ctx.done
    return cause(ctx)
  }
  Comlink.expose(tell, nodeEndpoint(port2))
  const remote = Comlink.wrap<(ctx: Context, more?: unknown) => unknown>(nodeEndpoint(port1))
  const mine = link(new MessageChannel().port1)
  const [app, cancel] = withCancel(background())
  const told = remote(app)
  for (let i = 0; i < 20; i++) await expect(remote(app, () => undefined)).rejects.toThrow(/could not be cloned/)
  while (mine.stats().slots > 1) await turn()
  cancel('as ever')
  expect(await told).toBe('as ever')
  while (mine.stats().slots > 0) await turn()
  port1.close()
})

test('a proxy of a signal, which nobody holds, is sent as the signal is, and its abort arrives', async () => {
  install(Comlink)
  const { port1, port2 } = new MessageChannel()
  const came: AbortSignal[] = []
  const told = new Promise((resolve) => {
    const take = (signal: AbortSignal): void => {
      came.push(signal)
      signal.addEventListener('abort', () => resolve(signal.reason))
    }
    Comlink.expose(take, nodeEndpoint(port2))
  })
  const remote = Comlink.wrap<(signal: AbortSignal) => void>(nodeEndpoint(port1))
  const controller = new AbortController()
  const send = async (): Promise<WeakRef<AbortSignal>> => {
    const proxy = new Proxy(controller.signal, { get: (target, name) => bound(target, Reflect.get(target, name, target)) })
    await remote(proxy)
    return new WeakRef(proxy)
  }
  const sent = await send()
  // Were it held weakly, it would be collected in some of these rounds.
  await collected(sent)
  expect(came[0]?.aborted).toBe(false)
  controller.abort('behind it')
  expect(await told).toBe('behind it')
  port1.close()
})

function bound(target: object, member: unknown): unknown {
  return typeof member === 'function' ? (member.bind(target) as unknown) : member
}

test('a context behind an argument that Comlink cannot post holds no slot', async () => {
  install(Comlink)
  const { port1 } = new MessageChannel()
  const remote = Comlink.wrap<(f: unknown, ctx: Context, signal: AbortSignal) => unknown>(nodeEndpoint(port1))
  const mine = link(new MessageChannel().port1)
  const [app] = withCancel(background())
  const call = remote(() => undefined, app, new AbortController().signal)
  expect(mine.stats().slots).toBe(0)
  await expect(call).rejects.toThrow(/could not be cloned/)
  port1.close()
})

test('a context, or a signal, that is within an argument is told with a remedy; who sends such objects may', async () => {
  install(Comlink)
  const { port1, port2 } = new MessageChannel()
  Comlink.expose((given: unknown) => given, nodeEndpoint(port2))
  const remote = Comlink.wrap<(given: unknown) => unknown>(nodeEndpoint(port1))
  const { signal } = new AbortController()
  const lists = [[1, background()], [signal], new Set([background()]), new Map([['signal', signal]])]
  for (const within of [{ ctx: background() }, { n: 1, signal }, ...lists]) {
    // At once, or by a rejection: as Comlink does it.
    await expect((async () => remote(within))()).rejects.toThrow(/^Comlink cannot send a context, or an AbortSignal, .+\.$/)
  }
  for (const other of [{ n: 1, deeper: { n: 2 } }, [1, { n: 2 }], new Map([[1, 2]])]) expect(await remote(other)).toEqual(other)
  const results: readonly (() => unknown)[] = [() => ({ ctx: background() }), () => [signal], () => Symbol('of another kind')]
  const made = new MessageChannel()
  Comlink.expose((index: number) => results[index]?.(), nodeEndpoint(made.port2))
  const make = Comlink.wrap<(index: number) => unknown>(nodeEndpoint(made.port1))
  const told = await Promise.all([0, 1, 2].map((index) => rejection(make(index))))
  expect(told.map(String)).toEqual([
    expect.stringMatching(/^TypeError: Comlink cannot send a context, or an AbortSignal, .+\.$/),
    expect.stringMatching(/^TypeError: Comlink cannot send a context, or an AbortSignal, .+\.$/),
    'TypeError: Unserializable return value',
  ])
  // Where all of them fail in one turn, too, in whatever order.
  for (const order of [
    [0, 2],
    [2, 0],
    [2, 1, 2, 0, 2],
  ]) {
    const { port1, port2 } = new MessageChannel()
    const waiting: (() => void)[] = []
    const api = async (index: number): Promise<unknown> => {
      await new Promise<void>((resolve) => waiting.push(resolve))
      return results[index]?.()
    }
    Comlink.expose(api, nodeEndpoint(port2))
    const late = Comlink.wrap<typeof api>(nodeEndpoint(port1))
    const calls = order.map((index) => rejection(late(index)))
    while (waiting.length < order.length) await turn()
    for (const finish of waiting) finish()
    const messages = (await Promise.all(calls)).map((error) => (error as Error).message)
    expect(messages).toEqual(order.map((index) => (told[index] as Error).message))
    port1.close()
  }
  made.port1.close()
  Comlink.transferHandlers.set('test.options', {
    canHandle: (value: unknown): value is { n: number } => typeof value === 'object' && value !== null && 'signal' in value,
    serialize: ({ n }: { n: number }) => [n, []],
    deserialize: (n: number) => ({ n }),
  })
  expect(await remote({ n: 7, signal: new AbortController().signal })).toEqual({ n: 7 })
  Comlink.transferHandlers.delete('test.options')
  port1.close()
})

test('wrap() sends contexts and signals that are properties of an argument also where install() was called, unless a transfer handler takes that', async () => {
  install(Comlink)
  const { port1, port2 } = new MessageChannel()
  const api = {
    endOf: async ({ ctx }: { ctx: Context }) => (await ctx.done, String(cause(ctx))),
    names: (given: object) => Object.keys(given),
    isSignal: ({ signal }: { signal: AbortSignal }) => signal instanceof AbortSignal,
  }
  expose(api, port1)
  const remote = wrap<typeof api>(port2)
  const [ctx, cancel] = withCancel(background())
  const { signal } = new AbortController()
  expect(await remote.isSignal({ signal })).toBe(true)
  const ended = remote.endOf({ ctx })
  const other = Comlink.wrap<(given: object) => unknown>(nodeEndpoint(port2))
  const options = { signal }
  expect(await remote.isSignal(options)).toBe(true)
  await expect((async () => other(options))()).rejects.toThrow(/^Comlink cannot send/)
  cancel('as a property')
  await expect(ended).rejects.toMatchObject({ name: 'AbortError', cause: 'as a property' })
  Comlink.transferHandlers.set('test.options', {
    canHandle: (value: unknown): value is object => typeof value === 'object' && value !== null && 'signal' in value,
    serialize: () => ['', []],
    deserialize: () => ({ taken: true }),
  })
  expect(await remote.names({ signal })).toEqual(['taken'])
  Comlink.transferHandlers.delete('test.options')
  port1.close()
})

test('a context, or a signal, within a result is told with a remedy that helps, also where install() was called', async () => {
  install(Comlink)
  const { port1, port2 } = new MessageChannel()
  const [ctx, cancel] = withCancel(background())
  const { signal } = ctx
  const api = {
    within: () => [{ ctx }, { signal }, [ctx], [signal], new Map([[1, ctx]]), { deep: { ctx } }],
    one: (n: number): unknown => api.within()[n],
    handle: () => ({ ctx: link(port1).export(ctx) }),
    itself: () => ctx,
  }
  expose(api, port1)
  const remote = wrap<typeof api>(port2)
  for (const n of api.within().keys())
    await expect(remote.one(n)).rejects.toMatchObject({
      code: 'ERR_UNSENDABLE',
      message:
        'The result cannot be sent to the other thread: a context, or an AbortSignal, cannot be within a result. Put in its place what link().export(ctx) gives, and import() that on the other side.',
    })
  const there = link(port2).import((await remote.handle()).ctx)
  expect((await remote.itself()).err()).toBeUndefined()
  cancel('by its owner')
  await there.done
  expect(cause(there)).toBe('by its owner')
  port1.close()
})

test('a message that is posted later, as by an endpoint that waits for its worker, says how its context stands by then', async () => {
  install(Comlink)
  const handler = Comlink.transferHandlers.get('ctxbridge.context') as Comlink.TransferHandler<Context, object>
  const { port1, port2 } = new MessageChannel()
  const mine = link(new MessageChannel().port1)
  const [lives, cancelLater] = withCancel(background())
  const [ends, cancel] = withCancel(background())
  const held = [lives, ends].map((ctx) => handler.serialize(ctx))
  await turn()
  cancel('before it was posted')
  const arrived: Context[] = []
  const closed: number[] = []
  port2.on('message', (sent: { attach: { port: MessagePort } }) => {
    const number = arrived.length
    sent.attach.port.on('close', () => closed.push(number))
    arrived.push(handler.deserialize(sent))
  })
  for (const [sent, transfer] of held) port1.postMessage(sent, transfer as never)
  while (arrived.length < 2) await turn()
  expect(arrived.map((ctx) => cause(ctx))).toEqual([undefined, 'before it was posted'])
  while (closed.length === 0) await turn()
  expect(closed).toEqual([1])
  cancelLater('after that')
  expect(cause(arrived[0] as Context)).toBe('after that')
  while (mine.stats().slots > 0) await turn()
  port1.close()
})

test('contexts that end as one share a slot there, and each has its own values', async () => {
  const name = createKey<string>('name', { portable: { encode: (text) => text, decode: String } })
  install(Comlink, { keys: [name] })
  const { port1, port2 } = new MessageChannel()
  const came: Context[] = []
  Comlink.expose((ctx: Context) => void came.push(ctx), nodeEndpoint(port2))
  const remote = Comlink.wrap<(ctx: Context) => void>(nodeEndpoint(port1))
  const mine = link(new MessageChannel().port1)
  const app = withTimeout(background(), 60_000, 'in a minute')
  const other = withCancel(app)
  for (const ctx of [withValue(app, name, 'a'), app, withValue(app, name, 'b'), withValue(other, name, 'c')]) await remote(ctx)
  while (mine.stats().slots > 2) await turn()
  expect(came.map((ctx) => ctx.value(name))).toEqual(['a', undefined, 'b', 'c'])
  for (const ctx of came) expect(Math.abs((ctx.deadline?.getTime() ?? 0) - (app.deadline?.getTime() ?? 0))).toBeLessThan(1_000)
  other.cancel('the other one')
  expect(came.map(cause)).toEqual([undefined, undefined, undefined, 'the other one'])
  app.cancel('all of them')
  expect(came.map(cause)).toEqual(['all of them', 'all of them', 'all of them', 'the other one'])
  while (mine.stats().slots > 0) await turn()
  port1.close()
  install(Comlink)
})

test('what was sent and is refused on arrival takes no slot and no channel, whatever of it is wrong', async () => {
  const { port1, port2 } = new MessageChannel()
  const came: unknown[] = []
  Comlink.expose((what: unknown) => void came.push(what), nodeEndpoint(port2))
  const remote = Comlink.wrap<(what: unknown) => void>(nodeEndpoint(port1))
  const mine = link(new MessageChannel().port1)
  const [ctx, cancel] = withCancel(background())
  const { signal } = new AbortController()
  interface Envelope {
    readonly handle: object
    readonly attach: object
  }
  const damages: readonly ((sent: Envelope) => Envelope)[] = [
    ({ handle, attach }) => ({ handle: { ...handle, ctxbridge: 99 }, attach }),
    ({ handle, attach }) => ({ handle, attach: { ...attach, version: 99 } }),
    ({ attach }) => ({ handle: {}, attach: { ...attach, ctxbridge: 'of another kind' } }),
  ]
  for (const damage of damages) {
    install(Comlink)
    for (const name of ['ctxbridge.context', 'ctxbridge.signal']) {
      const plain = Comlink.transferHandlers.get(name) as Comlink.TransferHandler<unknown, Envelope>
      const serialize = (value: unknown): [Envelope, Transferable[]] => {
        const [sent, transfer] = plain.serialize(value)
        return [damage(sent), transfer]
      }
      Comlink.transferHandlers.set(name, { ...plain, serialize })
    }
    await remote(ctx)
    await remote(signal)
    while (mine.stats().slots > 0) await turn()
  }
  expect(came.map((what) => (what instanceof AbortSignal ? what.aborted : cause(what as Context)))).toEqual(
    damages.flatMap(() => [expect.objectContaining({ code: 'ERR_HANDLE' }) as unknown, true]),
  )
  cancel()
  port1.close()
  install(Comlink)
})

test('a codec that ends what there is of a context, does not end what comes', async () => {
  const came: CancelableContext[] = []
  const name = createKey<string>('name', {
    portable: {
      encode: (text) => text,
      decode(data) {
        for (const ctx of came) ctx.cancel('by the codec')
        return String(data)
      },
    },
  })
  install(Comlink, { keys: [name] })
  const { port1, port2 } = new MessageChannel()
  Comlink.expose((ctx: Context) => void came.push(ctx as CancelableContext), nodeEndpoint(port2))
  const remote = Comlink.wrap<(ctx: Context) => void>(nodeEndpoint(port1))
  const [ctx, cancel] = withCancel(background())
  for (const text of ['a', 'b']) await remote(withValue(ctx, name, text))
  expect(came.map(cause)).toEqual(['by the codec', undefined])
  cancel('by its owner')
  expect(came.map(cause)).toEqual(['by the codec', 'by its owner'])
  const mine = link(new MessageChannel().port1)
  while (mine.stats().slots > 0) await turn()
  port1.close()
  install(Comlink)
})

test('a context that came by messages alone, and comes again in shared memory, ends there at once', async () => {
  const { port1, port2 } = new MessageChannel()
  const came: Context[] = []
  install(Comlink, { sharedMemory: false })
  Comlink.expose((ctx: Context) => void came.push(ctx), nodeEndpoint(port2))
  const remote = Comlink.wrap<(ctx: Context) => void>(nodeEndpoint(port1))
  const [ctx, cancel] = withCancel(background())
  await remote(ctx)
  install(Comlink)
  await remote(ctx)
  cancel('now')
  expect(came.map(cause)).toEqual([undefined, 'now'])
  await came[0]?.done
  expect(came.map(cause)).toEqual(['now', 'now'])
  // The other way round there is no need of a second one.
  const signals: AbortSignal[] = []
  const made = new MessageChannel()
  Comlink.expose((signal: AbortSignal) => void signals.push(signal), nodeEndpoint(made.port2))
  const see = Comlink.wrap<(signal: AbortSignal) => void>(nodeEndpoint(made.port1))
  const controller = new AbortController()
  for (const sharedMemory of [true, false, false]) {
    install(Comlink, { sharedMemory })
    await see(controller.signal)
  }
  install(Comlink)
  expect([signals.length, new Set(signals).size]).toEqual([3, 1])
  controller.abort('now')
  expect(signals[2]?.reason).toBe('now')
  made.port1.close()
  const mine = link(new MessageChannel().port1)
  while (mine.stats().slots > 0) await turn()
  port1.close()
})

test('of what nobody has any more before it was posted the channel is given back', async () => {
  install(Comlink)
  const mine = link(new MessageChannel().port1)
  const [app] = withCancel(background())
  const transfer = Comlink.transferHandlers.get('ctxbridge.context')?.serialize(app)[1] ?? []
  const closed: string[] = []
  ;(transfer[0] as unknown as MessagePort).on('close', () => closed.push('the port'))
  expect(mine.stats().slots).toBe(0)
  while (closed.length === 0) {
    globalThis.gc?.()
    await turn()
  }
  expect(app.err()).toBe(undefined)
})
