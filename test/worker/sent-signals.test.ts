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

/** As a polyfill has it, or another realm. */
class OtherSignal extends EventTarget {
  aborted = false
  reason: unknown

  abort(reason: unknown): void {
    this.aborted = true
    this.reason = reason
    this.dispatchEvent(new Event('abort'))
  }
}

test.each([
  ['an argument', (signal: AbortSignal) => signal],
  ['a property of one', (signal: AbortSignal) => ({ signal })],
])("a signal of somebody else's class is one like any other: %s", async (_where, place) => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  const came: AbortSignal[] = []
  const api = {
    wait(given: AbortSignal | { signal: AbortSignal }): Promise<void> {
      const signal = 'signal' in given ? given.signal : given
      came.push(signal)
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
    },
    none: (): void => undefined,
  }
  expose(api, port1)
  const remote = wrap<typeof api>(port2)
  const other = new OtherSignal()
  const call = rejection(remote.wait(place(other as unknown as AbortSignal)))
  while (came.length === 0) await remote.none()
  expect(came[0]).toBeInstanceOf(AbortSignal)
  other.abort('enough')
  expect(await call).toBe('enough')
  while (link(port2).stats().calls > 0) await remote.none()
  expect(came[0]).toMatchObject({ aborted: true, reason: 'enough' })
})
