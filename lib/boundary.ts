/** What boundaries, signals and waiting need of the tree beyond what users see. Not public. */
import type { Clock } from './clock.ts'
import { type CancelableContext, type Context, deriveDeadline } from './context.ts'
import { type ContextError, type Kind, kindOf } from './errors.ts'
import { nodeOf, scopeOf } from './foreign.ts'
import { isKey, type Key } from './key.ts'
import { Deadline, GuardedDeadline } from './deadline.ts'
import { Hook } from './observers.ts'
import { type Binding, ContextNode, nodeKey, orNone, type Scope } from './scope.ts'
import { Source, sourced } from './source.ts'
import { conclude, concludeAll, endOf, keepTime, register, timeOf } from './tree.ts'

/**
 * Calls `f` once, synchronously, right after the context and all its descendants are marked; at once when it has ended already.
 * Not public: whoever listens this way must not throw. Returns `stop`, as `afterFunc` does.
 */
export function listen(ctx: Context, f: () => void): () => boolean {
  return register(scopeOf(ctx, 'listen'), new Hook(f))
}

/** Ends a context of this thread with an error that came from elsewhere; nothing happens where it has ended. Not public. */
export function endWith(ctx: CancelableContext, error: ContextError): void {
  conclude(scopeOf(ctx, 'endWith'), kindOf(error) ?? 'canceled', undefined, error)
}

/** As {@link endWith}, where the error says no more than a cause, or nothing: it is made when somebody first looks. */
export function endPlainly(ctx: CancelableContext, kind: Kind, cause?: unknown): void {
  conclude(scopeOf(ctx, 'endPlainly'), kind, cause)
}

/** As {@link endWith}, or {@link endPlainly} where there is no error, for many contexts of one root by one end: no listener sees some of them ended and others not. */
export function endAll(contexts: readonly CancelableContext[], kind: Kind, error: ContextError | undefined): void {
  concludeAll(
    contexts.map((ctx) => scopeOf(ctx, 'endAll')),
    kind,
    error,
  )
}

/** A context's deadline as an instant of its clock, with the cause given with it; undefined without one. Not public: it is what an export sends. */
export function deadlineOf(ctx: Context): { readonly at: number; readonly cause: unknown; readonly clock: Clock } | undefined {
  const { due, time } = scopeOf(ctx, 'deadlineOf')
  return due === undefined ? undefined : { at: due.at, cause: due.cause, clock: time.clock }
}

/** Ends all whose deadline has passed by a clock, and is still to be told by a timer: those of a page that was hidden, or frozen, are late. */
export function catchUp(clock: Clock): void {
  timeOf(clock).catchUp(clock.now())
}

/** Whether `bindingsOf` may give any. */
export function hasBindings(ctx: Context): boolean {
  return !(ctx instanceof ContextNode) || ctx.bindings !== undefined
}

/**
 * The bindings that can be seen from a context, nearest first, each key once. Of a foreign context those of portable keys, where it wraps one of ours, or is of another copy of the package; what else it
 * has cannot be listed. Never throws: a value whose look-up throws is left out.
 */
export function* bindingsOf(ctx: Context): Iterable<[Key<unknown>, unknown]> {
  const seen = new Set<unknown>()
  let foreign: Context | undefined = ctx
  if (ctx instanceof ContextNode) {
    foreign = undefined
    for (let b = ctx.bindings; b !== undefined; b = b.outer) {
      foreign = b.foreign
      if (b.key === undefined || seen.has(b.key)) continue
      seen.add(b.key)
      yield [b.key, b.value]
    }
  }
  // Mostly there is none.
  if (foreign === undefined) return
  for (const key of portableKeysOf(foreign)) {
    if (seen.has(key)) continue
    seen.add(key)
    let value: unknown
    try {
      value = ctx.value(key)
    } catch {
      // It is somebody else's look-up.
      continue
    }
    yield [key, value]
  }
}

/** So many of somebody else's bindings are looked at: what never comes to an end is not gone through. */
const MOST = 10_000

/** Portable keys that a foreign context may have values of, nearest first, as far as can be told. It is asked for each: so nothing is believed of what is found here. */
function* portableKeysOf(foreign: Context): Iterable<Key<unknown>> {
  try {
    let next = bindingsWithin(foreign)
    for (let i = 0; i < MOST && typeof next === 'object' && next !== null; i++) {
      const b = next as Partial<Binding>
      if (isKey(b.key) && b.key.portable !== undefined) yield b.key
      next = b.outer ?? (b.foreign === undefined ? undefined : bindingsWithin(b.foreign))
    }
  } catch {
    // It is somebody else's, and threw.
  }
}

/** Of one of ours that it is or wraps; otherwise it may be of another copy of the package, whose nodes have the fields of ours. */
function bindingsWithin(foreign: Context): unknown {
  return (foreign.value(nodeKey) ?? (foreign as Partial<ContextNode>)).bindings
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

/**
 * A context that ends with its parent, by its own cancel, or when `source` says so. Not public: `withSignal` and the boundaries build on it.
 * Without a parent it has the given values, and the host's clock.
 */
export function withSource(parent: Context, source: Source, caller: string): CancelableContext {
  return deriveSource(parent, nodeOf(parent, caller), source)
}

/**
 * The local end of a context that lives elsewhere: it ends when `source` says so, or, where that is silent, when its deadline passes by the clock of
 * `parent`. Not public: the boundaries build on it.
 *
 * @param at the deadline as an instant of the parent's clock; `Infinity` for none
 * @param why the cause that was given with the deadline, or undefined
 * @param guards whether the source ends it at its deadline, too: then a polling loop need not read the clock at each turn
 */
export function withRemote(parent: Context, source: Source, at: number, why: unknown, guards = false): CancelableContext {
  const node = nodeOf(parent, 'withRemote')
  const { time, due } = node.scope
  const own = at < (due?.at ?? Infinity) ? new (guards ? GuardedDeadline : Deadline)(at, why, time) : undefined
  return deriveSource(parent, node, source, own)
}

function deriveSource(parent: Context, { scope, bindings }: ContextNode, source: Source, deadline?: Deadline): CancelableContext {
  const child = sourced(parent, orNone(scope), bindings, scope.time, deadline ?? scope.due, source)
  if (deadline !== undefined) keepTime(scope)
  // What is above may end, too, while nobody looks: then it matters which was first.
  if (endOf(child) === undefined && child.up !== undefined) keepTime(child)
  return child
}

/** What a context was made with by `withSource` or `withRemote`. */
export function sourceOf(ctx: Context): Source | undefined {
  const { rule } = scopeOf(ctx, 'sourceOf')
  return rule instanceof Source ? rule : undefined
}

/** The sources that may end a context: its own and those of everything above it, each once. */
export function sourcesOf(ctx: Context): Source[] {
  const sources = new Set<Source>()
  const seen = new Set<Scope>()
  const todo = [scopeOf(ctx, 'sourcesOf')]
  for (let scope = todo.pop(); scope !== undefined; scope = todo.pop()) {
    if (seen.has(scope)) continue
    seen.add(scope)
    const { up, rule } = scope
    if (rule instanceof Source) sources.add(rule)
    if (up !== undefined) todo.push(up)
    todo.push(...rule.others)
  }
  return [...sources]
}
