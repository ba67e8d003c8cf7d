/** What a call that is over leaves of its contexts, whatever became of it. No other thread is needed. */
import { MessageChannel } from 'node:worker_threads'
import { afterFunc, background, type Context, createKey, withCancel, withTimeout, withValue } from 'ctxbridge'
import { expose, link, wrap } from 'ctxbridge/worker'
import { expect, test } from 'vitest'
import type { Jobs } from '../fixtures/worker-jobs.ts'
import { empty, rejection } from './workers.ts'

test.each([true, false])(
  'a codec that closes the link while a context is sent leaves nothing; shared memory: %s',
  async (sharedMemory) => {
    const ports: { close(): void }[] = []
    const closing = createKey<() => void>('closing', {
      portable: {
        encode: (close) => {
          close()
          return null
        },
        decode: () => () => undefined,
      },
    })
    const begin = () => {
      const { port1, port2 } = new MessageChannel()
      ports.push(port1)
      expose({ size: (...contexts: Context[]) => contexts.length }, port2)
      const remote = wrap<{ size(...contexts: Context[]): number }>(port1, { sharedMemory })
      const mine = link(port1)
      return { remote, mine, ctx: withValue(withCancel(background()), closing, () => mine[Symbol.dispose]()) }
    }
    const lost = 'The link was closed by this thread.'
    {
      const { mine, ctx } = begin()
      const handle = mine.export(ctx)
      expect(mine.stats()).toMatchObject(empty)
      expect(() => mine.export(ctx)).toThrow(lost)
      expect(mine.import(handle).err()).toMatchObject({ cause: { message: lost } })
    }
    // The contexts behind the one whose codec did it are sent over a link that is closed, or are not, and those before it were.
    for (const place of [0, 1, 2]) {
      const { remote, mine, ctx } = begin()
      const contexts = [withCancel(background()), withTimeout(background(), 60_000), withCancel(background())]
      expect(await rejection(remote.size(...contexts.with(place, ctx as never)))).toMatchObject({ message: lost })
      expect(mine.stats()).toMatchObject(empty)
      for (const other of contexts) expect(other.err()).toBe(undefined)
    }
    for (const port of ports) port.close()
  },
)

test.each([true, false])('a call that was answered unread holds nothing any more; shared memory: %s', async (sharedMemory) => {
  for (const how of [{ refused: ['ERR_PROTOCOL', 'The versions differ.'] }, 'garbage']) {
    const { port1, port2 } = new MessageChannel()
    port2.on('message', (message: unknown) => {
      if (Array.isArray(message) && message[0] === 'ctxbridge.call')
        port2.postMessage(['ctxbridge.answer', 1, message[2], how, 0])
    })
    const jobs = wrap<Jobs>(port1, { sharedMemory })
    const [ctx, other] = [withCancel(background()), withCancel(background())]
    const calls = [jobs.look(ctx), jobs.size(ctx, other, new AbortController().signal)].map(rejection)
    expect(link(port1).stats()).toMatchObject({ slots: 3, exports: 3 })
    for (const error of await Promise.all(calls)) expect(error).toMatchObject({ code: 'ERR_PROTOCOL' })
    expect(link(port1).stats()).toMatchObject(empty)
    expect(ctx.err()).toBe(undefined)
    port1.close()
  }
})

test('a handle that was given out by hand is held when a call with the same context is over', async () => {
  const { port1, port2 } = new MessageChannel()
  expose({ see: (ctx: Context) => ctx.err() === undefined }, port2)
  const ctx = withCancel(background())
  const remote = wrap<{ see(ctx: Context): boolean }>(port1)
  const handle = link(port1).export(ctx)
  expect(await remote.see(ctx)).toBe(true)
  expect(link(port1).stats()).toMatchObject({ slots: 1, exports: 1 })
  const theirs = link(port2).import(handle)
  expect(await remote.see(ctx)).toBe(true)
  ctx.cancel('by hand')
  expect(await theirs.done).toMatchObject({ cause: 'by hand' })
  port1.close()
})

test.each([true, false])(
  'a handle that may still arrive tells of an end before it, and holds its slot until the link is closed; shared memory: %s',
  async (sharedMemory) => {
    const { port1, port2 } = new MessageChannel()
    const [here, there] = [link(port1, { sharedMemory }), link(port2, { sharedMemory })]
    // Of the tests before, whose links have been closed.
    await expect.poll(() => here.stats().slots).toBe(0)
    const ctx = withCancel(background())
    // The other side knows this one from its first export on.
    const known = new Promise((resolve) => port2.once('message', resolve))
    const [late] = [here.export(ctx), here.export(withCancel(ctx))]
    await known
    ctx.cancel('before it arrived')
    expect(here.stats().slots).toBe(2)
    expect(await there.import(late).done).toMatchObject({ cause: 'before it arrived' })
    // Given back by memory, or by a message.
    await expect.poll(() => here.stats().slots).toBe(1)
    here[Symbol.dispose]()
    expect(here.stats().slots).toBe(0)
    port1.close()
  },
)

test.each([true, false])(
  'of one context that was imported several times each import is told, whichever of the others was given back; shared memory: %s',
  async (sharedMemory) => {
    const { port1, port2 } = new MessageChannel()
    const [here, there] = [link(port1, { sharedMemory }), link(port2, { sharedMemory })]
    // The other side knows this one from its first export on.
    const known = new Promise((resolve) => port2.once('message', resolve))
    here.export(withCancel(background()))
    await known
    for (const givenBack of [0, 1, 2]) {
      const ctx = withCancel(background())
      const imports = Array.from({ length: 3 }, () => there.import(here.export(ctx)))
      imports[givenBack]?.cancel('through with it')
      const others = imports.filter((_, i) => i !== givenBack)
      expect(others.map((other) => other.err())).toEqual([undefined, undefined])
      const told = Promise.all(others.map((other) => new Promise<void>((resolve) => void afterFunc(other, resolve))))
      ctx.cancel('the end')
      await told
      expect(others.map((other) => other.err()?.cause)).toEqual(['the end', 'the end'])
    }
    while (there.stats().imports > 0) await new Promise((resolve) => setImmediate(resolve))
    expect(there.stats()).toMatchObject({ imports: 0 })
    port1.close()
  },
)
