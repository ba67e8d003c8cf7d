/** What the suites of one thread share: a parent, a key, and the proofs that something ended. */
import { background, type CancelableContext, cause, createKey, withCancel } from 'ctxbridge'
import { must } from './cost.ts'

export const parent = withCancel(background())
/** A second one, that neither ends. */
export const other = withCancel(background())
export const never = new AbortController().signal
export const key = createKey<string>('key')
export const minute = 60_000

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
