/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Contexts, as users hold and derive them. Read it from top to bottom: the interface, the roots, then each `with...`. How an end is found and
 * spreads is in `tree.ts`, what the tree is made of in `scope.ts`; `merge.ts` and `signal.ts` have the two that Go has not.
 */
import { type Clock, hostClock, isClock } from './clock.ts'
import { Bounds, Deadline, lastDate } from './deadline.ts'
import type { End } from './end.ts'
import type { ContextError } from './errors.ts'
import { isContext, nodeOf, scopeOf } from './foreign.ts'
import { showDuration } from './inspect.ts'
import { named, readOptions } from './given.ts'
import { isKey, type Key } from './key.ts'
import { Follower, type Watch } from './observers.ts'
import { Binding, boundsBelow, CancelScope, ContextNode, EndlessScope, isAbove, orNone, Rule, type Scope } from './scope.ts'
import { begin, beginAt, keepTime, register, timeOf } from './tree.ts'

// ---------------------------------------------------------------------------------------------------------------------
// What users hold
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Carries a cancel, a deadline and values from whoever wants work done to whoever does it. Immutable, and safe to hand to
 * anybody: who holds a `Context` can see its end, but not cause it. Do not freeze it: cancelling it, or an ancestor while it is observed, would throw.
 * A context of your own delegates: it hands each member on to another one. `Object.create(ctx)` is none: what it notes of its end, it notes apart from `ctx`, and so misses the end of that.
 */
export interface Context {
  /** When it ends at the latest, by the wall clock as it was when first asked; the nearest of its own and its ancestors'. Stays after the end. */
  readonly deadline: Date | undefined
  /** Milliseconds until the deadline: `Infinity` without one, 0 exactly when it has passed. Never grows. */
  remaining(): number
  /** Undefined while live; then why it ended, the same object for ever and for every descendant that ended with it. */
  err(): ContextError | undefined
  /** Resolves with `err()` when the context ends; never rejects. Made, and the context observed, on first use. */
  readonly done: Promise<ContextError>
  /**
   * Aborts when the context ends, with `reason === err()`. A real `AbortSignal`, made, and the context observed, on first use.
   * Its `aborted` tells what `err()` tells, also in a loop that never yields.
   */
  readonly signal: AbortSignal
  /** The nearest binding of `key`, or undefined. Throws a `TypeError` where `key` is not from `createKey`. */
  value<T>(key: Key<T>): T | undefined
  /** Throws `err()` when the context has ended. */
  throwIfDone(): void
}

/**
 * Ends its context, unless it has ended already. Synchronous: on return all descendants in this thread are done, and `abort` listeners have run.
 * What is given is the `cause` of `err()`, of any type; a `CanceledError` without one is made where nothing is.
 */
export type CancelFunc = (cause?: unknown) => void

/**
 * A context together with the right to cancel it. Use it with `using`, or take it apart:
 * `const [ctx, cancel] = withTimeout(parent, 2_000)`. Cancel it when its work is finished, whatever the outcome.
 *
 * TypeScript tells the two apart by the flow of the code, which it does not follow into function declarations, classes and other files. For use there,
 * `const { 0: ctx, 1: cancel } = withCancel(parent)` is exact everywhere.
 */
export interface CancelableContext extends Context, Disposable {
  /** Needs no `this`. Disposing the context calls it without a cause. */
  readonly cancel: CancelFunc
  /** The context without the right to cancel it. */
  readonly 0: Context
  /** The same as `cancel`. */
  readonly 1: CancelFunc
  [Symbol.iterator](): IterableIterator<Context | CancelFunc>
}

// ---------------------------------------------------------------------------------------------------------------------
// Roots
// ---------------------------------------------------------------------------------------------------------------------

const hostBounds = new Bounds(timeOf(hostClock))
const theBackground = new EndlessScope('context.Background', hostBounds)
const theTodo = new EndlessScope('context.TODO', hostBounds)

/** The root of a program's contexts: never done, no deadline, no values. Go: `context.Background`. */
export function background(): Context {
  return theBackground
}

/** As `background()`, for a place that does not know its context yet. Go: `context.TODO`. */
export function todo(): Context {
  return theTodo
}

/**
 * A root with a clock of its own: for simulations, and for tests that do not wait. All contexts derived from it use that clock.
 * @throws TypeError when `clock` lacks a method of {@link Clock}, or an option is of another name
 */
