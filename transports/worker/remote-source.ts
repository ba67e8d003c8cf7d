/** One import: asks its slot, and lets go of it at the end. */

import type { SlotReader } from '../../lib/bridge/slot-reader.ts'
import type { SlotCause } from '../../lib/bridge/slot-memory.ts'
import { SlotView } from '../../lib/bridge/slot-view.ts'
import { type BridgeError, LinkLostError, withoutStack } from '../../lib/errors.ts'
import type { Source } from '../../lib/source.ts'
import { End, prepareError } from '../../lib/end.ts'
import { reviveCause, type WireCause } from '../../lib/wire/cause.ts'
import { decodeCauseBytes } from '../../lib/wire/cause-bytes.ts'
import { fromShared } from './clock.ts'
import type { ParsedHandle } from './handle.ts'
import type { ToldView } from './told.ts'

/** The link that it was imported over, as far as an import knows it. */
export interface Importing {
  readonly reader: SlotReader
  /** The whole of a cause that did not fit into its slot, if it has come. */
  wholeCause(view: SlotView | ToldView): WireCause | undefined
  /** Called once, when nothing is left to wait for. */
  forget(source: RemoteSource): void
  /** Calls `source.giveBack()` when this thread yields, or somebody counts, whichever is first. */
  giveBackSoon(source: RemoteSource): void
}

/** When it happened is not known here. */
const unknown = Number.NaN

export class RemoteSource implements Source {
  readonly guards = true
  readonly deadline: number
  /** Of a slot whose chunk has not come yet. */
  readonly early: ParsedHandle['slot']
  readonly #importer: Importing
  /** What is asked, until it has answered. */
  #view: SlotView | ToldView | undefined
  /** What has answered, until it is given back. */
  #spent: SlotView | ToldView | undefined
  #end: End | undefined
  #wake: (() => void) | undefined
  #closed = false
  /** The imports of one view are a list, which hangs on the view. */
  #previous: RemoteSource | undefined
  #next: RemoteSource | undefined

  /** @param at the deadline, on the clock that all threads share */
  constructor(importer: Importing, view: SlotView | ToldView | undefined, at: number, early?: ParsedHandle['slot']) {
    this.#importer = importer
    this.early = early
    this.deadline = fromShared(at)
    if (view !== undefined) this.give(view)
  }

  /** The imports of a view, as a list of its own, as each may go while it is told. */
  static of(view: SlotView | ToldView): RemoteSource[] {
    const sources: RemoteSource[] = []
    for (let source = view.tag as RemoteSource | undefined; source !== undefined; source = source.#next) sources.push(source)
    return sources
  }

  get observed(): boolean {
    return this.#wake !== undefined
  }

  /** Whether its context never ends, so that only the loss of the link concerns it. */
  get endless(): boolean {
    return this.#view === undefined && this.early === undefined
  }

  give(view: SlotView | ToldView): void {
    prepareError()
    const first = view.tag as RemoteSource | undefined
    this.#view = view
    this.#next = first
    if (first !== undefined) first.#previous = this
    view.tag = this
  }

  /** What a thread that blocks may wait at for its end; undefined where there is nothing of the kind. */
  get reader(): SlotReader | undefined {
    return this.#view instanceof SlotView ? this.#importer.reader : undefined
  }

  refuse(why: BridgeError): void {
    this.#end ??= new End('canceled', why, unknown)
  }

  /** This is what a polling loop runs. */
  poll(): End | undefined {
    const view = this.#view
    return view === undefined || view.isOpen() ? this.#end : this.#conclude(view)
  }

  #conclude(view: SlotView | ToldView): End | undefined {
    const end = view.read()
    if (end === 'open') return undefined
    this.#view = undefined
    this.#spent = view
    return (this.#end = typeof end === 'string' ? lost(end) : new End(end.kind, this.#revive(view, end.cause), unknown))
  }

  /** A cause as it came; undefined where there is none, or none that can be read. */
  #revive(view: SlotView | ToldView, cause: SlotCause | WireCause | undefined): unknown {
    if (cause === undefined) return undefined
    if (!('bytes' in cause)) return reviveCause(cause)
    const { text, bytes, shortened } = cause
    if (text !== undefined || bytes.length === 0) return text
    const whole = shortened ? this.#importer.wholeCause(view) : undefined
    if (whole !== undefined) return reviveCause(whole)
    const decoded = decodeCauseBytes(bytes)
    return decoded.ok ? reviveCause(decoded.value) : undefined
  }

  watch(wake: () => void): void {
    this.#wake = wake
    if (this.poll() !== undefined) wake()
  }

  unwatch(): void {
    this.#wake = undefined
  }

  /**
   * Called at the end, also at one of this side's own; gives the slot back. One that has ended over there only when this thread yields: a loop that
   * polls must not wait for that.
   */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#spent === undefined) this.giveBack()
    else this.#importer.giveBackSoon(this)
  }

  /** Once, after `close`. */
  giveBack(): void {
    const view = this.#view ?? this.#spent
    if (view !== undefined) {
      this.#unlink(view)
      this.#view = this.#spent = undefined
      view.release()
    }
    this.#importer.forget(this)
  }

  #unlink(view: SlotView | ToldView): void {
    const previous = this.#previous
    const next = this.#next
    if (previous === undefined) view.tag = next
    else previous.#next = next
    if (next !== undefined) next.#previous = previous
    this.#previous = this.#next = undefined
  }

  /** Something may have ended: who waits is told. */
  look(): void {
    if (this.poll() !== undefined) this.#wake?.()
  }

  tell(): void {
    this.#wake?.()
  }

  lose(error: LinkLostError): void {
    // What it says itself, if it has ended already, counts.
    this.#end ??= this.poll() ?? new End('canceled', error, unknown)
    this.close()
  }
}

function lost(how: 'stale' | 'corrupt'): End {
  const message = how === 'stale' ? 'The other thread has closed the link.' : 'The shared memory of the link is damaged.'
  const error = withoutStack(() => new LinkLostError(message))
  return new End('canceled', error, unknown)
}
