/** Contexts as the simulation knows them: who made each from what, and all that may end it. */
import { deadlineOf } from '../../lib/boundary.ts'
import type { CancelFunc, Context } from '../../lib/context.ts'
import { BridgeError, type ContextError, DeadlineExceededError } from '../../lib/errors.ts'
import type { Use } from './links.ts'
import { type Log, must } from './log.ts'
import type { Process } from './node.ts'

// oxlint-disable-next-line typescript/no-explicit-any -- a process of whatever messages: only its clock matters here
type AnyProcess = Process<any>

export type Kind = 'root' | 'cancel' | 'deadline' | 'value' | 'without' | 'merge' | 'handler' | 'import'

/** How the simulation learns of the end: it asks after each event, it is told, or it asks seldom. */
export type Watching = 'asks' | 'told' | 'seldom'

export interface RecOptions {
  readonly cancel?: CancelFunc | undefined
  readonly parents?: readonly Rec[]
  readonly source?: Rec | undefined
  readonly over?: Use | undefined
  readonly watching?: Watching
  readonly why?: string
  readonly again?: boolean
  readonly call?: { readonly left?: boolean } | undefined
}

/** A difference of floats that means nothing. */
const tiny = 1e-6

export class Rec {
  readonly id: number
  readonly process: AnyProcess
  readonly ctx: Context
  readonly cancel: CancelFunc | undefined
  readonly kind: Kind
  readonly parents: readonly Rec[]
  /** The exporter's, and what it came over. */
  readonly source: Rec | undefined
  readonly over: Use | undefined
  readonly watching: Watching
  /** By the clock of its process; effective: of the nearest deadline. */
  readonly due: number
  /** What the cause of that deadline is. */
  readonly why: string
  /** When that deadline was first set, in its process. */
  readonly dueSince: number
  /** When it was made, by the true time and by its process. */
  readonly at: number
  readonly local: number
  readonly stood: number
  /** The first cancel of its own. */
  canceled: { readonly cause: unknown } | undefined
  /** Of a handler: the call, and whether its method is over. */
  readonly call: { readonly left?: boolean } | undefined
  finished = false
  /** Of an import: the handle was used before. */
  readonly again: boolean
  end: { readonly at: number; readonly local: number; readonly error: ContextError } | undefined
  /** Whether a listener of ours was told. */
  wasTold = false
  /** Those elsewhere that end with it. */
  readonly remotes: Rec[] = []
  /** Calls that wait, and children: so that nothing is dropped that is in use. */
  uses = 0

  constructor(id: number, now: number, process: AnyProcess, ctx: Context, kind: Kind, options: RecOptions) {
    const { cancel, parents = [], source, over, watching = 'asks', why, call, again = false } = options
    this.call = call
    this.again = again
    this.id = id
    this.at = now
    this.process = process
    this.ctx = ctx
    this.kind = kind
    this.cancel = cancel
    this.parents = parents
    this.source = source
    this.over = over
    this.watching = watching
    this.local = process.clock.now()
    this.stood = process.stood
    this.due = deadlineOf(ctx)?.at ?? Infinity
    const nearest = [source, ...parents].find((one) => one !== undefined && Math.abs(one.due - this.due) < tiny)
    this.dueSince = Math.min(this.local, ...parents.filter(({ due }) => due === this.due).map(({ dueSince }) => dueSince))
    this.why = why ?? (source ?? nearest)?.why ?? ''
    for (const parent of parents) parent.uses++
  }

  /** The clock of its process, as if it had never stood still since this was made: what stands still must not make others late. */
  get now(): number {
    return this.process.clock.now() + this.process.stood - this.stood
  }
}

/** A cause, as it looks on either side of a boundary. */
export function shown(cause: unknown): string {
  if (cause instanceof Error) return `${cause.name}: ${cause.message}`
  return cause === undefined ? '-' : String(cause)
}

const causeOf = (error: ContextError): unknown => (Object.hasOwn(error, 'cause') ? error.cause : undefined)

/** S2 and V4, when a context arrives: its deadline is not before that of the exporter's, and later by no more than the way took. */
export function checkArrival(rec: Rec, maxTimeout = Infinity): void {
  const { source, due, local } = rec
  if (source === undefined || source.process === rec.process) return
  const left = due - local
  const there = source.due - source.now
  const atFirst = Math.min(maxTimeout, source.due - source.dueSince)
  if (due === Infinity && source.due === Infinity) return
  const drift = Math.min(1e12, Math.abs(atFirst)) * 3e-4 + 0.01
  must(
    left >= Math.min(there, maxTimeout) - drift,
    'S2',
    () => `c${rec.id} has ${left} ms left, its exporter's c${source.id} has ${there}`,
  )
  must(
    left <= atFirst + drift,
    'V4',
    () => `c${rec.id} has ${left} ms left, and its exporter's c${source.id} had ${atFirst} at first`,
  )
}

/** What ended a context is what may have ended it (S1, S2, S4, S6). Returns the name of the reason. */
export function justify(rec: Rec, error: ContextError, log: Log): string {
  const { ctx, process, source, over } = rec
  const cause = causeOf(error)
  const isDeadline = error instanceof DeadlineExceededError
  const local = process.clock.now()
  must(isDeadline || error.name === 'AbortError', 'S6', () => `c${rec.id} ended with ${error.name}`)
  for (const parent of rec.parents) {
    if (parent.kind !== 'without' && parent.ctx.err() === error) return 'its parent ended'
  }
  if (rec.canceled !== undefined && !isDeadline && cause === rec.canceled.cause) return 'it was cancelled'
  if (isDeadline && local >= rec.due - tiny && (shown(cause) === rec.why || rec.why === '?')) return 'its deadline passed'
  if (source !== undefined) {
    const theirs = source.ctx.err()
    if (theirs !== undefined && theirs.name === error.name && shown(causeOf(theirs)) === shown(cause)) return 'its exporter ended'
    // The caller's process is gone, but its cancel was on its way.
    if (rec.finished && !isDeadline && cause === undefined) return 'its method is over'
    if (rec.call?.left === true && !isDeadline && cause === undefined) return 'its reader has gone'
  }
  if (!isDeadline && cause instanceof BridgeError && over !== undefined) {
    const reason = over.excuse(process, cause, rec)
    if (reason !== undefined) {
      log.sometimes(`ended because ${reason}`)
      return reason
    }
  }
  const canceled = rec.canceled === undefined ? '' : ` it was cancelled with ${shown(rec.canceled.cause)};`
  const theirs = source?.ctx.err()
  const exporter =
    source === undefined
      ? ''
      : ` its exporter c${source.id} is ${theirs === undefined ? 'live' : `${theirs.name} (${shown(causeOf(theirs))})`};`
  must(
    false,
    isDeadline && local < rec.due ? 'S2' : 'S1',
    () =>
      `c${rec.id} of bond ${over?.bond.id} (${rec.kind} of n${process.index}, ${String(ctx)}) ended with ${error.name} (${shown(cause)}):${canceled}${exporter} ` +
      `its deadline is in ${rec.due - local} ms (${rec.why})`,
  )
}
