/**
 * What goes between two threads.
 *
 * Over the endpoint's own port, where a program may send messages of its own and speak Comlink, goes what bears the brand: an attach
 * from each side that exports, calls, answers. It has no `type` and no `id`, so Comlink passes it over, as we pass over Comlink's.
 *
 * Over the channel of an attach go messages from the exporter to the importer alone, each an array that begins with its type.
 */

import { MessagePort } from 'node:worker_threads'
import type { WireCause } from '../../lib/wire/cause.ts'

export const VERSION = 1

/** The first message of an exporting side: its table so far, and the port on which the importer hears of all else. */
export interface Attach {
  readonly ctxbridge: 'attach'
  readonly version: typeof VERSION
  /** The id of the table, which no other table of the process has. */
  readonly table: number
  /** The exporter's number for this link. */
  readonly link: number
  readonly chunks: readonly SharedArrayBuffer[]
  readonly port: MessagePort
}

/** A message of Comlink's, in an envelope. */
export interface Envelope {
  readonly ctxbridge: 'call' | 'answer'
  readonly version: typeof VERSION
  readonly message: CallMessage
  /** Of an answer: the call failed, and the message's value is the failure as data. */
  readonly failed?: boolean
}

/** As much of Comlink's messages as is looked at here. */
export interface CallMessage {
  readonly id: string
  readonly type: string
  readonly path?: readonly string[]
  readonly value?: unknown
  readonly argumentList?: readonly unknown[]
}

/** Takes the place of a context in an argument list. */
export interface Marker {
  readonly ctxbridge: 'context'
  readonly version: typeof VERSION
  readonly handle: unknown
}

export const CHUNK = 0
export const CAUSE = 1
export const ENDED = 2

export type ChannelMessage =
  /** A new chunk. Sent before the first handle of a slot in it. */
  | readonly [type: typeof CHUNK, chunk: number, buffer: SharedArrayBuffer]
  /** The whole of a cause that is too long for its slot. Sent before the slot ends. */
  | readonly [type: typeof CAUSE, slot: number, generation: number, cause: WireCause]
  /** Slots that have ended: slot, generation, slot, generation, and so on. */
  | readonly [type: typeof ENDED, slots: readonly number[]]

export function isMarker(value: unknown): value is Marker {
  const marker = value as Partial<Marker> | null
  return typeof marker === 'object' && marker !== null && marker.ctxbridge === 'context' && marker.version === VERSION
}

export function isAttach(value: unknown): value is Attach {
  const attach = value as Partial<Attach> | null
  return (
    typeof attach === 'object' &&
    attach !== null &&
    attach.ctxbridge === 'attach' &&
    attach.version === VERSION &&
    Number.isInteger(attach.table) &&
    Number.isInteger(attach.link) &&
    Array.isArray(attach.chunks) &&
    attach.port instanceof MessagePort
  )
}

export function isEnvelope(value: unknown, kind: Envelope['ctxbridge']): value is Envelope {
  const envelope = value as Partial<Envelope> | null
  if (typeof envelope !== 'object' || envelope === null || envelope.ctxbridge !== kind || envelope.version !== VERSION)
    return false
  const message: unknown = envelope.message
  return typeof message === 'object' && message !== null && typeof (message as CallMessage).id === 'string'
}
