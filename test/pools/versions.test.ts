/** A pool whose worker has another copy of the package than its caller. No thread is needed: the pool is this test. */
import * as core from 'ctxbridge'
import * as piscina from 'ctxbridge/piscina'
import { afterAll, expect, test } from 'vitest'
import { copyPackage, modulesOf } from '../support/copies.ts'
import { rejection } from '../worker/workers.ts'

const [same, newer] = [copyPackage(), copyPackage({ protocol: 99 })]
afterAll(() => [same, newer].forEach((copy) => copy.remove()))
const [theirs, next] = [await modulesOf(same), await modulesOf(newer)]
const mine = { core, piscina }

type Copy = typeof mine

function runBetween(caller: Copy, worker: Copy): Promise<unknown> {
  const work = worker.piscina.job((its, task) => [task, its.err()]) as (envelope: unknown) => Promise<unknown>
  // As a pool posts it.
  const pool = { run: (envelope: unknown) => work(structuredClone(envelope)) }
  return caller.piscina.run(pool, caller.core.background(), 'a task')
}

test.each<[name: string, caller: Copy, worker: Copy]>([
  ['the worker has the other copy', mine, theirs],
  ['the caller has the other copy', theirs, mine],
])('copies of one version are one as good as the other: %s', async (_name, caller, worker) => {
  expect(await runBetween(caller, worker)).toEqual(['a task', undefined])
})

test.each<[name: string, caller: Copy, worker: Copy, both: string]>([
  [
    'that of the worker is newer',
    mine,
    next,
    "that called run() speaks version 1 of the protocol of threads, the pool's worker 99.",
  ],
  [
    'that of the caller is newer',
    next,
    mine,
    "that called run() speaks version 99 of the protocol of threads, the pool's worker 1.",
  ],
])('copies of two versions say so, and which: %s', async (_name, caller, worker, both) => {
  const error = await rejection(runBetween(caller, worker))
  expect(error).toBeInstanceOf(caller.core.BridgeError)
  expect(error).toMatchObject({
    code: 'ERR_PROTOCOL',
    message: `Both threads need the same version of ctxbridge: the thread ${both}`,
  })
})

test.each<[name: string, task: unknown]>([
  ['a task', { do: 'look' }],
  ['nothing', undefined],
  ['what is damaged', { ctxbridge: 'task', version: 1 }],
  ['what names no version', { ctxbridge: 'task', version: 'newer' }],
  [
    'what throws when it is read',
    {
      get ctxbridge(): never {
        throw new Error('when it was read')
      },
    },
  ],
])('what is no envelope of any version is told to be none: %s', async (_name, task) => {
  const work = piscina.job(() => 1) as (envelope: unknown) => Promise<unknown>
  expect(await rejection(work(task))).toEqual(
    new TypeError('A job() needs its context: call it with run(pool, ctx, task), not by the pool itself.'),
  )
})
