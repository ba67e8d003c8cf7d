/** Handles: what stands for a context in a message. */

import { named } from '../../lib/key.ts'
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
  /** Slot, generation, grant: of a context that ends in shared memory. */
  readonly slot?: readonly [slot: number, generation: number, grant: number]
  /** Id, grant: of a context that ends by messages alone. A handle has neither when its context has ended, or never will. */
  readonly told?: readonly [id: number, grant: number]
  /** The deadline, in ms on the clock that all threads share. */
  readonly at?: number
  /** The end of a context that had ended when it was exported. */
  readonly end?: unknown
  /** The cause that was given with its deadline. */
  readonly why?: unknown
  /** Portable values, as names and data. */
  readonly values?: readonly (readonly [name: string, data: unknown])[]
}

/** A handle as it came, each field of the right form. */
export interface ParsedHandle {
  readonly table: number
  readonly link: number
  readonly slot: { readonly slot: number; readonly generation: number; readonly grant: number } | undefined
  readonly told: { readonly id: number; readonly grant: number } | undefined
  /** `Infinity` for none. */
  readonly at: number
  readonly end: WireCause | undefined
  readonly why: WireCause | undefined
  readonly values: readonly WirePair[]
}

/** Whether it is, or says it is, a handle. What is wrong with it beyond that, `parseHandle` tells. */
export function isHandle(value: unknown): value is ContextHandle {
  const handle = value as Partial<ContextHandle> | null
  return typeof handle === 'object' && handle !== null && Number.isInteger(handle.ctxbridge)
}

const none: readonly WirePair[] = []

/** The fields of a handle, or undefined where one is not of its form. Never throws. */
export function parseHandle(handle: ContextHandle): ParsedHandle | undefined {
  try {
    const { ctxbridge, table, link, slot, told, at = Number.POSITIVE_INFINITY, end, why, values = none } = handle
    if (ctxbridge !== VERSION || !Number.isInteger(table) || !Number.isInteger(link)) return undefined
    if (typeof at !== 'number' || Number.isNaN(at)) return undefined
    if (!Array.isArray(values) || !values.every(isPair)) return undefined
    // Most are like this, so nothing is made for them but what is needed.
    if (end === undefined && Array.isArray(slot) && slot.length === 3) {
      const [number, generation, grant] = slot as [number, number, number]
      const place = { slot: number, generation, grant }
      return { table, link, at, why: causeOr(why), values, slot: place, told: undefined, end: undefined }
    }
    const parsed = { table, link, at, why: causeOr(why), values, slot: undefined, told: undefined, end: undefined }
    if (end !== undefined) {
      const cause = causeOr(end)
      return cause === undefined ? undefined : { ...parsed, end: cause }
    }
    if (slot !== undefined) return undefined
    if (told === undefined) return parsed
    if (!Array.isArray(told) || told.length !== 2) return undefined
    const [id, grant] = told as [number, number]
    if (!Number.isSafeInteger(id) || !Number.isSafeInteger(grant) || id < 1 || grant < 1) return undefined
    return { ...parsed, told: { id, grant } }
  } catch {
    return undefined
  }
}

/** What a call sends in place of a handle, where this says all of it: table, link, slot, generation, grant, and the deadline if it has one. */
type FlatHandle = readonly [table: number, link: number, slot: number, generation: number, grant: number, at?: number]

/** A handle for a call, as short as can be. */
export function flatten(handle: ContextHandle): ContextHandle | FlatHandle {
  const { table, link, slot, at, why, values } = handle
  if (slot === undefined || why !== undefined || values !== undefined) return handle
  return at === undefined ? [table, link, ...slot] : [table, link, ...slot, at]
}

/** As `parseHandle`, for what came in a call; throws a `TypeError` where it is no handle at all. */
export function parseSent(sent: unknown, caller: string): ParsedHandle | undefined {
  if (isHandle(sent)) return parseHandle(sent)
  if (!Array.isArray(sent)) throw new TypeError(`${caller}() needs a handle that export() made, but got ${named(sent)}.`)
  const [table, link, slot, generation, grant, at = Number.POSITIVE_INFINITY] = sent as unknown as FlatHandle
  if (!Number.isInteger(table) || !Number.isInteger(link) || typeof at !== 'number' || Number.isNaN(at)) return undefined
  return {
    table,
    link,
    slot: { slot, generation, grant },
    told: undefined,
    at,
    end: undefined,
    why: undefined,
    values: [],
  }
}

function isPair(pair: unknown): pair is WirePair {
  return Array.isArray(pair) && pair.length === 2 && typeof pair[0] === 'string'
}

/** A cause that is not of its form is no reason to refuse a context: then there is none. */
function causeOr(data: unknown): WireCause | undefined {
  if (data === undefined) return undefined
  const cause = parseCause(data)
  return cause.ok ? cause.value : undefined
}
