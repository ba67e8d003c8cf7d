/** Ends that come from outside of the tree: from a signal, from a context of somebody else's, from another thread. */
import { hostClock } from './clock.ts'
import type { Context } from './context.ts'
import { Bounds, type Deadline, type Time } from './deadline.ts'
import type { End } from './end.ts'
import type { Watch } from './observers.ts'
import { type Binding, CancelScope, isAbove, Rule, type Scope } from './scope.ts'
import { endOf, finish, keepTime, timeOf } from './tree.ts'

/** A scope that a source may end, and so must be asked at every look. */
export function sourced(
  parent: Context,
  up: Scope | undefined,
  bindings: Binding | undefined,
  time: Time,
  due: Deadline | undefined,
  source: Source,
): CancelScope {
  if (up !== undefined) isAbove(up)
  return new CancelScope(
    parent,
    up,
    bindings,
    due === undefined && time === ofHost.time ? ofHost : new Bounds(time, due, true),
    source,
  )
}

/** What bounds all scopes of the host's clock that have a source and no deadline. */
const ofHost = new Bounds(timeOf(hostClock), undefined, true)

/**
 * Something outside of the tree that ends one scope, whose rule it is: it can be asked at any time, and it can be told to wake. It does not hold a scope that
 * nobody observes.
 */
export abstract class Source extends Rule {
  #observed: Scope | undefined = undefined

  /** Its end, or undefined. Cheap, and does not throw. Not asked again once it has answered. */
  abstract poll(): End | undefined
  /** From now on, `wake` is to be called when `poll` answers, at once or later. Called when the scope gets its first observer. */
  protected watch(): void {}
  /** Takes `watch` back. Called when the last observer has gone, and at the end. */
  protected unwatch(): void {}
  /** Called once, when the instant of the end matters to somebody below, who may not be observed: `found` is to be called, but the scope not held. `ended` takes it back. */
  protected watchWeakly(_scope: WeakRef<Scope>): void {}
  /** The scope of this tree that it is only a wrapper of, if that is so. Asked when the first observer comes. */
  protected inner(): Scope | undefined {
    return undefined
  }

  /** A deadline of the scope's own that ends it where the source is silent. Where its parent has the very same, that one does. */
  protected deadlineOf({ due, up }: Scope): Deadline | undefined {
    return due === up?.due ? undefined : due
  }

  get observed(): boolean {
    return this.#observed !== undefined
  }

  /** Whoever is outside judges better than our clock, which may only be looked at long after: so the deadline comes last. */
  override judge(scope: Scope, above: End | undefined, now: number): End | undefined {
    const end = above ?? this.news(scope)
    const due = end === undefined ? this.deadlineOf(scope) : undefined
    return due === undefined || !(due.at <= now) ? end : due.end()
  }

  override news({ below, time, due }: Scope): End | undefined {
    const end = this.poll()
    if (end === undefined || below < 2 || !Number.isNaN(end.at)) return end
    // Who keeps the time is told at once. So what is found here, before that, has happened just now, or when it was due.
    const now = time.clock.now()
    return end.dated(end.kind === 'deadline' && due !== undefined ? Math.min(now, due.at) : now)
  }

  override stirred(): boolean {
    return this.poll() !== undefined
  }

  override attach(scope: Scope, watch: Watch): void {
    const inner = this.inner()
    // A wrapper that adds nothing is linked where it points to.
    if (inner === undefined) {
      this.#observed = scope
      this.watch()
    } else if (!inner.endless) {
      isAbove(inner)
      this.others = [inner]
    }
    const due = this.deadlineOf(scope)
    if (due !== undefined && scope.end === undefined) watch.arm(due.at)
  }

  override detach(): void {
    this.#observed = undefined
    this.unwatch()
  }

  override keepTime(scope: Scope): void {
    const inner = this.inner()
    // What is only wrapped keeps the time itself.
    if (inner !== undefined) keepTime(inner)
    else this.watchWeakly(new WeakRef(scope))
  }

  /** `poll` answers: whoever observes the scope is told. */
  wake(): void {
    if (this.#observed !== undefined) this.found(this.#observed)
  }

  /** The scope has ended just now, unless something above it was first. */
  protected found(scope: Scope): void {
    if (scope.end !== undefined || (scope.up !== undefined && endOf(scope.up) !== undefined && endOf(scope) !== undefined)) return
    const end = this.poll()
    // Whoever was asked may have looked here meanwhile, and what was found then counts.
    if (end !== undefined && scope.end === undefined) finish(scope, end.kind, end.cause, end.told ? end.error : undefined)
  }
}
