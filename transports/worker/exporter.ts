/**
 * The exporting side of a link: which contexts have a slot in the thread's table, and what the other side hears of them.
 *
 * An exported context is observed until it ends, until nobody on the other side holds it, or until the link is closed. Its end is kept until all of its handles are back, for those that were sent by hand at
 * most as long as is promised. A slot is one per context with an end of its own and link, however often the context, or one that only adds values to it, is sent.
 */

import { CAUSE_BYTES, chunkOf, hearsBells } from '../../lib/bridge/slot-memory.ts'
import type { Slot, SlotHandle } from '../../lib/bridge/slot.ts'
import type { SlotTable } from '../../lib/bridge/slot-table.ts'
import { bindingsOf, hasBindings } from '../../lib/boundary.ts'
import { forNobody, hostClock } from '../../lib/clock.ts'
import type { Context } from '../../lib/context.ts'
import { scopeOf } from '../../lib/foreign.ts'
import { type ContextError, kindOf } from '../../lib/errors.ts'
import type { End } from '../../lib/end.ts'
import { observe } from '../../lib/observers.ts'
import type { Scope } from '../../lib/scope.ts'
import type { WireCause } from '../../lib/wire/cause.ts'
import { encodeCauseBytes } from '../../lib/wire/cause-bytes.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { encodeValues, type ReportValue } from '../../lib/wire/values.ts'
import { sentNow, toPeers } from './clock.ts'
import { collect, Export, Grant, openIn, type Owner, owners, tableId, threadTable } from './export.ts'
import type { ContextHandle } from './handle.ts'
import { LateEnds } from './late.ts'
import { canShare, threads } from './host.ts'
import {
  type Attach,
  Batch,
  CAUSE,
  channelOf,
  type ChannelMessage,
  CHUNK,
  ENDED,
  HELD,
  isMessage,
  type Memory,
  MEMORY,
  NEVER,
  pairs,
  TOLD,
  type Told,
  UNSENT,
  VERSION,
} from './messages.ts'
import { type ChannelListener, Port } from './port.ts'
import { ToldSlot } from './told.ts'
import { Unconfirmed } from './unconfirmed.ts'

/** Of contexts that go by messages alone, over all links. */
let ids = 0
const none: readonly never[] = []
/** After so many exports as many slots are looked at, to find those that nobody imports any more. */
const LOOKS = 32

/** A handle that is being made. */
type Writable = { -readonly [K in keyof ContextHandle]: ContextHandle[K] }

/** Posts over the endpoint, with the port that goes with it. Returns whether it may be that nobody hears it. */
type Send = (message: Attach | Memory, transfer: readonly MessagePort[]) => boolean

/** What is said of a context that goes by itself. */
export interface Alone {
  readonly handle: ContextHandle
  readonly attach?: Attach | undefined
}

export class Exporter implements Owner {
  /** Undefined where contexts go by messages alone. */
  #table: SlotTable | undefined
  readonly #link: number
  readonly #pool: boolean
  #other: MessagePort | undefined
  #port: Port
  readonly #listener: ChannelListener
  /** What has gone out on its channel, until it is known that the other side has that; undefined from then on. */
  #replay: ChannelMessage[] | undefined
  readonly #reportValue: ReportValue
  readonly #told = new Map<number, Export>()
  /** Until the other side has said whether it has the memory. */
  #unconfirmed: Unconfirmed | undefined
  /** Those that ended before all handles of them that were sent by hand have come back. */
  readonly #late = new LateEnds()
  readonly #ended = new Batch<number>((slots) => this.#post([ENDED, slots]))
  readonly #ends = new Batch<Told>((ends) => this.#post([TOLD, ends]))
  /** How many messages have gone out on its channel. */
  posted = 0
  #exported = 0
  #closed = false

  private constructor(reportValue: ReportValue, lost: (hasDied: boolean) => void, memory: boolean, pool: boolean) {
    this.#link = owners.add(this)
    this.#reportValue = reportValue
    this.#table = memory && canShare() ? threadTable() : undefined
    this.#pool = pool
    this.#listener = {
      message: (message) => this.#receive(message),
      closed: (hasDied) => {
        // The end of a channel that nobody heard of is closed when it is collected: another channel takes its place.
        if (!this.#closed && (this.#replay === undefined || this.#port.wasHeard)) lost(hasDied)
      },
    }
    const { port, other } = this.#channel()
    this.#port = port
    this.#other = other
  }

