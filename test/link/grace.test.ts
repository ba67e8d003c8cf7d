import { background, withCancel } from 'ctxbridge'
import { expect, onTestFinished, test, vi } from 'vitest'
import { hostClock } from '../../lib/clock.ts'
import { Grace } from '../../transports/worker/grace.ts'
import type { WorkerLink } from '../../transports/worker/worker-link.ts'
import { Tie } from '../../transports/worker/sent-signal.ts'
import { turn } from '../support/gc.ts'

test('a call that was answered, or lost, while another method kept the thread from it gets no grace any more', async () => {
  const held: (() => void)[] = []
  const isHeldUp = (_watcher: unknown, f: () => void): true => {
    held.push(f)
    return true
  }
  const link = { caller: { isHeldUp }, terminate: () => undefined }
  const grace = new Grace(link as unknown as WorkerLink, 'ignore', 1)
  const ctx = withCancel(background())
  const told: unknown[] = []
  grace.watch([new Tie(ctx, false)], (error) => told.push(error))
  grace.begin()
  ctx.cancel()
  while (held.length === 0) await turn()
  // Its caller does not wait for that.
  while (told.length === 0) await turn()
  expect(told).toEqual([ctx.err()])
  grace.over()
  const timers = vi.spyOn(hostClock, 'setTimer')
  onTestFinished(() => timers.mockRestore())
  for (const free of held) free()
  expect(timers).not.toHaveBeenCalled()
})
