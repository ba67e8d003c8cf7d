/** What the tree is made of: the nodes behind all contexts of this package, and the scopes among them, which have an end of their own. */
import { disposable } from './dispose.ts'
import type { CancelableContext, CancelFunc, Context } from './context.ts'
import { controllerFor } from './context-signal.ts'
import { Bounds, type Deadline, type Time } from './deadline.ts'
import { End } from './end.ts'
import type { ContextError } from './errors.ts'
import { showState } from './inspect.ts'
import { named } from './given.ts'
import { createKey, isKey, type Key } from './key.ts'
import { link, type Watch, watchOf } from './observers.ts'
import { answerFor } from './question.ts'
import type { Epoch } from './spread.ts'
import { conclude, endOf, endPlainly } from './tree.ts'

/**
 * A binding of a value, and those that it hides. Another copy of the package finds the keys of a context's values by the fields `bindings`, `key`, `outer` and `foreign`, when it sends that: so these names, and what they
 * mean, stay.
 */
export class Binding {
  readonly key: Key<unknown> | undefined
  readonly value: unknown
  readonly outer: Binding | undefined
  /** A context that is not ours, to ask for what is not bound below it. */
  readonly foreign: Context | undefined
  /** The key of the outer one, and what is beyond that: so who looks for a key takes two at a step, each of which waits for memory. */
  readonly next: Key<unknown> | undefined
  readonly beyond: Binding | undefined

  constructor(key: Key<unknown> | undefined, value: unknown, outer: Binding | undefined, foreign?: Context) {
    this.key = key
    this.value = value
    this.outer = outer
    this.foreign = foreign
    this.next = outer?.key
    this.beyond = outer?.outer
  }
}

/** Asked of a foreign context, it gives our own node inside it, if there is one. Never bound to a value. */
export const nodeKey: Key<ContextNode> = createKey('ctxbridge.node')

/** Any context of this package. */
export abstract class ContextNode implements Context {
  /** Who it was derived from: for its path. */
  abstract readonly parent: Context | undefined
  /** The nearest context, itself included, that has an end of its own; a value context shares its parent's. */
  abstract readonly scope: Scope
  abstract readonly bindings: Binding | undefined
  /** Its own part of the path. */
  protected abstract label(brief: boolean): string

  /** The path of a context, or, for one that stands inside of another's path, its last parts. */
  static path(from: Context, brief: boolean): string {
    const labels: string[] = []
    let ctx: Context | undefined = from
    const most = brief ? 4 : Infinity
    for (; ctx instanceof ContextNode && labels.length < most; ctx = ctx.parent) labels.push(ctx.label(brief))
    if (ctx !== undefined) labels.push(ctx instanceof ContextNode ? '…' : showForeign(ctx))
    return labels.reverse().join('.')
  }

  get deadline(): Date | undefined {
    return this.scope.due?.date
  }

  remaining(): number {
    return this.scope.due?.remaining() ?? Infinity
  }

  err(): ContextError | undefined {
    return endOf(this.scope)?.error
  }

  throwIfDone(): void {
    const end = endOf(this.scope)
    if (end !== undefined) throw end.error
  }

  get done(): Promise<ContextError> {
    return answerFor(this.scope) ?? this.scope.promise()
  }

  get signal(): AbortSignal {
    return this.scope.abortSignal()
  }

  value<T>(key: Key<T>): T | undefined {
    if (!isKey(key)) throw new TypeError(`value() needs a key from createKey(), but got ${named(key)}.`)
    let last: Binding | undefined
    for (let b = this.bindings; b !== undefined; b = b.beyond) {
      if (b.key === key) return b.value as T
      if (b.next === key) return b.outer?.value as T
      last = b
    }
    if ((key as unknown) === nodeKey) return this as unknown as T
    return (last?.outer ?? last)?.foreign?.value(key)
  }

  toString(): string {
    return ContextNode.path(this, false)
  }

