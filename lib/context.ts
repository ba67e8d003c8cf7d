/**
 * The tree of contexts. Read it from top to bottom: what users hold, how an end is recorded, the node that all
 * contexts share, then each `with...` followed by its node.
 *
 * Two rules carry everything (docs/design.md tells why):
 *
 * - **Pull.** A context that nobody observes is only a pointer up. Nothing is registered and no timer is armed; `err()`
 *   looks at its own state, else at its ancestors'. While nothing has ended since the last look, that is one compare.
 * - **Push.** Whoever observes (`signal`, `done`, `afterFunc`, a boundary) links the context into its parents, up to
 *   the root, and arms its deadline. From then on an end is pushed: first every linked descendant is marked, then
 *   listeners run, so that no listener ever sees a half-ended tree. The last observer's removal unlinks it again.
 */
import { Alarm, type Clock, hostClock, isClock, Timetable } from './clock.ts'
import { CanceledError, type ContextError, DeadlineExceededError, type Kind, kindOf, withoutStack } from './errors.ts'
import { ForeignSource, isContext } from './foreign.ts'
import { showDuration, showState } from './inspect.ts'
import { createKey, isKey, type Key, named } from './key.ts'

// ---------------------------------------------------------------------------------------------------------------------
// What users hold
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Carries a cancel, a deadline and values from whoever wants work done to whoever does it. Immutable, and safe to hand to
 * anybody: who holds a `Context` can see its end, but not cause it.
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

/** Ends its context, unless it has ended already. Synchronous: on return all descendants in this thread are done, and `abort` listeners have run. */
export type CancelFunc = (cause?: unknown) => void

/**
 * A context together with the right to cancel it. Use it with `using`, or take it apart:
 * `const [ctx, cancel] = withTimeout(parent, 2_000)`. Cancel it when its work is finished, whatever the outcome.
 */
export interface CancelableContext extends Context, Disposable {
  readonly cancel: CancelFunc
  readonly 0: Context
  readonly 1: CancelFunc
  [Symbol.iterator](): IterableIterator<Context | CancelFunc>
}

// ---------------------------------------------------------------------------------------------------------------------
// Ends and deadlines
// ---------------------------------------------------------------------------------------------------------------------

/** An end as it happened: shared by every context that it ended. Its error is made when somebody first looks. */
export class End {
  readonly kind: Kind
  readonly cause: unknown
  /** The instant, by the tree's clock; NaN where nobody below could need it. */
  readonly at: number
  #error: ContextError | undefined

  constructor(kind: Kind, cause: unknown, at: number, error?: ContextError) {
    this.kind = kind
    this.cause = cause
    this.at = at
    this.#error = error
  }

  get error(): ContextError {
    return (this.#error ??= withoutStack(() => {
      const options = this.cause === undefined ? undefined : { cause: this.cause }
      return this.kind === 'deadline' ? new DeadlineExceededError(options) : new CanceledError(options)
    }))
  }

  /** The same, of which it is known only now when it happened. */
  dated(at: number): End {
    return new End(this.kind, this.cause, at, this.#error)
  }

  /** Whether this end came before a deadline at `at` passed. One of unknown instant did not; of two deadlines at once the outer one counts. */
  cameBefore(at: number): boolean {
    return this.at < at || (this.at === at && this.kind === 'deadline')
  }
}

/** A deadline: shared by all contexts that it is the nearest one for. */
class Deadline {
  /** By the tree's clock. */
  readonly at: number
  readonly cause: unknown
  readonly #time: Time
  #date: number | undefined

  constructor(at: number, cause: unknown, time: Time, date?: number) {
    this.at = at
    this.cause = cause
    this.#time = time
    this.#date = date
  }

