/** Ends that come from outside of the tree: from a signal, from a context of somebody else's, from another thread. */
import type { Context } from './context.ts'
import { Bounds, type Deadline } from './deadline.ts'
import type { End } from './end.ts'
import type { Watch } from './observers.ts'
import { type Binding, CancelScope, isAbove, Rule, type Scope } from './scope.ts'
import { endOf, finish, keepTime } from './tree.ts'

/** Something outside of the tree that ends a context. It can be asked at any time, and it can be told to wake. */
export interface Source {
  /** Whether it ends the context at its deadline, too: then a polling loop need not read the clock at each turn. */
  readonly guards?: boolean
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

/** A scope that a source may end, and so must be asked at every look. */
export function sourced(
  parent: Context,
  up: Scope | undefined,
  bindings: Binding | undefined,
  bounds: Bounds,
  due: Deadline | undefined,
  rule: BySource,
): CancelScope {
  const scope = new CancelScope(parent, up, bindings, bounds, rule)
  scope.bounds = new Bounds(bounds.time, due, scope)
  return scope
}

/** A source ends it, too. */
export class BySource extends Rule {
  readonly source: Source
  readonly #label: string
  /** A deadline of its own, beside its source's verdict. */
  readonly #deadline: Deadline | undefined
  override readonly original: Context | undefined

  constructor(label: string, source: Source, deadline?: Deadline, original?: Context) {
    super()
    this.source = source
    this.#label = label
    this.#deadline = deadline
    this.original = original
  }

  /** Whoever is outside judges better than our clock, which may only be looked at long after: so the deadline comes last. */
  override judge(scope: Scope, above: End | undefined, now: number): End | undefined {
    const end = above ?? this.#poll(scope)
    if (end !== undefined || this.#deadline === undefined || !(this.#deadline.at <= now)) return end
    return this.#deadline.end()
  }

  #poll({ below, time, due }: Scope): End | undefined {
    const end = this.source.poll()
    if (end === undefined || below < 2 || !Number.isNaN(end.at)) return end
    // Who keeps the time is told at once. So what is found here, before that, has happened just now, or when it was due.
    const now = time.clock.now()
    return end.dated(end.kind === 'deadline' && due !== undefined ? Math.min(now, due.at) : now)
  }

  override stirred(): boolean {
    return this.source.poll() !== undefined
  }

  override attach(scope: Scope, watch: Watch): void {
    const inner = this.source.inner?.()
    // A wrapper that adds nothing is linked where it points to.
    if (inner === undefined) this.source.watch(() => this.#wake(scope))
    else if (!inner.endless) {
      isAbove(inner)
      this.others = [inner]
    }
    if (this.#deadline !== undefined && scope.end === undefined) watch.arm(this.#deadline.at)
  }

  override detach(): void {
    this.source.unwatch()
  }

  override ended(): void {
    this.source.close?.()
  }

  override keepTime(scope: Scope): void {
    const inner = this.source.inner?.()
    // What is only wrapped keeps the time itself.
    if (inner !== undefined) keepTime(inner)
    else this.source.watchWeakly?.(new WeakRef(scope), (live) => this.#wake(live))
  }

  /** The scope has ended just now, unless something above it was first. */
  #wake(scope: Scope): void {
    if (scope.end !== undefined || (scope.up !== undefined && endOf(scope.up) !== undefined && endOf(scope) !== undefined)) return
    const end = this.source.poll()
    // Whoever was asked may have looked here meanwhile, and what was found then counts.
    if (end !== undefined && scope.end === undefined) finish(scope, end.kind, end.cause, end.told ? end.error : undefined)
  }

  override label(): string {
    return this.#label
  }
}
