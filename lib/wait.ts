/** Waiting, for as long as a context lives. */
import { listen } from './boundary.ts'
import type { Context } from './context.ts'
import { scopeOf } from './foreign.ts'
import { after } from './clock.ts'
import { named } from './given.ts'

/**
 * Resolves after `ms` milliseconds by the context's clock, never sooner; rejects with `err()` when the context ends before, and leaves no timer.
 * As any timer, it keeps the process alive.
 *
 * @param ms zero or less resolves soon; `Infinity` waits for the end of the context
 * @throws TypeError at once when `ctx` is no context, or `ms` no number; RangeError when it is NaN
 */
export function sleep(ctx: Context, ms: number): Promise<void> {
  const { clock } = scopeOf(ctx, 'sleep').time
  if (typeof ms !== 'number') throw new TypeError(`sleep() needs a number of milliseconds, but got ${named(ms)}.`)
  if (Number.isNaN(ms)) throw new RangeError('sleep() needs a number of milliseconds, but got NaN.')
  return new Promise((resolve, reject) => {
    let forget = nothing
    let ended = false
    const stop = listen(ctx, () => {
      ended = true
      forget()
      reject(ctx.err())
    })
    if (ended) return
    forget = after(clock, ms, true, () => {
      // False when a deadline has passed whose timer comes after this one: then that has rejected.
      if (stop()) resolve()
    })
  })
}

/**
 * The outcome of `promise`, or a rejection with `err()` when the context ends first; leaves nothing on the context. A promise that rejects
 * later is handled: it is never an unhandled rejection. The work behind it goes on; pass it the context, too.
 *
 * @throws TypeError at once when `ctx` is no context
 */
export function race<T>(ctx: Context, promise: PromiseLike<T> | T): Promise<T> {
  scopeOf(ctx, 'race')
  return new Promise<T>((resolve, reject) => {
    // Before anything listens: what is no proper promise may throw here.
    const outcome = Promise.resolve(promise)
    const stop = listen(ctx, () => reject(ctx.err()))
    outcome.then(
      (value) => {
        stop()
        resolve(value)
      },
      (error: unknown) => {
        stop()
        reject(error)
      },
    )
  })
}

const nothing = (): void => {}
