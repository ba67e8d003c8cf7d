/** What the workers of the pool do: count primes, with a table that takes a while to make and is kept for the next job. */
import { threadId } from 'node:worker_threads'
import { job } from 'ctxbridge/tinypool'

export interface Counted {
  readonly thread: number
  readonly primes: number
  /** How many jobs this worker has begun since it made its table. */
  readonly jobs: number
}

let table: readonly number[] | undefined
let jobs = 0

/** The primes below 100,000: what a worker loses when it is terminated. */
function smallPrimes(): readonly number[] {
  const sieve = new Uint8Array(100_000)
  const primes: number[] = []
  for (let n = 2; n < sieve.length; n++) {
    if (sieve[n] === 1) continue
    primes.push(n)
    for (let m = n * n; m < sieve.length; m += n) sieve[m] = 1
  }
  return primes
}

export const countPrimes = job((ctx, below: number): Counted => {
  table ??= smallPrimes()
  jobs++
  let primes = 0
  for (let n = 2; n < below; n++) {
    ctx.throwIfDone() // no message could be heard here: the loop never yields
    let prime = true
    for (const p of table) {
      if (p * p > n) break
      if (n % p === 0) {
        prime = false
        break
      }
    }
    if (prime) primes++
  }
  return { thread: threadId, primes, jobs }
})
