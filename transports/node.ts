/** Signals of the operating system, as the end of a context. Node only. */
import { constants } from 'node:os'
import { listen } from '../lib/boundary.ts'
import { type CancelableContext, type Context, withCancel } from '../lib/context.ts'
import { scopeOf } from '../lib/foreign.ts'
import { named } from '../lib/key.ts'

/** The cause of a context that a signal ended. */
export class SignalError extends Error {
  /** Such as `SIGINT`. */
  readonly signal: NodeJS.Signals

  constructor(signal: NodeJS.Signals) {
    super(`received ${signal}`)
    this.signal = signal
  }

  static {
    Object.defineProperty(this.prototype, 'name', { value: 'SignalError', writable: true, configurable: true })
  }
}

/**
 * A context that ends at the first of the given signals, with a {@link SignalError} as its cause. From then on, and after any other end, the signals do
 * what they do without us: a second Ctrl-C ends the process. Go: `signal.NotifyContext`.
 *
 * Cancel it to give the signals back. It keeps no process alive.
 *
 * @param signals default: `SIGINT` and `SIGTERM`
 * @throws TypeError when `parent` is no context, or a name is of no signal that this system lets a process catch
 */
export function notifyContext(parent: Context, ...signals: readonly NodeJS.Signals[]): CancelableContext {
  scopeOf(parent, 'notifyContext')
  const names = signals.length > 0 ? signals : (['SIGINT', 'SIGTERM'] as const)
  for (const name of names) {
    if (Object.hasOwn(constants.signals, name) && name !== 'SIGKILL' && name !== 'SIGSTOP') continue
    throw new TypeError(`notifyContext() needs names of signals that can be caught, such as 'SIGINT', but got ${named(name)}.`)
  }
  const ctx = withCancel(parent)
  if (ctx.err() !== undefined) return ctx
  const giveBack = (): void => {
    for (const name of names) process.off(name, onSignal)
  }
  const onSignal = (signal: NodeJS.Signals): void => {
    // First, so that a second signal also ends a process whose listeners are slow.
    giveBack()
    ctx.cancel(new SignalError(signal))
  }
  for (const name of names) process.on(name, onSignal)
  listen(ctx, giveBack)
  return ctx
}
