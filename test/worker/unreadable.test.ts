/** What comes of another thread and cannot be read costs its sender's call, and nobody else anything. */
import { type MessagePort, MessageChannel } from 'node:worker_threads'
import * as Comlink from 'comlink'
import { background, BridgeError, cause, type Context, withCancel } from 'ctxbridge'
import { expose, link, wrap } from 'ctxbridge/worker'
import { expect, onTestFinished, test } from 'vitest'
import { arrived, turn } from '../support/gc.ts'
import { rejection } from './workers.ts'

function channel(): MessageChannel {
  const both = new MessageChannel()
  onTestFinished(() => both.port1.close())
  return both
}

/** The next answer to a call that was forged. */
function answer(port: MessagePort): Promise<unknown> {
  return new Promise((resolve) => port.on('message', (message) => Array.isArray(message) && resolve(message)))
}

/** A list that is long and empty. */
function long(length: number): unknown[] {
  const list: unknown[] = []
  list.length = length
  return list
}

class Money {
  readonly amount: number
  constructor(amount: number) {
    this.amount = amount
  }
}

function installMoney(): void {
  Comlink.transferHandlers.set('money', {
    canHandle: (value): value is Money => value instanceof Money,
    serialize: ({ amount }: Money) => [amount, []],
    deserialize(amount: number) {
      if (amount < 0) throw new RangeError(`no such money: ${amount}`)
      return new Money(amount)
    },
  })
  onTestFinished(() => void Comlink.transferHandlers.delete('money'))
}

test('an argument that its transfer handler refuses is an ERR_UNSENDABLE of its call, and other calls go on', async () => {
  installMoney()
  const { port1, port2 } = channel()
  let free = (_done: string): void => undefined
  expose(
    { pay: (_ctx: unknown, { amount }: Money) => amount, wait: () => new Promise<string>((resolve) => (free = resolve)) },
    port1,
  )
  const remote = wrap<{ pay(ctx: unknown, money: Money): number; wait(): Promise<string> }>(port2)
  const other = remote.wait()
  expect(await remote.pay(withCancel(background()), new Money(1))).toBe(1)
  const error = await rejection(remote.pay(withCancel(background()), new Money(-1)))
  expect(error).toBeInstanceOf(BridgeError)
  expect(error).toMatchObject({ code: 'ERR_UNSENDABLE', message: expect.stringContaining('no such money: -1') as string })
  free('done')
  expect(await other).toBe('done')
  expect(link(port2).stats()).toMatchObject({ slots: 0, calls: 0 })
})

test.each([
  ['an error that another side throws', { isError: true, value: { message: 'forged' } }, 'throw'],
  ['one that cannot be shown', { isError: false, value: { toString: 1, valueOf: 1 } }, 'throw'],
  ['a proxy without a port', 5, 'proxy'],
])('a forged argument, %s, is answered, and throws nothing here', async (_what, value, handler) => {
  const { port1, port2 } = channel()
  expose({ hello: () => 1 }, port1)
  const answered = answer(port2)
  port2.postMessage({ ctxbridge: 'here', version: 1 })
  port2.postMessage(['ctxbridge.call', 1, 'an id', ['hello', value], [1, handler]])
  expect(await answered).toEqual([
    'ctxbridge.answer',
    1,
    'an id',
    { refused: ['ERR_UNSENDABLE', expect.stringContaining('could not be read')] },
    0,
  ])
})

test('a call of no form that can be read, or with more arguments than there can be, is answered', async () => {
  const { port1, port2 } = channel()
  expose({ hello: () => 1 }, port1)
  for (const args of ['no list', long(200_000)]) {
    const answered = answer(port2)
    port2.postMessage({ ctxbridge: 'here', version: 1 })
    port2.postMessage(['ctxbridge.call', 1, 'an id', args])
    expect(await answered).toMatchObject({ 3: { refused: ['ERR_PROTOCOL', expect.any(String)] } })
    port2.removeAllListeners('message')
  }
})

test('an attach with more chunks than a table can have is none', async () => {
  const { port1, port2 } = channel()
  const its = link(port1)
  port2.postMessage({ ctxbridge: 'here', version: 1 })
  await arrived()
  const received = new Promise((resolve) => port1.once('message', resolve))
  const { port1: port } = new MessageChannel()
  port2.postMessage({ ctxbridge: 'attach', version: 1, table: 1, link: 1, chunks: long(100_000), port }, [port])
  await received
  const ctx = its.import({ ctxbridge: 1, table: 1, link: 1, slot: 1, generation: 1, grant: 1 })
  expect(String(cause(ctx))).toContain('made for another link')
})

test('a call that a getter of an argument makes, and that cannot be sent, takes nothing from the one that it is an argument of', async () => {
  const { port1, port2 } = channel()
  const api = {
    async work(ctx: Context, _arg: unknown): Promise<string> {
      await turn()
      ctx.throwIfDone()
      return 'worked'
    },
  }
  expose(api, port1)
  const remote = wrap<typeof api>(port2)
  let inner: Promise<unknown> | undefined
  const outer = remote.work(withCancel(background()), {
    get x() {
      inner = rejection(remote.work(withCancel(background()), () => undefined))
      return 1
    },
  })
  expect(await outer).toBe('worked')
  expect(await inner).toMatchObject({ code: 'ERR_UNSENDABLE' })
  expect(link(port2).stats()).toMatchObject({ slots: 0, calls: 0 })
})

test('a call that a transfer handler makes while it sends an argument changes nothing of the one that it is an argument of', async () => {
  const { port1, port2 } = channel()
  const api = {
    live: (options: { readonly ctx: Context }, _arg: unknown): boolean => options.ctx.err() === undefined,
    add: (a: number, b: number): number => a + b,
  }
  expose(api, port1)
  const remote = wrap<typeof api>(port2)
  class Busy {}
  let inner: Promise<number> | undefined
  Comlink.transferHandlers.set('busy', {
    canHandle: (value): value is Busy => value instanceof Busy,
    serialize: () => {
      inner = remote.add(1, 2)
      return ['busy', []]
    },
    deserialize: () => new Busy(),
  })
  onTestFinished(() => void Comlink.transferHandlers.delete('busy'))
  expect(await remote.live({ ctx: withCancel(background()) }, new Busy())).toBe(true)
  expect(await inner).toBe(3)
  expect(link(port2).stats()).toMatchObject({ slots: 0, calls: 0 })
})

test('beside an argument that cannot be cloned nobody goes through bytes in search of a context', async () => {
  const { port2 } = channel()
  const remote = wrap<{ load(bytes: Uint8Array, f: unknown): void }>(port2)
  const bytes = new Uint8Array(8)
  let looks = 0
  Object.defineProperty(bytes, 'looked', { enumerable: true, get: () => looks++ })
  const error = await rejection(remote.load(bytes, () => undefined))
  expect(error).toMatchObject({ code: 'ERR_UNSENDABLE', message: expect.stringContaining('could not be cloned') as string })
  expect(looks).toBe(0)
})
