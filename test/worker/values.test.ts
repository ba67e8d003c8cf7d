/** What is done with the arguments and results of a call, beside contexts: the same as Comlink does. */
import { MessageChannel } from 'node:worker_threads'
import * as Comlink from 'comlink'
import {
  background,
  BridgeError,
  type Context,
  createKey,
  createRoot,
  type Key,
  LinkLostError,
  withCancel,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { assertNoLeaks, createFakeClock } from 'ctxbridge/testing'
import { expose, link, wrap } from 'ctxbridge/worker'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Independent, ValueWrapper, Wrapper } from '../support/foreign.ts'

const api = {
  show: (...given: unknown[]) => given.map((one) => (typeof one === 'bigint' ? `${one}n` : typeof one)),
  length: (bytes: ArrayBuffer) => bytes.byteLength,
  bytes: (length: number) => {
    const bytes = new ArrayBuffer(length)
    given = bytes
    return Comlink.transfer(bytes, [bytes])
  },
  big: () => 7n,
  marked: () => ({ marked: true }),
}
let given: ArrayBuffer | undefined

function served(): ReturnType<typeof wrap<typeof api>> {
  const { port1, port2 } = new MessageChannel()
  expose(api, port1)
  onTestFinished(() => port1.close())
  return wrap<typeof api>(port2)
}

function handle(name: string, handler: unknown): void {
  Comlink.transferHandlers.set(name, handler as Comlink.TransferHandler<unknown, unknown>)
  onTestFinished(() => void Comlink.transferHandlers.delete(name))
}

test('a transfer handler may take what is no object, an argument or a result, and may make nothing of it', async () => {
  const remote = served()
  const asked: unknown[] = []
  handle('test.big', {
    canHandle: (value: unknown) => (asked.push(value), typeof value === 'bigint'),
    serialize: (value: bigint) => [value === 0n ? undefined : String(value), []],
    deserialize: (sent: string | undefined) => (sent === undefined ? undefined : BigInt(sent) * 2n),
  })
  const [ctx, cancel] = withCancel(background())
  expect(await remote.show(1, 21n, ctx, 'text', 0n)).toEqual(['number', '42n', 'object', 'string', 'undefined'])
  expect(await remote.big()).toBe(14n)
  expect(asked).not.toContain(ctx)
  cancel()
})

test('what Comlink.transfer() marks is moved, beside what is not', async () => {
  const remote = served()
  const [moved, copied] = [new ArrayBuffer(8), new ArrayBuffer(4)]
  expect(await remote.length(Comlink.transfer(moved, [moved]))).toBe(8)
  expect(await remote.length(copied)).toBe(4)
  expect([moved.byteLength, copied.byteLength]).toEqual([0, 4])
  expect((await remote.bytes(16)).byteLength).toBe(16)
  expect(given?.byteLength).toBe(0)
})

test('what a transfer handler throws rejects the call whose argument or result it was, and no other', async () => {
  const remote = served()
  let fails: 'serialize' | 'deserialize' | undefined = 'serialize'
  const failing = (how: typeof fails, value: unknown): unknown => {
    if (fails === how) throw new RangeError(`no ${how}`)
    return value
  }
  handle('test.marked', {
    canHandle: (value: unknown) => typeof value === 'object' && value !== null && 'marked' in value,
    serialize: (value: unknown) => [failing('serialize', { ...(value as object) }), []],
    deserialize: (value: unknown) => failing('deserialize', value),
  })
  const unsendable = (why: RegExp): unknown =>
    expect.objectContaining({ code: 'ERR_UNSENDABLE', message: expect.stringMatching(why) as string })
  await expect(remote.show({ marked: true })).rejects.toThrow(new RangeError('no serialize'))
  const error: unknown = await remote.marked().catch((why: unknown) => why)
  expect(error).toBeInstanceOf(BridgeError)
  expect(error).toEqual(unsendable(/^The result cannot be sent to the other thread: no serialize$/))
  fails = 'deserialize'
  await expect(remote.show({ marked: true })).rejects.toEqual(unsendable(/its transfer handler threw: no deserialize$/))
  await expect(remote.marked()).rejects.toThrow(new RangeError('no deserialize'))
  fails = undefined
  expect(await remote.show({ marked: true })).toEqual(['object'])
  expect(await remote.marked()).toEqual({ marked: true })
})

