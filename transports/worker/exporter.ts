/**
 * The exporting side of a link: which contexts have a slot in the thread's table, and what the other side hears of them.
 *
 * An exported context is observed until it ends, until nobody on the other side holds it, or until the link is closed. A slot is one
 * per context with an end of its own and link, however often the context, or one that only adds values to it, is sent.
 */

import { randomInt } from 'node:crypto'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type { Slot, SlotHandle } from '../../lib/bridge/slot.ts'
import { CAUSE_BYTES } from '../../lib/bridge/slot-memory.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import { hostClock } from '../../lib/clock.ts'
import { bindingsOf, deadlineOf, listen } from '../../lib/boundary.ts'
import type { Context } from '../../lib/context.ts'
import { scopeOf } from '../../lib/foreign.ts'
import type { Scope } from '../../lib/tree.ts'
import { BridgeError, type ContextError, kindOf } from '../../lib/errors.ts'
import type { WireCause } from '../../lib/wire/cause.ts'
import { encodeCauseBytes } from '../../lib/wire/cause-bytes.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { encodeValues, type ReportValue } from '../../lib/wire/values.ts'
import { toShared } from './clock.ts'
import type { ContextHandle } from './handle.ts'
import { type Attach, CAUSE, type ChannelMessage, CHUNK, ENDED, VERSION } from './messages.ts'

let table: SlotTable | undefined
let links = 0
const exporters = new Set<Exporter>()

/** The table of this thread: made with the first link that exports, and shared by all of them. */
function threadTable(): SlotTable {
  return (table ??= new SlotTable({
    id: randomInt(2 ** 31),
    onGrow: (chunk, buffer) => {
      for (const exporter of exporters) exporter.announce(chunk, buffer)
    },
  }))
}

/** What this thread's table holds at present, for all of its links. What was given back is taken back first. */
export function tableStats(): { readonly slots: number; readonly chunks: number } {
  if (table === undefined) return { slots: 0, chunks: 0 }
  collect(table, Number.POSITIVE_INFINITY)
  const { inUse, chunks } = table.stats()
  return { slots: inUse, chunks }
}

/** Stops observing contexts that nobody on the other side holds any more. */
function collect(from: SlotTable, limit: number): void {
  for (const slot of from.reclaim(limit)) exportsOfSlots.get(slot)?.drop()
}

const exportsOfSlots = new WeakMap<Slot, Export>()

/** One context on one link, for as long as it lives and somebody needs it there. */
class Export {
  readonly slot: Slot
  readonly #forget: () => void
  /** Calls under way that it was sent with. */
  calls = 0
  stop: () => void = () => undefined

  constructor(slot: Slot, forget: () => void) {
    this.slot = slot
    this.#forget = forget
    exportsOfSlots.set(slot, this)
  }

  drop(): void {
    this.stop()
    this.#forget()
  }
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
  readonly #table: SlotTable = threadTable()
  readonly #link: number = ++links
  readonly #port: MessagePort
  readonly #reportValue: ReportValue
  readonly #exports = new Map<Scope, Export>()
  #ended: number[] = []
  #closed = false

