/** Ends that come from outside of the tree: from a signal, from a context of somebody else's, from another thread. */
import { Alarm } from './clock.ts'
import type { Context } from './context.ts'
import {
  type Binding,
  CancelScope,
  type Deadline,
  type End,
  endOf,
  finish,
  keepTime,
  none,
  type Scope,
  type Time,
  type Watch,
} from './tree.ts'

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

/** A context that ends when its source says so, too. */
export class SourceScope extends CancelScope {
  readonly #label: string
  readonly source: Source
  /** A wrapper that adds nothing is linked where it points to. */
  #inner: readonly Scope[] = none
  /** One that is its own, beside its source's verdict. */
  readonly #deadline: Deadline | undefined

  constructor(
    label: string,
    parent: Context,
    base: { up: Scope | undefined; bindings: Binding | undefined; time: Time; due: Deadline | undefined },
    source: Source,
    deadline?: Deadline,
  ) {
    super(parent, base.up, base.bindings, base.time, deadline ?? base.due, true)
    this.#deadline = deadline
    this.#label = label
    this.source = source
  }

  override get others(): readonly Scope[] {
    return this.#inner
  }

  /** Whoever is outside judges better than our clock, which may only be looked at long after: so the deadline comes last. */
  override judge(above: End | undefined, now: number): End | undefined {
    const end = above ?? this.#poll()
    if (end !== undefined || this.#deadline === undefined || !(this.#deadline.at <= now)) return end
    return this.#deadline.end()
  }

  #poll(): End | undefined {
    const end = this.source.poll()
    if (end === undefined || !this.timed || !Number.isNaN(end.at)) return end
    // Who keeps the time is told at once. So what is found here, before that, has happened just now, or when it was due.
    const now = this.time.clock.now()
    return end.dated(end.kind === 'deadline' && this.due !== undefined ? Math.min(now, this.due.at) : now)
  }

  override stirred(): boolean {
    return this.source.poll() !== undefined
  }

  override attach(watch: Watch): void {
    const inner = this.source.inner?.()
    if (inner === undefined) this.source.watch(() => this.#wake())
    else this.#inner = inner.endless ? none : [inner]
    if (this.#deadline !== undefined && this.end === undefined) {
      this.time.set((watch.alarm = new Alarm<Scope>(this.#deadline.at, this)))
    }
  }

  override detach(watch: Watch): void {
    this.source.unwatch()
    if (watch.alarm !== undefined) this.time.unset(watch.alarm)
    watch.alarm = undefined
  }

  override ended(): void {
    this.source.close?.()
  }

  override keepTime(): void {
    const inner = this.source.inner?.()
    // What is only wrapped keeps the time itself.
    if (inner !== undefined) keepTime(inner)
    else this.source.watchWeakly?.(new WeakRef(this), (scope) => (scope as SourceScope).#wake())
  }

  /** It has ended just now, unless something above it was first. */
  #wake(): void {
    if (this.end !== undefined || (this.up !== undefined && endOf(this.up) !== undefined && endOf(this) !== undefined)) return
    const end = this.source.poll()
    if (end !== undefined) finish(this, end.kind, end.cause, end.error)
  }

  protected override label(): string {
    return this.#label
  }
}