describe('a context of somebody else takes along the portable values of what it wraps', () => {
  const key = createKey<string>('name', { portable: { encode: (value) => value, decode: String } })
  const second = createKey<string>('second', { portable: { encode: (value) => value, decode: String } })
  const valuesOf = (ctx: Context): unknown => {
    const { port1 } = new MessageChannel()
    onTestFinished(() => port1.close())
    return link(port1).export(ctx).values
  }
  const own = withValue(background(), key, 'own')

  test.each<[string, () => Context, unknown]>([
    ['a wrapper', () => new Wrapper(own), [['name', 'own']]],
    ['derived from a wrapper', () => withCancel(new Wrapper(own)), [['name', 'own']]],
    [
      'derived from a wrapper of what was derived from a wrapper',
      () => withCancel(new Wrapper(withCancel(new Wrapper(own)))),
      [['name', 'own']],
    ],
    ['one that has another value itself', () => withCancel(new ValueWrapper(own, key, 'nearer')), [['name', 'nearer']]],
    [
      'with another key bound below it',
      () => withValue(new Wrapper(own), second, 'two'),
      [
        ['second', 'two'],
        ['name', 'own'],
      ],
    ],
    ['with the same key bound below it', () => withValue(new Wrapper(own), key, 'below'), [['name', 'below']]],
    ['one that wraps none of ours', () => withCancel(new Independent()), undefined],
  ])('%s', (_name, make, expected) => {
    expect(valuesOf(make())).toEqual(expected)
  })

  class Hostile extends Independent {
    readonly bindings: unknown
    constructor(bindings: unknown) {
      super({ values: new Map([[key, 'asked']]) })
      this.bindings = bindings
    }
  }
  const endless = {
    key,
    get outer(): unknown {
      return endless
    },
  }
  const throwing = {
    get key(): never {
      throw new Error('no')
    },
  }
  const broken = new (class extends Wrapper {
    override value<T>(asked: Key<T>): T | undefined {
      if ((asked as unknown) === key) throw new Error('no')
      return super.value(asked)
    }
  })(own)

  test.each<[string, Context, unknown]>([
    ['of bindings without an end', new Hostile(endless), [['name', 'asked']]],
    ['of bindings that throw', new Hostile({ key, outer: throwing }), [['name', 'asked']]],
    ['of bindings that are none', new Hostile(7), undefined],
    ['of keys that are none', new Hostile({ key: 'name', outer: { key: {}, outer: { key } } }), [['name', 'asked']]],
    ['whose look-up throws', broken, undefined],
  ])('and whatever else it says breaks no export: one %s', (_name, ctx, expected) => {
    for (const each of [ctx, withCancel(ctx)]) expect(valuesOf(each)).toEqual(expected)
  })
})

test('a call leaves nothing on its contexts, however it ends: answered, refused, unsendable', async () => {
  const remote = served()
  const [ctx, cancel] = withCancel(background())
  await remote.show(ctx)
  await remote.show({ ctx })
  await expect((remote as unknown as { none(ctx: Context): unknown }).none(ctx)).rejects.toMatchObject({ code: 'ERR_NO_METHOD' })
  await expect(remote.show(ctx, () => undefined)).rejects.toMatchObject({ code: 'ERR_UNSENDABLE' })
  assertNoLeaks(ctx)
  cancel()
})

test.each([
  ['can', 1],
  ['cannot', () => undefined],
])(
  'an argument whose reading closes the link rejects its call, when the rest %s be sent, and leaves nothing',
  async (_, more) => {
    const { port1, port2 } = new MessageChannel()
    const remote = wrap<{ take(...args: unknown[]): void }>(port2)
    const [ctx, cancel] = withCancel(background())
    // Of a class, so that nobody reads it in search of contexts.
    const closing = Object.defineProperty(new (class Closing {})(), 'closes', {
      enumerable: true,
      get: () => link(port2)[Symbol.dispose](),
    })
    await expect(remote.take(ctx, closing, more)).rejects.toThrow(LinkLostError)
    assertNoLeaks(ctx)
    cancel()
    port1.close()
  },
)

test('a call whose context has ended rejects with that, also where whoever hears of it first closes the link', async () => {
  const { port1, port2 } = new MessageChannel()
  expose({ wait: () => new Promise(() => undefined) }, port1)
  const remote = wrap<{ wait(...given: unknown[]): Promise<void> }>(port2)
  const [ctx, cancel] = withCancel(background())
  const [other, cancelOther] = withCancel(background())
  ctx.signal.addEventListener('abort', () => remote[Symbol.dispose]())
  const call = remote.wait(other, ctx)
  cancel('through with it')
  await expect(call).rejects.toBe(ctx.err())
  assertNoLeaks(other)
  cancelOther()
  port1.close()
})

test('a link that is closed while a call begins to listen leaves nothing on its other contexts', async () => {
  const { port1, port2 } = new MessageChannel()
  const remote = wrap<{ wait(...given: unknown[]): Promise<void> }>(port2)
  const clock = createFakeClock()
  const [live, cancel] = withCancel(background())
  const ctx = withTimeout(createRoot({ clock }), 5)
  ctx.signal.addEventListener('abort', () => remote[Symbol.dispose]())
  // Of a class, so that nobody reads it in search of contexts.
  const late = Object.defineProperty(new (class Late {})(), 'late', { enumerable: true, get: () => clock.block(10) })
  await expect(remote.wait(live, ctx, live, late)).rejects.toBe(ctx.err())
  assertNoLeaks(live)
  cancel()
  port1.close()
})

test('a call that cannot be sent leaves no slot, also where a codec of a value has ended its context meanwhile', async () => {
  const { port1, port2 } = new MessageChannel()
  const [ended, cancel] = withCancel(background())
  const key = createKey<string>('ends', { portable: { encode: () => (cancel('while it is sent'), 'x'), decode: String } })
  const remote = wrap<{ take(...given: unknown[]): void }>(port2)
  await expect(remote.take(withValue(ended, key, 'a value'), () => undefined)).rejects.toMatchObject({ code: 'ERR_UNSENDABLE' })
  expect(link(port2).stats()).toMatchObject({ slots: 0, calls: 0 })
  port1.close()
})