  get date(): Date {
    const { clock } = this.#time
    return new Date((this.#date ??= Math.round(Math.min(lastDate, Math.max(-lastDate, clock.wall() + (this.at - clock.now()))))))
  }

  /** Whether it is the one asked for. A wall clock may tell whole milliseconds only: then one Date, asked for twice, comes to two instants. */
  is(at: number, date: number | undefined): boolean {
    return this.at === at || (date !== undefined && this.#date === date && Math.abs(this.at - at) < 2)
  }

  remaining(): number {
    return Math.max(0, this.at - this.#time.clock.now())
  }
}

type Time = Timetable<Scope>

const timetables = new WeakMap<Clock, Time>()

/** The one timetable of a clock. */
function timeOf(clock: Clock): Time {
  let time = timetables.get(clock)
  if (time === undefined) timetables.set(clock, (time = new Timetable(clock, ring)))
  return time
}

/** What is due ends together: all are marked before any listener runs. */
function ring(due: Alarm<Scope>[]): void {
  const wave: Watch[] = []
  for (const { what: scope } of due) {
    if (scope.end === undefined) settle(scope, Infinity, wave)
  }
  notify(wave)
}

// ---------------------------------------------------------------------------------------------------------------------
// Observers
// ---------------------------------------------------------------------------------------------------------------------

/** A place in the list of those who observe a scope. */
class Observer {
  of: Watch | undefined
  previous: Observer | undefined
  next: Observer | undefined
}

/** A function to call, once, right after everything is marked. */
class Listener extends Observer {
  readonly run: () => void
  constructor(run: () => void) {
    super()
    this.run = run
  }
}

/** A function to start, once, in a microtask. */
class Follower extends Listener {}

/** A linked child in the list of a parent that is not its `up`: of the several parents of a merge, or of a wrapper's inside. */
class Child extends Observer {
  readonly watch: Watch
  constructor(watch: Watch) {
    super()
    this.watch = watch
  }
}

/** What a scope has while it is observed, and what was made on first use. It is itself an observer of the scope's `up`. */
class Watch extends Observer {
  readonly scope: Scope
  first: Observer | undefined
  last: Observer | undefined
  linked = false
  /** Its places with further parents. */
  places: Child[] | undefined
  alarm: Alarm<Scope> | undefined
  controller: AbortController | undefined
  done: Promise<ContextError> | undefined
  resolve: ((error: ContextError) => void) | undefined

  constructor(scope: Scope) {
    super()
    this.scope = scope
  }

  add(observer: Observer): void {
    observer.of = this
    observer.previous = this.last
    if (this.last === undefined) this.first = observer
    else this.last.next = observer
    this.last = observer
  }

  remove(observer: Observer): void {
    if (observer.previous === undefined) this.first = observer.next
    else observer.previous.next = observer.next
    if (observer.next === undefined) this.last = observer.previous
    else observer.next.previous = observer.previous
    observer.of = observer.previous = observer.next = undefined
  }

  get needed(): boolean {
    return this.first !== undefined || this.controller !== undefined || this.done !== undefined
  }
}

/** Registers an observer with a live scope, and links the scope up to the root, where it is not yet. */
function observe(scope: Scope, observer: Observer): void {
  const watch = (scope.watch ??= new Watch(scope))
  watch.add(observer)
  link(watch)
}

function link(start: Watch): void {
  const todo: Watch[] = []
  for (let watch: Watch | undefined = start; watch !== undefined; watch = todo.pop()) {
    // Up as far as it goes; further parents wait their turn.
    while (watch !== undefined && !watch.linked) {
      watch.linked = true
      const { scope }: Watch = watch
      scope.attach(watch)
      for (const other of scope.others) {
        const place = new Child(watch)
        ;(watch.places ??= []).push(place)
        todo.push(join(other, place))
      }
      watch = scope.up === undefined ? undefined : join(scope.up, watch)
    }
  }
}

function join(above: Scope, observer: Observer): Watch {
  const watch = (above.watch ??= new Watch(above))
  watch.add(observer)
  return watch
}

/** Takes an observer of a live scope back, and unlinks upwards what nobody needs any more. */
function unobserve(observer: Observer): void {
  const todo: Observer[] = []
  for (let next: Observer | undefined = observer; next !== undefined; next = todo.pop()) {
    while (next !== undefined) {
      const watch: Watch | undefined = next.of
      // A scope that has ended drops its whole list by itself.
      if (watch === undefined || watch.scope.end !== undefined) break
      watch.remove(next)
      if (watch.needed) break
      watch.linked = false
      watch.scope.detach(watch)
      if (watch.places !== undefined) todo.push(...watch.places)
      watch.places = undefined
      watch.scope.watch = undefined
      next = watch
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// How an end is found, and how it spreads
// ---------------------------------------------------------------------------------------------------------------------

/** Changes with every end of a scope that something was derived from. A scope that has seen the present one has no ended ancestor. An object, so that it never wraps. */
class Epoch {}
let epoch = new Epoch()

/** The end of a scope, as of now; undefined while it is live. This is the path of a polling loop. */
export function endOf(scope: Scope): End | undefined {
  if (scope.end !== undefined) return scope.end
  if (scope.seen === epoch && (scope.due === undefined || scope.time.clock.now() < scope.due.at) && !stirred(scope)) return undefined
  return look(scope)
}

/** Whether something above, which ends without telling us, may have ended. */
function stirred(scope: Scope): boolean {
  for (let s = scope.live; s !== undefined; s = s.up?.live) if (s.stirred()) return true
  return false
}

/** The slow path: settles everything above the scope that is not known to be live, parents first, then the scope. Does not recurse. */
function look(scope: Scope): End | undefined {
  const now = scope.due === undefined ? Number.NaN : scope.time.clock.now()
  const passed = scope.due !== undefined && scope.due.at <= now
  if (passed) scope.time.catchUp(now)
  if (!passed && !stirred(scope) && allQuiet(scope)) return undefined
  if (scope.end !== undefined) return scope.end

  const wave: Watch[] = []
  const stack = [scope]
  const entered: boolean[] = []
  const pass = {}
  for (let s = stack.at(-1); s !== undefined; s = stack.at(-1)) {
    const top = stack.length - 1
    if (s.end !== undefined || (entered[top] !== true && s.entered(pass))) {
      stack.pop()
    } else if (entered[top] === true) {
      settle(s, now, wave)
      stack.pop()
    } else {
      entered[top] = true
      for (const up of s.up === undefined ? s.others : [s.up, ...s.others]) {
        if (up.end !== undefined || quiet(up, now)) continue
        stack.push(up)
        entered[stack.length - 1] = false
      }
    }
  }
  notify(wave)
  return scope.end
}

/** Whether a scope is known to be live at `now`: then there is nothing to settle there, nor above. */
function quiet(scope: Scope, now: number): boolean {
  return scope.seen === epoch && scope.live === undefined && !(scope.due !== undefined && scope.due.at <= now)
}

/** Whether no ancestor has ended; remembers that, so that the next look is a compare. */
function allQuiet(scope: Scope): boolean {
  let s: Scope | undefined = scope
  for (; s !== undefined; s = s.up) {
    // One that nothing was derived from has ended without a new epoch: what it has seen tells nothing then.
    if (s.end !== undefined) return false
    if (s.seen === epoch) break
    if (s.others.some((other) => other.end !== undefined || other.seen !== epoch)) return false
  }
  for (let t: Scope | undefined = scope; t !== s && t !== undefined; t = t.up) t.seen = epoch
  return true
}

/** Ends a live scope whose parents are settled, if one of them has ended or it ends by itself; of several, by whichever was first. */
function settle(scope: Scope, now: number, wave: Watch[]): void {
  let end = scope.up?.end
  for (const { end: other } of scope.others) if (other !== undefined && (end === undefined || other.at < end.at)) end = other
  end = scope.judge(end, now)
  if (end === undefined) scope.seen = epoch
  else mark(scope, end, wave)
}

/** The first phase: marks a scope and all its linked descendants. Runs nobody else's code. */
function mark(top: Scope, end: End, wave: Watch[]): void {
  top.end = end
  if (top.derived) epoch = new Epoch()
  if (top.watch === undefined) return top.ended()
  let next = wave.length
  wave.push(top.watch)
  for (; next < wave.length; next++) {
    const watch = wave[next] as Watch
    watch.linked = false
    watch.scope.detach(watch)
    watch.scope.ended()
    // Parents that have ended drop their lists as a whole: there is no unregistering one by one (C20).
    unobserve(watch)
    if (watch.places !== undefined) for (const place of watch.places) unobserve(place)
    watch.places = undefined
    for (let o = watch.first; o !== undefined; o = o.next) {
      const child = o instanceof Watch ? o : o instanceof Child ? o.watch : undefined
      if (child === undefined || child.scope.end !== undefined) continue
      child.scope.end = end
      if (child.scope.derived) epoch = new Epoch()
      wave.push(child)
    }
  }
}

/** The second phase: tells everybody, parents before children and in the order of registration. */
function notify(wave: Watch[]): void {
  for (const watch of wave) {
    const end = watch.scope.end as End
    watch.resolve?.(end.error)
    watch.controller?.abort(end.error)
    const first = watch.first
    watch.first = watch.last = undefined
    for (let o = first; o !== undefined; o = o.next) {
      if (!(o instanceof Listener)) continue
      if (o instanceof Follower) {
        queueMicrotask(o.run)
        continue
      }
      try {
        o.run()
      } catch (error) {
        report(error)
      }
    }
  }
}

/** Ends a scope now, unless it has ended already, or a deadline above it has passed though no timer fired yet. */
function conclude(scope: Scope, kind: Kind, cause: unknown, error?: ContextError): void {
  if (endOf(scope) === undefined) finish(scope, kind, cause, error)
}

/** Ends a scope that is live. What was due before ends first, so that no late timer makes a deadline lose. */
function finish(scope: Scope, kind: Kind, cause: unknown, error?: ContextError): void {
  const { time } = scope
  const now = scope.timed || time.size > 0 ? time.clock.now() : Number.NaN
  if (time.size > 0) time.catchUp(now)
  // What was due may have ended it.
  if (scope.end !== undefined) return
  const wave: Watch[] = []
  mark(scope, new End(kind, cause, now, error), wave)
  notify(wave)
}

/** An exception of somebody's listener: an uncaught exception in Node, an `error` event in a browser. It stops nothing here. */
export function report(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// The nodes that all contexts share
// ---------------------------------------------------------------------------------------------------------------------

/** A binding of a value, and those that it hides. */
export class Binding {
  readonly key: Key<unknown> | undefined
  readonly value: unknown
  readonly outer: Binding | undefined
  /** A context that is not ours, to ask for what is not bound below it. */
  readonly foreign: Context | undefined

  constructor(key: Key<unknown> | undefined, value: unknown, outer: Binding | undefined, foreign?: Context) {
    this.key = key
    this.value = value
    this.outer = outer
    this.foreign = foreign
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
  protected abstract label(): string

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
    return this.scope.promise()
  }

  get signal(): AbortSignal {
    return this.scope.abortSignal()
  }

  value<T>(key: Key<T>): T | undefined {
    let last: Binding | undefined
    for (let b = this.bindings; b !== undefined; b = b.outer) {
      if (b.key === key) return b.value as T
      last = b
    }
    if ((key as unknown) === nodeKey) return this as unknown as T
    if (!isKey(key)) throw new TypeError(`value() needs a key from createKey(), but got ${named(key)}.`)
    return last?.foreign?.value(key)
  }

  toString(): string {
    const labels: string[] = []
    let ctx: Context | undefined = this
    for (; ctx instanceof ContextNode; ctx = ctx.parent) labels.push(ctx.label())
    if (ctx !== undefined) labels.push(showForeign(ctx))
    return labels.reverse().join('.')
  }

  static {
    Object.defineProperty(this.prototype, Symbol.for('nodejs.util.inspect.custom'), {
      value(this: ContextNode, _depth: number, options: object, inspect: (value: unknown, options: object) => string) {
        return showState(String(this), this, (value) => inspect(value, options))
      },
    })
  }
}

function showForeign(ctx: Context): string {
  const own = ctx.toString
  return own === Object.prototype.toString ? (ctx.constructor?.name ?? 'Object') : String(ctx)
}

const scopeOfSignal: unique symbol = Symbol('ctxbridge.scope')

/** A context's signal: the platform's, but `aborted` and `reason` tell what the context knows, in step with `err()` (C5). */
class ContextSignal extends AbortSignal {
  declare [scopeOfSignal]: Scope

  override get aborted(): boolean {
    return endOf(this[scopeOfSignal]) !== undefined
  }

  override get reason(): unknown {
    return endOf(this[scopeOfSignal])?.error
  }

  override throwIfAborted(): void {
    const end = endOf(this[scopeOfSignal])
    if (end !== undefined) throw end.error
  }

  static {
    Object.defineProperty(this, 'name', { value: 'AbortSignal' })
  }
}

const none: readonly Scope[] = []

/** From now on the instants of the ends of a scope and of all above it are kept: somebody below needs to know which was first. */
function keepTime(scope: Scope): void {
  const todo: Scope[] = []
  for (let from: Scope | undefined = scope; from !== undefined; from = todo.pop()) {
    for (let s: Scope | undefined = from; s !== undefined && !s.timed; s = s.up) {
      s.timed = true
      s.keepTime()
      if (s.others.length > 0) todo.push(...s.others)
    }
  }
}

/** A context with an end of its own. */
export abstract class Scope extends ContextNode {
  readonly parent: Context | undefined
  /** The scope that it hangs under; undefined under a root, which never ends. */
  readonly up: Scope | undefined
  readonly bindings: Binding | undefined
  readonly time: Time
  readonly due: Deadline | undefined
  /** The nearest scope, itself included, that may end without telling: it is asked at every look. */
  readonly live: Scope | undefined
  end: End | undefined
  seen: Epoch | undefined
  watch: Watch | undefined
  /** Whether somebody below needs to know when this ended, to tell it from a deadline that passed. */
  timed: boolean
  /** Whether another scope hangs under this one, and so must hear of its end when it looks. */
  derived: boolean

  constructor(parent: Context | undefined, up: Scope | undefined, bindings: Binding | undefined, time: Time, due: Deadline | undefined, silent: boolean) {
    super()
    this.parent = parent
    this.up = up
    this.bindings = bindings
    this.time = time
    this.due = due
    this.live = silent ? this : up?.live
    this.end = undefined
    this.seen = undefined
    this.watch = undefined
    this.timed = false
    this.derived = false
    if (up !== undefined) up.derived = true
  }

  get scope(): Scope {
    return this
  }

  /** Whether it never ends: then nothing is ever registered with it. */
  get endless(): boolean {
    return false
  }

  /** What else it hangs under. */
  get others(): readonly Scope[] {
    return none
  }

  /** Its end, given its parents' first one: that, or one of its own that was earlier. */
  judge(above: End | undefined, _now: number): End | undefined {
    return above
  }

  /** For those that end without telling: whether it is worth a closer look. Cheap. */
  stirred(): boolean {
    return false
  }

  /** For those with several parents: whether it was entered before in this pass. */
  entered(_pass: object): boolean {
    return false
  }

  /** Called when the first observer has come: arm, subscribe. */
  attach(_watch: Watch): void {}
  /** Called when the last one has gone, and at the end: gives back what `attach` took. */
  detach(_watch: Watch): void {}
  /** Called at the end, unless that had come before the context was made or nobody looked: gives back all else. */
  ended(): void {}

  /** Called once, when the instant of its end begins to matter. */
  keepTime(): void {}

  promise(): Promise<ContextError> {
    const end = endOf(this)
    const watch = (this.watch ??= new Watch(this))
    if (watch.done === undefined) {
      watch.done = end === undefined ? new Promise((resolve) => (watch.resolve = resolve)) : Promise.resolve(end.error)
      if (end === undefined) link(watch)
    }
    return watch.done
  }

  abortSignal(): AbortSignal {
    const end = endOf(this)
    const watch = (this.watch ??= new Watch(this))
    if (watch.controller === undefined) {
      watch.controller = new AbortController()
      const signal = Object.setPrototypeOf(watch.controller.signal, ContextSignal.prototype) as ContextSignal
      signal[scopeOfSignal] = this
      if (end === undefined) link(watch)
      else watch.controller.abort(end.error)
    }
    return watch.controller.signal
  }
}

/** The node that a parent context stands for. Anything with the members of a `Context` is a parent like any other (C63). */
function nodeOf(parent: Context, caller: string): ContextNode {
  if (parent instanceof ContextNode) return parent
  if (!isContext(parent)) {
    throw new TypeError(`${caller}() needs a context to derive from, but got ${named(parent)}. Pass background() where there is none.`)
  }
  return foreignNode(parent)
}

/** The scope of a context that was given to the function named `caller`; throws a `TypeError` where it is none. */
export function scopeOf(ctx: Context, caller: string): Scope {
  return nodeOf(ctx, caller).scope
}

function orNone(scope: Scope): Scope | undefined {
  return scope.endless ? undefined : scope
}

// ---------------------------------------------------------------------------------------------------------------------
// Roots
// ---------------------------------------------------------------------------------------------------------------------

/** Never ends. `withoutCancel` makes one with values. */
class EndlessScope extends Scope {
  readonly #label: string

  constructor(label: string, time: Time, parent?: Context, bindings?: Binding) {
    super(parent, undefined, bindings, time, undefined, false)
    this.seen = epoch
    this.#label = label
  }

  override get endless(): boolean {
    return true
  }

  override err(): ContextError | undefined {
    return undefined
  }

  protected override label(): string {
    return this.#label
  }
}

const hostTime = timeOf(hostClock)
const theBackground = new EndlessScope('context.Background', hostTime)
const theTodo = new EndlessScope('context.TODO', hostTime)

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
 * @throws TypeError when `clock` lacks a method of {@link Clock}
 */
export function createRoot(options: { readonly clock?: Clock; readonly name?: string } = {}): Context {
  if (typeof options !== 'object' || options === null) throw new TypeError(`createRoot() needs its options to be an object, but got ${named(options)}.`)
  const { clock = hostClock, name = 'context.Root' } = options
  if (!isClock(clock)) throw new TypeError('createRoot() needs a clock with the methods now, wall, setTimer and clearTimer.')
  if (typeof name !== 'string') throw new TypeError(`createRoot() needs a name that is a string, but got ${named(name)}.`)
  return new EndlessScope(name, timeOf(clock))
}

// ---------------------------------------------------------------------------------------------------------------------
// withCancel
// ---------------------------------------------------------------------------------------------------------------------

/** Ends by its own cancel or with its parent, whichever comes first. */
class CancelScope extends Scope implements CancelableContext {
  #cancel: CancelFunc | undefined

  /** Bound, so that it can be taken off; made on first use. */
  get cancel(): CancelFunc {
    return (this.#cancel ??= (cause) => conclude(this, 'canceled', cause))
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

  [Symbol.dispose](): void {
    conclude(this, 'canceled', undefined)
  }

  protected override label(): string {
    return 'WithCancel'
  }
}

/** A scope that was just made takes over its parent's end, if that has ended already (C13). */
function begin<S extends Scope>(scope: S): S {
  const end = scope.up === undefined ? undefined : endOf(scope.up)
  if (end === undefined) scope.seen = epoch
  else scope.end = end
  return scope
}

/**
 * A context that ends when its `cancel` is called, or its parent ends. Go: `context.WithCancel`, `WithCancelCause`.
 *
 * @throws TypeError when `parent` is no context
 */
export function withCancel(parent: Context): CancelableContext {
  const { scope, bindings } = nodeOf(parent, 'withCancel')
  return begin(new CancelScope(parent, orNone(scope), bindings, scope.time, scope.due, false))
}

// ---------------------------------------------------------------------------------------------------------------------
// withDeadline, withTimeout
// ---------------------------------------------------------------------------------------------------------------------

/** Ends by its deadline, too. The timer is armed only while somebody observes; who polls compares with the clock. */
class DeadlineScope extends CancelScope {
  declare readonly due: Deadline

  /** Where the parent's deadline is the very same, the parent judges it, and both end with one error (C31). */
  get #shared(): boolean {
    return this.up?.due === this.due
  }

  override judge(above: End | undefined, now: number): End | undefined {
    const { at, cause } = this.due
    if (this.#shared || !(at <= now) || above?.cameBefore(at) === true) return above
    return new End('deadline', cause, at)
  }

  override attach(watch: Watch): void {
    if (!this.#shared) this.time.set((watch.alarm = new Alarm(this.due.at, this as Scope)))
  }

  override detach(watch: Watch): void {
    if (watch.alarm !== undefined) this.time.unset(watch.alarm)
    watch.alarm = undefined
  }

  protected override label(): string {
    return `WithDeadline(${this.due.date.toISOString()} [${showDuration(this.due.remaining())}])`
  }
}

/** The last instant that a `Date` can show. What is due later is never due. */
const lastDate = 8.64e15

function deriveDeadline(parent: Context, node: ContextNode, now: number, at: number, cause: unknown, date?: number): CancelableContext {
  const { scope, bindings } = node
  const { time, due } = scope
  const same = due?.is(at, date) === true
  // The parent's is strictly before, or there is none to speak of: as withCancel (C26).
  if (at === Infinity || (due !== undefined && due.at < at && !same)) {
    return begin(new CancelScope(parent, orNone(scope), bindings, time, due, false))
  }
  keepTime(scope)
  const own = same ? due : new Deadline(at, cause, time, date)
  const child = begin(new DeadlineScope(parent, orNone(scope), bindings, time, own, false))
  if (child.end === undefined && own.at <= now) child.end = new End('deadline', cause, at)
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
  if (Number.isNaN(date)) throw new RangeError(`withDeadline() needs a valid instant, but got ${at instanceof Date ? 'an invalid Date' : 'NaN'}.`)
  const { clock } = node.scope.time
  const now = clock.now()
  return deriveDeadline(parent, node, now, date > lastDate ? Infinity : now + (date - clock.wall()), cause, Math.max(-lastDate, date))
}

/**
 * `withDeadline`, so many milliseconds from now. Go: `context.WithTimeout`, `WithTimeoutCause`.
 *
 * @param ms may be a fraction; zero or less: done on return; `Infinity`: no deadline
 * @throws TypeError when `parent` is no context, or `ms` no number
 * @throws RangeError when `ms` is NaN
 */
export function withTimeout(parent: Context, ms: number, cause?: unknown): CancelableContext {
  const node = nodeOf(parent, 'withTimeout')
  if (typeof ms !== 'number') throw new TypeError(`withTimeout() needs a number of milliseconds, but got ${named(ms)}.`)
  if (Number.isNaN(ms)) throw new RangeError('withTimeout() needs a number of milliseconds, but got NaN.')
  const now = node.scope.time.clock.now()
  return deriveDeadline(parent, node, now, ms > lastDate ? Infinity : now + ms, cause)
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
  return new EndlessScope('WithoutCancel', scope.time, parent, bindings)
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
  return new ValueNode(parent, scope, new Binding(key as Key<unknown>, value, bindings))
}

/** The bindings that can be seen from a context, nearest first, each key once; what a foreign context holds cannot be listed. */
export function* bindingsOf(ctx: Context): Iterable<[Key<unknown>, unknown]> {
  const seen = new Set<unknown>()
  const node = ctx instanceof ContextNode ? ctx : ctx.value(nodeKey)
  for (let b = node?.bindings; b !== undefined; b = b.outer) {
    if (b.key === undefined || seen.has(b.key)) continue
    seen.add(b.key)
    yield [b.key, node === ctx ? b.value : ctx.value(b.key)]
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// merge
// ---------------------------------------------------------------------------------------------------------------------

/** Hangs under several scopes, and ends with the first. Where one of the others may end without telling, it is asked at every look. */
class MergeScope extends CancelScope {
  readonly #others: readonly Scope[]
  readonly #names: readonly Context[]
  #pass: object | undefined

  constructor(
    parent: Context,
    up: Scope | undefined,
    bindings: Binding | undefined,
    time: Time,
    due: Deadline | undefined,
    others: readonly Scope[],
    names: readonly Context[],
  ) {
    const silent = others.some((other) => other.live !== undefined)
    super(parent, up, bindings, time, due, silent)
    this.#others = others
    this.#names = names
    for (const other of others) other.derived = true
  }

  override get others(): readonly Scope[] {
    return this.#others
  }

  override stirred(): boolean {
    return this.#others.some((s) => s.end !== undefined || s.seen !== epoch || s.live !== undefined)
  }

  override entered(pass: object): boolean {
    const before = this.#pass === pass
    this.#pass = pass
    return before
  }

  protected override label(): string {
    return `Merge(${this.#names.join(', ')})`
  }
}

/**
 * A context that ends with whichever of its parents ends first, and with that one's error; or by its own `cancel`. Its deadline is the
 * earliest of theirs. Its values are the first one's alone.
 *
 * @throws TypeError when one of them is no context, or when they do not share a clock
 */
export function merge(first: Context, ...others: readonly Context[]): CancelableContext {
  const { scope, bindings } = nodeOf(first, 'merge')
  const scopes = others.map((other) => scopeOf(other, 'merge')).filter((other) => !other.endless)
  if (scopes.some((other) => other.time !== scope.time)) throw new TypeError('merge() needs contexts that share a clock.')
  let due = scope.due
  for (const other of scopes) if (other.due !== undefined && (due === undefined || other.due.at < due.at)) due = other.due
  for (const s of [scope, ...scopes]) keepTime(s)
  const merged = new MergeScope(first, orNone(scope), bindings, scope.time, due, scopes, others)
  endOf(merged)
  return merged
}

// ---------------------------------------------------------------------------------------------------------------------
// Ends that come from elsewhere: signals, foreign contexts, other threads and processes
// ---------------------------------------------------------------------------------------------------------------------

/** Something outside of the tree that ends a context. It can be asked at any time, and it can be told to wake. */
export interface Source {
  /** Its end, or undefined. Cheap, and does not throw. Not asked again once it has answered. */
  poll(): End | undefined
  /** Calls `wake`, at once or later, when `poll` answers. Called when the context gets its first observer. */
  watch(wake: () => void): void
  /** Takes `watch` back. Called when the last observer has gone, and at the end. */
  unwatch(): void
  /** Called once, when the instant of the end matters to somebody below, who may not be observed: wakes, but does not hold the context. */
  watchWeakly?(scope: WeakRef<Scope>, wake: (scope: Scope) => void): void
  /** Takes `watchWeakly` back. Called at the end. */
  close?(): void
  /** The scope of this tree that it is only a wrapper of, if that is so. Asked when the first observer comes. */
  inner?(): Scope | undefined
}

class SourceScope extends CancelScope {
  readonly #label: string
  readonly #source: Source
  /** A wrapper that adds nothing is linked where it points to. */
  #inner: readonly Scope[] = none
  /** One that is its own, beside its source's verdict. */
  readonly #deadline: Deadline | undefined

  constructor(label: string, parent: Context, base: { up: Scope | undefined; bindings: Binding | undefined; time: Time; due: Deadline | undefined }, source: Source, deadline?: Deadline) {
    super(parent, base.up, base.bindings, base.time, deadline ?? base.due, true)
    this.#deadline = deadline
    this.#label = label
    this.#source = source
  }

  override get others(): readonly Scope[] {
    return this.#inner
  }

  /** Whoever is outside judges better than our clock, which may only be looked at long after: so the deadline comes last. */
  override judge(above: End | undefined, now: number): End | undefined {
    const end = above ?? this.#poll()
    if (end !== undefined || this.#deadline === undefined || !(this.#deadline.at <= now)) return end
    return new End('deadline', this.#deadline.cause, this.#deadline.at)
  }

  #poll(): End | undefined {
    const end = this.#source.poll()
    if (end === undefined || !this.timed || !Number.isNaN(end.at)) return end
    // Who keeps the time is told at once. So what is found here, before that, has happened just now, or when it was due.
    const now = this.time.clock.now()
    return end.dated(end.kind === 'deadline' && this.due !== undefined ? Math.min(now, this.due.at) : now)
  }

  override stirred(): boolean {
    return this.#source.poll() !== undefined
  }

  override attach(watch: Watch): void {
    const inner = this.#source.inner?.()
    if (inner === undefined) this.#source.watch(() => this.#wake())
    else this.#inner = inner.endless ? none : [inner]
    if (this.#deadline !== undefined && this.end === undefined) {
      this.time.set((watch.alarm = new Alarm(this.#deadline.at, this as Scope)))
    }
  }

  override detach(watch: Watch): void {
    this.#source.unwatch()
    if (watch.alarm !== undefined) this.time.unset(watch.alarm)
    watch.alarm = undefined
  }

  override ended(): void {
    this.#source.close?.()
  }

  override keepTime(): void {
    const inner = this.#source.inner?.()
    // What is only wrapped keeps the time itself.
    if (inner !== undefined) keepTime(inner)
    else this.#source.watchWeakly?.(new WeakRef(this), (scope) => (scope as SourceScope).#wake())
  }

  /** It has ended just now, unless something above it was first. */
  #wake(): void {
    if (this.end !== undefined || (this.up !== undefined && endOf(this.up) !== undefined && endOf(this) !== undefined)) return
    const end = this.#source.poll()
    if (end !== undefined) finish(this, end.kind, end.cause, end.error)
  }

  protected override label(): string {
    return this.#label
  }
}

/**
 * A context that ends with its parent, by its own cancel, or when `source` says so. Not public: `withSignal` and the boundaries build on it.
 * Without a parent it has the given values, and the host's clock.
 */
export function withSource(parent: Context, label: string, source: Source, caller: string): CancelableContext {
  return deriveSource(parent, nodeOf(parent, caller), label, source)
}

function deriveSource(parent: Context, { scope, bindings }: ContextNode, label: string, source: Source, deadline?: Deadline): CancelableContext {
  const { time, due } = scope
  const child = new SourceScope(label, parent, { up: orNone(scope), bindings, time, due }, source, deadline)
  if (deadline !== undefined) keepTime(scope)
  endOf(child)
  return child
}

/**
 * The local end of a context that lives elsewhere: it ends when `source` says so, or, where that is silent, when its deadline passes by the clock of
 * `parent`. Not public: the boundaries build on it.
 *
 * @param at the deadline as an instant of the parent's clock; `Infinity` for none
 * @param why the cause that was given with the deadline, or undefined
 */
export function withRemote(parent: Context, label: string, source: Source, at: number, why: unknown): CancelableContext {
  const node = nodeOf(parent, 'withRemote')
  const { time, due } = node.scope
  const own = at < (due?.at ?? Infinity) ? new Deadline(at, why, time) : undefined
  return deriveSource(parent, node, label, source, own)
}

/**
 * `withDeadline` by an instant of the parent's own clock. Not public: the boundaries build on it.
 *
 * @param at may be past: then the context is done on return; `Infinity` for no deadline
 */
export function withInstant(parent: Context, at: number, cause: unknown): CancelableContext {
  const node = nodeOf(parent, 'withInstant')
  return deriveDeadline(parent, node, node.scope.time.clock.now(), at, cause)
}

/** A context's deadline as an instant of its clock, with the cause given with it; undefined without one. Not public: it is what an export sends. */
export function deadlineOf(ctx: Context): { readonly at: number; readonly cause: unknown; readonly clock: Clock } | undefined {
  const { due, time } = scopeOf(ctx, 'deadlineOf')
  return due === undefined ? undefined : { at: due.at, cause: due.cause, clock: time.clock }
}

const foreignNodes = new WeakMap<Context, SourceScope>()

/** The node that stands for a context of somebody else's; one for each, however often it is derived from. */
function foreignNode(ctx: Context): SourceScope {
  let node = foreignNodes.get(ctx)
  if (node !== undefined) return node
  const native = nativeOf(ctx)
  const time = native?.scope.time ?? hostTime
  const date = ctx.deadline
  let due = native?.scope.due
  if (date?.getTime() !== due?.date.getTime()) {
    const left = date === undefined ? Infinity : ctx.remaining()
    due = left === Infinity ? undefined : new Deadline(time.clock.now() + left, undefined, time, date?.getTime())
  }
  const bindings = new Binding(undefined, undefined, undefined, ctx)
  node = new SourceScope('', ctx, { up: undefined, bindings, time, due }, new ForeignSource(ctx, native?.scope))
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

/** Ends a context of this thread with an error that came from elsewhere; nothing happens where it has ended. Not public. */
export function endWith(ctx: CancelableContext, error: ContextError): void {
  conclude(scopeOf(ctx, 'endWith'), kindOf(error) ?? 'canceled', undefined, error)
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
  return register(scope, new Follower(() => void f()))
}

/**
 * Calls `f` once, synchronously, right after the context and all its descendants are marked; at once when it has ended already.
 * Not public: whoever listens this way must not throw. Returns `stop`, as `afterFunc` does.
 */
export function listen(ctx: Context, f: () => void): () => boolean {
  return register(scopeOf(ctx, 'listen'), new Listener(f))
}

function register(scope: Scope, listener: Listener): () => boolean {
  if (endOf(scope) !== undefined) {
    if (listener instanceof Follower) queueMicrotask(listener.run)
    else listener.run()
    return () => false
  }
  let pending = true
  if (!scope.endless) observe(scope, listener)
  return () => {
    if (!pending || endOf(scope) !== undefined) return false
    pending = false
    unobserve(listener)
    return true
  }
}
