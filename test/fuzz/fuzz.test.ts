import { expect, test } from 'vitest'
import { load, saved } from './files.ts'
import { fuzz, missing, tried } from './runner.ts'
import { targetOf, targets } from './targets.ts'

test('a million inputs come to what is allowed, and to each of it', { timeout: 900_000 }, async () => {
  const { tally, failure } = await fuzz({ targets, seed: 20_261_126, goOn: ({ inputs }) => inputs < 1_000_000 })
  expect(failure).toBeUndefined()
  expect(tally.inputs).toBe(1_000_000)
  expect(missing(targets, tally)).toEqual([])
})

test('the same seed gives the same inputs, another seed others', async () => {
  const outcomes = async (seed: number): Promise<unknown> => (await fuzz({ targets, seed, goOn: () => false })).tally.outcomes
  const first = await outcomes(1)
  expect(await outcomes(1)).toEqual(first)
  expect(await outcomes(2)).not.toEqual(first)
})

test('what failed once passes', async () => {
  for (const path of saved()) {
    const { target, input } = load(path)
    expect(await tried(targetOf(target), input), path).toBeTypeOf('string')
  }
})