  /** A context in a log that is JSON is its path: no value of a key is told. */
  toJSON(): string {
    return String(this)
  }

  static {
    Object.defineProperty(this.prototype, Symbol.for('nodejs.util.inspect.custom'), {
      value(this: ContextNode, _depth: number, options: object, inspect: (value: unknown, options: object) => string) {
        return showState(String(this), this, (value) =>
          inspect(value, { ...options, depth: 1, compact: true, breakLength: Infinity }),
        )
      },
    })
  }
}

function showForeign(ctx: Context): string {
  const { toString } = ctx as { toString?: unknown }
  return typeof toString !== 'function' || toString === Object.prototype.toString
    ? (ctx.constructor?.name ?? 'Object')
    : String(ctx)
}

/**
 * What makes one kind of scope different from another: its name, and what ends it beside its own cancel and its `up`. A kind without a state of its own is one
 * object. All scopes are of one class, so that whoever polls any of them meets one shape of object, which is what makes that fast.
 */
export abstract class Rule {
  /** What else the scope hangs under: mostly nothing, and then a rule has no field for it. */
  declare others: readonly Scope[]
  /** The context of somebody else's that it stands for, if it does: the scope's `done` and `signal` are that one's. */
  declare readonly original: Context | undefined

  static {
    this.prototype.others = []
  }

  /** The scope's own part of the path. */
  abstract label(scope: Scope, brief: boolean): string

  /** The scope's end, given its parents' first one: that, or one of its own that was earlier. */
  judge(_scope: Scope, above: End | undefined, _now: number): End | undefined {
    return above
  }

  /** For those that end without telling: whether it is worth a closer look. Cheap. */
  stirred(): boolean {
    return false
  }

  /** For those that end without telling: the scope's own end from elsewhere. Cheap. */
  news(_scope: Scope): End | undefined {
    return undefined
  }

  /** For those with several parents: whether the scope was entered before in this pass. */
  entered(_pass: object): boolean {
    return false
  }

  /** Called when the first observer has come: arm, subscribe. */
  attach(_scope: Scope, _watch: Watch): void {}
  /** Called when the last one has gone, and at the end: gives back what `attach` took. */
  detach(): void {}
  /** Called at the end, unless that had come before the context was made or nobody looked: gives back all else. */
  ended(): void {}
  /** Called once, when the instant of its end begins to matter. */
  keepTime(_scope: Scope): void {}
}

/** A context with an end of its own. Those that are made most have one constructor and no more, which is as much as a compiler puts into a loop. */
export abstract class Scope extends ContextNode {
  /** The scope that it hangs under; undefined under a root, which never ends. */
  abstract readonly up: Scope | undefined
  abstract bounds: Bounds
  abstract readonly rule: Rule
  /** Its end; before that, the epoch in which it was last known to be live. */
  abstract state: End | Epoch | undefined
  abstract watch: Watch | undefined
  /** What those below need: 0, there are none; 1, to hear of its end when they look; 2, to know when that was, to tell it from a deadline that passed. */
  abstract below: 0 | 1 | 2

  get scope(): Scope {
    return this
  }

  /** What was found; `takenEnd` reads it. */
  get end(): End | undefined {
    const { state } = this
    return state instanceof End ? state : undefined
  }

  get time(): Time {
    return this.bounds.time
  }

  get due(): Deadline | undefined {
    return this.bounds.due
  }

  get live(): Scope | undefined {
    const { live } = this.bounds
    return live === true ? this : live
  }

  /** Whether it never ends: then nothing is ever registered with it. */
  get endless(): boolean {
    return false
  }

  protected override label(brief: boolean): string {
    return this.rule.label(this, brief)
  }

