/** Threads that begin to serve long after they were called. */
import { once } from 'node:events'
import { background, cause, withCancel } from 'ctxbridge'
import { expose, link, wrap } from 'ctxbridge/worker'
import { expect, test } from 'vitest'
import type { Callbacks } from '../fixtures/worker-callbacks.ts'
import type { LateJobs } from '../fixtures/worker-late.ts'
import { arrived, turn } from '../support/gc.ts'
import { empty, flag, reached, rejection, start } from './workers.ts'

test('a thread that serves its worker long after that has called it', async () => {
  const worker = start('worker-late')
  worker.postMessage('call')
  await once(worker, 'online')
  // What it posts has been here, and nobody has listened.
  const at = flag()
  worker.postMessage(at)
  await reached(at)
  await arrived()
  const seen: unknown[] = []
  const served: Callbacks = {
    async wait(ctx, begun) {
      Atomics.store(begun, 0, 1)
      Atomics.notify(begun, 0)
      await ctx.done
      seen.push(cause(ctx))
    },
    spin: () => undefined,
  }
  expose(served, worker)
  while (seen.length === 0) await turn()
  expect(seen).toMatchObject([{ message: 'the worker says so' }])
})

test('a worker that listens for messages of its own, and serves later', async () => {
  const worker = start('worker-late')
  const jobs = wrap<LateJobs>(worker)
  const ctx = withCancel(background())
  const at = flag()
  const call = rejection(jobs.spin(ctx, at))
  worker.postMessage('serve')
  await reached(at)
  ctx.cancel('in a loop')
  expect(await call).toBe(ctx.err())
  expect(await jobs.seen()).toBe('in a loop')
  expect(link(worker).stats()).toMatchObject(empty)
})
