/** Ends that a signal tells of: an `AbortSignal` that was joined into the tree, or that of a context of somebody else's. */
import type { Scope } from './scope.ts'
import { Source } from './source.ts'

/** Those who listen to a signal, behind one listener on it: Node warns of more than ten. */
class Listeners extends Set<() => void> {
  readonly run = (): void => {
    const wakes = [...this]
    this.clear()
    for (const wake of wakes) wake()
  }
}

const listening = new WeakMap<AbortSignal, Listeners>()

/** Calls `wake`, which must not throw, when the signal aborts. Whoever listens takes it back, with the function returned; after the abort that is done. */
function listenTo(signal: AbortSignal, wake: () => void): () => void {
  const all = listening.get(signal) ?? new Listeners()
  if (all.size === 0) {
    listening.set(signal, all)
    signal.addEventListener('abort', all.run, { once: true })
  }
  all.add(wake)
  return () => {
    if (all.delete(wake) && all.size === 0) signal.removeEventListener('abort', all.run)
  }
}

/** Those that listen on behalf of a scope that they do not hold, and some that did. */
let weak: WeakRef<SignalledSource>[] = []
let most = 64

/** Listens while somebody observes, and without holding the scope as long as the instant of its end matters. */
export abstract class SignalledSource extends Source {
  #stop: (() => void) | undefined
  #close: (() => void) | undefined
  #scope: WeakRef<Scope> | undefined

  protected abstract readonly signal: AbortSignal

  protected override watch(): void {
    const { signal } = this
    this.#stop = listenTo(signal, () => this.wake())
    if (signal.aborted) this.wake()
  }

  protected override unwatch(): void {
    this.#stop?.()
    this.#stop = undefined
  }

  /**
   * Those whose scope was collected are let go of when there are twice as many as the last time, whichever signals they listen to: one of `AbortSignal.any` is kept by the platform while it has a
   * listener. A `FinalizationRegistry` would keep each signal and all that hangs on it for two collections of all memory, and for ever in a thread whose event loop never turns.
   */
  protected override watchWeakly(scope: WeakRef<Scope>): void {
    this.#scope = scope
    this.#close = listenTo(this.signal, () => {
      const live = scope.deref()
      if (live !== undefined) this.found(live)
    })
    if (weak.push(new WeakRef(this)) <= most) return
    weak = weak.filter((source) => source.deref()?.isNeeded())
    most = 64 + 2 * weak.length
  }

  /** Whether it still listens for a scope that lives; lets go of one that does not. */
  protected isNeeded(): boolean {
    if (this.#scope?.deref() === undefined) this.ended()
    return this.#close !== undefined
  }

  override ended(): void {
    this.#close?.()
    this.#close = undefined
  }
}
