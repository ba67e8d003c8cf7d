/**
 * The exporting side of a link: which contexts have a slot in the thread's table, and what the other side hears of them.
 *
 * An exported context is observed until it ends, until nobody on the other side holds it, or until the link is closed. A slot is one
 * per context with an end of its own and link, however often the context, or one that only adds values to it, is sent.
 */

import type { Slot, SlotHandle } from '../../lib/bridge/slot.ts'
import { CAUSE_BYTES, chunkOf } from '../../lib/bridge/slot-memory.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import { hostClock } from '../../lib/clock.ts'
import { bindingsOf, deadlineOf, listen } from '../../lib/boundary.ts'
import type { Context } from '../../lib/context.ts'
import { scopeOf } from '../../lib/foreign.ts'
import type { Scope } from '../../lib/scope.ts'
import { type ContextError, kindOf } from '../../lib/errors.ts'
import type { WireCause } from '../../lib/wire/cause.ts'
import { encodeCauseBytes } from '../../lib/wire/cause-bytes.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { encodeValues, type ReportValue } from '../../lib/wire/values.ts'
import { toShared } from './clock.ts'
import type { ContextHandle } from './handle.ts'
import { canShare, Port, type PortListener, randomId } from './host.ts'
import {
  type Attach,
  Batch,
  CAUSE,
  channelOf,
  type ChannelMessage,
  CHUNK,
  ENDED,
  isMessage,
  pairs,
  RETURNED,
  TAKEN,
  TOLD,
  type Told,
  VERSION,
} from './messages.ts'
import { ToldSlot } from './told.ts'

/** Tells this thread's contexts from those of all others of the process. */
const tableId = randomId()
let table: SlotTable | undefined
let links = 0
const exporters = new Set<Exporter>()

/** The table of this thread: made with the first link that exports, and shared by all of them. */
function threadTable(): SlotTable {
  return (table ??= new SlotTable({
    id: tableId,
    limit: 262_144,
    onGrow: (chunk, buffer) => {
      for (const exporter of exporters) exporter.announce(chunk, buffer)
    },
  }))
}

/** What this thread exports at present, over all of its links. What was given back is taken back first. */
export function tableStats(): { readonly slots: number; readonly chunks: number } {
  let told = 0
  for (const exporter of exporters) told += exporter.told
  if (table === undefined) return { slots: told, chunks: 0 }
  collect(table, Number.POSITIVE_INFINITY)
  const { inUse, chunks } = table.stats()
  return { slots: inUse + told, chunks }
}

/** Stops observing contexts that nobody on the other side holds any more. */
function collect(from: SlotTable, limit: number): void {
  for (const { tag } of from.reclaim(limit)) if (tag instanceof Export) tag.drop()
}

/** One context on one link, for as long as it lives and somebody needs it there. */
class Export {
  readonly slot: Slot | ToldSlot
  readonly #forget: () => void
  /** Calls under way that it was sent with. */
  calls = 0
  stop: () => void = () => undefined

  constructor(slot: Slot | ToldSlot, forget: () => void) {
    this.slot = slot
    this.#forget = forget
    if (!(slot instanceof ToldSlot)) slot.tag = this
  }

  /** The fields of a handle that name it, and what takes the handle back that was not sent; undefined when it has ended. */
  grant(): Granted | undefined {
    const { slot } = this
    if (slot instanceof ToldSlot) {
      const grant = slot.grant()
      return grant === undefined ? undefined : { fields: { told: [slot.id, grant] }, revoke: () => slot.giveBack(grant) }
    }
    const handle: SlotHandle | undefined = slot.grant()
    if (handle === undefined) return undefined
    return { fields: { slot: [handle.slot, handle.generation, handle.grant] }, revoke: () => void slot.revoke(handle) }
  }

  drop(): void {
    this.stop()
    this.#forget()
  }
}

interface Granted {
  readonly fields: Pick<ContextHandle, 'slot' | 'told'>
  readonly revoke: () => void
}

/** A handle for a call, and what becomes of it. One of the two functions is called, once. */
export interface Grant {
  readonly handle: ContextHandle
  /** It was not sent. Of several grants, the last one made goes first. */
  revoke(): void
  /** The call is over, and the other side has given back what it imported for it. */
  release(): void
}

export class Exporter {
  /** Undefined where contexts go by messages alone. */
  #table: SlotTable | undefined
  readonly #link: number = ++links
  readonly #pool: boolean
  readonly #other: MessagePort | undefined
  readonly #port: Port
  readonly #reportValue: ReportValue
  readonly #exports = new Map<Scope, Export>()
  readonly #told = new Map<number, Export>()
  readonly #ended = new Batch<number>((slots) => this.#post([ENDED, slots]))
  readonly #ends = new Batch<Told>((ends) => this.#post([TOLD, ends]))
  #ids = 0
  #closed = false

