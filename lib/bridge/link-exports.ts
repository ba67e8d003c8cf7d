/**
 * The exporting side of a link: the contexts of this side that the peer knows by an id.
 *
 * One id stands for one context with an end of its own, however often it, or one that only adds values to it, is exported. Everything below is
 * covered: a call under it names that id, and needs no end of its own as long as it ends with it. Only this side closes the id, by one of two
 * frames: `cancel` when the context is done, `retract` when neither a handle nor a call needs it any more.
 */

import type { Context } from '../context.ts'
import { BridgeError, type Kind, kindOf } from '../errors.ts'
import { scopeOf } from '../foreign.ts'
import type { End } from '../end.ts'
import { Listener } from '../observers.ts'
import type { Binding, Scope } from '../scope.ts'
import { endOf, takeBack, takenEnd, tell } from '../tree.ts'
import { maxUnder, type ReleaseFrame, type WirePair } from '../wire/frame.ts'
import { describeContext, type Known } from './link-contexts.ts'
import type { LinkCore } from './link-core.ts'
import type { LinkHandle } from './link-handle.ts'

/** A context that the peer knows. It listens to the context's end before the calls under it do: theirs is told by its frame. */
export class Exported extends Listener implements Known {
  readonly id: number
  readonly scope: Scope
  readonly bindings: Binding | undefined
  readonly names: readonly string[]
  /** How many exports stand under each other, this one included. */
  readonly depth: number
  /** How many handles were made, and up to which of them the peer needs none any more. */
  granted = 0
  released = 0
  /** Calls that are under it and still open. */
  users = 0
  readonly #owner: ExportOwner

  constructor(id: number, scope: Scope, names: readonly string[], depth: number, owner: ExportOwner) {
    super()
    this.#owner = owner
    this.id = id
    this.scope = scope
    this.bindings = scope.bindings
    this.names = names
    this.depth = depth
  }

  override announce(kind: Kind, cause: unknown): boolean {
    this.#owner.announce(this.id, kind, cause)
    return true
  }

  override run(): void {
    this.#owner.ended(this)
  }

  get needed(): boolean {
    return this.granted > this.released || this.users > 0
  }
}

interface ExportOwner {
  announce(id: number, kind: Kind, cause: unknown): void
  ended(exported: Exported): void
}

/** Of so many calls the end does not wait for the end of this turn. */
const many = 32

export class Exports<M> {
  readonly #core: LinkCore<M>
  readonly #byScope = new Map<Scope, Exported>()
  readonly #byId = new Map<number, Exported>()

  constructor(core: LinkCore<M>) {
    this.#core = core
  }

  get size(): number {
    return this.#byId.size
  }

  /** The nearest exported context at or above a scope. */
  find(scope: Scope): Exported | undefined {
    if (this.#byScope.size === 0) return undefined
    for (let s: Scope | undefined = scope; s !== undefined; s = s.up) {
      const exported = this.#byScope.get(s)
      if (exported !== undefined) return exported
    }
    return undefined
  }

  /** Exports a live context of which no export is open, for calls under it; undefined where the peer takes no more. */
  open(ctx: Context, scope: Scope): Exported | undefined {
    const core = this.#core
    if (this.#byId.size >= core.peer.limits.maxContexts) return undefined
    const nearest = this.find(scope)
    // Deeper ones stand for themselves: each is told its end by a frame of its own.
    const above = nearest !== undefined && nearest.depth < maxUnder ? nearest : undefined
    if (above !== undefined) above.users++
    // Codecs of values run here, which are users' code: they may export, too.
    const { context, elements, bytes } = describeContext(core, scope, above)
    const same = this.#byScope.get(scope)
    if (above !== undefined) above.users--
    if (same !== undefined) return same
    if (bytes > core.peer.limits.maxMessage || core.lost !== undefined || ctx.err() !== undefined) return undefined
    const exported = new Exported(core.nextId(), scope, namesOf(context.values, above), 1 + (above?.depth ?? 0), this)
    core.push({ type: 'export', id: exported.id, context }, elements, bytes)
    this.#byScope.set(scope, exported)
    this.#byId.set(exported.id, exported)
    tell(scope, exported)
    if (above !== undefined) this.settle(above)
    return exported
  }

  /** A handle for a context, which is held until the peer gives it back, it ends, or the link is over. */
  grant(ctx: Context): LinkHandle {
    const core = this.#core
    const scope = scopeOf(ctx, 'export')
    const base = { ctxbridge: 1, link: core.options.id } as const
    if (core.lost !== undefined) throw core.lost
    const { context } = describeContext(core, ctx, undefined)
    const values = context.values.length === 0 ? {} : { values: context.values }
    const error = ctx.err()
    if (error !== undefined) {
      return {
        ...base,
        end: [kindOf(error) === 'deadline' ? 1 : 0, core.describeEnd(endOf(scope) as End).cause ?? null],
        ...values,
      }
    }
    const exported = this.#byScope.get(scope) ?? this.open(scope, scope)
    // It may have ended meanwhile, by the code of a codec; or the link.
    if (exported === undefined) {
      if (scope.err() !== undefined) return this.grant(ctx)
      throw this.#refusal()
    }
    const { left, why } = context
    return {
      ...base,
      export: [exported.id, ++exported.granted],
      ...(left === undefined ? {} : { left }),
      ...(why === undefined ? {} : { why }),
      ...values,
    }
  }

  #refusal(): BridgeError {
    const { lost, peer } = this.#core
    return (
      lost ??
      new BridgeError(
        'ERR_LIMIT',
        this.#byId.size >= peer.limits.maxContexts
          ? `The peer takes no more than ${peer.limits.maxContexts} contexts at once.`
          : `The context's values are more than the peer takes in a message: ${peer.limits.maxMessage} bytes.`,
      )
    )
  }

  /** The context of an export is about to end. */
  announce(id: number, kind: Kind, cause: unknown): void {
    this.#core.announce(id, kind, cause)
  }

  /** The context has ended: the peer is told once, whatever is under it. */
  ended(exported: Exported): void {
    this.#forget(exported)
    this.#core.pushCancel(exported.id, takenEnd(exported.scope) as End)
    // To reject thousands of promises here takes long enough: meanwhile the other side can stop.
    if (exported.users >= many) this.#core.flush()
  }

  /** A call under it is over, or the peer has given handles back. */
  settle(exported: Exported): void {
    if (exported.needed || !this.#byId.has(exported.id)) return
    // Its end may have been found right here: then it was told.
    if (!takeBack(exported.scope, exported)) return
    this.#forget(exported)
    this.#core.push({ type: 'retract', id: exported.id }, 4, 16)
  }

  /** Returns why the frame is not allowed, if so. */
  takeRelease(frame: ReleaseFrame): string | undefined {
    const exported = this.#byId.get(frame.id)
    if (exported === undefined) return this.#core.takeLate(frame, 'ours')
    if (frame.grant > exported.granted) return 'release: of a handle that was never made'
    exported.released = Math.max(exported.released, frame.grant)
    this.settle(exported)
    return undefined
  }

  #forget(exported: Exported): void {
    this.#byScope.delete(exported.scope)
    this.#byId.delete(exported.id)
  }

  /** The link is over: nothing is observed any more. Calls are not this table's to end. */
  close(): void {
    for (const exported of this.#byId.values()) takeBack(exported.scope, exported)
    this.#byScope.clear()
    this.#byId.clear()
  }
}

function namesOf(values: readonly WirePair[], above: Exported | undefined): readonly string[] {
  if (values.length === 0) return above?.names ?? []
  return values.filter((pair) => pair.length === 2).map(([name]) => name)
}