export function createRoot(options: { readonly clock?: Clock; readonly name?: string } = {}): Context {
  const [clock, name, usable] = readOptions(
    'createRoot',
    options,
    ['clock', 'name'],
    ({ clock = hostClock, name = 'context.Root' }) => [clock, name, isClock(clock)],
  )
  if (!usable) throw new TypeError('createRoot() needs a clock with the methods now, wall, setTimer and clearTimer.')
  if (typeof name !== 'string') throw new TypeError(`createRoot() needs a name that is a string, but got ${named(name)}.`)
  return new EndlessScope(name, new Bounds(timeOf(clock)))
}

// ---------------------------------------------------------------------------------------------------------------------
// withCancel
// ---------------------------------------------------------------------------------------------------------------------

/** Nothing else ends it. */
class ByCancel extends Rule {
  override label(): string {
    return 'WithCancel'
  }
}

const byCancel = new ByCancel()

/**
 * A context that ends when its `cancel` is called, or its parent ends. Go: `context.WithCancel`, `WithCancelCause`.
 *
 * @throws TypeError when `parent` is no context
 */
export function withCancel(parent: Context): CancelableContext {
  const node = nodeOf(parent, 'withCancel')
  const scope = node.scope
  isAbove(scope)
  return begin(new CancelScope(parent, orNone(scope), node.bindings, boundsBelow(scope), byCancel))
}

// ---------------------------------------------------------------------------------------------------------------------
// withDeadline, withTimeout
// ---------------------------------------------------------------------------------------------------------------------

/** Its deadline ends it, too. The timer is armed only while somebody observes; who polls compares with the clock. */
class ByDeadline extends Rule {
  override judge(scope: Scope, above: End | undefined, now: number): End | undefined {
    const due = ownDeadline(scope)
    if (due === undefined || !(due.at <= now) || above?.cameBefore(due.at) === true) return above
    return due.end()
  }

  override attach(scope: Scope, watch: Watch): void {
    const due = ownDeadline(scope)
    if (due !== undefined) watch.arm(due.at)
  }

  override label({ due }: Scope): string {
    return `WithDeadline(${due?.date.toISOString()} [${showDuration(due?.remaining() ?? Infinity)}])`
  }
}

const byDeadline = new ByDeadline()

/** Where the parent's deadline is the very same, the parent judges it, and both end with one error (C31). */
function ownDeadline({ due, up }: Scope): Deadline | undefined {
  return due === up?.due ? undefined : due
}

export function deriveDeadline(
  parent: Context,
  node: ContextNode,
  now: number,
  at: number,
  cause: unknown,
  date?: number,
): CancelableContext {
  const bounds = boundsBelow(node.scope)
  const { time, due } = bounds
  const same = due?.is(at, date) === true
  // The parent's is strictly before, or there is none to speak of: as withCancel (C26).
  if (at === Infinity || (due !== undefined && due.at < at && !same)) return withCancel(parent)
  keepTime(node.scope)
  const own = same ? due : new Deadline(at, cause, time, date)
  const below = same ? bounds : new Bounds(time, own, bounds.live)
  const child = beginAt(new CancelScope(parent, orNone(node.scope), node.bindings, below, byDeadline), now)
  if (own.at <= now && child.end === undefined) child.state = own.end()
  return child
}

/**
 * A context that ends at the instant `at`, when its `cancel` is called, or with its parent: whichever comes first.
 * A deadline never fires early, by the monotonic clock. It does not keep the process alive. Go: `context.WithDeadline`, `WithDeadlineCause`.
 *
 * @param at a `Date`, or milliseconds since 1970; `Infinity` is no deadline
 * @param cause why, for `cause(ctx)`, when it is the deadline that ends the context
 * @throws TypeError when `parent` is no context, or `at` neither a Date nor a number
 * @throws RangeError when `at` is an invalid Date or NaN
 */
export function withDeadline(parent: Context, at: Date | number, cause?: unknown): CancelableContext {
  const node = nodeOf(parent, 'withDeadline')
  if (typeof at !== 'number' && !(at instanceof Date)) {
    throw new TypeError(`withDeadline() needs a Date or milliseconds since 1970, but got ${named(at)}.`)
  }
  const date = Number(at)
  if (Number.isNaN(date))
    throw new RangeError(`withDeadline() needs a valid instant, but got ${at instanceof Date ? 'an invalid Date' : 'NaN'}.`)
  const { clock } = node.scope.time
  const now = clock.now()
  return deriveDeadline(
    parent,
    node,
    now,
    date > lastDate ? Infinity : now + (date - clock.wall()),
    cause,
    Math.max(-lastDate, date),
  )
}

