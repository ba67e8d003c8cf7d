/** One import: asks its slot, and lets go of it at the end. */

import type { SlotReader } from '../../lib/bridge/slot-reader.ts'
import type { SlotCause } from '../../lib/bridge/slot-memory.ts'
import { SlotView } from '../../lib/bridge/slot-view.ts'
import { type BridgeError, LinkLostError, withoutStack } from '../../lib/errors.ts'
import { Source } from '../../lib/source.ts'
import { End, prepareError } from '../../lib/end.ts'
import { reviveCause, type WireCause } from '../../lib/wire/cause.ts'
import { decodeCauseBytes } from '../../lib/wire/cause-bytes.ts'
import type { ParsedHandle } from './handle.ts'
import type { ToldView } from './told.ts'

/** The link that it was imported over, as far as an import knows it. */
export interface Importing {
  readonly reader: SlotReader
  readonly label: string
  /** The whole of a cause that did not fit into its slot, if it has come. */
  wholeCause(view: SlotView | ToldView): WireCause | undefined
  /** Called once, when nothing is left to wait for. */
  forget(source: RemoteSource): void
}

/** When it happened is not known here. */
const unknown = Number.NaN

export class RemoteSource extends Source {
  /** Of a slot whose chunk has not come yet. */
  readonly early: ParsedHandle['slot']
  readonly #importer: Importing
  readonly #grant: number
  /** What is asked, until it has answered. */
  #view: SlotView | ToldView | undefined
  /** What has answered with an end of its own, and is about to tell of it to whoever listens there. */
  #spent: SlotView | ToldView | undefined
  #end: End | undefined
  givenBack = false
  /** The imports of one view are a list, which hangs on the view. */
  #previous: RemoteSource | undefined
  #next: RemoteSource | undefined

  /**
   * @param grant what it was imported by; where it has a slot, that knows itself which are given back
   */
  constructor(importer: Importing, view: SlotView | ToldView | undefined, early?: ParsedHandle['slot'], grant = 0) {
    super()
    this.#importer = importer
    this.#grant = grant
    this.early = early
    if (view !== undefined) this.give(view)
  }

  /** The imports of a view, as a list of its own, as each may go while it is told. */
  static of(view: SlotView | ToldView): RemoteSource[] {
    const sources: RemoteSource[] = []
    for (let source = view.tag as RemoteSource | undefined; source !== undefined; source = source.#next) sources.push(source)
    return sources
  }

  /** A view may have ended: see `look`. */
  static lookAll(view: SlotView | ToldView): void {
    const first = view.tag as RemoteSource | undefined
    // Mostly there is one, and who waits for it waits for what is done here.
    if (first === undefined || first.#next === undefined) first?.look()
    else for (const source of RemoteSource.of(view)) source.look()
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
    // One that is lost is still `#view`: there may be no bell for it any more, and so `close` gives it back.
    if (typeof end === 'string') return (this.#end ??= lost(end))
    this.#view = undefined
    this.#spent = view
    return (this.#end = new End(end.kind, this.#revive(view, end.cause), unknown))
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

  override watch(): void {
    if (this.poll() !== undefined) this.wake()
  }

  /**
   * Called at the end, also at one of this side's own; gives the slot back. Not where that has ended over there: who hears the bell of that does it, and
   * a loop that polls does not wait for it.
   */
  override ended(): void {
    if (this.#spent === undefined) this.giveBack()
  }

  /** Gives the slot back, unless that was done: its end is known, or nobody asks any more. */
  giveBack(): void {
    if (this.givenBack) return
    this.givenBack = true
    const view = this.#view ?? this.#spent
    if (view !== undefined) {
      this.#unlink(view)
      this.#view = this.#spent = undefined
      view.release(this.#grant)
    }
    this.#importer.forget(this)
  }

  /** As `giveBack`, where it has ended over there and nobody has heard the bell yet. */
  giveBackSpent(): void {
    if (this.#spent !== undefined) this.giveBack()
  }

  #unlink(view: SlotView | ToldView): void {
    const previous = this.#previous
    const next = this.#next
    if (previous === undefined) view.tag = next
    else previous.#next = next
    if (next !== undefined) next.#previous = previous
    this.#previous = this.#next = undefined
  }

  /** Something may have ended: who waits is told, and what has ended is given back. */
  look(): void {
    if (this.poll() === undefined) return
    this.wake()
    this.giveBack()
  }

  override label(): string {
    return this.#importer.label
  }

  lose(error: LinkLostError): void {
    // What it says itself, if it has ended already, counts.
    this.#end ??= this.poll() ?? new End('canceled', error, unknown)
    this.giveBack()
  }
}

function lost(how: 'stale' | 'corrupt'): End {
  const message = how === 'stale' ? 'The other thread has closed the link.' : 'The shared memory of the link is damaged.'
  const error = withoutStack(() => new LinkLostError(message))
  return new End('canceled', error, unknown)
}
