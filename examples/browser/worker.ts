/** The last hop: a loop that never yields, and sees the end of its context all the same. */
import type { Context } from 'ctxbridge'
import { expose } from 'ctxbridge/worker'
import { counters, endOf, type Hop } from './work.ts'

const ends = new Map<string, Hop>()

export const loops = {
  countPrimes(ctx: Context, id: string, memory: SharedArrayBuffer): void {
    const counts = new BigInt64Array(memory)
    for (let n = 2; ctx.err() === undefined; n++) {
      if (isPrime(n)) Atomics.add(counts, counters.primes, 1n)
      Atomics.add(counts, counters.looked, 1n)
    }
    ends.set(id, endOf('worker thread', ctx))
  },

  /**
   * How the loop of that run ended. The call of a loop rejects over there while the loop may still run; this one is answered behind it, since a thread does one thing
   * after the other. A loop whose context had ended before its turn never ran.
   */
  ended(_ctx: Context, id: string): Hop {
    const end = ends.get(id) ?? { name: 'worker thread', end: 'never started', cause: '' }
    ends.delete(id)
    return end
  },
}

function isPrime(n: number): boolean {
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false
  return true
}

expose(loops)
