/** Of a job whose `run` has settled nothing begins, whatever its pool still does with it. */
import { background, type Context, withCancel } from 'ctxbridge'
import * as piscina from 'ctxbridge/piscina'
import { link } from 'ctxbridge/worker'
import * as tinypool from 'ctxbridge/tinypool'
import * as workerpool from 'ctxbridge/workerpool'
import { expect, onTestFinished, test, vi } from 'vitest'
import { turn } from '../support/gc.ts'
import { impatient } from '../support/impatient.ts'
import { rejection } from '../worker/workers.ts'

test.each<[string, (refuse: (envelope: never) => Promise<never>) => Promise<unknown>]>([
  ['piscina', (refuse) => piscina.run({ run: refuse }, background(), 1)],
  ['tinypool', (refuse) => tinypool.run({ run: refuse }, background(), 1)],
  [
    'workerpool',
    (refuse) => workerpool.run({ exec: (_: string, [one]: [never]) => refuse(one) }, background(), 1, { method: 'f' }),
  ],
])('%s that refuses a job, and gives it to a worker later', async (_name, run) => {
  const begun = vi.fn<() => void>()
  const inWorker = piscina.job(begun)
  let kept: unknown
  const why = await rejection(
    run((envelope) => {
      kept = envelope
      return Promise.reject(new Error('full'))
    }),
  )
  expect(String(why)).toBe('Error: full')
  expect(await inWorker(kept)).toBeUndefined()
  expect(begun).not.toHaveBeenCalled()
})

interface Signal {
  once(event: 'abort', listener: () => void): unknown
}

test('a job that a worker was given, and does not come to, is ended by force, though it is rejected before', async () => {
  onTestFinished(impatient())
  const ctx = withCancel(background())
  await new Promise<void>((forced) => {
    const given = ({ state }: { readonly state: Int32Array }, { signal }: { readonly signal: Signal }): Promise<never> =>
      new Promise((_resolve, reject) =>
        signal.once('abort', () => {
          reject(new Error(`aborted at ${state[0]}`))
          forced()
        }),
      )
    const call = rejection(piscina.run({ run: given as never }, ctx, 1, { grace: 1 }))
    ctx.cancel()
    void call.then((why) => expect(why).toBe(ctx.err()))
  })
})

test.each<[string, (submit: () => Promise<never>, ctx: Context) => Promise<unknown>]>([
  ['piscina', (submit, ctx) => piscina.run({ run: submit }, ctx, 1)],
  ['tinypool', (submit, ctx) => tinypool.run({ run: submit }, ctx, 1)],
  ['workerpool', (submit, ctx) => workerpool.run({ exec: submit }, ctx, 1, { method: 'f' })],
])('a job whose context ends while %s takes it is over, given to a worker or not', async (_name, run) => {
  const before = link(new MessageChannel().port1)
  for (const isGiven of [true, false]) {
    const ctx = withCancel(background())
    const submit = (...[first, second]: unknown[]): Promise<never> => {
      const envelope: unknown = Array.isArray(second) ? second[0] : first
      if (isGiven) void (envelope as { readonly state: unknown }).state
      ctx.cancel('while it is taken')
      return Promise.reject(new Error('refused'))
    }
    expect(await rejection(run(submit, ctx))).toBe(ctx.err())
    await turn()
    expect(before.stats().slots).toBe(0)
  }
})

test('a job that its pool is through with has a context that has ended, and answers nobody', async () => {
  let its: Context | undefined
  const inWorker = piscina.job(async (ctx) => {
    its = ctx
    await ctx.done
  })
  const answered = vi.fn<() => void>()
  const through = (envelope: never): Promise<never> => {
    void inWorker(envelope).then(answered)
    return Promise.reject(new Error('through'))
  }
  expect(String(await rejection(piscina.run({ run: through }, withCancel(background()), 1)))).toBe('Error: through')
  expect(its?.err()?.name).toBe('AbortError')
  await its?.done
  await turn()
  expect(answered).not.toHaveBeenCalled()
})
