/** As `simulation.test.ts`, with fewer worlds: what `npm run mutants` runs first. */
import { expect, test } from 'vitest'
import { search } from './search.ts'

test('300 worlds of 2000 events', { timeout: 120_000 }, async () => {
  const { tally, found } = await search({ seed: 10_001, events: 2_000, goOn: ({ seeds }) => seeds < 300 })
  expect(found?.failure.message, `npm run simulate -- --seeds 1 --seed ${found?.plan.seed} tells more.`).toBeUndefined()
  expect(tally.seeds).toBe(300)
})
