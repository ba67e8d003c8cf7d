/** One import: asks its slot, and lets go of it at the end. */

import type { SlotReader } from '../../lib/bridge/slot-reader.ts'
import type { SlotBytes } from '../../lib/bridge/slot-memory.ts'
import { SlotView } from '../../lib/bridge/slot-view.ts'
import { type BridgeError, LinkLostError, withoutStack } from '../../lib/errors.ts'
import { End, prepareError } from '../../lib/end.ts'
import { reviveCause, type WireCause } from '../../lib/wire/cause.ts'
import { decodeCauseBytes } from '../../lib/wire/cause-bytes.ts'
import { reasons, unusable } from './import-ended.ts'
import type { ToldImport, ToldView } from './told.ts'

/** The link that it was imported over, as far as an import knows it. */
export interface Importing {
  readonly reader: SlotReader
  readonly label: string
  /** The whole of a cause that did not fit into its slot, if it has come. */
  wholeCause(view: SlotView): WireCause | undefined
  /** Called once, when nothing is left to wait for. */
  forget(source: RemoteSource): void
}

/** When it happened is not known here. */
const unknown = Number.NaN

/** The imports of a view that was imported more than once. */
class Several {
  readonly all = new Set<RemoteSource>()

  look(): void {
    // Each may go while it is told.
    for (const source of [...this.all]) source.look()
  }
}

/** What is asked. */
type Asked = SlotView | ToldImport | typeof nothing

/** Never ends: what there is to ask for a context that never does, and for one whose chunk has not come yet. */
const nothing = { tag: undefined as unknown, isOpen: () => true, read: () => 'open' as const, release: () => false }

/** What hangs on a view: mostly it was imported once, and then it is mostly its own. */
type Imports = RemoteSource | Several | undefined

/** One import. It is also the view of its slot, if it was the first of those. */
export class RemoteSource extends SlotView {
  readonly #importer: Importing
  /** What is asked, until it is given back. */
  #view: Asked | undefined = nothing
  /** Known while it is not given back: the view has answered with it, and is about to tell of it to whoever listens there. */
  #end: End | undefined = undefined

  constructor(importer: Importing) {
    super()
    this.#importer = importer
  }

  /** The imports of a view, as a list of its own, as each may go while it is told. */
  static of(view: SlotView | ToldView): RemoteSource[] {
    const imports = view.tag as Imports
    if (imports === undefined) return []
    return imports instanceof Several ? [...imports.all] : [imports]
  }

  /** A view may have ended: see `look`. */
  static lookAll(view: SlotView | ToldView): void {
    // Mostly there is one, and who waits for it waits for what is done here.
    ;(view.tag as Imports)?.look()
  }

  get givenBack(): boolean {
    return this.#view === undefined
  }

  give(view: SlotView | ToldImport): void {
    prepareError()
    this.#view = view
    const imports = view.tag as Imports
    if (imports === undefined) view.tag = this
    else if (imports instanceof Several) imports.all.add(this)
    else {
      const several = new Several()
      several.all.add(imports).add(this)
      view.tag = several
    }
  }

  /** What a thread that blocks may wait at for its end; undefined where there is nothing of the kind. */
  get reader(): SlotReader | undefined {
    return this.#view instanceof SlotView ? this.#importer.reader : undefined
  }

  refuse(why: BridgeError): void {
    this.#end ??= new End('canceled', why, unknown)
  }

  override poll(): End | undefined {
    const view = this.#view
    return view === undefined || view.isOpen() ? this.#end : RemoteSource.#conclude(this, view)
  }

  // Static ones: an object with a private method has a word that says so.

  static #conclude(source: RemoteSource, view: Asked): End | undefined {
    if (source.#end !== undefined) return source.#end
    const end = view.read()
    if (end === 'open') return undefined
    if (typeof end === 'string') {
      source.#end = lost(end)
      // There may be no bell for it any more.
      source.giveBack()
      return source.#end
    }
    const { kind, cause } = end
    return (source.#end = new End(kind, typeof cause === 'object' ? revive(source.#importer, view, cause) : cause, unknown))
  }

  /** This is what a polling loop runs. */
  override stirred(): boolean {
    const view = this.#view
    return this.#end !== undefined || (view !== undefined && !view.isOpen())
  }

  override watch(): void {
    if (this.poll() !== undefined) this.wake()
  }

  /**
   * Called at the end, also at one of this side's own; gives the slot back. Not where that has ended over there: who hears the bell of that does it, and
   * a loop that polls does not wait for it.
   */
  override ended(): void {
    if (this.#end === undefined) this.giveBack()
  }

  /** Gives the slot back, unless that was done: its end is known, or nobody asks any more. */
  giveBack(): void {
    const view = this.#view
    if (view === undefined) return
    this.#view = undefined
    RemoteSource.#unlink(this, view)
    // It lives on over there.
    if (view.release() && this.#end === undefined) this.#importer.reader.tellDrop()
    this.#importer.forget(this)
  }

  /** As `giveBack`, where it has ended over there and nobody has heard the bell yet. */
  giveBackSpent(): void {
    if (this.#end !== undefined) this.giveBack()
  }

  static #unlink(source: RemoteSource, view: Asked): void {
    const imports = view.tag as Imports
    if (imports === source) view.tag = undefined
    else if (imports instanceof Several && imports.all.delete(source) && imports.all.size === 0) view.tag = undefined
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

function lost(how: 'stale' | 'corrupt' | 'spent'): End {
  // Of a handle whose own link is there, though there is nothing that it could be.
  if (how === 'spent') return new End('canceled', unusable(reasons[how]), unknown)
  const message =
    how === 'stale' ? 'The other thread has ended, or has closed the link.' : 'The shared memory of the link is damaged.'
  const error = withoutStack(() => new LinkLostError(message))
  return new End('canceled', error, unknown)
}

/** A cause that was made bytes of, or told by a message; undefined where it cannot be read. */
function revive(importer: Importing, view: Asked, cause: SlotBytes | WireCause): unknown {
  if (!('bytes' in cause)) return reviveCause(cause)
  const { bytes, shortened } = cause
  const whole = shortened && view instanceof SlotView ? importer.wholeCause(view) : undefined
  if (whole !== undefined) return reviveCause(whole)
  const decoded = decodeCauseBytes(bytes)
  return decoded.ok ? reviveCause(decoded.value) : undefined
}