  promise(): Promise<ContextError> {
    const { original } = this.rule
    if (original !== undefined) return original.done
    const end = endOf(this)
    const extras = watchOf(this).extend()
    if (extras.done === undefined) {
      extras.done = end === undefined ? new Promise((resolve) => (extras.resolve = resolve)) : Promise.resolve(end.error)
      if (end === undefined) link(watchOf(this))
    }
    return extras.done
  }

  abortSignal(): AbortSignal {
    const { original } = this.rule
    if (original !== undefined) return original.signal
    const end = endOf(this)
    const extras = watchOf(this).extend()
    if (extras.controller === undefined) {
      extras.controller = controllerFor(this)
      if (end === undefined) link(watchOf(this))
      else extras.controller.abort(end.error)
    }
    return extras.controller.signal
  }
}

/** Notes that another scope hangs under this one, and so must hear of its end when it looks. */
export function isAbove(scope: Scope): void {
  if (scope.below === 0) scope.below = 1
}

/** What bounds those that are derived from a scope: its own bounds. Where those are of many scopes, which one it is that may end has to be said first. */
export function boundsBelow(scope: Scope): Bounds {
  const { bounds } = scope
  return bounds.live === true ? ofOne(scope, bounds) : bounds
}

function ofOne(scope: Scope, { time, due }: Bounds): Bounds {
  return (scope.bounds = new Bounds(time, due, scope))
}

/** What hangs under a scope that never ends hangs under nothing (C17). */
export function orNone(scope: Scope): Scope | undefined {
  return scope.endless ? undefined : scope
}

class Endless extends Rule {
  readonly #label: string

  constructor(label: string) {
    super()
    this.#label = label
  }

  override label(): string {
    return this.#label
  }
}

/** Never ends. `withoutCancel` makes one with values. */
export class EndlessScope extends Scope {
  readonly parent: Context | undefined
  readonly up: undefined
  readonly bindings: Binding | undefined
  bounds: Bounds
  readonly rule: Rule
  state: End | Epoch | undefined
  watch: Watch | undefined
  below: 0 | 1 | 2

  constructor(label: string, bounds: Bounds, parent?: Context, bindings?: Binding) {
    super()
    this.parent = parent
    this.up = undefined
    this.bindings = bindings
    this.bounds = bounds
    this.rule = new Endless(label)
    this.state = undefined
    this.watch = undefined
    this.below = 0
  }

  override get endless(): boolean {
    return true
  }
}

/** Ends by its own cancel, with its parent, or as its rule says: whichever comes first. */
export class CancelScope extends Scope implements CancelableContext {
  declare readonly [Symbol.dispose]: () => void
  readonly parent: Context | undefined
  readonly up: Scope | undefined
  readonly bindings: Binding | undefined
  bounds: Bounds
  readonly rule: Rule
  state: End | Epoch | undefined
  watch: Watch | undefined
  below: 0 | 1 | 2
  /** Its `cancel`, bound; made on first use. */
  protected bound: CancelFunc | undefined

  constructor(parent: Context | undefined, up: Scope | undefined, bindings: Binding | undefined, bounds: Bounds, rule: Rule) {
    super()
    this.parent = parent
    this.up = up
    this.bindings = bindings
    this.bounds = bounds
    this.rule = rule
    this.state = undefined
    this.watch = undefined
    this.below = 0
    this.bound = undefined
  }

  /** Bound, so that it can be taken off; made on first use. */
  get cancel(): CancelFunc {
    return (this.bound ??= this.endBy.bind(this))
  }

  /** To be bound: an arrow function would be twice as large, with the object that holds its `this`. */
  protected endBy(cause?: unknown): void {
    conclude(this, 'canceled', cause)
  }

  get 0(): Context {
    return this
  }

  get 1(): CancelFunc {
    return this.cancel
  }

  [Symbol.iterator](): IterableIterator<Context | CancelFunc> {
    return [this as Context, this.cancel].values()
  }

  static {
    disposable<CancelScope>(this.prototype, function () {
      endPlainly(this)
    })
  }
}
