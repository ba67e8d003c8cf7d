/**
 * How a tree of contexts knows of its ends: the nodes, and what finds an end and spreads it. `context.ts` is what users see of it.
 *
 * Two rules carry everything (docs/design.md tells why):
 *
 * - **Pull.** A context that nobody observes is only a pointer up. Nothing is registered and no timer is armed; `err()`
 *   looks at its own state, else at its ancestors'. While nothing has ended since the last look, that is one compare.
 * - **Push.** Whoever observes (`signal`, `done`, `afterFunc`, a boundary) links the context into its parents, up to
 *   the root, and arms its deadline. From then on an end is pushed: first every linked descendant is marked, then
 *   listeners run, so that no listener ever sees a half-ended tree. The last observer's removal unlinks it again.
 */
import { type Alarm, type Clock, Timetable } from './clock.ts'
import type { CancelableContext, CancelFunc, Context } from './context.ts'
import { CanceledError, type ContextError, DeadlineExceededError, type Kind, withoutStack } from './errors.ts'
import { showState } from './inspect.ts'
import { createKey, isKey, type Key, named } from './key.ts'

// ---------------------------------------------------------------------------------------------------------------------
// Ends and deadlines
// ---------------------------------------------------------------------------------------------------------------------

/** Counts ends as they are found, and deadlines as they are set: of two at one instant, the lower is first. */
let order = 0

/** An end as it happened: shared by every context that it ended. Its error is made when somebody first looks. */
export class End {
  readonly kind: Kind
  readonly cause: unknown
  /** The instant, by the tree's clock; NaN where nobody below could need it. */
  readonly at: number
  readonly #order: number
  #error: ContextError | undefined

  constructor(kind: Kind, cause: unknown, at: number, error?: ContextError, count: number = ++order) {
    this.kind = kind
    this.cause = cause
    this.at = at
    this.#order = count
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

  /** Whether this end came before another one, as far as the instants are known; at one instant a deadline comes first. */
  before(other: End): boolean {
    if (this.at < other.at) return true
    if (this.at > other.at) return false
    if (this.at === other.at && this.kind !== other.kind) return this.kind === 'deadline'
    return this.#order < other.#order
  }

  /** Whether this end came before a deadline at `at` passed. One of unknown instant did not; of two deadlines at once the outer one counts. */
  cameBefore(at: number): boolean {
    return this.at < at || (this.at === at && this.kind === 'deadline')
  }
}

/** The last instant that a `Date` can show. What is due later is never due. */
export const lastDate = 8.64e15

/** A deadline: shared by all contexts that it is the nearest one for. */
export class Deadline {
  /** By the tree's clock. */
  readonly at: number
  readonly cause: unknown
  readonly order: number = ++order
  readonly #time: Time
  readonly #given: number | undefined
  #date: number | undefined
  /** Of a guarded one: how many looks more go by without a look at the clock. */
  #skips = 0
  #read: number

  /** @param guarded something else ends its contexts at that time: a look may rely on that, see `passed` */
  constructor(at: number, cause: unknown, time: Time, date?: number, guarded = false) {
    this.at = at
    this.cause = cause
    this.#time = time
    this.#given = this.#date = date
    this.#read = guarded ? -Infinity : Number.NaN
  }

