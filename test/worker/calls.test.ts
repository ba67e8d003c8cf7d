import { getEventListeners, once } from 'node:events'
import { inspect } from 'node:util'
import { MessageChannel } from 'node:worker_threads'
import * as Comlink from 'comlink'
import { background, BridgeError, cause, type Context, createKey, withCancel, withTimeout, withValue } from 'ctxbridge'
import { expose, isLinkMessage, link, type Remote, wrap } from 'ctxbridge/worker'
import { describe, expect, test } from 'vitest'
import type { Jobs } from '../fixtures/worker-jobs.ts'
import { arrived, turn } from '../support/gc.ts'
import { empty, flag, heard, inTime, quiet, reached, rejection, start, startJobs } from './workers.ts'

/** Two ends in this very thread: what is tested here needs no other. */
function pair<T extends object>(api: T): { remote: Remote<T>; port1: MessagePortOf; port2: MessagePortOf } {
  const { port1, port2 } = new MessageChannel()
  expose(api, port2)
  return { remote: wrap<T>(port1), port1, port2 }
}
type MessagePortOf = InstanceType<typeof MessageChannel>['port1']

test('a method is called with what was given, and its result comes back', async () => {
  const { jobs } = startJobs()
  expect(await jobs.add(1, 2)).toBe(3)
  const args = [undefined, null, -0, 1n, new Date(0), new Map([[1, new Set([2])]]), new Uint8Array([1, 2]), [{ a: [] }], 'ü']
  expect(await jobs.echo(...args)).toEqual(args)
  expect(await jobs.size()).toBe(0)
})

test('only own methods can be called', async () => {
  const { jobs } = startJobs()
  const any = jobs as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
  for (const name of ['inherited', 'nonsense', '', 'prototype', 'call', 'apply', 'bind']) {
    const error = await rejection(any[name]?.() ?? Promise.resolve())
    expect(error).toBeInstanceOf(BridgeError)
    expect(error).toMatchObject({ code: 'ERR_NO_METHOD' })
  }
  const ctx = withCancel(background())
  expect(await rejection(any['nonsense']?.(ctx, 1) ?? Promise.resolve())).toMatchObject({ code: 'ERR_NO_METHOD' })
})

test('methods of a class are inherited, so they are not served; functions of its instances are', async () => {
  class Api {
    own = (): string => `own of ${this.name()}`
    name(): string {
      return 'Api'
    }
  }
  const { remote, port1 } = pair(new Api())
  expect(await remote.own()).toBe('own of Api')
  expect(await rejection(remote.name())).toMatchObject({ code: 'ERR_NO_METHOD' })
  port1.close()
})

test('a remote is safe to hand around: not thenable, nothing inherited is called, nothing can be set', async () => {
  const { jobs } = startJobs()
  const any = jobs as unknown as Record<string | symbol, unknown>
  expect(await Promise.resolve(jobs)).toBe(jobs)
  for (const name of ['then', '__hidden', '__proto__', 'toJSON', Symbol.iterator, Symbol.asyncIterator, Symbol.toPrimitive]) {
    expect(typeof any[name], String(name)).not.toBe('function')
  }
  expect(any['constructor']).toBe(Object)
  expect(String(jobs)).toBe('[object Remote]')
  expect(JSON.stringify(jobs)).toBe('{}')
  expect(() => (any['add'] = 1)).toThrow(TypeError)
  expect(any['add']).toBe(any['add'])
  expect(await jobs.add(2, 2)).toBe(4)
})

test('what cannot be cloned rejects its own call, holds no slot, and harms no other', async () => {
  const { worker, jobs } = startJobs()
  const ctx = withCancel(background())
  const other = jobs.hang(ctx).catch(() => undefined)
  for (const bad of [() => 1, Symbol('s'), { deep: [ctx] }, new WeakMap()]) {
    const error = await rejection(jobs.size(ctx, withCancel(background()), bad, ctx))
    expect(error).toBeInstanceOf(BridgeError)
    expect(error).toMatchObject({ code: 'ERR_UNSENDABLE', message: expect.stringMatching(/^An argument .+/) as string })
    expect(link(worker).stats()).toMatchObject({ slots: 1, exports: 1, calls: 1 })
  }
  const error = await rejection(jobs.unsendable())
  expect(error).toBeInstanceOf(BridgeError)
  expect(error).toMatchObject({ code: 'ERR_UNSENDABLE', message: expect.stringMatching(/^The result .+/) as string })
  expect(await jobs.look(ctx)).toMatchObject({ err: undefined })
  ctx.cancel()
  await other
  expect(link(worker).stats()).toMatchObject({ exports: 0 })
})

