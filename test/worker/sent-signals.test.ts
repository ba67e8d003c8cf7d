/** AbortSignals that were sent to another thread, as that thread has them. */
import { MessageChannel } from 'node:worker_threads'
import { expose, link, wrap } from 'ctxbridge/worker'
import { expect, onTestFinished, test } from 'vitest'
import { empty, rejection } from './workers.ts'

function serve() {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  const aborted: unknown[] = []
  const kept: AbortSignal[] = []
  const keep = (signal: AbortSignal): void => {
    kept.push(signal)
    signal.addEventListener('abort', () => aborted.push(signal.reason))
  }
  const api = {
    keep,
    fail(signal: AbortSignal): void {
      keep(signal)
      throw new Error('failed')
    },
    wait: (signal: AbortSignal): Promise<void> => {
      keep(signal)
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
    },
  }
  expose(api, port1)
  return { remote: wrap<typeof api>(port2), port2, aborted, kept }
}

test('the end of a call, however it ends, is no abort: the signal stays as it is', async () => {
  const { remote, port2, aborted, kept } = serve()
  const { signal } = new AbortController()
  await remote.keep(signal)
  expect(await rejection(remote.fail(signal))).toMatchObject({ message: 'failed' })
  expect(kept.map((signal): unknown[] => [signal.aborted, signal.reason])).toEqual([
    [false, undefined],
    [false, undefined],
  ])
  for (const each of kept) each.throwIfAborted()
  expect(aborted).toEqual([])
  expect(link(port2).stats()).toMatchObject(empty)
})

test('an abort during the call is one there, with its reason, and stays one', async () => {
  const { remote, port2, aborted, kept } = serve()
  const controller = new AbortController()
  const call = rejection(remote.wait(controller.signal))
  while (kept.length === 0) await remote.keep(new AbortController().signal)
  controller.abort('enough')
  expect(await call).toBe('enough')
  while (link(port2).stats().calls > 0) await remote.keep(new AbortController().signal)
  expect(aborted).toEqual(['enough'])
  expect([kept[0]?.aborted, kept[0]?.reason]).toEqual([true, 'enough'])
})

test('what only looks like a signal is sent as what it is', async () => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  class Task extends EventTarget {
    aborted = false
    id = 7
  }
  expose({ echo: (...all: unknown[]) => all }, port1)
  const remote = wrap<{ echo(...all: unknown[]): unknown[] }>(port2)
  expect(await remote.echo(new Task(), { task: new Task() })).toEqual([
    { aborted: false, id: 7 },
    { task: { aborted: false, id: 7 } },
  ])
})