  private constructor(reportValue: ReportValue, lost: () => void, memory: boolean, pool: boolean) {
    this.#reportValue = reportValue
    this.#table = memory && canShare() ? threadTable() : undefined
    this.#pool = pool
    const { port1, port2 } = pool
      ? { port1: new BroadcastChannel(channelOf(tableId, this.#link)), port2: undefined }
      : new MessageChannel()
    const name = channelOf(tableId, this.#link)
    const listener: PortListener = {
      message: (message) => this.#receive(message),
      closed: () => {
        if (!this.#closed) lost()
      },
      garbled: () => undefined,
    }
    this.#port = new Port(port1, listener, pool ? undefined : { mine: `${name}.exporter`, theirs: `${name}.importer` })
    this.#other = port2
    exporters.add(this)
  }

  /**
   * Opens a channel to the other side.
   *
   * @param send posts the attach over the endpoint, with the port that goes with it
   * @param lost called when the other side has closed the channel
   * @param shared whether memory may be shared, where that is possible
   */
  static over(
    send: (attach: Attach, transfer: readonly MessagePort[]) => void,
    reportValue: ReportValue,
    lost: () => void,
    shared: boolean,
  ): Exporter {
    const exporter = new Exporter(reportValue, lost, shared, false)
    const port = exporter.#other as MessagePort
    const attach = (chunks: readonly SharedArrayBuffer[]): void =>
      send({ ctxbridge: 'attach', version: VERSION, table: tableId, link: exporter.#link, chunks, port }, [port])
    try {
      attach(exporter.#table?.chunks() ?? [])
    } catch (error) {
      if (exporter.#table === undefined) throw error
      // There is such memory, but it cannot be sent to this thread.
      exporter.#table = undefined
      attach([])
    }
    return exporter
  }

  /** One context, to whoever gets the message that this goes in: whose import closes the channel when it is through. No channel for one that has ended, or never will. */
  static alone(ctx: Context, reportValue: ReportValue): { readonly handle: ContextHandle; readonly attach?: Attach } {
    const exporter: Exporter = new Exporter(reportValue, () => exporter.close(), true, false)
    const { handle } = exporter.#grant(ctx)
    if (handle.slot === undefined && handle.told === undefined) {
      exporter.close()
      return { handle }
    }
    const chunks = exporter.#table?.chunks() ?? []
    const port = exporter.#other as MessagePort
    return { handle, attach: { ctxbridge: 'attach', version: VERSION, table: tableId, link: exporter.#link, chunks, port } }
  }

  /** To all workers that may get a handle of it, whichever they are: each is sent what it needs along with the handle, and `Grant.release` gives it back. */
  static toAnybody(reportValue: ReportValue): Exporter {
    return new Exporter(reportValue, () => undefined, true, true)
  }

  /** The chunks that a handle needs. */
  chunksOf(handle: ContextHandle): readonly (readonly [chunk: number, buffer: SharedArrayBuffer])[] {
    const chunks = handle.slot === undefined ? undefined : this.#table?.chunks()
    if (handle.slot === undefined || chunks?.[0] === undefined) return []
    const number = chunkOf(handle.slot[0])
    const buffer = chunks[number]
    return number === 0 || buffer === undefined
      ? [[0, chunks[0]]]
      : [
          [0, chunks[0]],
          [number, buffer],
        ]
  }

  /** How many contexts are exported and have not ended. */
  get size(): number {
    return this.#exports.size
  }

  /** How many contexts that go by messages alone are not given back. */
  get told(): number {
    return this.#told.size
  }

  announce(chunk: number, buffer: SharedArrayBuffer): void {
    if (this.#table !== undefined && !this.#pool) this.#post([CHUNK, chunk, buffer])
  }

  /**
   * A handle for `ctx`. It is held until the other side gives it back, the context ends or the link is closed.
   *
   * @throws TypeError when `ctx` is no context
   */
  export(ctx: Context): ContextHandle {
    if (this.#table !== undefined) collect(this.#table, 4)
    return this.#grant(ctx).handle
  }

  /** As `export`, for a call that tells when it is over. */
  exportForCall(ctx: Context): Grant {
    const { handle, held, granted } = this.#grant(ctx)
    if (held === undefined) return { handle, revoke: () => undefined, release: () => undefined }
    held.calls++
    const release = (): void => {
      if (--held.calls > 0) return
      if (this.#pool) held.slot.takeBack()
      // Fails where somebody still holds it, say because its handle was also sent by hand: `collect` finds it later.
      if (held.slot.withdraw() || (held.slot instanceof ToldSlot && held.slot.returned)) this.#letGo(held)
    }
    const revoke = (): void => {
      granted?.revoke()
      release()
    }
    return { handle, revoke, release }
  }

  #grant(ctx: Context): { handle: ContextHandle; held?: Export; granted?: Granted } {
    const scope = scopeOf(ctx, 'export')
    const base = this.#describe(ctx)
    if (scope.endless) return { handle: base }
    const error = scope.err()
    if (error !== undefined) return { handle: { ...base, end: describeCause(error) } }
    let held = this.#exports.get(scope)
    let granted = held?.grant()
    if (held === undefined || granted === undefined) {
      held = this.#open(scope)
      granted = held.grant()
    }
    // It ended while it was being opened: a deadline passed.
    if (granted === undefined) return { handle: { ...base, end: describeCause(scope.err()) } }
    return { handle: { ...base, ...granted.fields }, held, granted }
  }

  /** All of a handle but the state of the context. */
  #describe(ctx: Context): ContextHandle {
    const handle: { -readonly [K in keyof ContextHandle]: ContextHandle[K] } = {
      ctxbridge: VERSION,
      table: tableId,
      link: this.#link,
    }
    const due = deadlineOf(ctx)
    if (due?.cause !== undefined) handle.why = describeCause(due.cause)
    // An instant of another clock, say of a simulation, means nothing over there: of such a context only the end is told.
    if (due?.clock === hostClock) handle.at = toShared(due.at)
    const values = encodeValues(bindingsOf(ctx), this.#reportValue)
    if (values.length > 0) handle.values = values
    return handle
  }

  #open(scope: Scope): Export {
    const due = deadlineOf(scope)
    // Where the table is full, or there is none, it goes by messages.
    const slot =
      this.#table?.open(this.#link, due?.clock === hostClock ? toShared(due.at) : undefined) ??
      new ToldSlot(++this.#ids, (told) => this.#ends.add(told))
    const held: Export = new Export(slot, () => {
      if (this.#exports.get(scope) === held) this.#exports.delete(scope)
    })
    this.#exports.set(scope, held)
    if (slot instanceof ToldSlot) this.#told.set(slot.id, held)
    held.stop = listen(scope, () => this.#end(held, scope.err()))
    return held
  }

  /** Stops observing a context that nobody on the other side holds. */
  #letGo(held: Export): void {
    held.drop()
    if (held.slot instanceof ToldSlot) this.#told.delete(held.slot.id)
  }

  /** Runs synchronously, right after the context was marked. */
  #end(held: Export, error: ContextError | undefined): void {
    const { slot } = held
    held.drop()
    const kind = kindOf(error) ?? 'canceled'
    const cause = causeOf(error)
    if (slot instanceof ToldSlot) {
      slot.end(kind, cause)
      if (slot.returned) this.#told.delete(slot.id)
      return
    }
    const { bytes, shortened } = cause === undefined ? noCause : encodeCauseBytes(cause, CAUSE_BYTES)
    // Before the slot says "ended": so whoever sees that, in a loop that never yields, finds the whole cause on the port.
    if (shortened && cause !== undefined) this.#post([CAUSE, slot.number, slot.generation, cause])
    slot.end(kind, bytes, shortened)
    // It wakes who waits; who polls has seen the slot.
    if (!slot.returned) this.#ended.add(slot.number, slot.generation)
  }

  #receive(message: unknown): void {
    const taken = isMessage(message, TAKEN)
    if (!taken && !isMessage(message, RETURNED)) return
    for (const [id, grant] of pairs(message[1])) {
      const held = this.#told.get(id)
      if (taken) {
        if (held?.slot instanceof ToldSlot) held.slot.taken(grant)
        else this.#ends.add([id, 'gone', undefined])
      } else if (held?.slot instanceof ToldSlot) {
        held.slot.giveBack(grant)
        if (held.slot.returned) this.#letGo(held)
      }
    }
  }

  #post(message: ChannelMessage): void {
    if (!this.#closed) this.#port.post(message)
  }

  /** Takes back all slots. Imports on the other side, if it lives, end with a `LinkLostError`. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    exporters.delete(this)
    for (const held of this.#exports.values()) held.drop()
    this.#table?.sweep(this.#link)
    this.#told.clear()
    this.#port.close()
  }
}

const noCause: { readonly bytes: Uint8Array; readonly shortened: boolean } = { bytes: new Uint8Array(0), shortened: false }

/** The reason to send beside the kind. A foreign error that is of no kind is the reason itself. */
function causeOf(error: ContextError | undefined): WireCause | undefined {
  if (error === undefined) return undefined
  if (kindOf(error) === undefined) return describeCause(error)
  return Object.hasOwn(error, 'cause') ? describeCause(error.cause) : undefined
}
