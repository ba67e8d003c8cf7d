/** Worlds with strangers who attack: each is closed or refused in time, and to all others the world is as it would be without them. */
import { expect, test } from 'vitest'
import { attackStates } from './attacks.ts'
import { drawAttacked } from './plan.ts'
import { run } from './run.ts'

test('300 worlds under attack, and the same without: nobody else can tell them apart, and every attack comes to its end', {
  timeout: 300_000,
}, async () => {
  const seen = new Set<string>()
  let attacks = 0
  for (let seed = 1; seed <= 300; seed++) {
    const plan = drawAttacked(seed, 1_000)
    attacks += plan.attacks?.length ?? 0
    const { log, failure } = await run(plan, 1_000)
    expect(failure?.message, `seed ${seed}`).toBeUndefined()
    for (const state of log.seen.keys()) seen.add(state)
  }
  expect(attackStates.filter((state) => !seen.has(state))).toEqual([])
  expect(attacks).toBeGreaterThan(1_200)
})
