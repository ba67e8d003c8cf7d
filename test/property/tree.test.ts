/** The tree against a model that is not lazy: whatever is done, and whoever looks when, both agree on all that can be seen. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { test } from 'vitest'
import { type Operation, operations, watches, watching } from './operations.ts'
import { World } from './world.ts'

const order = fc.constantFrom('oldest first' as const, 'newest first' as const)

// For a longer search: PROPERTY_RUNS=50 PROPERTY_SEED=2 runs fifty times as many, others.
const { PROPERTY_RUNS: times = '1', PROPERTY_SEED: seed = '1' } = process.env
const runs = (numRuns: number): { seed: number; numRuns: number } => ({ seed: Number(seed), numRuns: numRuns * Number(times) })
const timeout = 120_000 * Number(times)

test('whatever is done, a tree ends as the model does, tells its listeners, and leaves nothing behind', { timeout }, async () => {
  await fc.assert(
    fc.asyncProperty(operations(), order, async (list, order) => {
      const world = await World.run(list)
      await world.tell(() => world.cancelAll(order))
    }),
    runs(5_000),
  )
})

test('a tree that nobody looks at and nobody observes is found, at last, to have ended as the model did', {
  timeout,
}, async () => {
  await fc.assert(
    fc.asyncProperty(operations({ observers: 'none', looks: false }), order, async (list, order) => {
      const world = await World.run(list)
      await world.tell(() => world.cancelAll(order))
    }),
    runs(5_000),
  )
})

test('wrappers that add nothing change nothing, anywhere in the tree', { timeout }, async () => {
  await fc.assert(
    fc.asyncProperty(operations({ foreign: 'wrappers' }), order, async (list, order) => {
      const world = await World.run(list)
      await world.tell(() => world.cancelAll(order))
    }),
    runs(3_000),
  )
})

test('contexts of other makers with ends of their own, anywhere in the tree, end and are ended as the model says', {
  timeout,
}, async () => {
  await fc.assert(
    fc.asyncProperty(operations({ foreign: 'all' }), order, async (list, order) => {
      const world = await World.run(list)
      await world.tell(() => world.cancelAll(order))
    }),
    runs(4_000),
  )
})

test('who looks and who observes does not change how anything ends', { timeout }, async () => {
  const inserted = fc.array(fc.record({ at: fc.nat(60), what: watching() }), { minLength: 1, maxLength: 30, size: 'max' })
  await fc.assert(
    fc.asyncProperty(
      operations({ foreign: 'wrappers', reactions: false, observers: 'none', looks: false }),
      inserted,
      async (list, inserted) => {
        const watched = list.flatMap((operation, i) => [
          ...inserted.filter(({ at }) => at === i).map(({ what }) => what),
          operation,
        ])
        const alone = await World.run(list)
        assert.deepEqual((await World.run(watched)).ends, alone.ends)
      },
    ),
    runs(3_000),
  )
})

test('observers that were stopped leave nothing behind that would not be there without them', { timeout }, async () => {
  await fc.assert(
    fc.asyncProperty(
      operations({ foreign: 'wrappers', reactions: false, observers: 'stoppable', looks: false }),
      async (list) => {
        const observed = await World.run(list)
        await observed.tell(() => observed.stopAll())
        const alone = await World.run(list.filter((operation: Operation) => !watches(operation)))
        assert.deepEqual(observed.registered, alone.registered)
        assert.equal(observed.clock.timers, 0)
      },
    ),
    runs(3_000),
  )
})
