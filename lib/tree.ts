/**
 * How a tree of contexts knows of its ends: what finds an end and brings one about. `context.ts` is what users see of it, `scope.ts` what
 * the tree is made of, `spread.ts` what an end does to it.
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
import type { Time } from './deadline.ts'
import { End, unread } from './end.ts'
import type { ContextError, Kind } from './errors.ts'
import { Follower, type Listener, observe, unobserve, type Watch } from './observers.ts'
import type { Scope } from './scope.ts'
import { epoch, follow, isLive, mark, markAlone, notify } from './spread.ts'

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
  for (const { what: scope } of due) settle(scope, Infinity, wave)
  notify(wave)
}

// ---------------------------------------------------------------------------------------------------------------------
// How an end is found
// ---------------------------------------------------------------------------------------------------------------------

/** The end of a scope, as of now; undefined while it is live. This is the path of a polling loop: small, so that compilers put it into the loop. */
export function endOf(scope: Scope): End | undefined {
  const bounds = scope.bounds
  return scope.state === epoch && bounds.due === undefined && bounds.live === undefined ? undefined : ask(scope)
}

/** The longer way of `endOf`: for a scope that has ended or may have, or whose end is not told. */
function ask(scope: Scope): End | undefined {
  const { due, live } = scope.bounds
  if (scope.state === epoch) {
    if (due === undefined || !due.passed()) {
      if (live === undefined) return undefined
      // It hangs under nothing, and nobody observes it: nobody else has a say in its end, and nobody is to be told.
      if (scope.up === undefined && scope.watch === undefined && scope.rule.others.length === 0) {
        // Whoever was asked may have ended it.
        return scope.rule.stirred() || scope.state !== epoch ? lookAlone(scope) : undefined
      }
      // Whoever was asked may have ended it.
      if (!stirred(scope) && scope.state === epoch) return undefined
    }
  } else if (scope.state instanceof End) return takenEnd(scope)
  else if (due === undefined && live === undefined) return inherited(scope)
  return look(scope)
}

/**
 * As `look`, for an import as long as it is only polled. A loop that waits for another thread leaves here. To that loop all that it calls here is cold, however often it has
 * run, and is no part of its code: so it is one call, and little.
 */
function lookAlone(scope: Scope): End | undefined {
  const end = scope.rule.news(scope)
  // Whoever was asked may have ended it, or looked here; and what was due before, elsewhere, ends first.
  if (end === undefined || scope.state !== epoch || scope.bounds.time.size > 0) return look(scope)
  markAlone(scope, end)
  return end
}

/** The end that was found for a scope, if there is one; does not look for one. */
export function takenEnd(scope: Scope): End | undefined {
  if (scope.state === unread) scope.state = new End('canceled', undefined, Number.NaN)
  return scope.end
}

/** A scope that was just made takes over its parent's end, if that has ended already (C13). */
export function begin<S extends Scope>(scope: S): S {
  const up = scope.up
  const end = up === undefined ? undefined : endOf(up)
  if (end === undefined) scope.state = epoch
  else scope.state = end
  return scope
}

/** As `begin`, where the clock was just read. */
export function beginAt<S extends Scope>(scope: S, now: number): S {
  if (scope.up === undefined || !quiet(scope.up, now)) return begin(scope)
  scope.state = epoch
  return scope
}

/** Whether something above, which ends without telling us, may have ended. */
function stirred(scope: Scope): boolean {
  for (let s = scope.live; s !== undefined; s = s.up?.live) if (s.rule.stirred()) return true
  return false
}

/** The short way of `look`: for a scope that has no deadline, and nothing above that ends without telling. Then it ends with the nearest ancestor that has, or lives. */
function inherited(scope: Scope): End | undefined {
  let top = scope
  // What is linked is told of an end.
  while (top.end === undefined && top.state !== epoch && top.watch === undefined) {
    if (top.rule.others.length > 0) return look(scope)
    if (top.up === undefined) break
    top = top.up
  }
  const end = takenEnd(top)
  for (let s = scope; s !== top; s = s.up as Scope) {
    if (end === undefined) s.state = epoch
    else s.state = end
  }
  if (end === undefined) top.state = epoch
  return end
}

