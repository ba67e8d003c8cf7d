/** What a call that is over leaves of its contexts, whatever became of it. No other thread is needed. */
import { MessageChannel } from 'node:worker_threads'
import * as Comlink from 'comlink'
import { afterFunc, background, type Context, createKey, withCancel, withTimeout, withValue } from 'ctxbridge'
import { install } from 'ctxbridge/comlink'
import { type ContextHandle, expose, type Link, link, wrap } from 'ctxbridge/worker'
import { expect, onTestFinished, test, vi } from 'vitest'
import { arrived, collected, turn } from '../support/gc.ts'
import type { Jobs } from '../fixtures/worker-jobs.ts'
import { empty, heard, isAttach, rejection } from './workers.ts'

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
  'a call that could not be sent leaves nothing, also where its context was given out by hand meanwhile; shared memory: %s',
  async (sharedMemory) => {
    const { port1, port2 } = new MessageChannel()
    expose({ size: (...args: unknown[]) => args.length }, port2)
    const remote = wrap<{ size(...args: unknown[]): number }>(port1, { sharedMemory })
    const here = link(port1)
    while (here.stats().slots > 0) await turn()
    // The other side knows this one from its first export on.
    here.export(background())
    await arrived()
    const base = withCancel(background())
    const handles: ContextHandle[] = []
    const again = createKey<null>('again', {
      portable: {
        encode: () => {
          handles.push(here.export(base))
          return null
        },
        decode: () => null,
      },
    })
    expect(await rejection(remote.size(withValue(base, again, null), Symbol('cannot be sent')))).toMatchObject({
      code: 'ERR_UNSENDABLE',
    })
    const imports = handles.map((handle) => link(port2).import(handle))
    expect(imports.map((ctx) => ctx.err())).toEqual([undefined])
    // It is known there by now that the other handle never comes.
    await arrived()
    for (const ctx of imports) ctx.cancel()
    await arrived()
    expect(here.stats()).toMatchObject({ slots: 0, exports: 0 })
    expect(base.err()).toBe(undefined)
    port1.close()
  },
)

/** Both ends of a link, and what else is exported from here: of the tests before, whose links have been closed, nothing. */
async function ends(sharedMemory: boolean): Promise<{ readonly here: Link; readonly there: Link }> {
  const { port1, port2 } = new MessageChannel()
  const [here, there] = [link(port1, { sharedMemory }), link(port2, { sharedMemory })]
  onTestFinished(() => {
    here[Symbol.dispose]()
    port1.close()
  })
  while (here.stats().slots > 0) await turn()
  // The other side knows this one from its first export on.
  const known = heard(port2, isAttach)
  here.export(background())
  await known
  return { here, there }
}

/** From now on it is so much later. */
function later(ms: number): void {
  const at = performance.now() + ms
  const spy = vi.spyOn(performance, 'now').mockReturnValue(at)
  onTestFinished(() => spy.mockRestore())
}

const tooLate = { cause: { code: 'ERR_HANDLE', message: expect.stringContaining('its context ended long ago') as string } }

test.each([true, false])(
  'the end of a context is kept for a minute for a handle that has not come; shared memory: %s',
  async (sharedMemory) => {
    const { here, there } = await ends(sharedMemory)
    const ctx = withCancel(background())
    const handles = [ctx, withCancel(ctx), withCancel(ctx)].map((each) => here.export(each))
    ctx.cancel('before it arrived')
    expect(here.stats()).toMatchObject({ slots: 3, exports: 0 })
    expect(await there.import(handles[0]).done).toMatchObject({ cause: 'before it arrived' })
    // Given back by memory, or by a message.
    while (here.stats().slots > 2) await turn()
    expect(here.stats().slots).toBe(2)
    later(59_000)
    expect(await there.import(handles[1]).done).toMatchObject({ cause: 'before it arrived' })
    while (here.stats().slots > 1) await turn()
    expect(here.stats().slots).toBe(1)
    later(2_000)
    expect(here.stats().slots).toBe(0)
    expect(await there.import(handles[2]).done).toMatchObject(tooLate)
  },
)

test.each([true, false])(
  'of ends that nobody has imported the last 16,384 of a link are kept, unasked; shared memory: %s',
  async (sharedMemory) => {
    const { here, there } = await ends(sharedMemory)
    const handles = Array.from({ length: 100_000 }, (_, i) => {
      const ctx = withCancel(background())
      const handle = here.export(ctx)
      ctx.cancel(i)
      return handle
    })
    const { slots, chunks } = here.stats()
    expect(slots).toBe(16_384)
    // Nobody had asked before, and yet they have never been twice as many: for all of them there would be 30.
    expect(chunks).toBeLessThan(14)
    const oldest = handles.length - slots
    expect(await there.import(handles[oldest]).done).toMatchObject({ cause: oldest })
    expect(await there.import(handles.at(-1)).done).toMatchObject({ cause: handles.length - 1 })
    expect(await there.import(handles[oldest - 1]).done).toMatchObject(tooLate)
  },
)

test.each([true, false])(
  'what was imported, has ended and was given back takes the place of no end that is kept; shared memory: %s',
  async (sharedMemory) => {
    const { here, there } = await ends(sharedMemory)
    const ctx = withCancel(background())
    const handle = here.export(ctx)
    ctx.cancel('before it arrived')
    for (let batch = 0; batch < 80; batch++) {
      const contexts = Array.from({ length: 250 }, () => withCancel(background()))
      const imports = contexts.map((each) => there.import(here.export(each)))
      for (const each of contexts) each.cancel()
      await Promise.all(imports.map((each) => each.done))
      // By memory, or by messages.
      await arrived()
    }
    expect(await there.import(handle).done).toMatchObject({ cause: 'before it arrived' })
  },
)

