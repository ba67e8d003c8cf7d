/** What a call that is over leaves of its contexts, whatever became of it. No other thread is needed. */
import { MessageChannel } from 'node:worker_threads'
import { background, type Context, withCancel } from 'ctxbridge'
import { expose, link, wrap } from 'ctxbridge/worker'
import { expect, test } from 'vitest'
import type { Jobs } from '../fixtures/worker-jobs.ts'
import { empty, rejection } from './workers.ts'

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
