/** AbortSignals on their way to another thread: as contexts that end with them. */

import { listen, withSource } from '../../lib/boundary.ts'
import { background, cause, type Context } from '../../lib/context.ts'
import { controllerFor, follow, signalsWith } from '../../lib/context-signal.ts'
import { End } from '../../lib/end.ts'
import { isContext, scopeOf } from '../../lib/foreign.ts'
import { withSignal } from '../../lib/signal.ts'
import { Source } from '../../lib/source.ts'
import { attempt } from '../../lib/given.ts'
import { isPlain } from '../../lib/wire/sendable.ts'
import { isHandled } from './comlink.ts'
import { Export } from './export.ts'
import { isProxy } from './host.ts'
import { carried, isSignal } from './within.ts'

/** An argument that ends: a context, or an AbortSignal as one. */
export class Tie {
  readonly ctx: Context
  readonly isSignal: boolean

  constructor(ctx: Context, isSignal: boolean) {
    this.ctx = ctx
    this.isSignal = isSignal
  }

  /** Undefined where the argument is neither. */
  static to(arg: unknown): Tie | undefined {
    if (isContext(arg)) return new Tie(arg, false)
    return isSignal(arg) ? new Tie(withSignal(background(), arg), true) : undefined
  }

  get ties(): readonly Tie[] {
    return [this]
  }

  /** What a call rejects with that ends with it: `err()`, or the signal's reason. Undefined while it is live. */
  end(): unknown {
    return this.isSignal ? cause(this.ctx) : this.ctx.err()
  }
}

/** An argument with some as its properties, as options often are. Whoever made it lets go of it when the call was made. */
export class TiedObject {
  readonly object: object
  readonly members: readonly (readonly [key: string, tie: Tie])[]

  constructor(object: object, members: readonly (readonly [key: string, tie: Tie])[]) {
    this.object = object
    this.members = members
    carried().add(object)
  }

  /** It was sent, or will not be. */
  letGo(): void {
    carried().delete(this.object)
  }

  /** Undefined where the argument is no plain object, has none, or does not go as it is: `Comlink.proxy` leaves it here. Throws what a getter throws. */
  static of(arg: unknown): TiedObject | undefined {
    if (typeof arg !== 'object' || arg === null) return undefined
    const members: [string, Tie][] = []
    let thrown: { readonly error: unknown } | undefined
    try {
      if (!isPlain(arg)) return undefined
      for (const key of Object.keys(arg)) {
        const tie = Tie.to(arg[key])
        if (tie !== undefined) members.push([key, tie])
      }
    } catch (error) {
      thrown = { error }
    }
    // What cannot be read cannot be cloned either, and that is told; but not where a context comes first.
    if (members.length === 0) return undefined
    const tied = new TiedObject(arg, members)
    if (thrown === undefined && attempt(() => isHandled(arg)) === false) return tied
    tied.letGo()
    if (thrown !== undefined) throw thrown.error
    return undefined
  }

  get ties(): readonly Tie[] {
    return this.members.map(([, tie]) => tie)
  }
}

/** Asks a signal that it does not hold. One of the platform's that was collected never aborts: who could abort it holds it, and the platform those that abort by themselves and have a listener. */
class WeakSignalSource extends Source {
  readonly #signal: WeakRef<AbortSignal>
  readonly #aborted = (): void => this.wake()
  #end: End | undefined

  constructor(signal: AbortSignal) {
    super()
    this.#signal = new WeakRef(signal)
  }

  poll(): End | undefined {
    const signal = this.#signal.deref()
    if (signal?.aborted !== true) return undefined
    return (this.#end ??= new End('canceled', signal.reason, Number.NaN))
  }

  protected override watch(): void {
    this.#signal.deref()?.addEventListener('abort', this.#aborted, { once: true })
  }

  protected override unwatch(): void {
    this.#signal.deref()?.removeEventListener('abort', this.#aborted)
  }

  override label(): string {
    return 'WithSignal'
  }
}

const stands = new WeakMap<AbortSignal, Context>()
const collected = new FinalizationRegistry<Context>((ctx) => Export.never(scopeOf(ctx, 'SentSignal')))

/** What a signal is sent as, by itself: a context that ends with it, and does not hold it. The same one each time. Who has imported it is told when the signal was collected, which only then is no abort. */
export function standFor(signal: AbortSignal): Context {
  let stand = stands.get(signal)
  if (stand !== undefined) return stand
  if (isProxy(signal)) {
    // Whoever can abort what is behind it does not hold it.
    stand = withSignal(background(), signal)
  } else {
    stand = withSource(background(), new WeakSignalSource(signal), 'SentSignal')
    collected.register(signal, stand)
  }
  stands.set(signal, stand)
  return stand
}

const signals = signalsWith(cause)
const never = scopeOf(background(), 'SentSignal')

/**
 * The signal that was sent as `ctx`: it aborts with the reason of the one that it stands for, which is the context's cause. `aborted` and `reason` tell that also in a
 * loop that never yields.
 */
export class SentSignal {
  readonly signal: AbortSignal
  readonly #stop: () => boolean

  constructor(ctx: Context) {
    const controller = controllerFor(scopeOf(ctx, 'SentSignal'), signals)
    this.signal = controller.signal
    this.#stop = listen(ctx, () => controller.abort(cause(ctx)))
  }

  /** When its context is given back, which is no abort: from here on the signal stays as it is. Nothing happens where it has aborted. */
  letGo(): void {
    if (this.#stop()) follow(this.signal, never)
  }
}
