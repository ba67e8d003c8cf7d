/** Bytes of each of many that are kept. */
import { type Used, used } from './heap.ts'

export const many = Number(process.argv[3])

const ofAll = ({ heap, buffers }: Used): number => heap + buffers
export const ofHeap = ({ heap }: Used): number => heap

export async function bytesOf(make: (i: number) => unknown, settled?: () => Promise<unknown>, of = ofAll): Promise<number> {
  // The code is compiled, and tables have their first entries, before anything is counted.
  const first = make(0)
  const all = Array.from<unknown>({ length: many }).fill(first)
  const before = of(await used())
  for (let i = 0; i < many; i++) all[i] = make(i)
  await settled?.()
  const bytes = (of(await used()) - before) / many
  if (all.length !== many) throw new Error('They were not kept.')
  return bytes
}
