/** What failed once, and a few worlds: what `npm run mutants` runs first. The many are in `simulation.test.ts`. */
import { expect, test } from 'vitest'
import { regressions } from './files.ts'
import { run } from './run.ts'
import { search } from './search.ts'

test.for(regressions())('%s, which failed once, does not any more', async ([, { plan, events }]) => {
  expect((await run(plan, events)).failure?.message).toBeUndefined()
})

test('300 worlds of 2000 events', { timeout: 120_000 }, async () => {
  const { tally, found } = await search({ seed: 10_001, events: 2_000, goOn: ({ seeds }) => seeds < 300 })
  expect(found?.failure.message, `npm run simulate -- --seeds 1 --seed ${found?.plan.seed} tells more.`).toBeUndefined()
  expect(tally.seeds).toBe(300)
})