/** The slow path: settles everything above the scope that is not known to be live, parents first, then the scope. Does not recurse. */
function look(scope: Scope): End | undefined {
  const { time, due } = scope.bounds
  const now = due === undefined ? Number.NaN : time.clock.now()
  const passed = due !== undefined && due.at <= now
  if (!passed && !stirred(scope) && allQuiet(scope)) return undefined
  // What is observed and was due ends first, so that nothing found here makes its deadline lose.
  if (time.size > 0) time.catchUp(passed ? now : time.clock.now())
  if (scope.end === undefined) {
    const wave: Watch[] = []
    if (!settleChain(scope, now, wave)) settleGraph(scope, now, wave)
    notify(wave)
  }
  return takenEnd(scope)
}

/** Settles a scope where each has one parent only; else does nothing, and says so. */
function settleChain(scope: Scope, now: number, wave: Watch[]): boolean {
  const path: Scope[] = []
  for (let s: Scope | undefined = scope; s !== undefined && s.end === undefined; s = s.up) {
    if (s.rule.others.length > 0) return false
    path.push(s)
    if (s.up === undefined || quiet(s.up, now)) break
  }
  for (let s = path.pop(); s !== undefined; s = path.pop()) settle(s, now, wave)
  return true
}

/** Settles a scope, wherever it hangs. */
function settleGraph(scope: Scope, now: number, wave: Watch[]): void {
  const stack = [scope]
  const entered: boolean[] = []
  const pass = {}
  for (let s = stack.at(-1); s !== undefined; s = stack.at(-1)) {
    const top = stack.length - 1
    if (s.end !== undefined || (entered[top] !== true && s.rule.entered(pass))) {
      stack.pop()
    } else if (entered[top] === true) {
      settle(s, now, wave)
      stack.pop()
    } else {
      entered[top] = true
      const { others } = s.rule
      for (const up of s.up === undefined ? others : [s.up, ...others]) {
        if (up.end !== undefined || quiet(up, now)) continue
        stack.push(up)
        entered[stack.length - 1] = false
      }
    }
  }
}

/** Whether a scope is known to be live at `now`: then there is nothing to settle there, nor above. */
function quiet(scope: Scope, now: number): boolean {
  const { due, live } = scope.bounds
  return scope.state === epoch && live === undefined && !(due !== undefined && due.at <= now)
}

/** Whether no ancestor has ended; remembers that, so that the next look is a compare. */
function allQuiet(scope: Scope): boolean {
  let s: Scope | undefined = scope
  for (; s !== undefined; s = s.up) {
    if (s.end !== undefined) return false
    if (s.state === epoch) break
    for (const other of s.rule.others) if (other.end !== undefined || other.state !== epoch) return false
  }
  for (let t: Scope | undefined = scope; t !== s; t = (t as Scope).up) isLive(t as Scope)
  return true
}

/** Ends a live scope whose parents are settled, if one of them has ended or it ends by itself; of several, by whichever was first. */
function settle(scope: Scope, now: number, wave: Watch[]): void {
  if (scope.end !== undefined) return
  const { rule } = scope
  const up = scope.up === undefined ? undefined : takenEnd(scope.up)
  let above = up
  for (const other of rule.others) {
    const end = takenEnd(other)
    if (end !== undefined && (above === undefined || end.before(above))) above = end
  }
  const end = rule.judge(scope, above, now)
  if (end === undefined) isLive(scope)
  // Whoever was asked may have ended it meanwhile.
  else if (scope.end === undefined) mark(scope, end, wave, end !== up)
}

// ---------------------------------------------------------------------------------------------------------------------
// How a scope is ended, and who is told
// ---------------------------------------------------------------------------------------------------------------------

/** Ends a scope now, unless it has ended already, or a deadline above it has passed though no timer fired yet. */
export function conclude(scope: Scope, kind: Kind, cause: unknown, error?: ContextError): void {
  if (endOf(scope) === undefined) finish(scope, kind, cause, error)
}