test('a context deeper inside of an argument is told', async () => {
  const { worker, jobs } = startJobs()
  class Options {
    ctx = withCancel(background())
  }
  const lists = [[background()], new Set([background()]), new Map([[1, background()]]), new Map([[background(), { a: 1 }]])]
  for (const bad of [{ deep: { ctx: withCancel(background()) } }, ...lists, { list: lists[1] }, new Options()]) {
    expect(await rejection(jobs.size(withCancel(background()), { ctx: withCancel(background()) }, bad))).toMatchObject({
      code: 'ERR_UNSENDABLE',
      message:
        'An argument of size() cannot be sent to the other thread: a context must be an argument of its own, or a property of one that is a plain object.',
    })
    expect(link(worker).stats()).toMatchObject(empty)
  }
})

test('a function that is sent as it is, is told how it crosses', async () => {
  const { port1, port2 } = new MessageChannel()
  const api = {
    size: (...args: unknown[]) => args.length,
    give: () => () => 1,
    within: () => ({ f: () => 1 }),
    text: () => Symbol('s'),
  }
  expose(api, port1)
  const remote = wrap<typeof api>(port2)
  const crosses =
    / could not be cloned\. A function crosses as Comlink\.proxy\(f\), which must be an argument, or the result, itself\.$/
  for (const call of [remote.size(() => 1), remote.size({ onProgress: Comlink.proxy(() => 1) }), remote.give(), remote.within()])
    expect(await rejection(call)).toMatchObject({ code: 'ERR_UNSENDABLE', message: expect.stringMatching(crosses) as string })
  for (const call of [remote.size(Symbol('s')), remote.text()])
    expect(await rejection(call)).toMatchObject({ message: expect.stringMatching(/could not be cloned\.$/) as string })
  port1.close()
})

test('of what cannot be sent only so much is searched for a context', async () => {
  const { jobs } = startJobs()
  let reads = 0
  const list = Object.defineProperty([() => 1] as unknown[], 5_000, { get: () => ++reads, enumerable: true })
  expect(await rejection(jobs.size(withCancel(background()), list))).toMatchObject({
    message: expect.stringContaining('could not be cloned') as string,
  })
  expect(reads).toBe(0)
})

test('a context deep inside of a result is told, with what to do', async () => {
  const { remote, port1 } = pair({ deep: () => ({ list: [{ ctx: background() }] }) })
  expect(await rejection(remote.deep())).toMatchObject({
    code: 'ERR_UNSENDABLE',
    message: expect.stringMatching(
      /: a context, or an AbortSignal, cannot be within a result\. Put in its place what link\(\)\.export\(ctx\) gives/,
    ) as string,
  })
  port1.close()
})

test('what a third side answered is the same here, where a method passes it on, and what its own call lacked is no matter of the arguments here', async () => {
  const third = pair({ add: (a: number, b: number) => a + b })
  const first = pair({
    missing: () => (third.remote as unknown as { nope(): Promise<unknown> }).nope(),
    unsendable: () => third.remote.add(1, (() => 2) as never),
    unreadable: () =>
      third.remote.add(1, {
        get b(): never {
          throw new RangeError('not now')
        },
      } as never),
  })
  const direct = await rejection((first.remote as unknown as { nope(): Promise<unknown> }).nope())
  const passed = await rejection(first.remote.missing())
  for (const error of [direct, passed]) expect(error).toBeInstanceOf(BridgeError)
  expect(passed).toMatchObject({ code: 'ERR_NO_METHOD', message: (direct as Error).message })
  const [unsendable, unreadable] = [await rejection(first.remote.unsendable()), await rejection(first.remote.unreadable())]
  for (const error of [unsendable, unreadable]) {
    expect(error).toBeInstanceOf(BridgeError)
    expect(error).toMatchObject({
      code: 'ERR_UNSENDABLE',
      message: expect.stringMatching(/^An argument of add\(\) cannot be sent to the other thread: ./) as string,
    })
  }
  for (const { port1 } of [third, first]) port1.close()
})

