/** What becomes of the watch over a call. Nobody is called. */
import { setTimeout } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { background, withCancel } from '../../lib/context.ts'
import { assertNoLeaks } from '../../transports/testing/leaks.ts'
import { afterGrace } from '../../transports/worker/after-grace.ts'
import { Grace } from '../../transports/worker/grace.ts'
import type { WorkerLink } from '../../transports/worker/worker-link.ts'
import { Tie } from '../../transports/worker/sent-signal.ts'

test('a call that was answered is watched no more: no timer ends its worker, and its contexts are not listened to', async () => {
  const terminate = vi.fn()
  const watch = new Grace({ terminate, caller: { isHeldUp: () => false } } as unknown as WorkerLink, 'heeds', 1)
  const [ended, live] = [withCancel(background()), withCancel(background())]
  watch.begin()
  const tell = vi.fn()
  watch.watch(
    [ended, live].map((ctx) => new Tie(ctx, false)),
    tell,
  )
  ended.cancel()
  watch.over()
  // A grace that was begun before this one, and is shorter, is over when this one is.
  await new Promise<void>((resolve) => void afterGrace(3, true, resolve))
  expect([terminate.mock.calls, tell.mock.calls]).toEqual([[], []])
  assertNoLeaks(live)
})

test('a call that is over while it begins to be watched is not watched', () => {
  const watch = new Grace({ terminate: vi.fn() } as unknown as WorkerLink, 'over', 1)
  const [ctx, cancel] = withCancel(background())
  watch.over()
  watch.watch([new Tie(ctx, false)], vi.fn())
  expect(() => assertNoLeaks(ctx)).not.toThrow()
  cancel()
})

test('a call that is not answered costs its worker, and its caller is told first', async () => {
  const [terminate, tell] = [vi.fn(), vi.fn()]
  const watch = new Grace({ terminate, caller: { isHeldUp: () => false } } as unknown as WorkerLink, 'deaf', 1)
  const ctx = withCancel(background())
  watch.begin()
  watch.watch([new Tie(ctx, false)], tell)
  expect(watch.isCounting).toBe(false)
  ctx.cancel()
  expect(watch.isCounting).toBe(true)
  while (terminate.mock.calls.length === 0) await setTimeout(1)
  expect(String(terminate.mock.calls[0])).toContain("the method 'deaf' went on for 1 ms")
  expect(tell.mock.calls).toMatchObject([[{ code: 'ERR_CONTEXT_IGNORED', cause: ctx.err() }]])
  expect(tell.mock.invocationCallOrder[0]).toBeLessThan(terminate.mock.invocationCallOrder[0] ?? 0)
})
