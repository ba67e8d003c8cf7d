/** Costs of single operations, by batches that are long against the clock. */
import { now } from '../harness/clock.ts'
import type { Contender, Kind, Started } from '../harness/model.ts'

/** ns that a batch takes at least. */
const batchTime = 500_000
/** ns for which each loop runs before anything is measured. */
const warmUpTime = 60_000_000
/** Batches in a round. */
const batches = 20

/** What loops hand their last value to, so that no compiler finds them to be without effect. */
export let sink: unknown

interface Cost {
  readonly name: string
  readonly kind: Kind
  readonly note?: string
  /** Does it n times, in a loop of its own, and returns something that depends on it. */
  readonly loop: (n: number) => unknown
  /** Throws when it does not do what it should. */
  readonly prove: () => string
  /** Operations in one turn of the loop. Default: 1. */
  readonly per?: number
}

export function cost({ name, kind, note, loop, prove, per = 1 }: Cost): Contender {
  return {
    name,
    kind,
    ...(note !== undefined && { note }),
    start(): Started {
      let n = 1
      const batch = (): number => timed(() => (sink = loop(n)))
      return {
        prove() {
          const proof = prove()
          // Until the compiler has seen what there is to see.
          for (const until = now() + warmUpTime; now() < until; ) sink = loop(1_000)
          return proof
        },
        round(record) {
          // Found anew in each round: the code gets faster as it warms up.
          for (;;) {
            const time = batch()
            if (time >= batchTime) break
            n = Math.max(n + 1, Math.ceil(n * Math.min(10, (1.2 * batchTime) / Math.max(time, 1))))
          }
          for (let i = 0; i < batches; i++) record(batch() / n / per)
          n = Math.max(1, n >> 1)
        },
      }
    },
  }
}

/** ns that it takes. */
export function timed(f: () => unknown): number {
  const before = now()
  f()
  return now() - before
}

export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`It was not so that ${what}.`)
}
