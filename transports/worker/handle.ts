/** Handles: what stands for a context in a message. */

import type { SlotHandle } from '../../lib/bridge/slot.ts'
import { named } from '../../lib/given.ts'
import { type WireCause } from '../../lib/wire/cause.ts'
import { parseCause } from '../../lib/wire/cause-parse.ts'
import type { WirePair } from '../../lib/wire/frame.ts'
import { VERSION } from './messages.ts'

/**
 * Stands for a context in a message of one's own: plain data, which survives `structuredClone` and JSON (a portable value whose codec gives
 * bytes survives only the former). It is for one `import`, on the other side of the link that made it, and means nothing elsewhere.
 */
export interface ContextHandle {
  /** Marks a handle, with the version of its form. */
  readonly ctxbridge: number
  readonly table: number
  readonly link: number
  /** The slot of shared memory that it ends in, its generation, and the number of this handle. Where it ends by messages alone, the first is below 0. A handle has none of them when its context has ended, or never will. */
  readonly slot?: number
  readonly generation?: number
  readonly grant?: number
  /** The number and the grant of the same context by messages, where it is not known yet whether the other side can read a slot. */
  readonly told?: readonly [id: number, grant: number]
  /** The deadline, in ms: in Node on a clock that all threads share, in a browser on that of the thread that made the handle. */
  readonly at?: number
  /** When it was made, on the same clock: beside a deadline, in browsers. */
  readonly sent?: number
  /** The end of a context that had ended when it was exported. */
  readonly end?: unknown
  /** The cause that was given with its deadline. */
  readonly why?: unknown
  /** Portable values, as names and data. */
  readonly values?: readonly (readonly [name: string, data: unknown])[]
}

/** A handle as it came, each field of the right form. It has the numbers of a slot, all of them, or an end, or neither. */
export interface ParsedHandle {
  readonly table: number
  readonly link: number
  readonly slot?: number | undefined
  readonly generation?: number | undefined
  readonly grant?: number | undefined
  readonly told?: readonly [id: number, grant: number] | undefined
  readonly at?: number | undefined
  /** Whatever came. */
  readonly sent?: unknown
  readonly end?: WireCause | undefined
  readonly why?: WireCause | undefined
  readonly values?: readonly WirePair[] | undefined
}

/** Whether it names a slot. */
export function hasSlot(handle: ParsedHandle): handle is ParsedHandle & SlotHandle {
  return handle.slot !== undefined
}

/** Whether it is, or says it is, a handle. What is wrong with it beyond that, `parseHandle` tells. Never throws. */
export function isHandle(value: unknown): value is ContextHandle {
  const handle = value as Partial<ContextHandle> | null
  try {
    return typeof handle === 'object' && handle !== null && Number.isInteger(handle.ctxbridge)
  } catch {
    // A getter of somebody else's threw.
    return false
  }
}

/** A handle, or undefined where a field is not of its form. Never throws. It is a copy: what was checked is not read again, as a getter may give something else then. */
export function parseHandle(handle: ContextHandle): ParsedHandle | undefined {
  try {
    const { ctxbridge, table, link, slot, generation, grant, told, at, sent, end, why, values } = handle
    if (ctxbridge !== VERSION || !Number.isInteger(table) || !Number.isInteger(link)) return undefined
    if (!isInstant(at)) return undefined
    const inSlot = end === undefined && slot !== undefined
    if (inSlot && !areNumbers(slot, generation, grant)) return undefined
    // Most say no more.
    if (inSlot && why === undefined && values === undefined && told === undefined)
      return { table, link, slot, generation, grant, at, sent }
    const cause = causeOr(end)
    const pairs = pairsOf(values)
    if ((end !== undefined && cause === undefined) || (values !== undefined && pairs === undefined)) return undefined
    return {
      table,
      link,
      slot: inSlot ? slot : undefined,
      generation: inSlot ? generation : undefined,
      grant: inSlot ? grant : undefined,
      told: inSlot ? toldOf(told) : undefined,
      at,
      sent,
      end: cause,
      why: causeOr(why),
      values: pairs,
    }
  } catch {
    return undefined
  }
}

/** What is of no form is none: then there is the slot alone. */
function toldOf(told: unknown): readonly [id: number, grant: number] | undefined {
  if (!Array.isArray(told)) return undefined
  const [id, grant] = told as unknown[]
  return areNumbers(id, 0, grant) && (id as number) > 0 ? [id as number, grant as number] : undefined
}

function isInstant(at: unknown): at is number | undefined {
  return at === undefined || (typeof at === 'number' && !Number.isNaN(at))
}

/** Whether these may be a slot, its generation, and the number of a handle. */
function areNumbers(slot: unknown, generation: unknown, grant: unknown): boolean {
  return Number.isSafeInteger(slot) && Number.isSafeInteger(generation) && Number.isSafeInteger(grant) && (grant as number) > 0
}

/** What a call sends in place of a handle, where this says all of it: table, link, slot, generation, grant, the deadline if it has one, and then when it was sent if that must be said. */
type FlatHandle = readonly [
  table: number,
  link: number,
  slot: number,
  generation: number,
  grant: number,
  at?: number,
  sent?: number,
]

/** A handle for a call, as short as can be. */
export function flatten(handle: ContextHandle): ContextHandle | FlatHandle {
  const { table, link, slot, generation = 0, grant = 0, told, at, sent, why, values } = handle
  if (slot === undefined || told !== undefined || why !== undefined || values !== undefined) return handle
  if (at === undefined) return [table, link, slot, generation, grant]
  return sent === undefined ? [table, link, slot, generation, grant, at] : [table, link, slot, generation, grant, at, sent]
}

/** As `parseHandle`, for what came in a call; throws a `TypeError` where it is no handle at all. */
export function parseSent(sent: unknown, caller: string): ParsedHandle | undefined {
  if (isHandle(sent)) return parseHandle(sent)
  if (!Array.isArray(sent)) throw new TypeError(`${caller}() needs a handle that export() made, but got ${named(sent)}.`)
  const [table, link, slot, generation, grant, at, then] = sent as unknown as FlatHandle
  if (!Number.isInteger(table) || !Number.isInteger(link) || !isInstant(at)) return undefined
  if (!areNumbers(slot, generation, grant)) return undefined
  return { table, link, slot, generation, grant, at, sent: then }
}

/** Throws what a getter throws. */
function pairsOf(values: unknown): readonly WirePair[] | undefined {
  if (!Array.isArray(values)) return undefined
  const pairs: WirePair[] = []
  // Not by `map`, which goes on where there is nothing.
  for (const pair of values as readonly unknown[]) {
    if (!Array.isArray(pair) || pair.length !== 2) return undefined
    const [name, data] = pair as readonly unknown[]
    if (typeof name !== 'string') return undefined
    pairs.push([name, data])
  }
  return pairs
}

/** A cause that is not of its form is no reason to refuse a context: then there is none. */
function causeOr(data: unknown): WireCause | undefined {
  if (data === undefined) return undefined
  const cause = parseCause(data)
  return cause.ok ? cause.value : undefined
}
