/** Contexts that go through more than two threads. */
import * as Comlink from 'comlink'
import { background, withCancel } from 'ctxbridge'
import { link } from 'ctxbridge/worker'
import { expect, test } from 'vitest'
import { flag, quiet, reached, rejection, startJobs } from './workers.ts'

test.each([1, 2])("a loop in a worker's own worker, %d levels down, stops with the cause of the cancel", async (levels) => {
  const { worker, jobs } = startJobs()
  const [ctx, cancel] = withCancel(background())
  const at = flag()
  const call = jobs.below(ctx, levels, at)
  await reached(at)
  cancel('all the way down')
  expect(await rejection(call)).toBe(ctx.err())
  expect(await jobs.deepest()).toMatchObject({ name: 'AbortError', cause: 'all the way down', turned: false })
  await quiet(worker)
  expect(link(worker).stats()).toMatchObject({ slots: 0, exports: 0 })
  expect(await jobs.stats()).toMatchObject({ imports: 0, observers: 0 })
})

test('from one worker to another over a MessageChannel: the loop there stops with the cause of the cancel here', async () => {
  const [near, far] = [startJobs(), startJobs()]
  const { port1, port2 } = new MessageChannel()
  await far.jobs.serveOver(Comlink.transfer(port2, [port2]) as never)
  const [ctx, cancel] = withCancel(background())
  const at = flag()
  const call = near.jobs.spinOver(ctx, Comlink.transfer(port1, [port1]) as never, at)
  await reached(at)
  cancel('over two threads')
  expect(await rejection(call)).toBe(ctx.err())
  for (let seen; seen?.cause !== 'over two threads'; ) seen = await far.jobs.last()
  await quiet(near.worker)
  expect(link(near.worker).stats()).toMatchObject({ slots: 0, exports: 0 })
})
