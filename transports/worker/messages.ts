/**
 * What goes between two threads.
 *
 * Over the endpoint's own port, where a program may send messages of its own and speak Comlink, goes what bears the brand: an attach
 * from each side that exports, in browsers its memory behind that, a detach of a side that closes its end, what two sides say of who began to listen when, and calls and answers, of which
 * `call-message.ts` tells.
 *
 * Over the channel of an attach go messages between the exporter and the importer, each an array that begins with its type.
 */

import type { SlotHandle } from '../../lib/bridge/slot.ts'
import { MAX_CHUNKS } from '../../lib/bridge/slot-memory.ts'
import type { Kind } from '../../lib/errors.ts'
import type { WireCause } from '../../lib/wire/cause.ts'
import { threads } from './host.ts'
import { isLinkNumber } from './link-numbers.ts'

export const VERSION = 1

/** The first message of an exporting side: its table so far, and the port on which the importer hears of all else. */
export interface Attach {
  readonly ctxbridge: 'attach'
  readonly version: typeof VERSION
  /** The id of the table, which no other table of the process has. It has no chunks where memory cannot be shared. */
  readonly table: number
  /** The exporter's number for this link. */
  readonly link: number
  readonly chunks: readonly SharedArrayBuffer[]
  readonly port: MessagePort
  /** The number of the exporter's thread, where threads have one: it is shown in the paths of contexts. */
  readonly thread?: number | undefined
  /** The exporter's clock when it was sent, in browsers. */
  readonly now?: number
  /** Whether its memory comes in the next message, which cannot be read where memory cannot be shared. The importer says which, by `MEMORY`. */
  readonly follows?: boolean
  /** The name of the exporter's lock, where there are locks. */
  readonly life?: string | undefined
}

/** The memory of a link, where it does not come with the attach. */
export interface Memory {
  readonly ctxbridge: 'memory'
  readonly version: typeof VERSION
  readonly table: number
  readonly link: number
  /** What is no memory says that there is none. */
  readonly chunks: readonly (SharedArrayBuffer | null)[]
}

/**
 * The last message of a side that closes its end of the link, whether or not it has heard of the other side. Who reads it has lost all that it sent: none of it is answered any
 * more. A new link on the same end begins with an attach, which ends that. Messages keep their order, so neither needs to say whose it is.
 */
export interface Detach {
  readonly ctxbridge: 'detach'
  readonly version: typeof VERSION
}

export const detach: Detach = { ctxbridge: 'detach', version: VERSION }

/** The first message of each side: from here on it listens. What came before may have been heard by nobody. */
export interface Here {
  readonly ctxbridge: 'here'
  readonly version: typeof VERSION
}

export const here: Here = { ctxbridge: 'here', version: VERSION }

/** The answer to that, which was heard: so will all be that came, or comes, behind it. */
export interface Sent {
  readonly ctxbridge: 'sent'
  readonly version: typeof VERSION
  /** How many messages of this side's may have been heard by nobody. */
  readonly count: number
}

/** The answer to that, where there are some. */
export interface Got {
  readonly ctxbridge: 'got'
  readonly version: typeof VERSION
  /** How many of them were heard: the last ones. */
  readonly count: number
}

/** The answer to that, behind a new attach where one was missing: those that were not, to be taken as if they had come before all that did. */
export interface Again {
  readonly ctxbridge: 'again'
  readonly version: typeof VERSION
  readonly messages: readonly unknown[]
}

/** Exporter to importer. A new chunk: chunk, buffer. */
export const CHUNK = 0
/** Exporter to importer. The whole of a cause that is too long for its slot, sent before the slot ends: slot, generation, cause. */
export const CAUSE = 1
/** Exporter to importer. Slots that have ended, which their words say already: slot, generation, slot, generation, and so on. */
export const ENDED = 2
/** Exporter to importer. How contexts have ended that go by messages alone: an array of `Told`. */
export const TOLD = 3
/**
 * Importer to exporter. Handles of such contexts, in the order in which it happened: id, grant, id, grant, and so on. One that was imported, as it is: where its context
 * is over, that is told now. One that is given back, with a minus sign.
 */
export const HELD = 4

/** Exporter to importer. A handle that was granted and could not be sent, after which another one was: it is taken as one that came and is given back. */
export const UNSENT = 5

/** Importer to exporter. Whether the memory that was to follow the attach has come. */
export const MEMORY = 6

/** In browsers, both ways, from who closes its end of the channel: Node tells of that itself. */
export const OVER = 7

/**
 * In browsers, both ways, from who holds its lock: the lock's name, and whether the sender sees that of the other end. Also the answer to `THERE`. Nobody is taken for dead before it has said this: a thread that is
 * busy may have asked for its lock, and not be in line for it, for as long as that takes.
 */