  /** It lives for longer than whoever exports first. */
  #channel(): { readonly port: Port; readonly other: MessagePort | undefined } {
    const { port1, port2 } = forNobody(() =>
      this.#pool ? { port1: new BroadcastChannel(channelOf(tableId, this.#link)), port2: undefined } : new MessageChannel(),
    )
    return { port: new Port(port1, this.#listener), other: port2 }
  }

  /**
   * Opens a channel to the other side.
   *
   * @param send posts the attach over the endpoint, with the port that goes with it, and what follows it
   * @param lost called when the other side has closed the channel, or, in a browser, its thread has ended
   * @param shared whether memory may be shared, where that is possible
   */
  static over(send: Send, reportValue: ReportValue, lost: (hasDied: boolean) => void, shared: boolean): Exporter {
    const exporter = new Exporter(reportValue, lost, shared, false)
    // Node's threads all share memory.
    if (exporter.#table !== undefined && threads === undefined)
      exporter.#unconfirmed = new Unconfirmed((told) => exporter.#ends.add(told))
    exporter.#announce(send)
    return exporter
  }

  #announce(send: Send): void {
    const port = this.#other as MessagePort
    const follows = this.#unconfirmed !== undefined
    const attach = this.#attach(port)
    this.#replay = send(follows ? { ...attach, chunks: [], follows } : attach, [port]) ? [] : undefined
    if (!follows) return
    const memory = { ctxbridge: 'memory', version: VERSION, table: tableId, link: this.#link } as const
    try {
      send({ ...memory, chunks: this.#table?.chunks() ?? [] }, [])
    } catch {
      // There is such memory, but it cannot be sent to this thread.
      this.#goWithout()
      send({ ...memory, chunks: [null] }, [])
    }
  }

  /** The other side has the channel. */
  arrived(): void {
    this.#replay = undefined
  }

  /** The other side did not listen yet: the channel is lost, with all that was posted on it, and so another one takes its place. */
  announceAgain(send: Send): void {
    this.#port.close()
    const { port, other } = this.#channel()
    const replay = this.#replay ?? []
    this.#port = port
    this.#other = other
    this.#announce(send)
    for (const message of replay) port.post(message)
  }

  /**
   * One context, to whoever gets the message that this goes in: whose import closes the channel when it is through. No channel for one that has ended, or never
   * will. Otherwise the port goes with the message, and until the handle is read, nothing is held but the channel, which closing the port gives back.
   */
  static alone(ctx: Context, reportValue: ReportValue, shared: boolean): { readonly port?: MessagePort; readonly alone: Alone } {
    const scope = scopeOf(ctx, 'export')
    const exporter: Exporter = new Exporter(reportValue, () => exporter.close(), shared, false)
    if (scope.endless || scope.err() !== undefined) {
      exporter.close()
      return { alone: { handle: exporter.export(ctx) } }
    }
    const port = exporter.#other as MessagePort
    const alone: Alone = {
      get handle() {
        // Not as if sent by hand: the channel is the end's as long as there may be somebody.
        return exporter.exportForCall(ctx).handle
      },
      get attach() {
        return exporter.#attach(port)
      },
    }
    return { port, alone }
  }

  /** To all workers that may get a handle of it, whichever they are: each is sent what it needs along with the handle, and `Grant.release` gives it back. */
  static toAnybody(reportValue: ReportValue): Exporter {
    return new Exporter(reportValue, () => undefined, true, true)
  }

  #attach(port: MessagePort): Attach {
    const [link, chunks, thread] = [this.#link, this.#table?.chunks() ?? [], threads?.threadId]
    const attach: Attach = { ctxbridge: 'attach', version: VERSION, table: tableId, link, chunks, port, thread }
    // Node needs neither.
    const [now, life] = [sentNow(), this.#port.live()]
    return now === undefined ? attach : { ...attach, now, life }
  }

  /** The chunks that a handle needs. */
  chunksOf({ slot = -1 }: ContextHandle): readonly (readonly [chunk: number, buffer: SharedArrayBuffer])[] {
    const [first, number] = [this.#table?.chunk(0), chunkOf(slot)]
    if (slot < 0 || first === undefined) return []
    const buffer = number === 0 ? undefined : this.#table?.chunk(number)
    return buffer === undefined
      ? [[0, first]]
      : [
          [0, first],
          [number, buffer],
        ]
  }

  /** How many contexts are exported and have not ended. */
  get size(): number {
    let told = 0
    for (const held of this.#told.values()) if (held.slot.open) told++
    return told + (this.#table?.openOf(this.#link) ?? 0)
  }

  /** How many contexts that go by messages alone are not given back. */
  get told(): number {
    return this.#told.size
  }

  announce(chunk: number, buffer: SharedArrayBuffer): void {
    if (this.#table !== undefined && !this.#pool) this.#post([CHUNK, chunk, buffer])
  }

  /**
   * A handle for `ctx`, to be sent by hand. It is held until the other side gives it back or the link is closed, or some time after the context has ended.
   *
   * @throws TypeError when `ctx` is no context
   */
  export(ctx: Context): ContextHandle {
    // As many as were exported, but together: what lies side by side is soon looked at, and cold memory is waited for once.
    if (this.#table !== undefined && ++this.#exported % LOOKS === 0) collect(this.#table, LOOKS)
    const scope = scopeOf(ctx, 'export')
    const held = this.#lend(scope)
    if (held !== undefined) held.byHand = true
    return this.#handle(ctx, scope, held)
  }

  /** As `export`, for a call that tells when it is over. */
  exportForCall(ctx: Context): Grant {
    const scope = scopeOf(ctx, 'export')
    const held = this.#lend(scope)
    return new Grant(this, held, this.#handle(ctx, scope, held))
  }

  /** @internal For grants. */
  release(held: Export): void {
    // One that was also sent by hand is left to `collect`.
    if (--held.calls > 0 || held.byHand) return
    this.#unconfirmed?.delete(held)
    const ends = held.abandoned && held.slot.open
    if (ends) held.slot.end('canceled', undefined)
    // Whoever was called is through with it, or has never taken it: of a call of another version nothing is read.
    held.slot.takeBack()
    if (ends || held.slot.withdraw() || held.told?.returned === true) held.drop()
  }

  /** @internal For grants. */
  revoked(held: Export, { told }: ContextHandle): void {
    if (told !== undefined) this.#unconfirmed?.revoke(held, told)
  }

  /** @internal For grants. */
  unsent(handle: SlotHandle): void {
    this.#post([UNSENT, handle])
  }

  /** To write its values runs their codecs, which may end the context: what was lent before is in the handle. */
  #handle(ctx: Context, scope: Scope, held: Export | undefined): ContextHandle {
    const { due, time } = scope
    // An instant of another clock, say of a simulation, means nothing over there: of such a context only the end is told.
    const at = due !== undefined && time.clock === hostClock ? toPeers(due.at) : undefined
    const handle = this.#named(held?.slot, at)
    if (held !== undefined && held.told === undefined && this.#unconfirmed !== undefined)
      handle.told = this.#unconfirmed.lend(held, newId)
    if (handle.slot === undefined && !scope.endless) handle.end = describeCause(scope.err())
    else if (due?.cause !== undefined) handle.why = describeCause(due.cause)
    const values = hasBindings(ctx) ? encodeValues(bindingsOf(ctx), this.#reportValue) : none
    if (values.length > 0) handle.values = values
    return handle
  }

  /** Most handles are the first of these: made at once, as each field that is added later moves the others. */
  #named(lent: Slot | ToldSlot | undefined, at: number | undefined): Writable {
    const link = this.#link
    if (lent === undefined) return { ctxbridge: VERSION, table: tableId, link }
    const { number: slot, generation, granted: grant } = lent
    if (at === undefined) return { ctxbridge: VERSION, table: tableId, link, slot, generation, grant }
    const sent = sentNow()
    if (sent === undefined) return { ctxbridge: VERSION, table: tableId, link, slot, generation, grant, at }
    return { ctxbridge: VERSION, table: tableId, link, slot, generation, grant, at, sent }
  }

  /** Grants one more handle; undefined where the context has ended, or never will. */
  #lend(scope: Scope): Export | undefined {
    if (scope.endless || scope.err() !== undefined) return undefined
    let held = Export.of(scope, this)
    if (held === undefined || held.abandoned || !held.slot.lend()) {
      held = this.#open(scope)
      // It may have ended while it was being opened: a deadline has passed.
      if (!held.slot.lend()) return undefined
    }
    return held
  }

  #open(scope: Scope): Export {
    const held = new Export(this)
    // Where the table is full, or there is none, it goes by messages.
    if (this.#table === undefined || !openIn(this.#table, this.#link, held)) {
      held.told = new ToldSlot(newId(), (told) => this.#ends.add(told))
      this.#told.set(held.told.id, held)
    }
    observe(scope, held)
    return held
  }

  /** @internal For exports. */
  never(): void {
    this.#post([NEVER])
  }

  /** @internal For exports. */
  forget(held: Export): void {
    const { told } = held
    if (told !== undefined) {
      if (!told.returned) return
      this.#told.delete(told.id)
    }
    this.#unconfirmed?.delete(held)
    if (held.isLate) this.#late.delete(held)
  }

  /** @internal Until the slot says "ended", nothing is done but what must come before. */
  ended(held: Export, end: End): void {
    const { told } = held
    if (told === undefined) {
      this.#endSlot(held, end)
      this.#unconfirmed?.ended(held, end.kind, () => causeOf(end))
    } else {
      told.end(end.kind, causeOf(end))
      this.forget(held)
    }
    if (!held.byHand || held.isBack) return
    held.isLate = true
    this.#late.add(held)
  }

  giveUpLate(onlyOld: boolean): void {
    if (onlyOld) this.#late.expireOld()
    else this.#late.expire()
  }

  #endSlot(held: Export, end: End): void {
    const { kind, cause } = end
    const short = typeof cause === 'string' || !end.told
    if (held.open && !(short && held.endShortly(kind, cause))) this.#tell(held, kind, causeOf(end))
    // It wakes who waits; who polls has seen the slot.
    if (!hearsBells && !held.returned) this.#ended.add(held.number, held.generation)
  }

  #tell(slot: Slot, kind: End['kind'], cause: WireCause | undefined): void {
    if (cause === undefined) {
      slot.end(kind)
      return
    }
    const { bytes, shortened } = bytesOf(cause)
    // Before the slot says "ended": so whoever sees that, in a loop that never yields, finds the whole cause on the port.
    if (shortened) this.#post([CAUSE, slot.number, slot.generation, cause])
    slot.end(kind, bytes, shortened)
  }

  /** The other side has said whether it has the memory. */
  #settle(hasCome: boolean): void {
    if (hasCome) this.#unconfirmed = undefined
    else this.#goWithout()
  }

  /** All that is exported, and will be, goes by messages alone. */
  #goWithout(): void {
    for (const [held, slot] of this.#unconfirmed?.withoutMemory() ?? []) {
      held.told = slot
      this.#told.set(slot.id, held)
    }
    this.#unconfirmed = undefined
    const table = this.#table
    this.#table = undefined
    table?.sweep(this.#link)
  }

  #receive(message: unknown): void {
    if (isMessage(message, MEMORY) && this.#unconfirmed !== undefined) return this.#settle(message[1] === true)
    if (!isMessage(message, HELD)) return
    for (const [id, grant] of pairs(message[1])) {
      const held = this.#told.get(id)
      if (held?.told !== undefined) {
        if (grant > 0) held.told.taken(grant)
        else held.told.giveBack(-grant)
        if (held.told.returned) held.drop()
      } else if (grant > 0) {
        this.#ends.add([id, 'gone', undefined])
      }
    }
  }

  #post(message: ChannelMessage): void {
    if (this.#closed) return
    this.posted++
    this.#port.post(message)
    // All chunks go with an attach.
    if (message[0] !== CHUNK) this.#replay?.push(message)
  }

  /** Takes back all slots. Imports on the other side, if it lives, end with a `LinkLostError`. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    owners.delete(this.#link)
    for (const slot of this.#table?.sweep(this.#link) ?? []) if (slot instanceof Export) slot.drop()
    for (const held of this.#told.values()) held.drop()
    this.#told.clear()
    this.#late.clear()
    this.#port.close()
  }
}

function newId(): number {
  return ++ids
}

/** One end may be that of thousands, and is one cause: so the last one is described, and made bytes of, once. Kept until the turn is over. */
let last: { readonly error: ContextError; readonly cause: WireCause; bytes?: ReturnType<typeof encodeCauseBytes> } | undefined
const forget = (): void => void (last = undefined)
const ready = Promise.resolve()

/** The reason to send beside the kind. A foreign error that is of no kind is the reason itself. */
function causeOf({ error }: End): WireCause | undefined {
  if (last?.error === error) return last.cause
  const isReason = kindOf(error) === undefined
  if (!isReason && !Object.hasOwn(error, 'cause')) return undefined
  const cause = describeCause(isReason ? error : error.cause)
  if (last === undefined) void ready.then(forget)
  last = { error, cause }
  return cause
}

function bytesOf(cause: WireCause): ReturnType<typeof encodeCauseBytes> {
  const once = last?.cause === cause ? last : undefined
  const bytes = once?.bytes ?? encodeCauseBytes(cause, CAUSE_BYTES)
  if (once !== undefined) once.bytes = bytes
  return bytes
}
