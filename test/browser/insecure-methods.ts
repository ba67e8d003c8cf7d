/** What the page of insecure.test.ts calls, in its workers and at its server. */
import { cause, type Context } from 'ctxbridge'

export function methods() {
  let begin!: () => void
  let end!: (reason: unknown) => void
  const begun = new Promise<void>((resolve) => (begin = resolve))
  const ended = new Promise<unknown>((resolve) => (end = resolve))
  return {
    async hold(ctx: Context): Promise<void> {
      begin()
      await ctx.done
      end(cause(ctx))
    },
    begun: (_ctx: Context): Promise<void> => begun,
    /** With which cause the context of `hold` has ended. */
    ended: (_ctx: Context): Promise<unknown> => ended,
  }
}

export type Methods = ReturnType<typeof methods>