export const ALIVE = 8

/** In browsers, both ways. The lock of somebody who said `ALIVE` is not seen. */
export const THERE = 9

/** Exporter to importer, on a channel of one import. Its context never ends: it stood for a signal, and that was collected. */
export const NEVER = 10

/** Id, kind or `gone`, cause. */
export type Told = readonly [id: number, how: Kind | 'gone', cause: WireCause | undefined]

/** What a pool's channel is called, in the whole process. */
export function channelOf(table: number, link: number): string {
  return `ctxbridge.${table}.${link}`
}

export type ChannelMessage =
  | readonly [type: typeof CHUNK, chunk: number, buffer: SharedArrayBuffer]
  | readonly [type: typeof CAUSE, slot: number, generation: number, cause: WireCause]
  | readonly [type: typeof ENDED, slots: readonly number[]]
  | readonly [type: typeof TOLD, ends: readonly Told[]]
  | readonly [type: typeof HELD, grants: readonly number[]]
  | readonly [type: typeof UNSENT, handle: SlotHandle]
  | readonly [type: typeof MEMORY, hasCome: boolean]
  | readonly [type: typeof OVER]
  | readonly [type: typeof ALIVE, name: string, seesYou: boolean]
  | readonly [type: typeof THERE]
  | readonly [type: typeof NEVER]

/** A message of that type, as far as its first field tells. */
export function isMessage(message: unknown, type: number): message is [type: number, ...unknown[]] {
  return Array.isArray(message) && message[0] === type
}

/** Pairs of numbers out of a list that somebody else made, up to what is none. */
export function* pairs(list: unknown): Iterable<readonly [number, number]> {
  if (!Array.isArray(list)) return
  const numbers = list as unknown[]
  for (let i = 0; i + 1 < numbers.length; i += 2) {
    const [a, b] = [numbers[i], numbers[i + 1]]
    // A list may be long and empty: to go through it takes far more time than to send it.
    if (typeof a !== 'number' || typeof b !== 'number') return
    yield [a, b]
  }
}

/** Sends what comes up within one turn in two messages at most: the first at once, as somebody may wait for it, the rest when the turn is over. */
export class Batch<T> {
  readonly #send: (items: readonly T[]) => void
  #rest: T[] | undefined

  constructor(send: (items: readonly T[]) => void) {
    this.#send = send
  }

  add(...items: readonly T[]): void {
    if (this.#rest !== undefined) {
      this.#rest.push(...items)
      return
    }
    this.#rest = []
    queueMicrotask(() => {
      const rest = this.#rest ?? []
      this.#rest = undefined
      if (rest.length > 0) this.#send(rest)
    })
    this.#send(items)
  }
}

/** Whether it bears the brand, as a message of that kind and of this version. */
function isBranded<T extends { readonly ctxbridge: string; readonly version: typeof VERSION }>(
  value: unknown,
  kind: T['ctxbridge'],
): value is Pick<T, 'ctxbridge' | 'version'> & Partial<T> {
  const message = value as Partial<T> | null
  return typeof message === 'object' && message !== null && message.ctxbridge === kind && message.version === VERSION
}

/** Whether it is a port as one delivers it: of the realm that the thread began with, also where the program runs in another one, as under Jest. */
export function isPort(value: unknown): value is MessagePort {
  if (threads !== undefined) return value instanceof threads.MessagePort
  return Object.prototype.toString.call(value) === '[object MessagePort]'
}

export function isAttach(value: unknown): value is Attach {
  return (
    isBranded<Attach>(value, 'attach') &&
    Number.isInteger(value.table) &&
    isLinkNumber(value.link) &&
    Array.isArray(value.chunks) &&
    value.chunks.length <= MAX_CHUNKS &&
    isPort(value.port)
  )
}

/** Whatever its chunks are, which whoever reads them finds out. */
export function isMemory(value: unknown): value is Memory {
  return isBranded<Memory>(value, 'memory') && Array.isArray(value.chunks) && value.chunks.length <= MAX_CHUNKS
}

export function isDetach(value: unknown): value is Detach {
  return isBranded<Detach>(value, 'detach')
}

export function isHere(value: unknown): value is Here {
  return isBranded<Here>(value, 'here')
}

export function isSent(value: unknown): value is Sent {
  return isBranded<Sent>(value, 'sent') && isCount(value.count)
}

export function isGot(value: unknown): value is Got {
  return isBranded<Got>(value, 'got') && isCount(value.count)
}

export function isAgain(value: unknown): value is Again {
  return isBranded<Again>(value, 'again') && Array.isArray(value.messages)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