test('contexts and AbortSignals may be properties of arguments that are plain objects, beside what else there is', async () => {
  let seen: unknown
  const { remote, port1 } = pair({
    load(url: string, options: { signal: AbortSignal; more: unknown }, { ctx, deadline }: { ctx: Context; deadline: Context }) {
      const { signal, ...rest } = options
      seen = [url, rest, signal instanceof AbortSignal, ctx.err(), deadline.remaining() < 60_000]
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve(String(cause(ctx)))))
    },
  })
  const { signal } = new AbortController()
  const [ctx, cancel] = withCancel(background())
  const options = Object.freeze({ signal, more: new Map([[1, { signal: 'none' }]]), __proto__: null })
  const contexts = { deadline: withTimeout(background(), 60_000), ctx: withValue(ctx, createKey('x'), 1) }
  const call = remote.load('/', options, contexts)
  await arrived()
  expect(seen).toEqual(['/', { more: new Map([[1, { signal: 'none' }]]) }, true, undefined, true])
  expect(link(port1).stats()).toMatchObject({ slots: 3, exports: 3, imports: 0, calls: 1 })
  expect(options.signal).toBe(signal)
  cancel('by a property')
  expect(await rejection(call)).toBe(ctx.err())
  // The method still waits for the other one.
  expect(link(port1).stats()).toMatchObject({ calls: 1 })
  expect(await rejection(remote.load('/', { signal: AbortSignal.abort('before'), more: 1 }, contexts))).toBe('before')
  port1.close()
})

test('a loop sees the end of a context that is a property', async () => {
  const { worker, jobs } = startJobs()
  const [ctx, cancel] = withCancel(background())
  const at = flag()
  const call = rejection(jobs.spinWithin({ ctx, at }))
  await reached(at)
  cancel('enough')
  expect(await call).toBe(ctx.err())
  expect(await jobs.last()).toMatchObject({ cause: 'enough', turned: false })
  expect(link(worker).stats()).toMatchObject(empty)
})

test('what Comlink is to transfer goes also where a context is beside it', async () => {
  const { remote, port1 } = pair({
    bytes: ({ ctx, buffer }: { ctx: Context; buffer: ArrayBuffer }) => [ctx.err(), buffer.byteLength],
  })
  const buffer = new ArrayBuffer(8)
  expect(await remote.bytes(Comlink.transfer({ ctx: withCancel(background()), buffer }, [buffer]))).toEqual([undefined, 8])
  expect(buffer.byteLength).toBe(0)
  port1.close()
})

test('an object that stays here, of which the other side has a proxy, may have contexts, which stay here too', async () => {
  const { remote, port1 } = pair({
    async ask(api: { answer(): Promise<number> }): Promise<number> {
      return api.answer()
    },
  })
  const controller = new AbortController()
  const api = Comlink.proxy({ signal: controller.signal, ctx: withCancel(background()), answer: () => Promise.resolve(42) })
  const call = remote.ask(api)
  expect(link(port1).stats()).toMatchObject({ exports: 0, calls: 1 })
  controller.abort()
  expect(await call).toBe(42)
  port1.close()
})

test('an argument whose properties throw is told as one that cannot be sent', async () => {
  const { remote, port1 } = pair({ size: (...args: unknown[]) => args.length })
  const { proxy, revoke } = Proxy.revocable({}, {})
  const getter = {
    get ctx(): Context {
      throw new Error('a getter')
    },
  }
  expect(await rejection(remote.size({ getter, ctx: withCancel(background()) }))).toMatchObject({ code: 'ERR_UNSENDABLE' })
  expect(await rejection(remote.size(getter))).toMatchObject({ code: 'ERR_UNSENDABLE' })
  // Also behind a context, which would be the first that cannot be cloned.
  const behind = Object.defineProperty({ first: withCancel(background()) }, 'ctx', {
    get: () => getter.ctx,
    enumerable: true,
  })
  expect(await rejection(remote.size(behind))).toMatchObject({
    code: 'ERR_UNSENDABLE',
    message: 'An argument of size() cannot be sent to the other thread: a getter',
    cause: { message: 'a getter' },
  })
  expect(await rejection(remote.size([behind]))).toMatchObject({
    code: 'ERR_UNSENDABLE',
    message: expect.stringContaining('a context must be an argument of its own') as string,
  })
  expect(link(port1).stats()).toMatchObject(empty)
  revoke()
  expect(await rejection(remote.size([proxy]))).toMatchObject({ code: 'ERR_UNSENDABLE' })
  expect(link(port1).stats()).toMatchObject(empty)
  port1.close()
})

