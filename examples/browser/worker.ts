/** The last hop: a loop that never yields, and sees the end of its context all the same. */
import { parentPort } from 'node:worker_threads'
import type { Context } from 'ctxbridge'
import { expose } from 'ctxbridge/worker'
import { counters, endOf, type LoopEnd } from './work.ts'

export const loops = {
  countPrimes(ctx: Context, id: string, memory: SharedArrayBuffer): void {
    const counts = new BigInt64Array(memory)
    for (let n = 2; ctx.err() === undefined; n++) {
      if (isPrime(n)) Atomics.add(counts, counters.primes, 1n)
      Atomics.add(counts, counters.looked, 1n)
    }
    // The call has rejected over there already: this is how they learn that the loop is no more.
    const end: LoopEnd = { id, ...endOf('worker thread', ctx) }
    parentPort?.postMessage(end)
  },
}

function isPrime(n: number): boolean {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false
  return true
}

expose(loops)
