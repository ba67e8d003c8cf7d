/**
 * The importing side of one exporter's channel.
 *
 * A context that was imported asks its slot: one load of shared memory while it is live. What waits for its end is woken by the link's bell, or by a message, which
 * also lets go of the slots of those that nobody looks at any more.
 */

import { dispose } from '../../lib/dispose.ts'
import { hearsBells } from '../../lib/bridge/slot-memory.ts'
import type { SlotHandle } from '../../lib/bridge/slot.ts'
import { SlotReader, type SlotRefusal } from '../../lib/bridge/slot-reader.ts'
import type { SlotView } from '../../lib/bridge/slot-view.ts'
import { forNobody } from '../../lib/clock.ts'
import { sourceOf, withRemote } from '../../lib/boundary.ts'
import type { CancelableContext, Context } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import type { WireCause } from '../../lib/wire/cause.ts'
import { parseCause } from '../../lib/wire/cause-parse.ts'
import { PeerClock } from './clock.ts'
import { registerSoon } from './dropped.ts'
import { hasSlot, type ParsedHandle } from './handle.ts'
import { LateCauses } from './late.ts'
import { importLabel, reasons, refused, unusable } from './import-ended.ts'
import {
  type Attach,
  Batch,
  CAUSE,
  CHUNK,
  ENDED,
  HELD,
  isMessage,
  isPort,
  MEMORY,
  NEVER,
  pairs,
  TOLD,
  UNSENT,
} from './messages.ts'
import { Port } from './port.ts'
import { type Importing, RemoteSource } from './remote-source.ts'
import { toldId, ToldView } from './told.ts'

/** Whether it has ended with a cause of which the slot has only a part. */
function isShortened(view: SlotView): boolean {
  const end = view.read()
  return typeof end === 'object' && typeof end.cause === 'object' && end.cause.shortened
}

/** Ends an import for those on this side, and gives it back at once, also where it has ended over there. */
export function giveBack(ctx: CancelableContext): void {
  ctx[dispose]()
  const source = sourceOf(ctx)
  if (source instanceof RemoteSource) source.giveBack()
}

const yielded = Promise.resolve()

/** A handle that names a slot. */
type SlotParsed = ParsedHandle & SlotHandle