test('calls that nobody serves yet wait, and from 10,000 on more are refused', async () => {
  const { port1, port2 } = new MessageChannel()
  const remote = wrap<{ next(ctx: Context): number }>(port1)
  // It listens, and serves nothing.
  const theirs = link(port2)
  const ctx = withCancel(background())
  const calls = Array.from({ length: 10_000 }, () => remote.next(background()))
  expect(await rejection(remote.next(ctx))).toMatchObject({
    name: 'BridgeError',
    code: 'ERR_LIMIT',
    message: 'The other thread serves nothing yet, and 10000 calls wait for that: let it call expose() when it starts.',
  })
  expect(link(port1).stats()).toMatchObject({ slots: 0, exports: 0, calls: 10_000 })
  let count = 0
  expose({ next: () => ++count }, port2)
  expect(await Promise.all(calls)).toEqual(Array.from({ length: 10_000 }, (_, i) => i + 1))
  expect(await remote.next(ctx)).toBe(10_001)
  expect(theirs.stats()).toMatchObject(empty)
  port1.close()
})

test('an AbortSignal is an argument as a context is: a loop sees it abort, with its reason, with which the call rejects', async () => {
  const { worker, jobs } = startJobs()
  const controller = new AbortController()
  const at = flag()
  const call = rejection(jobs.spinOn(controller.signal, at))
  await reached(at)
  const reason = Object.assign(new RangeError('enough'), { code: 'E_ENOUGH' })
  controller.abort(reason)
  expect(await call).toBe(reason)
  expect(await jobs.last()).toMatchObject({
    name: 'RangeError',
    turned: false,
    cause: { name: 'RangeError', message: 'enough', code: 'E_ENOUGH', class: 'RemoteError' },
  })
  expect(getEventListeners(controller.signal, 'abort')).toEqual([])
  expect(link(worker).stats()).toMatchObject(empty)
  expect(await rejection(jobs.spinOn(controller.signal, at))).toBe(reason)
  const live = new AbortController().signal
  expect(await jobs.size(live, withCancel(background()), live)).toBe(3)
  expect(getEventListeners(live, 'abort')).toEqual([])
  expect(link(worker).stats()).toMatchObject(empty)
})

test('an AbortSignal that was sent tells its end to listeners, and stays as it is when the call is over', async () => {
  let kept: AbortSignal | undefined
  const { remote, port1 } = pair({
    keep: (signal: AbortSignal): unknown => {
      kept = signal
      return [signal instanceof AbortSignal, signal.aborted, signal.reason]
    },
    wait: async (signal: AbortSignal): Promise<unknown> => {
      await once(signal, 'abort')
      kept = signal
      return AbortSignal.any([signal]).reason === signal.reason
    },
  })
  expect(await remote.keep(new AbortController().signal)).toEqual([true, false, undefined])
  expect([kept?.aborted, kept?.reason]).toEqual([false, undefined])
  await inTime(20, async (ms) => {
    kept = undefined
    const timeout = AbortSignal.timeout(ms)
    expect(await rejection(remote.wait(timeout))).toBe(timeout.reason)
    while (link(port1).stats().calls > 0) await turn()
    const sent = kept as AbortSignal | undefined
    if (sent === undefined) return false
    expect(sent.reason).toMatchObject({ name: 'TimeoutError' })
    expect(() => sent.throwIfAborted()).toThrow(sent.reason as Error)
    return true
  })
  port1.close()
})

test('what needs a transfer handler that the other side has not got rejects its call, and says which', async () => {
  const { worker, jobs } = startJobs()
  class Odd {}
  Comlink.transferHandlers.set('test.odd', {
    canHandle: (value): value is Odd => value instanceof Odd,
    serialize: () => [1, []],
    deserialize: () => new Odd(),
  })
  const ctx = withCancel(background())
  const error = await rejection(jobs.echo(ctx, new Odd()))
  Comlink.transferHandlers.delete('test.odd')
  expect(error).toBeInstanceOf(BridgeError)
  expect(error).toMatchObject({
    code: 'ERR_UNSENDABLE',
    message: 'An argument needs the transfer handler "test.odd" of Comlink, which the thread that was called has not installed.',
  })
  // Though nobody there has taken its context, the call holds nothing any more.
  expect(ctx.err()).toBe(undefined)
  expect(link(worker).stats()).toMatchObject(empty)
})