  /** Whether it has passed. A guarded one that is asked more than once per microsecond reads the clock at every 16th time: it may be 15 looks late. */
  passed(): boolean {
    if (this.#skips > 0) {
      this.#skips--
      return false
    }
    const now = this.#time.clock.now()
    if (now >= this.at) return true
    if (now - this.#read < 0.016) this.#skips = 15
    if (this.#read === this.#read) this.#read = now
    return false
  }

  get date(): Date {
    const { clock } = this.#time
    return new Date((this.#date ??= Math.round(Math.min(lastDate, Math.max(-lastDate, clock.wall() + (this.at - clock.now()))))))
  }

  /** Whether it is the one asked for. A wall clock may tell whole milliseconds only: then one Date, given twice, comes to two instants. */
  is(at: number, date: number | undefined): boolean {
    return this.at === at || (date !== undefined && this.#given === date && Math.abs(this.at - at) < 2)
  }

  remaining(): number {
    const left = this.at - this.#time.clock.now()
    if (left > 0) return left
    this.#skips = 0
    return 0
  }

  /** The end that it is when it has passed. */
  end(): End {
    return new End('deadline', this.cause, this.at, undefined, this.order)
  }
}

export type Time = Timetable<Scope>

const timetables = new WeakMap<Clock, Time>()

/** The one timetable of a clock. */
export function timeOf(clock: Clock): Time {
  let time = timetables.get(clock)
  if (time === undefined) timetables.set(clock, (time = new Timetable(clock, ring)))
  return time
}

/** What is due ends together: all are marked before any listener runs. */
function ring(due: Alarm<Scope>[]): void {
  const wave: Watch[] = []
  // Of two at one instant, the one that was set first is first, whenever they came to be observed.
  if (due.length > 1) due.sort((a, b) => a.at - b.at || (a.what.due?.order ?? 0) - (b.what.due?.order ?? 0))
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
export class Listener extends Observer {
  readonly run: () => void
  constructor(run: () => void) {
    super()
    this.run = run
  }
}

/** A function to start, once, in a microtask. */
export class Follower extends Listener {}

/** A linked child in the list of a parent that is not its `up`: of the several parents of a merge, or of a wrapper's inside. */
class Child extends Observer {
  readonly watch: Watch
  constructor(watch: Watch) {
    super()
    this.watch = watch
  }
}

/** What a scope has while it is observed, and what was made on first use. It is itself an observer of the scope's `up`. */
export class Watch extends Observer {
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

/** How many listeners and linked children there are, for tests. */
export function observersOf({ first }: Watch): number {
  let count = 0
  for (let o = first; o !== undefined; o = o.next) count++
  return count
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

/** Whether no scope that something was derived from has ended since this one was looked at. */
export function isCurrent(scope: Scope): boolean {
  return scope.seen === epoch
}

/** The end of a scope, as of now; undefined while it is live. This is the path of a polling loop. */
export function endOf(scope: Scope): End | undefined {
  if (scope.end !== undefined) return scope.end
  if (scope.seen === epoch && (scope.due === undefined || !scope.due.passed()) && (scope.live === undefined || !stirred(scope)))
    return undefined
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
  if (!passed && !stirred(scope) && allQuiet(scope)) return undefined
  // What is observed and was due ends first, so that nothing found here makes its deadline lose.
  if (scope.time.size > 0) scope.time.catchUp(passed ? now : scope.time.clock.now())
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
  for (const { end: other } of scope.others) if (other !== undefined && (end === undefined || other.before(end))) end = other
  end = scope.judge(end, now)
  if (end === undefined) scope.seen = epoch
  else mark(scope, end, wave)
}

/** Marks a scope that nobody observes, so that there is nobody to tell. Most end so, and it is short for their sake. */
function markAlone(scope: Scope, end: End): void {
  scope.end = end
  if (scope.derived) epoch = new Epoch()
  scope.ended()
}

/** The first phase: marks a scope and all its linked descendants. Runs nobody else's code. */
function mark(top: Scope, end: End, wave: Watch[]): void {
  if (top.watch === undefined) return markAlone(top, end)
  top.end = end
  if (top.derived) epoch = new Epoch()
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
export function conclude(scope: Scope, kind: Kind, cause: unknown, error?: ContextError): void {
  if (endOf(scope) === undefined) finish(scope, kind, cause, error)
}

/** Ends a scope that is live. What was due before ends first, so that no late timer makes a deadline lose. */
export function finish(scope: Scope, kind: Kind, cause: unknown, error?: ContextError): void {
  const { time } = scope
  const now = scope.timed || time.size > 0 ? time.clock.now() : Number.NaN
  // What was due may have ended it; and its listeners took their time, so that more may be due.
  if (time.size > 0 && time.catchUp(now)) return conclude(scope, kind, cause, error)
  if (scope.end !== undefined) return
  const end = new End(kind, cause, now, error)
  if (scope.watch === undefined) return markAlone(scope, end)
  const wave: Watch[] = []
  mark(scope, end, wave)
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
  protected abstract label(brief: boolean): string

  /** The path of a context, or, for one that stands inside of another's path, its last parts. */
  protected static path(from: Context, brief: boolean): string {
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
    return question?.scope === this.scope ? question.give() : this.scope.promise()
  }

  get signal(): AbortSignal {
    return this.scope.abortSignal()
  }

  value<T>(key: Key<T>): T | undefined {
    if (!isKey(key)) throw new TypeError(`value() needs a key from createKey(), but got ${named(key)}.`)
    let last: Binding | undefined
    for (let b = this.bindings; b !== undefined; b = b.outer) {
      if (b.key === key) return b.value as T
      last = b
    }
    if ((key as unknown) === nodeKey) return this as unknown as T
    return last?.foreign?.value(key)
  }

  toString(): string {
    return ContextNode.path(this, false)
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
  return Reflect.get(ctx, 'toString') === Object.prototype.toString ? (ctx.constructor?.name ?? 'Object') : String(ctx)
}

/** Put to a context that may be a wrapper: is your `done` that of this scope? Whoever is asked gets a stand-in, and does not observe the scope. */
class Question {
  readonly scope: Scope
  readonly answer: Promise<ContextError>
  #resolve: ((error: ContextError) => void) | undefined
  given = false

  constructor(scope: Scope) {
    this.scope = scope
    this.answer = new Promise((resolve) => (this.#resolve = resolve))
  }

  give(): Promise<ContextError> {
    this.given = true
    return this.answer
  }

  /** Somebody has kept the stand-in: from now on it is the scope's `done`. */
  keep(): void {
    const watch = (this.scope.watch ??= new Watch(this.scope))
    if (watch.done === undefined) [watch.done, watch.resolve] = [this.answer, this.#resolve]
    else void watch.done.then(this.#resolve)
    link(watch)
  }
}

let question: Question | undefined

/** Whether `ctx` gives the very `done` of a live scope. Observes the scope only where `ctx` keeps what it was given. */
export function passesOn(ctx: Context, scope: Scope): boolean {
  if (scope.watch?.done !== undefined || endOf(scope) !== undefined) return ctx.done === scope.promise()
  const [first, second] = [new Question(scope), new Question(scope)]
  const answers: unknown[] = []
  for (const each of [first, second]) {
    const outer = question
    question = each
    try {
      answers.push(ctx.done)
    } finally {
      question = outer
    }
  }
  if (answers[0] === first.answer && answers[1] === second.answer) return true
  for (const each of [first, second]) if (each.given) each.keep()
  return answers[0] === first.answer
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

export const none: readonly Scope[] = []

/** From now on the instants of the ends of a scope and of all above it are kept: somebody below needs to know which was first. */
export function keepTime(scope: Scope): void {
  const todo: Scope[] = []
  for (let from: Scope | undefined = scope; from !== undefined; from = todo.pop()) {
    for (let s: Scope | undefined = from; s !== undefined && !s.timed && s.end === undefined; s = s.up) {
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

  constructor(
    parent: Context | undefined,
    up: Scope | undefined,
    bindings: Binding | undefined,
    time: Time,
    due: Deadline | undefined,
    silent: boolean,
  ) {
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

// ---------------------------------------------------------------------------------------------------------------------
// The scopes that others build on
// ---------------------------------------------------------------------------------------------------------------------

/** Never ends. `withoutCancel` makes one with values. */
export class EndlessScope extends Scope {
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

/** Ends by its own cancel or with its parent, whichever comes first. */
export class CancelScope extends Scope implements CancelableContext {
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

  protected override label(_brief: boolean): string {
    return 'WithCancel'
  }
}

/** A scope that was just made takes over its parent's end, if that has ended already (C13). */
export function begin<S extends Scope>(scope: S): S {
  const end = scope.up === undefined ? undefined : endOf(scope.up)
  if (end === undefined) scope.seen = epoch
  else scope.end = end
  return scope
}

/** Registers a listener; one that comes after the end is told at once. Returns what takes it back: see `afterFunc`. */
export function register(scope: Scope, listener: Listener): () => boolean {
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

/** What hangs under a scope that never ends hangs under nothing (C17). */
export function orNone(scope: Scope): Scope | undefined {
  return scope.endless ? undefined : scope
}
