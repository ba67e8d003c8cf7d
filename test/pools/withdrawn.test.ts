/** Of a job whose `run` has settled nothing begins, whatever its pool still does with it. */
import { background } from 'ctxbridge'
import * as piscina from 'ctxbridge/piscina'
import * as tinypool from 'ctxbridge/tinypool'
import * as workerpool from 'ctxbridge/workerpool'
import { expect, test, vi } from 'vitest'
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
