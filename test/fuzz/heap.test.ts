import { expect, test } from 'vitest'
import { Heap, mostGrowth } from './heap.ts'
import { fuzz } from './runner.ts'
import type { Target } from './target.ts'

/** Of each input it keeps so many bytes. */
const keeping = (bytes: number, kept: unknown[]): Target => ({
  name: 'keeping',
  weight: 1,
  outcomes: [],
  make: (random) => random.below(10),
  check: () => {
    if (bytes > 0) kept.push(new Uint8Array(bytes))
    return 'kept'
  },
  smaller: () => [],
})

async function leaks(bytes: number): Promise<boolean> {
  const heap = new Heap()
  const kept: unknown[] = []
  const goOn = async ({ inputs }: { inputs: number }): Promise<boolean> => {
    await heap.look(inputs)
    return inputs < 120_000
  }
  const { tally } = await fuzz({ targets: [keeping(bytes, kept)], seed: 1, goOn })
  await heap.look(tally.inputs, true)
  expect(kept.length).toBe(bytes > 0 ? 120_000 : 0)
  return heap.isLeaking
}

test('what is left of each input is found out, and what is collected is not', async () => {
  expect(await leaks(0)).toBe(false)
  expect(await leaks(300)).toBe(true)
})

test('growth counts from when it is warm, and is looked at now and then', async () => {
  const sizes = [5_000_000, 6_000_000, 6_000_001 + mostGrowth]
  const heap = new Heap(async () => sizes.shift() as number)
  await heap.look(49_000)
  expect(sizes.length).toBe(3)
  await heap.look(50_000)
  await heap.look(60_000)
  expect(heap.growth).toBe(0)
  await heap.look(300_000)
  expect([heap.growth, heap.isLeaking]).toEqual([1_000_000, false])
  await heap.look(301_000, true)
  expect([heap.growth, heap.isLeaking]).toEqual([1_000_001 + mostGrowth, true])
})
