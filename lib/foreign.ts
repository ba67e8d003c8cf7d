/**
 * Contexts that are not ours: an object with the members of a `Context` is a parent like any other (contract C63, C64). Errors and keys of another copy of the package are known by their brands, its contexts by
 * their members; and which values those have, where they are sent, by the fields of a `Binding`.
 */
import { hostClock } from './clock.ts'
import type { Context } from './context.ts'
import { type ContextError, kindOf } from './errors.ts'
import { named } from './given.ts'
import { Deadline } from './deadline.ts'
import { End } from './end.ts'
import { SignalledSource } from './listening.ts'
import { passesOn } from './question.ts'
import { Binding, ContextNode, nodeKey, type Scope } from './scope.ts'
import { sourced } from './source.ts'
import { takenEnd, timeOf } from './tree.ts'

/** Whether a value has the members of a context, be it ours, of another copy of the package, or somebody's own. Reads no property that would observe it. Never throws. */
export function isContext(value: unknown): value is Context {
  try {
    return looksLikeContext(value)
  } catch {
    return false
  }
}

/** Throws what a getter or a proxy of somebody else's throws. */
function looksLikeContext(value: unknown): value is Context {
  if (typeof value !== 'object' || value === null) return false
  const { err, remaining, value: lookUp, throwIfDone } = value as Partial<Context>
  return (
    [err, remaining, lookUp, throwIfDone].every((member) => typeof member === 'function') &&
    'done' in value &&
    'signal' in value &&
    'deadline' in value
  )
}

/** Asks a foreign context by `err()`; listens to its signal; and where it only wraps one of ours, lets that one do it. */
class ForeignSource extends SignalledSource {
  override readonly original: Context
  readonly #native: Scope | undefined

  constructor(ctx: Context, native: Scope | undefined) {
    super()
    this.original = ctx
    this.#native = native
  }

  poll(): End | undefined {
    const error = this.#ask()
    if (error === undefined || error === null) return undefined
    const end = this.#native === undefined ? undefined : takenEnd(this.#native)
    return end?.error === error ? end : new End(kindOf(error) ?? 'canceled', undefined, Number.NaN, error)
  }

  /** Some say null where there is nothing to say. One that throws has said nothing: those below must go on to be asked, and to be cancelled. */
  #ask(): ContextError | undefined | null {
    try {
      return this.original.err()
    } catch {
      return undefined
    }
  }

  protected override get signal(): AbortSignal {
    return this.original.signal
  }

  /** As Go does: what has our node inside, and the very `done` of that node, adds no end of its own. */
  protected override inner(): Scope | undefined {
    return this.#native !== undefined && passesOn(this.original, this.#native) ? this.#native : undefined
  }

  /** It keeps its deadline itself. */
  protected override deadlineOf(): undefined {
    return undefined
  }

  override label(): string {
    return ''
  }
}

const foreignNodes = new WeakMap<Context, Scope>()

/** The node that stands for a context of somebody else's; one for each, however often it is derived from. A value context of that has its very `done` and `signal` (C46). */
function foreignNode(ctx: Context): Scope {
  let node = foreignNodes.get(ctx)
  if (node !== undefined) return node
  const native = nativeOf(ctx)
  const time = native?.scope.time ?? timeOf(hostClock)
  const date = ctx.deadline
  let due = native?.scope.due
  if (date?.getTime() !== due?.date.getTime()) {
    const left = date === undefined ? Infinity : ctx.remaining()
    due = left === Infinity ? undefined : new Deadline(time.clock.now() + left, undefined, time, date?.getTime())
  }
  const bindings = new Binding(undefined, undefined, undefined, ctx)
  node = sourced(ctx, undefined, bindings, time, due, new ForeignSource(ctx, native?.scope))
  foreignNodes.set(ctx, node)
  return node
}

/** The node of ours that a foreign context wraps, if it passes our question on to one. */
function nativeOf(ctx: Context): ContextNode | undefined {
  try {
    const node: unknown = ctx.value(nodeKey)
    return node instanceof ContextNode ? node : undefined
  } catch {
    return undefined
  }
}

/** The node that a parent context stands for; small, since each new context asks. Anything with the members of a `Context` is a parent like any other (C63). */
export function nodeOf(parent: Context, caller: string): ContextNode {
  try {
    if (parent instanceof ContextNode) return parent
  } catch {
    // A proxy may throw when it is asked; then it is told what it threw, or works by its members.
  }
  return otherNode(parent, caller)
}

function otherNode(parent: Context, caller: string): ContextNode {
  let options: ErrorOptions | undefined
  try {
    if (looksLikeContext(parent)) return foreignNode(parent)
  } catch (cause) {
    options = { cause }
  }
  throw new TypeError(`${caller}() needs a context, but got ${named(parent)}. Pass background() where there is none.`, options)
}

/** The scope of a context that was given to the function named `caller`; throws a `TypeError` where it is none. */
export function scopeOf(ctx: Context, caller: string): Scope {
  return nodeOf(ctx, caller).scope
}
