/** Contexts as the wire has them: from one of this side, and to one. */

import type { Clock } from '../clock.ts'
import { bindingsOf, deadlineOf, endAll, endPlainly, endWith, withInstant } from '../boundary.ts'
import { type CancelableContext, type Context, withCancel, withValue } from '../context.ts'
import { type ContextError, CanceledError, DeadlineExceededError, type Kind, withoutStack } from '../errors.ts'
import { scopeOf } from '../foreign.ts'
import { type Binding, ContextNode, type Scope } from '../scope.ts'
import { reviveCause, type WireCause } from '../wire/cause.ts'
import type { WireContext, WirePair } from '../wire/frame.ts'
import { countElements } from '../wire/sendable.ts'
import { decodeValues, encodeValues } from '../wire/values.ts'
import { bytesOf, type LinkCore } from './link-core.ts'

/** What the peer knows already of a context above: then only what is different is sent. */
export interface Known {
  readonly id: number
  readonly scope: Scope
  readonly bindings: Binding | undefined
  readonly names: readonly string[]
}

/** A context to send, and what it costs in a message at most. */
export interface DescribedContext {
  readonly context: WireContext
  readonly elements: number
  readonly bytes: number
}

/** The bindings that a context has; undefined where they cannot be told apart from those of others. */
function bindingsNodeOf(ctx: Context): Binding | undefined {
  return ctx instanceof ContextNode ? ctx.bindings : undefined
}

/** Runs the codecs of the values, which are users' code. */
export function describeContext<M>(core: LinkCore<M>, ctx: Context, known: Known | undefined): DescribedContext {
  const due = scopeOf(ctx, 'call').due
  const deadline = due === undefined || due === known?.scope.due ? undefined : deadlineOf(ctx)
  const why = deadline?.cause === undefined ? undefined : core.describe(deadline.cause)
  const values = valuesOf(core, ctx, known)
  if (deadline === undefined && values.length === 0) {
    // Most contexts: without an object of its own with a getter.
    return known === undefined
      ? plainest
      : { context: { left: undefined, why: undefined, values, under: known.id }, elements: 8, bytes: 32 }
  }
  const context: WireContext = {
    // Asked when the message is made: what runs before that counts.
    get left() {
      const left = deadline === undefined ? Number.NaN : deadline.at - deadline.clock.now()
      return Number.isFinite(left) ? left : undefined
    },
    why,
    values,
    under: known?.id,
  }
  if (values.length === 0 && why === undefined) return { context, elements: 8, bytes: 32 }
  return {
    context,
    elements: 8 + countElements(values) + countElements(why ?? null),
    bytes: 32 + bytesOf(values) + bytesOf(why ?? null),
  }
}

function valuesOf<M>(core: LinkCore<M>, ctx: Context, known: Known | undefined): readonly WirePair[] {
  const own = bindingsNodeOf(ctx)
  if (ctx instanceof ContextNode && own === known?.bindings) return none
  const values = encodeValues(bindingsOf(ctx), core.options.report)
  if (known === undefined || known.names.length === 0) return values
  const names = new Set(values.map(([name]) => name))
  const hidden = known.names.filter((name) => !names.has(name)).map((name): WirePair => [name])
  return hidden.length === 0 ? values : [...values, ...hidden]
}

const none: readonly WirePair[] = []

const plainest: DescribedContext = {
  context: { left: undefined, why: undefined, values: none, under: undefined },
  elements: 8,
  bytes: 32,
}

/** The base of a context that came in, with its values, and its deadline as an instant of the link's clock. */
export interface ReceivedContext {
  readonly base: Context
  /** `Infinity` where it has none of its own. */
  readonly at: number
  /** The cause that was given with the deadline. */
  readonly why: unknown
}

/** Runs the codecs of the values, which are users' code. */
export function receiveContext<M>(
  core: LinkCore<M>,
  base: Context,
  { left, why, values }: Pick<WireContext, 'left' | 'why' | 'values'>,
): ReceivedContext {
  const { keys = [], report, maxTimeout = Infinity } = core.options
  let ctx = base
  if (values.length > 0) {
    for (const [key, value] of decodeValues(values, keys, report).bindings) ctx = withValue(ctx, key, value)
  }
  if ((left ?? Infinity) > maxTimeout) {
    return { base: ctx, at: clockOf(core).now() + maxTimeout, why: `the server's maxTimeout of ${maxTimeout} ms` }
  }
  if (left === undefined) return { base: ctx, at: Infinity, why: undefined }
  return { base: ctx, at: clockOf(core).now() + left, why: why === undefined ? undefined : reviveCause(why) }
}

/** The clock of the link. */
export function clockOf<M>(core: LinkCore<M>): Clock {
  return scopeOf(core.root, 'link').time.clock
}

/** A context that came in, with the right to end it. */
export function importContext<M>(core: LinkCore<M>, base: Context, context: WireContext): CancelableContext {
  const received = receiveContext(core, base, context)
  return received.at === Infinity ? withCancel(received.base) : withInstant(received.base, received.at, received.why)
}

/** Ends a context with what a peer says. Without a cause no error is made before somebody looks. */
export function endBy(ctx: CancelableContext, kind: Kind, wire: WireCause | undefined): void {
  const cause = wire === undefined ? undefined : reviveCause(wire)
  // An error can have a cause that is undefined, which is not to have none.
  if (wire === undefined || cause !== undefined) endPlainly(ctx, kind, cause)
  else endWith(ctx, errorOf(kind, wire))
}

/** As `endBy`, for several contexts by one end. */
export function endAllBy(contexts: readonly CancelableContext[], kind: Kind, wire: WireCause | undefined): void {
  endAll(contexts, kind, wire === undefined ? undefined : errorOf(kind, wire))
}

/** The error with which a peer ends a context. */
export function errorOf(kind: Kind, wire: WireCause | undefined): ContextError {
  const options = wire === undefined ? undefined : { cause: reviveCause(wire) }
  return withoutStack(() => (kind === 'deadline' ? new DeadlineExceededError(options) : new CanceledError(options)))
}
