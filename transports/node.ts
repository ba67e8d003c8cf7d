/** Signals of the operating system, as the end of a context. Node only. */
import { constants } from 'node:os'
import { isMainThread } from 'node:worker_threads'
import { listen } from '../lib/boundary.ts'
import { type CancelableContext, type Context, withCancel } from '../lib/context.ts'
import { scopeOf } from '../lib/foreign.ts'
import { named } from '../lib/given.ts'

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
 * Cancel it to give the signals back. It keeps no process alive. All such contexts share one listener for each signal.
 *
 * @param signals default: `SIGINT` and `SIGTERM`
 * @throws TypeError when `parent` is no context, or a name is of no signal that this system lets a process catch; in a worker thread, as signals reach the main one alone
 */
export function notifyContext(parent: Context, ...signals: readonly NodeJS.Signals[]): CancelableContext {
  scopeOf(parent, 'notifyContext')
  const names = signals.length > 0 ? signals : (['SIGINT', 'SIGTERM'] as const)
  for (const name of names) {
    // An array of one name would pass for that name, and never be it.
    if (typeof name === 'string' && Object.hasOwn(constants.signals, name) && name !== 'SIGKILL' && name !== 'SIGSTOP') continue
    throw new TypeError(`notifyContext() needs names of signals that can be caught, such as 'SIGINT', but got ${named(name)}.`)
  }
  if (!isMainThread)
    throw new TypeError(
      'notifyContext() needs the main thread: no other hears of signals. Make the context there, and send it here.',
    )
  const ctx = withCancel(parent)
  if (ctx.err() !== undefined) return ctx
  const waiter: Waiter = {
    giveBack: () => {
      for (const name of names) stopWaiting(name, waiter)
    },
    end: (signal) => ctx.cancel(new SignalError(signal)),
  }
  for (const name of names) startWaiting(name, waiter)
  listen(ctx, waiter.giveBack)
  return ctx
}

interface Waiter {
  readonly giveBack: () => void
  readonly end: (signal: NodeJS.Signals) => void
}

/** Who waits for a signal. The process has one listener for all of them, since Node takes eleven for a leak; it goes with the last. */
const waiters = new Map<NodeJS.Signals, Set<Waiter>>()

function startWaiting(name: NodeJS.Signals, waiter: Waiter): void {
  const others = waiters.get(name)
  if (others !== undefined) return void others.add(waiter)
  waiters.set(name, new Set([waiter]))
  process.on(name, onSignal)
}

function stopWaiting(name: NodeJS.Signals, waiter: Waiter): void {
  const all = waiters.get(name)
  if (all?.delete(waiter) !== true || all.size > 0) return
  waiters.delete(name)
  process.off(name, onSignal)
}

function onSignal(signal: NodeJS.Signals): void {
  const all = [...(waiters.get(signal) ?? [])]
  // First, so that a second signal also ends a process whose listeners are slow.
  for (const { giveBack } of all) giveBack()
  for (const { end } of all) end(signal)
}