test('what a generator gives does not cross, and the caller is told what does', async () => {
  async function* later(): AsyncGenerator<number> {
    yield 1
  }
  function* now(): Generator<number> {
    yield 1
  }
  const { remote, port1 } = pair<{ later: () => unknown; now: () => unknown }>({ later, now })
  for (const name of ['later', 'now'] as const) {
    expect(await rejection(remote[name]())).toMatchObject({
      code: 'ERR_UNSENDABLE',
      message: expect.stringMatching(/generator .+ ctxbridge\/message-port/) as string,
    })
  }
  port1.close()
})

test('a context or a signal that a method returns is refused with a remedy, and not an empty object', async () => {
  const { remote, port1 } = pair<Record<'ctx' | 'signal' | 'within' | 'signalWithin', () => unknown>>({
    ctx: () => withCancel(background()),
    signal: () => new AbortController().signal,
    within: () => ({ ctx: background() }),
    signalWithin: () => ({ signal: new AbortController().signal }),
  })
  const itself = /: a context, or an AbortSignal, is no result\..+ install\(Comlink\) .+\.$/
  const inside =
    /: a context, or an AbortSignal, cannot be within a result\. Put in its place what link\(\)\.export\(ctx\) gives, .+\.$/
  for (const [name, told] of Object.entries({ ctx: itself, signal: itself, within: inside, signalWithin: inside }))
    expect(await rejection(remote[name as 'ctx']())).toMatchObject({
      code: 'ERR_UNSENDABLE',
      message: expect.stringMatching(told) as string,
    })
  port1.close()
})

test('what a method throws may be a proxy that throws at all that is asked of it', async () => {
  const { proxy, revoke } = Proxy.revocable(new Error('gone'), {})
  revoke()
  const { remote, port1 } = pair({
    fail(): never {
      throw proxy
    },
  })
  expect(await rejection(remote.fail())).not.toMatchObject({ message: 'Unserializable return value' })
  port1.close()
})

test('after a call that could not be sent, the same context is sent and ends as always', async () => {
  const { worker, jobs } = startJobs()
  const ctx = withCancel(background())
  await rejection(jobs.size(ctx, () => 1))
  expect(link(worker).stats()).toMatchObject(empty)
  expect(await jobs.look(ctx)).toMatchObject({ err: undefined })
  expect(link(worker).stats()).toMatchObject(empty)
})

test("what Comlink can carry is carried: its proxies and transfers, among a call's arguments and as its result", async () => {
  const { remote, port1 } = pair({
    async callBack(ctx: Context, f: (n: number) => unknown): Promise<unknown> {
      return [await f(20), ctx.err()]
    },
    bytes: (buffer: ArrayBuffer): ArrayBuffer => Comlink.transfer(buffer, [buffer]),
    counter: () => Comlink.proxy({ n: 40, add: (n: number) => 40 + n }),
  })
  expect(
    await remote.callBack(
      withCancel(background()),
      Comlink.proxy((n: number) => n + 1),
    ),
  ).toEqual([21, undefined])
  const buffer = new ArrayBuffer(8)
  expect((await remote.bytes(Comlink.transfer(buffer, [buffer]))).byteLength).toBe(8)
  expect(buffer.byteLength).toBe(0)
  const counter = (await remote.counter()) as unknown as Comlink.Remote<{ n: number; add(n: number): number }>
  expect([await counter.n, await counter.add(2)]).toEqual([40, 42])
  counter[Comlink.releaseProxy]()
  port1.close()
})

test('calls go both ways over one port', async () => {
  const { port1, port2 } = new MessageChannel()
  const [a, b] = [{ who: (ctx: Context) => `a ${ctx.err()}` }, { who: (ctx: Context) => `b ${ctx.err()}` }]
  expose(a, port1)
  expose(b, port2)
  const ctx = withCancel(background())
  expect(await Promise.all([wrap<typeof b>(port1).who(ctx), wrap<typeof a>(port2).who(ctx)])).toEqual([
    'b undefined',
    'a undefined',
  ])
  expect(link(port1).stats()).toMatchObject(empty)
  port1.close()
})

