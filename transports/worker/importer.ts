/**
 * The importing side of one exporter's channel.
 *
 * A context that was imported asks its slot: one load of shared memory while it is live. What waits for its end is woken by a message, which
 * also lets go of the slots of those that nobody looks at any more.
 */

import { SlotReader, type SlotRefusal, SlotView } from '../../lib/bridge/slot-reader.ts'
import { hostClock } from '../../lib/clock.ts'
import { withRemote } from '../../lib/boundary.ts'
import { background, type CancelableContext, type Context, withValue } from '../../lib/context.ts'
import { type Key, named } from '../../lib/key.ts'
import { decodeValues } from '../../lib/wire/values.ts'
import type { Source } from '../../lib/source.ts'
import { End } from '../../lib/end.ts'
import { BridgeError, ContextError, kindOf, LinkLostError, withoutStack } from '../../lib/errors.ts'
import { reviveCause, type WireCause } from '../../lib/wire/cause.ts'
import { decodeCauseBytes } from '../../lib/wire/cause-bytes.ts'
import { parseCause } from '../../lib/wire/cause-parse.ts'
import { fromShared } from './clock.ts'
import type { ParsedHandle } from './handle.ts'
import { Port, type PortListener, warn } from './host.ts'
import { type Attach, Batch, CAUSE, channelOf, CHUNK, ENDED, isMessage, pairs, RETURNED, TAKEN, TOLD } from './messages.ts'
import { ToldView } from './told.ts'

const label = 'Import'
/** Where imports without a slot are kept, of contexts that never end: only the loss of the link concerns them. */
const NO_SLOT = -1
/** Causes that came ahead of whoever asks for them. A handle that is never imported must not keep its cause for ever. */
const MAX_CAUSES = 256

/** A context that is done, because its handle cannot be imported. */
export function refused(why: string): CancelableContext {
  return ended(background(), new End('canceled', unusable(why), hostClock.now()))
}

function unusable(why: string): BridgeError {
  return withoutStack(() => new BridgeError('ERR_HANDLE', `The handle cannot be imported: ${why}.`))
}

/** What an import gets its values from. */
export function baseOf({ values }: ParsedHandle, keys: readonly Key<unknown>[]): Context {
  const { bindings } = decodeValues(values, keys, (error, key) =>
    warn(`The value of the portable key ${named(key)} was not received: ${String(error)}`),
  )
  return bindings.reduce((ctx, [key, value]) => withValue(ctx, key, value), background())
}

/** A context that is done, as its handle says. */
export function importEnded(end: WireCause, base: Context): CancelableContext {
  const error = reviveCause(end)
  if (!(error instanceof ContextError)) return refused('it says that its context has ended, but not how')
  return ended(base, new End(kindOf(error) ?? 'canceled', undefined, hostClock.now(), error))
}

/** A context that is done: with what a handle says. */
export function ended(base: Context, end: End): CancelableContext {
  return withRemote(
    base,
    label,
    { poll: () => end, watch: (wake) => wake(), unwatch: () => undefined },
    Number.POSITIVE_INFINITY,
    undefined,
  )
}

const reasons: Record<SlotRefusal, string> = {
  malformed: 'it is forged or damaged',
  unknown: 'its part of the table was never announced',
  foreign: 'it was made for another link',
  stale: 'its context is gone',
  spent: 'it was imported and given back before, or never made',
  corrupt: 'the shared memory that it points to is damaged',
}

// Dropped without a cancel: given back when collected. A source does not hold its context, unless somebody observes that.
const dropped = new FinalizationRegistry<RemoteSource>((source) => source.close())

