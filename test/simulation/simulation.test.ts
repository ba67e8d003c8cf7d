/** Worlds in which everything goes wrong, and in which nothing may be lost, early or left behind: see docs/testing.md. */
import { expect, test } from 'vitest'
import { drawPlan, type Plan } from './plan.ts'
import { run } from './run.ts'
import { search } from './search.ts'
import { missing } from './states.ts'

const seeds = 2_000
const events = 2_000

test(`${seeds} worlds of ${events} events and what follows of them`, { timeout: 600_000 }, async () => {
  const { tally, found } = await search({ seed: 1, events, goOn: (tally) => tally.seeds < seeds })
  const at = found === undefined ? '' : ` npm run simulate -- --seeds 1 --seed ${found.plan.seed} tells more.`
  expect(found?.failure.message, `seed ${found?.plan.seed}.${at}`).toBeUndefined()
  expect(missing(tally.seen)).toEqual([])
  expect(tally.events).toBeGreaterThan(seeds * events * 0.5)
})

test('a world is the same each time, and another one with another seed', async () => {
  const hashes = await Promise.all([7, 7, 8].map(async (seed) => (await run(drawPlan(seed, 500), 500)).log.hash))
  expect(hashes[0]).toBe(hashes[1])
  expect(hashes[0]).not.toBe(hashes[2])
})

test('whatever is left out of a plan, the rest makes sense', async () => {
  const plan = drawPlan(11, 600)
  for (let skip = 0; skip < 5; skip++) {
    const part: Plan = { ...plan, operations: plan.operations.filter((_, i) => i % 5 !== skip) }
    expect((await run(part, 600)).failure?.message).toBeUndefined()
  }
})