  /**
   * Opens a channel to the other side.
   *
   * @param send posts the attach over the endpoint, with the port that goes with it
   * @param lost called when the other side has closed the channel
   */
  constructor(send: (attach: Attach, transfer: readonly MessagePort[]) => void, reportValue: ReportValue, lost: () => void) {
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    this.#reportValue = reportValue
    // Nothing comes in over this port: without a listener for messages it keeps no thread alive.
    port1.on('close', () => {
      if (!this.#closed) lost()
    })
    const { id, link, chunks } = { id: this.#table.id, link: this.#link, chunks: this.#table.chunks() }
    send({ ctxbridge: 'attach', version: VERSION, table: id, link, chunks, port: port2 }, [port2])
    exporters.add(this)
  }

  /** How many contexts have a slot here that has not ended. */
  get size(): number {
    return this.#exports.size
  }

  announce(chunk: number, buffer: SharedArrayBuffer): void {
    this.#post([CHUNK, chunk, buffer])
  }

  /**
   * A handle for `ctx`. Its slot is held until the other side gives it back, the context ends or the link is closed.
   *
   * @throws TypeError when `ctx` is no context; BridgeError `ERR_LIMIT` when the table is full
   */
  export(ctx: Context): ContextHandle {
    collect(this.#table, 4)
    return this.#grant(ctx).handle
  }

  /** As `export`, for a call that tells when it is over. */
  exportForCall(ctx: Context): Grant {
    const { handle, held, granted } = this.#grant(ctx)
    if (held === undefined) return { handle, revoke: () => undefined, release: () => undefined }
    held.calls++
    const release = (): void => {
      // Fails where somebody still holds it, say because its handle was also sent by hand: `collect` finds it later.
      if (--held.calls === 0 && held.slot.withdraw()) held.drop()
    }
    const revoke = (): void => {
      if (granted !== undefined) held.slot.revoke(granted)
      release()
    }
    return { handle, revoke, release }
  }

  #grant(ctx: Context): { handle: ContextHandle; held?: Export; granted?: SlotHandle } {
    const scope = scopeOf(ctx, 'export')
    const base = this.#describe(ctx)
    if (scope.endless) return { handle: base }
    const error = scope.err()
    if (error !== undefined) return { handle: { ...base, end: describeCause(error) } }
    let held = this.#exports.get(scope)
    let granted = held?.slot.grant()
    if (held === undefined || granted === undefined) {
      held = this.#open(scope)
      granted = held.slot.grant()
    }
    // It ended while it was being opened: a deadline passed.
    if (granted === undefined) return { handle: { ...base, end: describeCause(scope.err()) } }
    return { handle: { ...base, slot: [granted.slot, granted.generation, granted.grant] }, held, granted }
  }

  /** All of a handle but the state of the context. */
  #describe(ctx: Context): ContextHandle {
    const handle: { -readonly [K in keyof ContextHandle]: ContextHandle[K] } = {
      ctxbridge: VERSION,
      table: this.#table.id,
      link: this.#link,
    }
    const why = deadlineOf(ctx)?.cause
    if (why !== undefined) handle.why = describeCause(why)
    const values = encodeValues(bindingsOf(ctx), this.#reportValue)
    if (values.length > 0) handle.values = values
    return handle
  }

  #open(scope: Scope): Export {
    const due = deadlineOf(scope)
    // An instant of another clock, say of a simulation, means nothing over there: of such a context only the end is told.
    const deadline = due?.clock === hostClock ? toShared(due.at) : undefined
    const slot = this.#table.open(this.#link, deadline)
    if (slot === undefined) {
      throw new BridgeError('ERR_LIMIT', 'No more contexts can be sent to worker threads: all slots of the table are in use.')
    }
    const held: Export = new Export(slot, () => {
      if (this.#exports.get(scope) === held) this.#exports.delete(scope)
    })
    this.#exports.set(scope, held)
    held.stop = listen(scope, () => this.#end(held, scope.err()))
    return held
  }

  /** Runs synchronously, right after the context was marked. */
  #end(held: Export, error: ContextError | undefined): void {
    const { slot } = held
    held.drop()
    const cause = causeOf(error)
    const { bytes, shortened } = cause === undefined ? noCause : encodeCauseBytes(cause, CAUSE_BYTES)
    // Before the slot says "ended": so whoever sees that, in a loop that never yields, finds the whole cause on the port.
    if (shortened && cause !== undefined) this.#post([CAUSE, slot.number, slot.generation, cause])
    slot.end(kindOf(error) ?? 'canceled', bytes, shortened)
    if (slot.returned) return
    // One message for all that end in this turn. It wakes who waits; who polls has seen the slot.
    if (this.#ended.push(slot.number, slot.generation) === 2) queueMicrotask(() => this.#wake())
  }

  #wake(): void {
    this.#post([ENDED, this.#ended])
    this.#ended = []
  }

  #post(message: ChannelMessage): void {
    if (!this.#closed) this.#port.postMessage(message)
  }

  /** Takes back all slots. Imports on the other side, if it lives, end with a `LinkLostError`. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    exporters.delete(this)
    for (const held of this.#exports.values()) held.drop()
    this.#table.sweep(this.#link)
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
