/**
 * Contexts that go by messages alone, where memory cannot be shared or the table is full: what a slot is in shared memory, here
 * both sides have for themselves, and tell each other.
 *
 * Ids only grow. A handle holds its context by a numbered grant, from before it is sent until the importer returns it. An importer that takes
 * a handle says so, and is told if the context has ended already: so it is no matter which way the handle came, nor how long it took.
 */

import type { SlotHandle } from '../../lib/bridge/slot.ts'
import type { Kind } from '../../lib/errors.ts'
import type { WireCause } from '../../lib/wire/cause.ts'
import type { Told } from './messages.ts'

function slotOf(id: number): number {
  return -1 - id
}

/** The id that a handle names in place of a slot; undefined where that is one of shared memory. */
export function toldId(slot: unknown): number | undefined {
  return Number.isSafeInteger(slot) && (slot as number) < -1 ? slotOf(slot as number) : undefined
}

/** The exporter's side: one context on one link. */
export class ToldSlot {
  readonly id: number
  readonly generation = 0
  /** The number of the last grant. */
  granted = 0
  readonly #out = new Set<number>()
  readonly #tell: (told: Told) => void
  #end: Told | undefined
  #open = true

  constructor(id: number, tell: (told: Told) => void) {
    this.id = id
    this.#tell = tell
  }

  /** Whether no handle is out: neither imported nor on its way. */
  get returned(): boolean {
    return this.#out.size === 0
  }

  /** Whether the owner can still end it. */
  get open(): boolean {
    return this.#open
  }

  /** What its handles have where others have the number of a slot of shared memory: none there has it. */
  get number(): number {
    return slotOf(this.id)
  }

  /** Grants it once more, as a slot of shared memory does; false when it has ended. */
  lend(): boolean {
    if (!this.#open) return false
    this.#out.add(++this.granted)
    return true
  }

  /** Takes a handle back that was never sent: any, not only the last one. */
  revoke({ grant }: Partial<SlotHandle>): true {
    if (grant !== undefined) this.giveBack(grant)
    return true
  }

  /** Takes a grant back: the other side is through with it. */
  giveBack(grant: number): void {
    this.#out.delete(grant)
  }

  /** All of them are back. */
  takeBack(): void {
    this.#out.clear()
  }

  /** The other side has imported a handle. */
  taken(grant: number): void {
    if (this.#end !== undefined) this.#tell(this.#end)
    else if (this.returned) this.#tell([this.id, 'gone', undefined])
    // One that was given back and is imported again, while others are held: it is held like those.
    else if (grant <= this.granted) this.#out.add(grant)
  }

  end(kind: Kind, cause: WireCause | undefined): void {
    this.#open = false
    this.#end = [this.id, kind, cause]
    if (!this.returned) this.#tell(this.#end)
  }

  /** Lets go without an end, because the context lives on and nobody imports it. False, and no change, where somebody does. */
  withdraw(): boolean {
    if (!this.#open || !this.returned) return false
    this.#open = false
    return true
  }
}

/** The importer's side, of one context. All imports of it share this, and each is a `ToldImport`, which is released once. */
export class ToldView {
  readonly slot: number
  /** Whatever the importer keeps with it. */
  tag: unknown
  readonly #giveBack: (grant: number, isLast: boolean) => void
  #end: { readonly kind: Kind; readonly cause: WireCause | undefined } | 'spent' | undefined
  /** Grants, and how often each is imported: mostly once. */
  readonly #imports = new Map<number, number>()

  constructor(id: number, giveBack: (grant: number, isLast: boolean) => void) {
    this.slot = slotOf(id)
    this.#giveBack = giveBack
  }

  /** One more import, by this grant; `isNew` unless that very handle is imported already. */
  take(grant: number): { readonly taken: ToldImport; readonly isNew: boolean } {
    const imports = this.#imports.get(grant) ?? 0
    this.#imports.set(grant, imports + 1)
    return { taken: new ToldImport(this, grant), isNew: imports === 0 }
  }

  told(how: Kind | 'gone', cause: WireCause | undefined): void {
    this.#end ??= how === 'gone' ? 'spent' : { kind: how, cause }
  }

  isOpen(): boolean {
    return this.#end === undefined
  }

  read(): { readonly kind: Kind; readonly cause: WireCause | undefined } | 'spent' | 'open' {
    return this.#end ?? 'open'
  }

  /** One import is over. Its grant goes back at once, whether or not there are others: so what both sides hold is as much as is imported. */
  release(grant: number): void {
    const imports = this.#imports.get(grant)
    if (imports === undefined) return
    if (imports > 1) {
      this.#imports.set(grant, imports - 1)
      return
    }
    this.#imports.delete(grant)
    this.#giveBack(grant, this.#imports.size === 0)
  }
}

/** One import of it: what a view is to an import by a slot. */
export class ToldImport {
  readonly #view: ToldView
  readonly #grant: number

  constructor(view: ToldView, grant: number) {
    this.#view = view
    this.#grant = grant
  }

  get tag(): unknown {
    return this.#view.tag
  }

  set tag(tag: unknown) {
    this.#view.tag = tag
  }

  isOpen(): boolean {
    return this.#view.isOpen()
  }

  read(): ReturnType<ToldView['read']> {
    return this.#view.read()
  }

  /** The exporter is told of it: it need not look. */
  release(): false {
    this.#view.release(this.#grant)
    return false
  }
}
