/** Small scenes at the edge of the library, where promises meet: whatever the order of the steps is, each has one outcome, and the right one. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'vitest'
import { afterFunc, cause, type Context, createRoot, group, race, sleep, withCancel, withTimeout } from 'ctxbridge'
import { assertNoLeaks, createFakeClock, linkedPair, wrap } from 'ctxbridge/testing'

const timeout = 60_000
const runs = { seed: 1, numRuns: 400 }

/** Steps of one actor come in their order, and those of several actors in any. Each that happens is noted. */
async function play(s: fc.Scheduler, actors: Readonly<Record<string, readonly (() => unknown)[]>>): Promise<string[]> {
  const order: string[] = []
  for (const [name, steps] of Object.entries(actors)) {
    s.scheduleSequence(
      steps.map((step, i) => ({
        label: `${name} ${i}`,
        builder: async () => {
          order.push(steps.length === 1 ? name : `${name} ${i}`)
          await step()
        },
      })),
    )
  }
  await s.waitIdle()
  return order
}

type Settled = readonly ['kept', unknown] | readonly ['broken', unknown]
const settled = (promise: Promise<unknown>): Promise<Settled> =>
  promise.then(
    (value) => ['kept', value] as const,
    (error: unknown) => ['broken', error] as const,
  )

const before = (order: readonly string[], a: string, b: string): boolean => order.indexOf(a) < order.indexOf(b)

test('afterFunc, stop, cancel and a deadline: it runs, or was prevented, never both and never neither', { timeout }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (s) => {
      const clock = createFakeClock()
      const ctx = withTimeout(createRoot({ clock }), 5, 'late')
      let ran = 0
      const told: boolean[] = []
      const stop = afterFunc(ctx, () => ran++)
      const done = settled(ctx.done)
      const order = await play(s, {
        stop: [() => told.push(stop()), () => told.push(stop())],
        cancel: [() => ctx.cancel('cancelled'), () => ctx.cancel('again')],
        expire: [() => clock.advance(5)],
      })
      await clock.advance(0)
      assert.equal(told[1], false, 'a second stop')
      assert.equal(ran, told[0] ? 0 : 1)
      assert.deepEqual(await done, ['kept', ctx.err()])
      assert.equal(cause(ctx), before(order, 'expire', 'cancel 0') ? 'late' : 'cancelled')
      assertNoLeaks(clock)
    }),
    runs,
  )
})

test('race and sleep: whatever came first counts, and nothing is left of the other', { timeout }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (s) => {
      const clock = createFakeClock()
      const ctx = withCancel(createRoot({ clock }))
      let resolve!: (value: string) => void
      const raced = settled(race(ctx, new Promise<string>((f) => (resolve = f))))
      const slept = settled(sleep(ctx, 3))
      const order = await play(s, {
        resolve: [() => resolve('value'), () => resolve('another')],
        cancel: [() => ctx.cancel('enough')],
        wake: [() => clock.advance(3)],
      })
      const error = ctx.err()
      assert.deepEqual(await raced, before(order, 'cancel', 'resolve 0') ? ['broken', error] : ['kept', 'value'])
      assert.deepEqual(await slept, before(order, 'cancel', 'wake') ? ['broken', error] : ['kept', undefined])
      assertNoLeaks(clock, ctx)
    }),
    runs,
  )
})

test('a group: the first failure ends the others, wait() gives it, and what comes after the end is not started', {
  timeout,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), fc.integer({ min: 1, max: 3 }), async (s, limit) => {
      const parent = withCancel(createRoot({ clock: createFakeClock() }))
      const work = group(parent, { limit })
      const started: string[] = []
      const gates: Record<string, (() => void) | undefined> = {}
      const failed: unknown[] = []
      const job =
        (name: string) =>
        async (ctx: Context): Promise<void> => {
          assert.equal(ctx.err(), undefined, 'started after the end')
          started.push(name)
          await race(ctx, new Promise<void>((resolve) => (gates[name] = resolve)))
          const error = new Error(`of ${name}`)
          failed.push(error)
          throw error
        }
      for (const name of ['a', 'b', 'c']) void Promise.resolve(work.go(job(name))).catch(() => undefined)
      const outcome = settled(work.wait())
      await play(s, {
        a: [() => gates['a']?.()],
        b: [() => gates['b']?.()],
        cancel: [() => parent.cancel('enough')],
      })
      const [kind, error] = await outcome
      assert.equal(kind, 'broken')
      assert.ok(error === failed[0] || (failed.length === 0 && error === parent.err()), String(error))
      assert.ok(failed.length <= 1, 'a second one failed by itself though the first had ended it')
      assert.ok(started.length >= limit)
      assertNoLeaks(parent)
    }),
    runs,
  )
})

test('a call, its answer, its cancel and a broken connection: it settles once, and nothing is left on either side', {
  timeout,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), async (s) => {
      let answer!: (value: string) => void
      let theirs: Context | undefined
      const served = {
        work(ctx: Context): Promise<string> {
          theirs = ctx
          return race(ctx, new Promise<string>((resolve) => (answer = resolve)))
        },
      }
      const pair = await linkedPair({ serve: served })
      const ctx = withCancel(createRoot({ clock: pair.clock }))
      const outcome = settled(wrap<typeof served>(pair.client).work(ctx))
      await pair.clock.advance(1)
      const order = await play(s, {
        answer: [() => answer('value')],
        cancel: [() => ctx.cancel('enough')],
        cut: [() => pair.network.cut()],
        pass: [() => pair.clock.advance(1), () => pair.clock.advance(1), () => pair.clock.advance(400)],
      })
      await pair.clock.advance(10_000)
      const [kind, value] = await outcome
      assert.ok(kind === 'kept' ? value === 'value' && before(order, 'answer', 'cancel') : value === ctx.err(), String(value))
      assert.ok(theirs !== undefined && theirs.err() !== undefined)
      await pair.close()
      assertNoLeaks(pair, ctx)
    }),
    runs,
  )
})