export class Importer implements Importing {
  readonly table: number
  readonly link: number
  readonly #port: Port
  readonly label: string
  readonly reader: SlotReader
  /** Whole causes of what is imported. */
  readonly #whole = new WeakMap<object, WireCause>()
  /** And of what is not, or not yet. */
  readonly #lateCauses = new LateCauses()
  readonly #told = new Map<number, ToldView>()
  readonly #held = new Batch<number>((grants) => {
    if (!this.#closed) this.#port.post([HELD, grants])
  })
  /** Imports that have nothing to ask: of contexts that never end, and, with their handles, those whose part of the table has not come yet. */
  readonly #loose = new Map<RemoteSource, SlotParsed | undefined>()
  /** Handles of those that were given back before their memory came. */
  readonly #overEarly: SlotParsed[] = []
  /** Where it is for one import, and over with that: called then. */
  readonly #over: (() => void) | undefined
  readonly #clock: PeerClock
  #size = 0
  /** Whether something waits for the bell. */
  #listening = false
  /** Where the bell stood before that. */
  #seen = 0
  #overtaken: unknown[] = []
  /** Whether the memory that is to follow the attach has not come yet. */
  #awaitsMemory: boolean
  /** Whether it never will: then contexts come by messages. */
  #hasNoMemory = false
  /** Whether a part of the table was announced that is none. */
  #isDamaged = false
  #closed = false

  /**
   * Takes ownership of the port. `lost` is called when the other side has closed it, or, in a browser, its thread has ended: after all imports have ended.
   *
   * @param over given where it is for one import: called when that is over
   * @param clock of the thread that has this table, and of no other one
   */
  constructor(
    {
      table,
      link,
      chunks,
      port,
      thread,
      follows,
      now,
      life,
    }: Omit<Attach, 'ctxbridge' | 'version' | 'port'> & { port: MessagePort | BroadcastChannel },
    lost: (hasDied: boolean) => void,
    over?: () => void,
    clock: PeerClock = new PeerClock(),
  ) {
    this.table = table
    this.link = link
    this.#over = over
    this.#clock = clock
    clock.heard(now)
    this.#awaitsMemory = follows === true
    this.label = Number.isInteger(thread) ? `${importLabel}(thread ${thread})` : importLabel
    this.reader = new SlotReader({ table, link, returns: isPort(port) })
    for (const [number, chunk] of chunks.entries()) this.attach(number, chunk)
    // The channel alone is no reason to stay: what the thread waits for is.
    this.#port = new Port(port, {
      message: (message) => this.#receive(message),
      closed: (hasDied) => {
        if (this.#closed) return
        this.close(
          new LinkLostError(hasDied ? 'The other thread has ended.' : 'The other thread has ended, or has closed the link.'),
        )
        lost(hasDied)
      },
    })
    this.#port.live(life)
  }

  /** Resolves when the other side will be told of this thread's death, as far as it can be. Undefined where it is told anyway. */
  get ready(): Promise<void> | undefined {
    return this.#port.ready
  }

  /** How many contexts are imported and neither ended nor given back. */
  get size(): number {
    this.#lateCauses.expire()
    for (const source of this.#all()) source.giveBackSpent()
    return this.#size
  }

  /** How many of them somebody waits for. */
  get observed(): number {
    return this.#all().filter((source) => source.observed).length
  }

  #all(): RemoteSource[] {
    const views = [...this.reader.views(), ...this.#told.values()]
    return [...views.flatMap((view) => RemoteSource.of(view)), ...this.#loose.keys()]
  }

  /**
   * @param base what the context gets its values from
   * @param mayBeDropped whether the context may be dropped without a cancel: then it is given back some time after that
   */
  import(handle: ParsedHandle, base: Context, why: unknown, mayBeDropped = true): CancelableContext {
    const source = this.#sourceOf(handle)
    if (typeof source === 'string') {
      this.#leaveIfOver()
      return refused(reasons[source])
    }
    this.#size++
    if (handle.at !== undefined) this.#clock.heard(handle.sent)
    const at = handle.at === undefined ? Infinity : this.#clock.fromPeer(handle.at)
    // Its owner ends a slot at the deadline, too. By messages alone, a loop that never yields has nothing but the clock.
    const guards = source.reader !== undefined
    const ctx = withRemote(base, source, at, handle.slot === undefined ? undefined : why, guards)
    if (mayBeDropped) registerSoon(ctx)
    return ctx
  }

  #sourceOf(handle: ParsedHandle): RemoteSource | SlotRefusal {
    if (!hasSlot(handle)) return this.#loosely(undefined)
    const source = new RemoteSource(this)
    if (this.#hasNoMemory && handle.told !== undefined) {
      this.#giveTold(source, ...handle.told)
      return source
    }
    const id = toldId(handle.slot)
    if (id !== undefined) {
      this.#giveTold(source, id, handle.grant)
      return source
    }
    let view = this.reader.accept(handle, source)
    if (view === 'unknown') {
      // The handle came by another way, and faster than the chunk, which is in this port's queue.
      this.drain()
      view = this.reader.accept(handle, source)
    }
    if (view === 'unknown' && this.#isDamaged) return 'corrupt'
    if (view === 'unknown' && !Port.takes) return this.#loosely(handle)
    if (typeof view === 'string') return view
    source.give(view)
    this.#listen()
    // Of an end that came before that, no bell tells any more.
    if (!view.isOpen()) void yielded.then(() => source.look())
    return source
  }

  /** A part of the table was announced. */
  attach(number: unknown, chunk: unknown): void {
    if (this.reader.attach(number, chunk) !== undefined) this.#isDamaged = true
  }

  /** What was to follow the attach has come, or a message that could not be read in its place. Returns whether it was that which was waited for. */
  memory(chunks: readonly unknown[] | undefined): boolean {
    if (!this.#awaitsMemory) return false
    this.#awaitsMemory = false
    // Somebody else's memory is none, either.
    this.#hasNoMemory = chunks?.every((chunk, number) => this.reader.attach(number, chunk) === undefined) !== true
    this.#port.post([MEMORY, !this.#hasNoMemory])
    if (!this.#hasNoMemory) this.#settle()
    for (const [source, early] of this.#loose) {
      if (early?.told === undefined || !this.#hasNoMemory) continue
      this.#loose.delete(source)
      this.#giveTold(source, ...early.told)
    }
    // Imported to be given back: until now nobody could say that it was.
    for (const early of this.#overEarly.splice(0)) {
      const source = this.#sourceOf(early)
      if (typeof source === 'string') continue
      this.#size++
      source.giveBack()
    }
    return true
  }

  /** Of an end that was told before the handle came: it is in this port's queue. */
  #giveTold(source: RemoteSource, id: number, grant: number): void {
    const { taken, isNew } = this.#viewOf(id).take(grant)
    if (isNew) this.#held.add(id, grant)
    this.drain()
    source.give(taken)
  }

  #loosely(handle: SlotParsed | undefined): RemoteSource {
    const source = new RemoteSource(this)
    this.#loose.set(source, handle)
    return source
  }

  #viewOf(id: number): ToldView {
    let view = this.#told.get(id)
    if (view === undefined) {
      view = new ToldView(id, (grant, isLast) => {
        if (isLast) this.#told.delete(id)
        this.#held.add(id, -grant)
      })
      this.#told.set(id, view)
    }
    return view
  }

  /** A chunk has come: whose slot is in it? */
  #settle(): void {
    for (const [source, early] of this.#loose) {
      if (early === undefined) continue
      const view = this.reader.accept(early, source)
      if (view === 'unknown') continue
      this.#loose.delete(source)
      if (typeof view === 'string') source.refuse(unusable(reasons[view]))
      else source.give(view)
      this.#listen()
      source.look()
    }
  }

  /**
   * Waits for the bell as long as something is imported: so whoever waits for an end is told, and a slot that has ended is given back though
   * nobody looks. There is one waiter at most, and it stays until the bell rings.
   */
  #listen(): void {
    const seen = hearsBells && !this.#listening ? this.reader.bell() : undefined
    if (seen === undefined) return
    this.#listening = true
    forNobody(() => this.#await(seen))
  }

  #await(seen: number): void {
    // It may have rung meanwhile; but whoever rings without a pause must not keep this thread from all else.
    for (let tries = 0; tries < 3; tries++) {
      this.#seen = seen
      if (this.reader.listen(seen, this.#rung)) return
      seen = this.#hear(seen)
    }
    this.#seen = seen
    setTimeout(this.#rung)
  }

  // One function for all waits: what is made anew for each is looked up anew when it is called, which whoever waits for an end would wait for.
  readonly #rung = (): void => {
    const now = this.#hear(this.#seen)
    this.#listening = !this.#closed && this.#size > this.#loose.size
    if (this.#listening) this.#await(now)
  }

  /** Looks at what has ended since the bell stood at `seen`, and returns where it stood before that. */
  #hear(seen: number): number {
    const now = this.reader.bell() ?? seen
    for (const view of this.reader.rungSince(seen)) this.#lookWhole(view)
    return now
  }

  /**
   * A view may have ended. Where the event loop alone takes messages, as in a browser, the bell may be heard before the message with a cause that was too long for the
   * slot, though that was posted ahead of it: who waits is told when it comes. Who asks meanwhile gets the shortened one.
   */
  #lookWhole(view: SlotView): void {
    if (Port.takes || !isShortened(view) || this.wholeCause(view) !== undefined) RemoteSource.lookAll(view)
  }

  /** Handles now what has come over the port, though this thread does not yield, except that listeners are called later. */
  drain(): void {
    if (this.#closed) return
    for (let next = this.#port.take(); next !== undefined; next = this.#port.take()) {
      const { message } = next
      if (isMessage(message, CHUNK) || isMessage(message, CAUSE)) {
        this.#receive(message)
        continue
      }
      if (isMessage(message, TOLD)) this.#learnAll(message[1])
      // For all who listen, and not for who happens to import.
      if (this.#overtaken.push(message) === 1) forNobody(() => queueMicrotask(() => this.#catchUp()))
    }
  }

  #catchUp(): void {
    for (const message of this.#overtaken.splice(0)) this.#receive(message)
  }

  wholeCause(view: SlotView): WireCause | undefined {
    this.drain()
    return this.#whole.get(view) ?? this.#lateCauses.get(view.slot, view.generation)
  }

  forget(source: RemoteSource): void {
    this.#size--
    const early = this.#awaitsMemory ? this.#loose.get(source) : undefined
    if (early !== undefined) this.#overEarly.push(early)
    this.#loose.delete(source)
    this.#leaveIfOver()
  }

  #leaveIfOver(): void {
    if (this.#over === undefined || this.#size > 0 || this.#closed) return
    this.#closed = true
    this.#leave()
  }

  #receive(message: unknown): void {
    if (isMessage(message, CHUNK)) {
      this.attach(message[1], message[2])
      this.#settle()
    } else if (isMessage(message, CAUSE)) {
      const [, slot, generation, data] = message
      const cause = parseCause(data)
      if (!Number.isInteger(slot) || !Number.isInteger(generation)) return
      const view = this.reader.find(slot as number, generation as number)
      if (view !== undefined) {
        if (cause.ok) {
          this.#whole.set(view, cause.value)
          if (view.isAwaited) this.#lateCauses.add(view.slot, view.generation, cause.value)
        }
        // Where the bell was heard before.
        return Port.takes ? undefined : this.#look(view)
      }
      if (cause.ok) this.#lateCauses.add(slot as number, generation as number, cause.value)
    } else if (isMessage(message, NEVER)) {
      if (this.#over !== undefined) for (const source of this.#all()) source.giveBack()
    } else if (isMessage(message, UNSENT)) {
      const view = this.reader.accept(message[1])
      if (typeof view !== 'string' && view.release()) this.reader.tellDrop()
    } else if (isMessage(message, ENDED)) {
      for (const [slot, generation] of pairs(message[1])) this.#look(this.reader.find(slot, generation))
    } else if (isMessage(message, TOLD)) {
      for (const view of this.#learnAll(message[1])) this.#look(view)
    }
  }

  #look(view: SlotView | ToldView | undefined): void {
    if (view !== undefined) RemoteSource.lookAll(view)
  }

  #learnAll(told: unknown): readonly (ToldView | undefined)[] {
    return Array.isArray(told) ? (told as unknown[]).map((one) => this.#learn(one)) : []
  }

  #learn(told: unknown): ToldView | undefined {
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
    const sources = this.#all()
    for (const source of sources) source.lose(error)
    for (const source of sources) source.wake()
    this.#lateCauses.clear()
    this.#leave()
  }

  #leave(): void {
    this.reader.stopWaiting()
    this.#port.close()
    this.#over?.()
  }
}
