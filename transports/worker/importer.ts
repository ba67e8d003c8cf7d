/**
 * The importing side of one exporter's channel.
 *
 * A context that was imported asks its slot: one load of shared memory while it is live. What waits for its end is woken by a message, which
 * also lets go of the slots of those that nobody looks at any more.
 */

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import { SlotReader, type SlotRefusal, type SlotView } from '../../lib/bridge/slot-reader.ts'
import { hostClock } from '../../lib/clock.ts'
import { withRemote } from '../../lib/boundary.ts'
import { background, type CancelableContext, type Context } from '../../lib/context.ts'
import type { Source } from '../../lib/source.ts'
import { End } from '../../lib/tree.ts'
import { BridgeError, LinkLostError, withoutStack } from '../../lib/errors.ts'
import { reviveCause, type WireCause } from '../../lib/wire/cause.ts'
import { decodeCauseBytes } from '../../lib/wire/cause-bytes.ts'
import { parseCause } from '../../lib/wire/cause-parse.ts'
import { fromShared } from './clock.ts'
import type { ParsedHandle } from './handle.ts'
import { type Attach, CAUSE, CHUNK, ENDED } from './messages.ts'

const label = 'Import'
/** Where imports without a slot are kept, of contexts that never end: only the loss of the link concerns them. */
const NO_SLOT = -1
/** Causes that came ahead of whoever asks for them. A handle that is never imported must not keep its cause for ever. */
const MAX_CAUSES = 256

/** A context that is done, because its handle cannot be imported. */
export function refused(why: string): CancelableContext {
  const error = withoutStack(() => new BridgeError('ERR_HANDLE', `The handle cannot be imported: ${why}.`))
  return ended(background(), new End('canceled', error, hostClock.now()))
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
  readonly #port: MessagePort
  readonly #reader: SlotReader
  readonly #sources = new Map<number, Set<RemoteSource>>()
  readonly #causes = new Map<string, WireCause>()
  #overtaken: unknown[] = []
  #closed = false

  /** Takes ownership of the port. `lost` is called when the other side has closed it, after all imports have ended. */
  constructor({ table, link, chunks, port }: Attach, lost: () => void) {
    this.#port = port
    this.#reader = new SlotReader({ table, link })
    for (const [number, chunk] of chunks.entries()) this.#reader.attach(number, chunk)
    port.on('message', (message) => this.#receive(message))
    port.on('close', () => {
      if (this.#closed) return
      this.close(new LinkLostError('The other thread has closed the link.'))
      lost()
    })
    // The channel alone is no reason to stay: what the thread waits for is.
    port.unref()
  }

  /** How many contexts are imported and neither ended nor given back. */
  get size(): number {
    let size = 0
    for (const sources of this.#sources.values()) size += sources.size
    return size
  }

  /** @param base what the context gets its values from */
  import(handle: ParsedHandle, base: Context, why: unknown): CancelableContext {
    if (handle.slot === undefined) return this.#make(base, undefined, undefined)
    let view = this.#reader.accept(handle.slot)
    if (view === 'unknown') {
      // The handle came by another way, and faster than the chunk, which is in this port's queue.
      this.drain()
      view = this.#reader.accept(handle.slot)
    }
    return typeof view === 'string' ? refused(reasons[view]) : this.#make(base, view, why)
  }

  #make(base: Context, view: SlotView | undefined, why: unknown): CancelableContext {
    const source = new RemoteSource(this, view)
    const key = view?.slot ?? NO_SLOT
    const sources = this.#sources.get(key)
    if (sources === undefined) this.#sources.set(key, new Set([source]))
    else sources.add(source)
    const ctx = withRemote(base, label, source, source.deadline, why)
    dropped.register(ctx, source)
    return ctx
  }

  /** Handles now what has come over the port, though this thread does not yield, except that listeners are called later. */
  drain(): void {
    if (this.#closed) return
    for (let next = receiveMessageOnPort(this.#port); next !== undefined; next = receiveMessageOnPort(this.#port)) {
      const message: unknown = next.message
      if (!isMessage(message, ENDED)) this.#receive(message)
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

  forget(source: RemoteSource, slot: number | undefined): void {
    const key = slot ?? NO_SLOT
    const sources = this.#sources.get(key)
    if (sources?.delete(source) === true && sources.size === 0) this.#sources.delete(key)
  }

  #receive(message: unknown): void {
    if (isMessage(message, CHUNK)) {
      this.#reader.attach(message[1], message[2])
    } else if (isMessage(message, CAUSE)) {
      const cause = parseCause(message[3])
      if (!cause.ok) return
      this.#causes.set(`${String(message[1])}.${String(message[2])}`, cause.value)
      const [oldest] = this.#causes.keys()
      if (this.#causes.size > MAX_CAUSES && oldest !== undefined) this.#causes.delete(oldest)
    } else if (isMessage(message, ENDED) && Array.isArray(message[1])) {
      const slots = message[1] as unknown[]
      for (let i = 0; i < slots.length; i += 2) {
        for (const source of this.#sources.get(slots[i] as number) ?? []) source.wake(slots[i + 1])
      }
    }
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

function isMessage(message: unknown, type: number): message is [type: number, ...unknown[]] {
  return Array.isArray(message) && message[0] === type
}

/** One import: asks its slot, and lets go of it at the end. */
class RemoteSource implements Source {
  readonly deadline: number
  readonly #importer: Importer
  readonly #slot: number | undefined
  readonly #generation: number | undefined
  #view: SlotView | undefined
  #end: End | undefined
  #wake: (() => void) | undefined

  constructor(importer: Importer, view: SlotView | undefined) {
    this.#importer = importer
    this.#view = view
    this.#slot = view?.slot
    this.#generation = view?.generation
    this.deadline = view === undefined ? Number.POSITIVE_INFINITY : fromShared(view.deadline)
  }

  /** This is what a polling loop runs. */
  poll(): End | undefined {
    const view = this.#view
    return view === undefined || view.isOpen() ? this.#end : this.#conclude(view)
  }

  #conclude(view: SlotView): End | undefined {
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
      const whole = end.shortened ? this.#importer.wholeCause(view) : undefined
      const at = end.kind === 'deadline' ? Math.min(now, this.deadline) : now
      this.#end = new End(end.kind, whole === undefined ? reviveBytes(end.cause) : reviveCause(whole), at)
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
    this.#importer.forget(this, this.#slot)
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

/** The cause that a slot holds; undefined where it holds none, or none that we can read. */
function reviveBytes(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined
  const cause = decodeCauseBytes(bytes)
  return cause.ok ? reviveCause(cause.value) : undefined
}
