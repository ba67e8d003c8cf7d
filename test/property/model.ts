/**
 * Go's rules, in the most naive way: every context knows all its children, every deadline is a timer of its own, every event
 * is carried to all descendants at once, and events are applied in the order in which they happen. Nothing here is lazy,
 * nobody observes, and nobody looks.
 */
import type { Kind } from 'ctxbridge'

/** One end: shared by all that it ended. */
export interface ModelEnd {
  readonly kind: Kind
  /** What was given; undefined where nothing was. */
  readonly cause: unknown
  readonly at: number
  /** What brought it about: one abort of a signal ends all who joined that signal, each with an end of its own. */
  readonly event: { ends: number }
}

/** A signal that contexts may join. */
export class ModelSignal {
  readonly joined: ModelContext[] = []
  aborted: { readonly reason: unknown } | undefined
}

interface Making {
  /** By whose end it ends. */
  readonly parents?: readonly ModelContext[]
  /** Whose values it has. */
  readonly outer?: ModelContext | undefined
  readonly binding?: { readonly key: unknown; readonly value: unknown }
  /** Whether another maker's end may come between. */
  readonly foreign?: boolean
}

export class ModelContext {
  readonly parents: readonly ModelContext[]
  readonly outer: ModelContext | undefined
  readonly binding: { readonly key: unknown; readonly value: unknown } | undefined
  readonly children: ModelContext[] = []
  /** Whether it has several parents, or something above it has: where one event ends two of them, either end will do. */
  readonly mixed: boolean
  /**
   * Whether a context of another maker with an end of its own is above: it hears of what it wraps by a listener, so where several
   * deadlines passed before a late timer told of any, another than the first may be the one to arrive below it.
   */
  readonly foreign: boolean
  /** The effective deadline. */
  deadline = Infinity
  /** Its date, where it was given as one. */
  date: number | undefined
  end: ModelEnd | undefined
  /** All that would have ended it: the first did. */
  readonly ends: ModelEnd[] = []

  constructor({ parents = [], outer, binding, foreign = false }: Making = {}) {
    this.parents = parents
    this.outer = outer
    this.binding = binding
    this.mixed = parents.length > 1 || parents.some((parent) => parent.mixed)
    this.foreign = foreign || parents.some((parent) => parent.foreign)
    for (const parent of parents) {
      parent.children.push(this)
      if (parent.deadline < this.deadline) {
        this.deadline = parent.deadline
        this.date = parent.date
      }
      // Of several that have ended already, the first one named.
      this.end ??= parent.end
      this.ends.push(...parent.ends.filter((end) => !this.ends.includes(end)))
    }
  }

  value(key: unknown): unknown {
    const { binding, outer } = this
    return binding !== undefined && binding.key === key ? binding.value : outer?.value(key)
  }
}

interface ModelTimer {
  readonly context: ModelContext
  readonly at: number
  readonly cause: unknown
}

export class Model {
  now: number
  /** In the order in which they were made: so of two for one instant, an ancestor's comes first. */
  readonly #timers: ModelTimer[] = []

  constructor(now: number) {
    this.now = now
  }

  root(): ModelContext {
    return new ModelContext()
  }

  withCancel(parent: ModelContext): ModelContext {
    return new ModelContext({ parents: [parent], outer: parent })
  }

  /** What another maker has put around a context, with an end of its own. */
  wrapOwnEnd(inner: ModelContext): ModelContext {
    return new ModelContext({ parents: [inner], outer: inner, foreign: true })
  }

  /** `at` by the clock of `now`. One `date` given twice is one deadline, though a wall clock may tell whole milliseconds only. */
  withDeadline(parent: ModelContext, at: number, date: number | undefined, cause: unknown): ModelContext {
    const context = this.withCancel(parent)
    const same = date !== undefined && parent.date === date && Math.abs(parent.deadline - at) < 2
    if (at === Infinity || parent.deadline <= at || same) return context
    context.deadline = at
    context.date = date
    if (context.end === undefined) {
      if (at <= this.now) this.#end(context, { kind: 'deadline', cause, at: this.now, event: { ends: 1 } })
      else this.#timers.push({ context, at, cause })
    }
    return context
  }

  withValue(parent: ModelContext, key: unknown, value: unknown): ModelContext {
    return new ModelContext({ parents: [parent], outer: parent, binding: { key, value } })
  }

  withoutCancel(parent: ModelContext): ModelContext {
    return new ModelContext({ outer: parent })
  }

  withSignal(parent: ModelContext, signal: ModelSignal): ModelContext {
    const context = this.withCancel(parent)
    signal.joined.push(context)
    if (signal.aborted !== undefined) this.cancel(context, signal.aborted.reason)
    return context
  }

  merge(first: ModelContext, others: readonly ModelContext[]): ModelContext {
    return new ModelContext({ parents: [first, ...others], outer: first })
  }

  cancel(context: ModelContext, cause: unknown, event: { ends: number } = { ends: 0 }): void {
    event.ends++
    this.#end(context, { kind: 'canceled', cause, at: this.now, event })
  }

  abort(signal: ModelSignal, reason: unknown): void {
    if (signal.aborted !== undefined) return
    signal.aborted = { reason }
    const event = { ends: 0 }
    for (const context of signal.joined) this.cancel(context, reason, event)
  }

  /** Time passes: what is due happens, in the order of its instants. */
  advanceTo(now: number): void {
    this.now = now
    for (let next = this.#first(); next !== undefined && next.at <= now; next = this.#first()) {
      this.#timers.splice(this.#timers.indexOf(next), 1)
      this.#end(next.context, { kind: 'deadline', cause: next.cause, at: next.at, event: { ends: 1 } })
    }
  }

  #first(): ModelTimer | undefined {
    let first: ModelTimer | undefined
    for (const timer of this.#timers) if (first === undefined || timer.at < first.at) first = timer
    return first
  }

  #end(context: ModelContext, end: ModelEnd): void {
    if (context.ends.includes(end)) return
    context.ends.push(end)
    context.end ??= end
    for (const child of context.children) this.#end(child, end)
  }
}
