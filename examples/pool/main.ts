/**
 * `npm run example:pool`: a pool of two threads, whose jobs are cancelled while they compute. The threads go on, with what they have loaded.
 * It is tinypool here; `ctxbridge/piscina` and `ctxbridge/workerpool` have the same two functions.
 */
import { fileURLToPath } from 'node:url'
import { background, cause, group, isDeadlineExceeded, withTimeout } from 'ctxbridge'
import { run } from 'ctxbridge/tinypool'
import { Tinypool } from 'tinypool'
import type { Counted } from './jobs.ts'

const pool = new Tinypool({ filename: fileURLToPath(new URL('./jobs.js', import.meta.url)), minThreads: 2, maxThreads: 2 })
const countPrimes = { name: 'countPrimes' }
const two = (below: number): Promise<Counted[]> =>
  Promise.all([1, 2].map(() => run<Counted>(pool, background(), below, countPrimes)))

// Until both threads have started, and have made their table.
const threads = new Set<number>()
while (threads.size < 2) for (const { thread } of await two(10_000)) threads.add(thread)

{
  using ctx = withTimeout(background(), 300, 'nobody waits that long')
  console.log('Two jobs that would take hours, with 300 ms for both ...')
  const jobs = group(ctx)
  for (let i = 0; i < 2; i++) jobs.go((ctx) => run<Counted>(pool, ctx, 1e12, countPrimes))
  await jobs.wait().catch((error: unknown) => {
    if (!isDeadlineExceeded(error)) throw error
    console.log(`  ended: ${String(error)}, since ${String(cause(ctx))}`)
  })
}

const before = performance.now()
const next = await two(10_000)
console.log(`The next two, ${(performance.now() - before).toFixed(1)} ms later:`)
for (const { thread, primes, jobs } of next) {
  console.log(`  ${primes} primes below 10,000, by thread ${thread}: its job number ${jobs}, so it is still the same one`)
}
await pool.destroy()
