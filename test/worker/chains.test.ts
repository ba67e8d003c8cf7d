/** Contexts that go through more than two threads. */
import * as Comlink from 'comlink'
import { background, withCancel } from 'ctxbridge'
import { link } from 'ctxbridge/worker'
import { describe, expect, test } from 'vitest'
import { flag, quiet, reached, rejection, startJobs } from './workers.ts'

/** As the last thread sees them: what is cut at the first step is cut no further at the next ones. */
const causes: readonly (readonly [name: string, given: unknown, seen: unknown])[] = [
  ['a short text', 'all the way', 'all the way'],
  ['a text that is longer than a slot', 't'.repeat(900), 't'.repeat(900)],
  ['an error that is longer than a slot', new Error('e'.repeat(900)), { name: 'Error', message: 'e'.repeat(900) }],
  ['a text that is longer than a cause may be', 'c'.repeat(9_000), `${'c'.repeat(1_021)}…`],
  [
    'a chain of errors that is longer than a cause may be',
    [1, 2, 3, 4, 5, 6].reduce((cause: Error | undefined, n) => new Error(deep(n), { cause }), undefined),
    { message: deep(6), cause: { message: deep(5), cause: { message: deep(4), cause: { message: deep(3), cause: '…' } } } },
  ],
]

function deep(level: number): string {
  return `${level} ${'n'.repeat(900)}`
}

describe.each(causes)('%s as the cause of a cancel', (_name, given, seen) => {
  test.each([1, 2])("stops a loop in a worker's own worker, %d levels down", async (levels) => {
    const { worker, jobs } = startJobs()
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    const call = jobs.below(ctx, levels, at)
    await reached(at)
    cancel(given)
    expect(await rejection(call)).toBe(ctx.err())
    expect(await jobs.deepest()).toMatchObject({ name: 'AbortError', cause: seen, turned: false })
    await quiet(worker)
    expect(link(worker).stats()).toMatchObject({ slots: 0, exports: 0 })
    expect(await jobs.stats()).toMatchObject({ imports: 0, observers: 0 })
  })

  test('stops a loop in a worker that has the context from another one, over a MessageChannel', async () => {
    const [near, far] = [startJobs(), startJobs()]
    const { port1, port2 } = new MessageChannel()
    await far.jobs.serveOver(Comlink.transfer(port2, [port2]) as never)
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    const call = near.jobs.spinOver(ctx, Comlink.transfer(port1, [port1]) as never, at)
    await reached(at)
    cancel(given)
    expect(await rejection(call)).toBe(ctx.err())
    await reached(at, 2)
    expect(await far.jobs.last()).toMatchObject({ name: 'AbortError', cause: seen, turned: false })
    await quiet(near.worker)
    expect(link(near.worker).stats()).toMatchObject({ slots: 0, exports: 0 })
  })
})
