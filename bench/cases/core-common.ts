/** What the suites of one thread share: a parent, a key, and the proofs that something ended. */
import { background, type CancelableContext, cause, createKey, withCancel } from 'ctxbridge'
import { must } from './cost.ts'

export const parent = withCancel(background())
/** A second one, that neither ends. */
export const other = withCancel(background())
export const never = new AbortController().signal
/** A reason that is ready made: for an abort without one the platform makes an error, with its stack, which ours does not where nobody asks for it. */
export const reason = new Error('a reason')
export const key = createKey<string>('key')
export const minute = 60_000

/** An error as a context of ours makes it when its signal aborts: named, and without a stack. For aborts beside those. */
export function errorLikeOurs(): Error {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  const error = new Error('context canceled')
  Error.stackTraceLimit = limit
  error.name = 'AbortError'
  return error
}

export function seenBy(make: () => CancelableContext): string {
  const ctx = make()
  const reason = new Error('proof')
  must(ctx.err() === undefined, 'the context was live')
  ctx.cancel(reason)
  must(cause(ctx) === reason, 'the cause arrived')
  must(ctx.err()?.name === 'AbortError', 'the context ended')
  return 'ended with its cause'
}

export function seenBySignal(controller: AbortController, signal: AbortSignal): string {
  const reason = new Error('proof')
  controller.abort(reason)
  must(signal.aborted && signal.reason === reason, 'the signal aborted with its reason')
  return 'aborted with its reason'
}