export class Importer {
  readonly #port: Port
  readonly reader: SlotReader
  readonly #sources = new Map<number, Set<RemoteSource>>()
  readonly #causes = new Map<string, WireCause>()
  readonly #told = new Map<number, ToldView>()
  readonly #taken = new Batch<number>((grants) => this.#port.post([TAKEN, grants]))
  readonly #returned = new Batch<number>((grants) => {
    if (!this.#closed) this.#port.post([RETURNED, grants])
  })
  /** Imports whose part of the table has not come yet. */
  readonly #early = new Set<RemoteSource>()
  /** Whether it is for one import, and over with that. */
  readonly #alone: boolean
  #overtaken: unknown[] = []
  #closed = false

  /** Takes ownership of the port. `lost` is called when the other side has closed it, after all imports have ended. */
  constructor(
    { table, link, chunks, port }: Pick<Attach, 'table' | 'link' | 'chunks'> & { port: MessagePort | BroadcastChannel },
    lost: () => void,
    alone = false,
  ) {
    this.#alone = alone
    this.reader = new SlotReader({ table, link, returns: port instanceof MessagePort })
    for (const [number, chunk] of chunks.entries()) this.reader.attach(number, chunk)
    const name = channelOf(table, link)
    // The channel alone is no reason to stay: what the thread waits for is.
    const listener: PortListener = {
      message: (message) => this.#receive(message),
      closed: () => {
        if (this.#closed) return
        this.close(new LinkLostError('The other thread has closed the link.'))
        lost()
      },
      garbled: () => undefined,
    }
    this.#port = new Port(port, listener, { mine: `${name}.importer`, theirs: `${name}.exporter` })
  }

  /** How many contexts are imported and neither ended nor given back. */
  get size(): number {
    let size = 0
    for (const sources of this.#sources.values()) size += sources.size
    return size
  }

  /** How many of them somebody waits for. */
  get observed(): number {
    let observed = 0
    for (const sources of this.#sources.values()) for (const source of sources) if (source.observed) observed++
    return observed
  }

  /** @param base what the context gets its values from */
  import(handle: ParsedHandle, base: Context, why: unknown): CancelableContext {
    const { slot, told, at } = handle
    if (told !== undefined) return this.#make(base, new RemoteSource(this, this.#take(told, at), at), why)
    if (slot === undefined) return this.#make(base, new RemoteSource(this, undefined, at), undefined)
    let view = this.reader.accept(slot)
    if (view === 'unknown') {
      // The handle came by another way, and faster than the chunk, which is in this port's queue.
      this.drain()
      view = this.reader.accept(slot)
    }
    if (view === 'unknown' && !Port.takes) {
      const source = new RemoteSource(this, undefined, at, slot)
      this.#early.add(source)
      return this.#make(base, source, why)
    }
    if (typeof view === 'string') return refused(reasons[view])
    return this.#make(base, new RemoteSource(this, view, view.deadline), why)
  }

  #take({ id, grant }: { readonly id: number; readonly grant: number }, at: number): ToldView {
    let view = this.#told.get(id)
    if (view === undefined) {
      const fresh = new ToldView(id, at, () => {
        this.#told.delete(id)
        this.#returned.add(...[...fresh.grants].flatMap((grant) => [id, grant]))
      })
      this.#told.set(id, (view = fresh))
    }
    if (view.take(grant)) this.#taken.add(id, grant)
    return view
  }

  #make(base: Context, source: RemoteSource, why: unknown): CancelableContext {
    this.#keep(source)
    const ctx = withRemote(base, label, source, source.deadline, why)
    dropped.register(ctx, source)
    return ctx
  }

  #keep(source: RemoteSource): void {
    const sources = this.#sources.get(source.key)
    if (sources === undefined) this.#sources.set(source.key, new Set([source]))
    else sources.add(source)
  }

  /** A chunk has come: whose slot is in it? */
  #settle(): void {
    for (const source of this.#early) {
      const view = this.reader.accept(source.early)
      if (view === 'unknown') continue
      this.forget(source)
      if (typeof view === 'string') {
        source.refuse(reasons[view])
      } else {
        source.give(view)
        this.#keep(source)
      }
      if (source.poll() !== undefined) source.tell()
    }
  }

  /** Handles now what has come over the port, though this thread does not yield, except that listeners are called later. */
  drain(): void {
    if (this.#closed) return
    for (let next = this.#port.take(); next !== undefined; next = this.#port.take()) {
      const { message } = next
      if (isMessage(message, CHUNK) || isMessage(message, CAUSE)) this.#receive(message)
      else if (this.#overtaken.push(message) === 1) queueMicrotask(() => this.#catchUp())
    }
  }

  #catchUp(): void {
    for (const message of this.#overtaken.splice(0)) this.#receive(message)
  }

  /** The whole of a cause that did not fit into its slot, if it has come. */
  wholeCause(view: SlotView): WireCause | undefined {
    this.drain()
    return this.#causes.get(`${view.slot}.${view.generation}`)
  }

  forget(source: RemoteSource): void {
    this.#early.delete(source)
    const sources = this.#sources.get(source.key)
    if (sources?.delete(source) === true && sources.size === 0) this.#sources.delete(source.key)
    if (!this.#alone || this.#sources.size > 0 || this.#closed) return
    this.#closed = true
    this.#port.close()
  }

  #receive(message: unknown): void {
    if (isMessage(message, CHUNK)) {
      this.reader.attach(message[1], message[2])
      if (this.#early.size > 0) this.#settle()
    } else if (isMessage(message, CAUSE)) {
      const [, slot, generation, data] = message
      const cause = parseCause(data)
      if (!cause.ok || !Number.isInteger(slot) || !Number.isInteger(generation)) return
      this.#causes.set(`${Number(slot)}.${Number(generation)}`, cause.value)
      const [oldest] = this.#causes.keys()
      if (this.#causes.size > MAX_CAUSES && oldest !== undefined) this.#causes.delete(oldest)
    } else if (isMessage(message, ENDED)) {
      for (const [slot, generation] of pairs(message[1])) this.#wake(slot, generation)
    } else if (isMessage(message, TOLD) && Array.isArray(message[1])) {
      const told = (message[1] as unknown[]).map((one) => this.#hear(one))
      for (const view of told) if (view !== undefined) this.#wake(view.slot, view.generation)
    }
  }

  #wake(slot: number, generation: number): void {
    for (const source of this.#sources.get(slot) ?? []) source.wake(generation)
  }

  #hear(told: unknown): ToldView | undefined {
    if (!Array.isArray(told)) return undefined
    const [id, how, data] = told as unknown[]
    const view = this.#told.get(id as number)
    if (view === undefined || (how !== 'canceled' && how !== 'deadline' && how !== 'gone')) return undefined
    const cause = data === undefined ? undefined : parseCause(data)
    view.told(how, cause?.ok === true ? cause.value : undefined)
    return view
  }

  /** Ends all imports with `error` as their cause, and gives the port back. */
  close(error: LinkLostError): void {
    if (this.#closed) return
    this.#closed = true
    // First all are marked, then anybody's listeners run.
    const sources: RemoteSource[] = []
    for (const set of this.#sources.values()) sources.push(...set)
    for (const source of sources) source.lose(error)
    for (const source of sources) source.tell()
    this.#causes.clear()
    this.#port.close()
  }
}

/** One import: asks its slot, and lets go of it at the end. */
export class RemoteSource implements Source {
  readonly guards = true
  readonly deadline: number
  /** Of a slot whose chunk has not come yet. */
  readonly early: ParsedHandle['slot']
  readonly #importer: Importer
  #view: SlotView | ToldView | undefined
  #key = NO_SLOT
  #generation: number | undefined
  #end: End | undefined
  #wake: (() => void) | undefined

  /** @param at the deadline, on the clock that all threads share */
  constructor(importer: Importer, view: SlotView | ToldView | undefined, at: number, early?: ParsedHandle['slot']) {
    this.#importer = importer
    this.early = early
    this.deadline = fromShared(at)
    if (view !== undefined) this.give(view)
  }

  /** What its importer keeps it under. */
  get key(): number {
    return this.#key
  }

  get observed(): boolean {
    return this.#wake !== undefined
  }

  give(view: SlotView | ToldView): void {
    this.#view = view
    this.#key = view.slot
    this.#generation = view.generation
  }

  /** What a thread that blocks may wait at for its end; undefined where there is nothing of the kind. */
  get reader(): SlotReader | undefined {
    return this.#view instanceof SlotView ? this.#importer.reader : undefined
  }

  refuse(why: string): void {
    this.#end ??= new End('canceled', unusable(why), hostClock.now())
  }

  /** This is what a polling loop runs. */
  poll(): End | undefined {
    const view = this.#view
    return view === undefined || view.isOpen() ? this.#end : this.#conclude(view)
  }

  #conclude(view: SlotView | ToldView): End | undefined {
    const end = view.read()
    if (end === 'open') return undefined
    const now = hostClock.now()
    if (typeof end === 'string') {
      const message = end === 'stale' ? 'The other thread has closed the link.' : 'The shared memory of the link is damaged.'
      this.#end = new End(
        'canceled',
        withoutStack(() => new LinkLostError(message)),
        now,
      )
    } else {
      const whole = end.shortened && view instanceof SlotView ? this.#importer.wholeCause(view) : undefined
      const at = end.kind === 'deadline' ? Math.min(now, this.deadline) : now
      this.#end = new End(end.kind, whole === undefined ? revived(end.cause) : reviveCause(whole), at)
    }
    this.close()
    return this.#end
  }

  watch(wake: () => void): void {
    this.#wake = wake
    if (this.poll() !== undefined) wake()
  }

  unwatch(): void {
    this.#wake = undefined
  }

  /** Called at the end, also at one of this side's own; gives the slot back. */
  close(): void {
    this.#view?.release()
    this.#view = undefined
    this.#importer.forget(this)
  }

  /** The slot has ended, if it is still of this generation. */
  wake(generation: unknown): void {
    if (generation === this.#generation && this.poll() !== undefined) this.tell()
  }

  tell(): void {
    this.#wake?.()
  }

  lose(error: LinkLostError): void {
    // What it says itself, if it has ended already, counts.
    this.#end ??= this.poll() ?? new End('canceled', error, hostClock.now())
    this.close()
  }
}

/** A cause as it came; undefined where there is none, or none that we can read. */
function revived(cause: Uint8Array | WireCause | undefined): unknown {
  if (!(cause instanceof Uint8Array)) return cause === undefined ? undefined : reviveCause(cause)
  if (cause.length === 0) return undefined
  const decoded = decodeCauseBytes(cause)
  return decoded.ok ? reviveCause(decoded.value) : undefined
}