/** For all but a plain span below a parent without a deadline. */
function withSomeTimeout(parent: Context, ms: number, cause: unknown): CancelableContext {
  if (typeof ms !== 'number') throw new TypeError(`withTimeout() needs a number of milliseconds, but got ${named(ms)}.`)
  if (Number.isNaN(ms)) throw new RangeError('withTimeout() needs a number of milliseconds, but got NaN.')
  const node = nodeOf(parent, 'withTimeout')
  const now = node.scope.time.clock.now()
  return deriveDeadline(parent, node, now, ms > lastDate ? Infinity : now + ms, cause)
}

/**
 * `withDeadline`, so many milliseconds from now. Go: `context.WithTimeout`, `WithTimeoutCause`.
 *
 * @param ms may be a fraction; zero or less: done on return; `Infinity`: no deadline
 * @throws TypeError when `parent` is no context, or `ms` no number
 * @throws RangeError when `ms` is NaN
 */
export function withTimeout(parent: Context, ms: number, cause?: unknown): CancelableContext {
  // Written out for what most timeouts are, longer than a millisecond and below a parent without a deadline: a compiler puts no more than so much code into a loop, and this is just what it takes (docs/performance.md).
  const node = nodeOf(parent, 'withTimeout')
  const scope = node.scope
  const above = scope.bounds
  if (typeof ms !== 'number' || !(ms > 1 && ms <= lastDate) || above.due !== undefined || above.live === true)
    return withSomeTimeout(parent, ms, cause)
  keepTime(scope)
  const time = above.time
  const bounds = new Bounds(time, new Deadline(time.clock.now() + ms, cause, time), above.live)
  return begin(new CancelScope(parent, orNone(scope), node.bindings, bounds, byDeadline))
}

// ---------------------------------------------------------------------------------------------------------------------
// withoutCancel, withValue
// ---------------------------------------------------------------------------------------------------------------------

/**
 * A context with its parent's values and nothing else: no deadline, and never done, also when the parent is. For work that must
 * outlive its request. Go: `context.WithoutCancel`.
 *
 * @throws TypeError when `parent` is no context
 */
export function withoutCancel(parent: Context): Context {
  const { scope, bindings } = nodeOf(parent, 'withoutCancel')
  return new EndlessScope('WithoutCancel', new Bounds(scope.time), parent, bindings)
}

/** Shares its parent's end, deadline and signal. */
class ValueNode extends ContextNode {
  readonly parent: Context
  readonly scope: Scope
  readonly bindings: Binding

  constructor(parent: Context, scope: Scope, bindings: Binding) {
    super()
    this.parent = parent
    this.scope = scope
    this.bindings = bindings
  }

  protected override label(): string {
    const { key, value } = this.bindings
    return `WithValue(${key?.name}, ${key?.show === true && typeof value === 'string' ? value : '…'})`
  }
}

/**
 * A context in which `key` is bound to `value`; the parent is unchanged. Binding `undefined` hides an outer binding. Go: `context.WithValue`.
 *
 * @throws TypeError when `parent` is no context, or `key` is not from `createKey`
 */
export function withValue<T>(parent: Context, key: Key<T>, value: NoInfer<T>): Context {
  const { scope, bindings } = nodeOf(parent, 'withValue')
  if (!isKey(key)) throw new TypeError(`withValue() needs a key from createKey(), but got ${named(key)}.`)
  return new ValueNode(parent, scope, new Binding(key, value, bindings))
}

// ---------------------------------------------------------------------------------------------------------------------
// Using a context
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Why a context ended: what was given to the cancel that ended it, or with the deadline; where nothing was given, `err()`. Undefined while it is live.
 * Go: `context.Cause`.
 *
 * @throws TypeError when `ctx` is no context
 */
export function cause(ctx: Context): unknown {
  if (!isContext(ctx)) throw new TypeError(`cause() needs a context, but got ${named(ctx)}.`)
  const error = ctx.err()
  return error !== undefined && Object.hasOwn(error, 'cause') ? error.cause : error
}

/**
 * Runs `f` once, in a microtask, when the context ends; started soon when it has ended already. What `f` throws is reported as an uncaught
 * exception and stops nothing else. Go: `context.AfterFunc`.
 *
 * @returns `stop`, which prevents the run: true exactly when this call did, false when `f` was started or stopped before
 * @throws TypeError when `ctx` is no context, or `f` no function
 */
export function afterFunc(ctx: Context, f: () => void): () => boolean {
  const scope = scopeOf(ctx, 'afterFunc')
  if (typeof f !== 'function') throw new TypeError(`afterFunc() needs a function to run, but got ${named(f)}.`)
  return register(scope, new Follower(f))
}
