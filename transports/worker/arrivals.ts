/**
 * Contexts and signals that have come by themselves, each with a channel of its own. What is held here already, over a channel that came before, needs no second one: so a thread
 * has one channel, and its sender one slot, for each of them that is live, however often it is sent there.
 */

import { type CancelableContext, type Context, withCancel } from '../../lib/context.ts'
import type { SlotHandle } from '../../lib/bridge/slot.ts'
import type { Key } from '../../lib/key.ts'
import { reviveCause } from '../../lib/wire/cause.ts'
import type { Alone } from './exporter.ts'
import { hasSlot, isHandle, type ParsedHandle, parseHandle } from './handle.ts'
import { baseOf, importEnded, refused } from './import-ended.ts'
import { Importer } from './importer.ts'
import { isAttach, isPort } from './messages.ts'
import { closeUnsent } from './port.ts'
import { SentSignal } from './sent-signal.ts'
import { keepSpecimens } from './specimens.ts'
import { toldId } from './told.ts'

/** A context on its way, or a signal as one. */
export interface Sent extends Alone {
  /** Tells it from all others of its thread, whatever values it brings. */
  readonly number: number
}

/** What has come once and is live: from there on whatever comes with its number goes by the same channel, and slot. */
interface Arrived {
  readonly importer: Importer
  readonly slot: SlotHandle & { readonly link: number }
  /** What it arrives as, where it is a signal. */
  signal: SentSignal | undefined
}

/** By the table of their thread, their number there, and how their end comes. */
const live = new Map<string, Arrived>()

/** @param keys of values that are taken over */
export function receiveContext(sent: Partial<Sent> | null | undefined, keys: readonly Key<unknown>[]): CancelableContext {
  const came = arrive(sent, keys)
  return typeof came === 'string' ? refused(came) : importFrom(came)
}

/** The same one each time, until it has aborted; but where it came by messages alone, and then in memory. */
export function receiveSignal(sent: Partial<Sent> | null | undefined): AbortSignal {
  const came = arrive(sent, [])
  if (typeof came === 'string') return new SentSignal(refused(came)).signal
  const { arrived } = came
  if (arrived?.signal !== undefined) return arrived.signal.signal
  // It observes its context, which is never dropped.
  const ctx = importFrom(came, false)
  const signal = new SentSignal(ctx)
  if (arrived !== undefined && ctx.err() === undefined) arrived.signal = signal
  return signal.signal
}

/** What has come: where it neither has ended nor never will, with what there is of it here. */
interface Came {
  readonly parsed: ParsedHandle
  /** What the context gets its values from. */
  readonly base: Context
  readonly arrived: Arrived | undefined
}

/** Or why it is of no use. */
function arrive(sent: Partial<Sent> | null | undefined, keys: readonly Key<unknown>[]): Came | string {
  const { handle, attach, number }: { readonly [K in keyof Sent]?: unknown } = sent ?? {}
  const parsed = isHandle(handle) ? parseHandle(handle) : undefined
  if (parsed === undefined) {
    closePortOf(attach)
    return 'it is forged, damaged, or of another version'
  }
  // Before it is asked what there is of it here: the codecs of values may end that.
  const base = baseOf(parsed, keys)
  if (!hasSlot(parsed)) {
    // It may have ended on its way to being posted.
    closePortOf(attach)
    return { parsed, base, arrived: undefined }
  }
  if (!isAttach(attach)) {
    closePortOf(attach)
    return 'it came without its channel'
  }
  const names = Number.isInteger(number) ? [`${parsed.table} ${String(number)}`] : []
  // What came by messages alone is no help to a loop that never yields, where the next one is in shared memory; but that is a help to all.
  if (toldId(parsed.slot) !== undefined) names.push(...names.map((name) => `${name} by messages`))
  const name = names.at(-1)
  const known = names.map((name) => live.get(name)).find((arrived) => arrived !== undefined)
  if (known !== undefined) {
    closeUnsent(attach.port)
    return { parsed, base, arrived: known }
  }
  keepSpecimens(attach.chunks.length > 0)
  const { link, slot, generation, grant } = parsed
  const arrived: Arrived = {
    importer: new Importer(attach, nothing, () => {
      if (name !== undefined) live.delete(name)
      // It observes its context, which would keep both.
      queueMicrotask(() => arrived.signal?.letGo())
    }),
    slot: { link, slot, generation, grant },
    signal: undefined,
  }
  if (name !== undefined) live.set(name, arrived)
  return { parsed, base, arrived }
}

/** So its sender gives back what went with it, whatever this is taken for here. */
function closePortOf(attach: unknown): void {
  const { port } = (attach ?? {}) as { readonly port?: unknown }
  if (isPort(port)) closeUnsent(port)
}

/** @param mayBeDropped whether nobody observes the context, so that it can be collected */
function importFrom({ parsed, base, arrived }: Came, mayBeDropped = true): CancelableContext {
  if (arrived === undefined) return parsed.end === undefined ? withCancel(base) : importEnded(parsed.end, base)
  const why = parsed.why === undefined ? undefined : reviveCause(parsed.why)
  return arrived.importer.import({ ...parsed, ...arrived.slot }, base, why, mayBeDropped)
}

const nothing = (): void => undefined
