/** What the workers of pools with ctxbridge run: with a flag a job that is busy until its context ends, and says that it has begun; without one, next to nothing. */
import type { Context } from 'ctxbridge'
import { job } from 'ctxbridge/piscina'

export const run = job((ctx: Context, { flag }: { readonly flag?: Int32Array }): number => {
  if (flag === undefined) return 1
  Atomics.store(flag, 0, 1)
  for (;;) ctx.throwIfDone()
})