describe('messages of others on the same port', () => {
  test('are left alone, and come through', async () => {
    const { worker, jobs } = startJobs()
    const pong = heard(worker, (message) => message === 'pong')
    const seen: unknown[] = []
    worker.on('message', (message: unknown) => seen.push(message))
    worker.postMessage('ping')
    for (const message of [
      null,
      1,
      {},
      [],
      { ctxbridge: 'attach' },
      ['ctxbridge.call', 1],
      ['ctxbridge.call', 1, 'x'],
      ['ctxbridge.call', 1, 'x', 'add'],
      ['ctxbridge.call', 2, 'x', ['add', 1, 2]],
      ['ctxbridge.call', 1, 'x', ['add', 1, 2], 'marks'],
      ['ctxbridge.call', 1, 'x', ['add', 1, 2], [3, 0]],
      ['ctxbridge.call', 1, 'x', ['add', 1, 2], ['length', 0]],
      ['ctxbridge.call', 1, 'x', ['add', {}], [[1, 'none'], 0]],
      ['ctxbridge.call', 1, 'x', ['add', 'text'], [[1, 'length'], 0]],
      ['ctxbridge.call', 1, 'x', ['add', { a: 1 }], [[1, 'a'], 'handler']],
      ['ctxbridge.call', 1, 'x', ['add', { a: 1 }], [[1, {}], 0]],
      ['ctxbridge.call', 1, 'x', ['add', {}], [[1, '__proto__'], 0]],
      ['ctxbridge.call', 1, 'x', ['add', {}], [[], 0]],
      ['ctxbridge.answer', 1, 'x'],
    ]) {
      worker.postMessage(message)
    }
    expect(await pong).toBe('pong')
    expect(await jobs.add(1, 2)).toBe(3)
    // A call that cannot be read is refused: its caller, if there is one, waits for that.
    const answered = seen.filter((message) => Array.isArray(message) && message[2] === 'x')
    const refused = { refused: ['ERR_PROTOCOL', expect.any(String)] }
    expect(answered).toEqual(
      [1, 1, 2, ...Array<number>(9).fill(1)].map((version): unknown[] => [expect.any(String), version, 'x', refused, 0]),
    )
  })

  test('and messages as Comlink would send them reach no property of the served object', async () => {
    const { worker, jobs } = startJobs()
    const seen: unknown[] = []
    worker.on('message', (message: unknown) => seen.push(message))
    const inner = [
      { id: '1', type: 'GET', path: ['add'] },
      { id: '2', type: 'APPLY', path: ['constructor'], argumentList: [{ type: 'RAW', value: 'return 1' }] },
      { id: '3', type: 'CONSTRUCT', path: ['constructor'], argumentList: [] },
      { id: '4', type: 'ENDPOINT' },
      { id: '5', type: 'RELEASE' },
      { id: '6', type: 'SET', path: ['add'], value: { type: 'RAW', value: 1 } },
      { id: '7', type: 'APPLY', path: [], argumentList: [{ type: 'HANDLER', name: 'nobody', value: 1 }] },
      { id: '8', type: 'APPLY', path: [], argumentList: 'x' },
    ]
    for (const message of inner) worker.postMessage(message)
    worker.postMessage(['ctxbridge.call', 1, '9', ['add', 1], [1, 'nobody']])
    worker.postMessage(['ctxbridge.call', 1, '10', ['add', 1], [1, {}]])
    expect(await jobs.add(1, 2)).toBe(3)
    const answers = seen.filter((message) => Array.isArray(message) && (message[2] === '9' || message[2] === '10'))
    expect(answers).toMatchObject(
      [9, 10].map(() => expect.arrayContaining([{ refused: ['ERR_UNSENDABLE', expect.any(String)] }]) as unknown),
    )
    expect(seen.filter(Array.isArray)).toHaveLength(1 + answers.length)
    expect(seen.filter((message) => !isLinkMessage(message))).toEqual([])
  })

  test('a call of another version of the package is answered: the versions differ', async () => {
    const { worker } = startJobs()
    worker.postMessage(['ctxbridge.call', 7, 'of another version', { of: 'any form' }])
    let answer: unknown
    do [answer] = (await once(worker, 'message')) as [unknown]
    while (!Array.isArray(answer) || answer[2] !== 'of another version')
    const sentence =
      'Both threads need the same version of ctxbridge: the thread that called speaks version 7 of the protocol of threads, the one that was called 1.'
    expect(answer).toEqual(['ctxbridge.answer', 7, 'of another version', { refused: ['ERR_PROTOCOL', sentence] }, 0])

    const { port1, port2 } = new MessageChannel()
    port2.on('message', (message: unknown) => {
      if (Array.isArray(message) && message[0] === 'ctxbridge.call')
        port2.postMessage(['ctxbridge.answer', 1, message[2], answer[3], 0])
    })
    const error = await rejection(wrap<Jobs>(port1).add(1, 2))
    expect(error).toBeInstanceOf(BridgeError)
    expect(error).toMatchObject({ code: 'ERR_PROTOCOL', message: sentence })
    port1.close()
  })

  test('a handle that is forged rejects its call, whose method does not run', async () => {
    const { worker } = startJobs()
    const look = async (handle: unknown): Promise<unknown> => {
      worker.postMessage(['ctxbridge.call', 1, 'forged', ['look', handle], [1, 0]])
      for (;;) {
        const [answer] = (await once(worker, 'message')) as [unknown]
        if (Array.isArray(answer) && answer[2] === 'forged') return answer.slice(3)
      }
    }
    expect(await look('x')).toMatchObject([{ threw: expect.arrayContaining(['TypeError']) as unknown }, 0])
    const odd = [[], [1], [1, 1, 0, 1, 1], [1, 1, 'x', {}, null], [1.5, 1, 0, 1, 1], [1, 1, 0, 1, 1, Number.NaN]]
    for (const handle of [{ ctxbridge: 1, table: 1, link: 1, slot: 0, generation: 1, grant: 1 }, ...odd])
      expect(await look(handle)).toMatchObject([{ threw: [3, expect.arrayContaining(['ERR_HANDLE']) as unknown] }, 0])
  })
})

