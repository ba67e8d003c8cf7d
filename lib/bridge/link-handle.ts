/** Handles: what stands for a context in a message of a user's own. */

import type { Kind } from '../errors.ts'
import type { WireCause } from '../wire/cause.ts'
import { parseCause } from '../wire/cause-parse.ts'
import { maxToken, type WirePair } from '../wire/frame.ts'
import { pairsFromWire } from '../wire/frame-codec.ts'
import { isText } from '../wire/text.ts'

/**
 * Stands for a context in a message of one's own: plain data, which survives JSON and `structuredClone` (a portable value whose codec gives bytes
 * survives only the latter). It is for one `import` on the other side of the link that made it, and means nothing elsewhere. It may arrive
 * before or after what the link itself sends.
 */
export interface LinkHandle {
  /** Marks a handle, with the version of its form. */
  readonly ctxbridge: 1
  /** The id of the end of the link that made it. */
  readonly link: string
  /** Id of the export, and the number of this handle of it. Missing in the handle of a context that had ended. */
  readonly export?: readonly [id: number, grant: number]
  /** Kind and cause of a context that had ended when it was exported: 0 for a cancel, 1 for a deadline; null without a cause. */
  readonly end?: readonly [kind: 0 | 1, cause: unknown]
  /** Milliseconds that were left until its deadline when the handle was made. */
  readonly left?: number
  /** The cause that was given with the deadline. */
  readonly why?: unknown
  /** Portable values, as names and data. */
  readonly values?: readonly (readonly [name: string, data?: unknown])[]
}

/** A handle as it came, each field of the right form. */
export interface ParsedHandle {
  readonly link: string
  readonly id: number
  readonly grant: number
  readonly end: { readonly kind: Kind; readonly cause: WireCause | undefined } | undefined
  readonly left: number | undefined
  readonly why: WireCause | undefined
  readonly values: readonly WirePair[]
}

/** The fields of a handle, or why there is none. It is from outside. Never throws. */
export function parseHandle(handle: unknown): ParsedHandle | string {
  try {
    return parse(handle)
  } catch {
    return 'it cannot be read'
  }
}

function parse(handle: unknown): ParsedHandle | string {
  if (typeof handle !== 'object' || handle === null) return 'it is none'
  const { ctxbridge, link, export: granted, end, left, why, values = [] } = handle as Partial<Record<keyof LinkHandle, unknown>>
  if (ctxbridge !== 1) return 'it is none of this version'
  if (!isText(link, 1, maxToken)) return malformed
  const pairs = pairsFromWire(values, false)
  if (!pairs.ok) return malformed
  if (left !== undefined && !Number.isFinite(left)) return malformed
  const cause = why === undefined ? undefined : parseCause(why)
  if (cause?.ok === false) return malformed
  const fields = { link, left: left as number | undefined, why: cause?.value, values: pairs.value }
  if (end !== undefined) {
    if (!Array.isArray(end) || end.length !== 2 || (end[0] !== 0 && end[0] !== 1)) return malformed
    const reason = end[1] === null ? undefined : parseCause(end[1])
    if (reason?.ok === false) return malformed
    return { ...fields, id: 0, grant: 0, end: { kind: end[0] === 0 ? 'canceled' : 'deadline', cause: reason?.value } }
  }
  if (!Array.isArray(granted) || granted.length !== 2 || !granted.every((n) => Number.isSafeInteger(n) && n >= 1))
    return malformed
  const [id, grant] = granted as [number, number]
  return { ...fields, id, grant, end: undefined }
}

const malformed = 'it is forged or damaged'