/** As `conclude`, without a cause. Small for the sake of a context that nobody observes, and that nothing was derived from: most end so. */
export function endPlainly(scope: Scope): void {
  const bounds = scope.bounds
  const alone = scope.watch === undefined && scope.below === 0 && bounds.live === undefined
  if (alone && scope.state === epoch && (bounds.due === undefined || !bounds.due.passed())) scope.state = unread
  else conclude(scope, 'canceled', undefined)
}

/** As `conclude`, for many scopes of one clock, by one end: all are marked before any listener runs. */
export function concludeAll(scopes: readonly Scope[], kind: Kind, error?: ContextError): void {
  // To ask one may end another.
  const live = scopes.filter((scope) => endOf(scope) === undefined)
  if (live.length === 0) return
  const { time } = (live[0] as Scope).bounds
  const now = time.clock.now()
  if (time.size > 0 && time.catchUp(now)) return concludeAll(live, kind, error)
  const wave: Watch[] = []
  const end = new End(kind, undefined, now, error)
  for (const scope of live) if (scope.end === undefined) mark(scope, end, wave)
  notify(wave)
}

/** Ends a scope that is live. Short for the sake of those that nobody observes. */
export function finish(scope: Scope, kind: Kind, cause: unknown, error?: ContextError): void {
  // No alarm is set below one that nobody observes: so nothing that is due could lose by its end.
  if (scope.watch === undefined) markAlone(scope, endAlone(scope, kind, cause, error))
  else finishObserved(scope, kind, cause, error)
}

function endAlone({ below, bounds }: Scope, kind: Kind, cause: unknown, error: ContextError | undefined): End {
  if (below === 2) return new End(kind, cause, bounds.time.clock.now(), error)
  const plain = kind === 'canceled' && cause === undefined && error === undefined
  return plain ? unread : new End(kind, cause, Number.NaN, error)
}

function finishObserved(scope: Scope, kind: Kind, cause: unknown, error: ContextError | undefined): void {
  const { time } = scope.bounds
  const now = scope.below === 2 || time.size > 0 ? time.clock.now() : Number.NaN
  // What was due before ends first, so that no late timer makes a deadline lose. It may have ended this one; and its listeners took their time, so that more may be due.
  if (time.size > 0 && time.catchUp(now)) return conclude(scope, kind, cause, error)
  // From here on nothing can come before this end.
  if (error === undefined) scope.watch?.announce(kind, cause)
  const wave: Watch[] = []
  mark(scope, new End(kind, cause, now, error), wave)
  notify(wave)
}

/** From now on the instants of the ends of a scope and of all above it are kept: somebody below needs to know which was first. */
export function keepTime(scope: Scope): void {
  if (scope.below < 2) keepTimes(scope)
}

function keepTimes(scope: Scope): void {
  let todo: Scope[] | undefined
  for (let from: Scope | undefined = scope; from !== undefined; from = todo?.pop()) {
    for (let s: Scope | undefined = from; s !== undefined && s.below < 2 && s.end === undefined; s = s.up) {
      s.below = 2
      s.rule.keepTime(s)
      if (s.rule.others.length > 0) (todo ??= []).push(...s.rule.others)
    }
  }
}

/** Registers a listener; one that comes after the end is told at once. Returns what takes it back: see `afterFunc`. */
export function register(scope: Scope, listener: Listener): () => boolean {
  if (endOf(scope) !== undefined) {
    if (listener instanceof Follower) follow([listener])
    else listener.run()
    return () => false
  }
  let pending = true
  if (!scope.endless) observe(scope, listener)
  return () => {
    if (!pending) return false
    pending = false
    return takeBack(scope, listener)
  }
}

/** As `register`, for one that is taken back by `takeBack`, if at all: nothing is made for that. */
export function tell(scope: Scope, listener: Listener): void {
  if (endOf(scope) !== undefined) listener.run()
  else if (!scope.endless) observe(scope, listener)
}

/** Takes a listener back that was not taken back before. Returns false where it was told, or is about to be. */
export function takeBack(scope: Scope, listener: Listener): boolean {
  if (endOf(scope) !== undefined) return false
  unobserve(listener)
  return true
}