test('misuse is a TypeError in a whole sentence', async () => {
  const sentence = /^(wrap|expose|link|export)\(\) .+\.$/
  const foreign = { postMessage: () => undefined, addEventListener: () => undefined }
  for (const bad of [undefined, null, {}, foreign, 'worker', () => 1, new EventTarget()]) {
    expect(() => wrap(bad as never)).toThrow(TypeError)
    expect(() => wrap(bad as never)).toThrow(sentence)
    if (bad !== undefined) expect(() => link(bad as never)).toThrow(sentence)
  }
  for (const none of [() => link(), () => wrap(), () => wrap({ keys: [] })]) expect(none).toThrow(/main thread/)
  expect(() => wrap(foreign as never)).toThrow(/but got/)
  const api = { method: () => 1 }
  expect(() => expose(api)).toThrow(/main thread/)
  expect(() => expose(undefined as never)).toThrow(sentence)
  class Inherited {
    method(): void {}
  }
  const { port1 } = new MessageChannel()
  for (const bad of [{}, new Inherited(), { data: 1 }]) {
    expect(() => expose(bad, port1)).toThrow(/^expose\(\) needs an object with methods of its own to serve, .+\.$/)
    expect(() => expose(bad, port1)).toThrow(TypeError)
  }
  const worker = start()
  expect(() => expose(() => 1, worker)).toThrow(sentence)
  expect(() => link(worker, { keys: ['tenant' as never] })).toThrow(sentence)
  expect(() => link(worker, 1 as never)).toThrow(sentence)
  expect(() => link(worker).export({} as never)).toThrow(TypeError)
  expose(api, worker)
  expect(() => expose(api, worker)).toThrow(/^expose\(\) serves one object .+\.$/)
  expect(await wrap<Jobs>(worker).add(1, 1)).toBe(2)
  await quiet(worker)
})

test('what wrap gives, and its link, say in a log what they are', async () => {
  const { remote, port1 } = pair({ f: () => 1 })
  const text = 'Link { open }'
  expect([inspect(remote), inspect(link(port1)), String(link(port1))]).toEqual([`Remote of ${text}`, text, text])
  expect(JSON.stringify({ link: link(port1) })).toBe(JSON.stringify({ link: text }))
  const ctx = withCancel(background())
  const call = remote.f()
  link(port1).export(ctx)
  expect(inspect(remote)).toBe('Remote of Link { open, exports: 1, calls: 1 }')
  expect(await call).toBe(1)
  const mine = link(port1)
  remote[Symbol.dispose]()
  expect([inspect(remote), String(mine)]).toEqual(['Remote of Link { closed }', 'Link { closed }'])
})