test.each([true, false])(
  'an end that is kept keeps neither its context nor who listened to that; shared memory: %s',
  async (sharedMemory) => {
    const { here, there } = await ends(sharedMemory)
    const begin = (): { handle: ContextHandle; refs: WeakRef<object>[] } => {
      const ctx = withCancel(withValue(background(), createKey<object>('large'), {}))
      const handle = here.export(ctx)
      const listener = { heard: 0 }
      afterFunc(ctx, () => void listener.heard++)
      ctx.signal.addEventListener('abort', () => void listener.heard++)
      ctx.cancel('kept')
      return { handle, refs: [new WeakRef(ctx), new WeakRef(listener)] }
    }
    const { handle, refs } = begin()
    expect(await collected(...refs)).toBe(true)
    expect(here.stats().slots).toBe(1)
    expect(await there.import(handle).done).toMatchObject({ cause: 'kept' })
  },
)

test.each([true, false])(
  'what is imported keeps its end, however many others have ended, and however long ago; shared memory: %s',
  async (sharedMemory) => {
    const { here, there } = await ends(sharedMemory)
    const contexts = Array.from({ length: 1_500 }, () => withCancel(background()))
    // Two handles of each: the one that never comes keeps it, when the other is back.
    const imports = contexts.map((ctx) => {
      here.export(ctx)
      return there.import(here.export(ctx))
    })
    for (const [i, ctx] of contexts.entries()) ctx.cancel(i)
    later(61_000)
    // By messages alone they are given up, as all of them have been told.
    expect(here.stats().slots).toBe(sharedMemory ? 1_500 : 0)
    for (const [i, theirs] of imports.entries()) expect(await theirs.done).toMatchObject({ cause: i })
    while (there.stats().imports > 0) await turn()
    expect(here.stats().slots).toBe(0)
  },
)

test.each([true, false])(
  'a call that has not been answered keeps the end of its context, of which a handle was given out by hand; shared memory: %s',
  async (sharedMemory) => {
    const { port1, port2 } = new MessageChannel()
    expose({ why: (ctx: Context) => ctx.err()?.cause }, port2)
    const ctx = withCancel(background())
    const remote = wrap<{ why(ctx: Context): unknown }>(port1, { sharedMemory })
    const here = link(port1)
    const before = here.stats().slots
    const handle = here.export(ctx)
    const why = rejection(remote.why(ctx))
    ctx.cancel('while it was on its way')
    later(61_000)
    expect(here.stats().slots).toBe(before + 1)
    expect(await why).toMatchObject({ cause: 'while it was on its way' })
    while (here.stats().calls > 0) await turn()
    expect(here.stats().slots).toBe(before)
    expect(await link(port2).import(handle).done).toMatchObject(tooLate)
    port1.close()
  },
)

test('a context that went by plain Comlink, on a channel of its own, keeps its end as long as that is there', async () => {
  install(Comlink)
  const { serialize, deserialize } = Comlink.transferHandlers.get('ctxbridge.context') as Comlink.TransferHandler<Context, object>
  const ctx = withCancel(background())
  const [sent, transfer] = serialize(ctx)
  const came = structuredClone(sent, { transfer })
  ctx.cancel('before it was read')
  later(61_000)
  const { port1, port2 } = new MessageChannel()
  link(port1).stats()
  expect(await deserialize(came).done).toMatchObject({ cause: 'before it was read' })
  port1.close()
  port2.close()
})

test.each([true, false])(
  'of one context that was imported several times each import is told, whichever of the others was given back; shared memory: %s',
  async (sharedMemory) => {
    const { port1, port2 } = new MessageChannel()
    const [here, there] = [link(port1, { sharedMemory }), link(port2, { sharedMemory })]
    // The other side knows this one from its first export on.
    const known = heard(port2, isAttach)
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
    while (there.stats().imports > 0) await turn()
    expect(there.stats()).toMatchObject({ imports: 0 })
    port1.close()
  },
)

// The last one here: this thread's table is as large as it can be from here on.
test('a table that is full of ends that nobody has asked for has slots again when they have been kept for long enough', async () => {
  const all = await Promise.all(Array.from({ length: 17 }, () => ends(true)))
  for (const { here } of all) {
    for (let i = 0; i < 16_384; i++) {
      const ctx = withCancel(background())
      here.export(ctx)
      ctx.cancel()
    }
  }
  const warnings: Error[] = []
  const listener = (warning: Error): void => void warnings.push(warning)
  process.on('warning', listener)
  onTestFinished(() => void process.off('warning', listener))
  const { port1 } = new MessageChannel()
  const next = (): number => link(port1).export(withCancel(background())).slot as number
  // By messages alone, which is told once.
  for (let i = 0; i < 3; i++) expect(next()).toBeLessThan(0)
  await turn()
  expect(warnings).toMatchObject([{ name: 'CtxbridgeWarning', message: expect.stringContaining('262080 at most') as string }])
  later(61_000)
  // Of those that are free again, each export finds some.
  const slots = Array.from({ length: 4_000 }, next)
  expect(slots.filter((slot) => slot >= 0).length).toBeGreaterThan(3_000)
  link(port1)[Symbol.dispose]()
  port1.close()
})
