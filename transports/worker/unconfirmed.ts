/**
 * What goes both ways: by a slot, and by messages.
 *
 * A browser tells nobody beforehand whether the thread behind a port can be given memory (a shared worker cannot, nor a page of another site), and a message that has some in it is not read there at all.
 * So memory has a message of its own, and until the other side has said what became of that, each context that is exported is told by messages, too. Node's threads all share memory: there is none of this.
 */

import type { Kind } from '../../lib/errors.ts'
import type { WireCause } from '../../lib/wire/cause.ts'
import type { Export } from './export.ts'
import type { Told } from './messages.ts'
import { ToldSlot } from './told.ts'

export class Unconfirmed {
  readonly #tell: (told: Told) => void
  readonly #slots = new Map<Export, ToldSlot>()

  /** @param tell tells the other side of an end */
  constructor(tell: (told: Told) => void) {
    this.#tell = tell
  }

  /** One more handle of it: the number and the grant by which it goes without memory. `newId` is asked for the first one. */
  lend(held: Export, newId: () => number): readonly [id: number, grant: number] {
    let slot = this.#slots.get(held)
    if (slot === undefined) this.#slots.set(held, (slot = new ToldSlot(newId(), this.#tell)))
    slot.lend()
    return [slot.id, slot.granted]
  }

  /** A handle was not sent. */
  revoke(held: Export, [, grant]: readonly [id: number, grant: number]): void {
    this.#slots.get(held)?.giveBack(grant)
  }

  /** Its context has ended: kept for whoever asks, as nobody can have asked yet. */
  ended(held: Export, kind: Kind, cause: () => WireCause | undefined): void {
    this.#slots.get(held)?.end(kind, cause())
  }

  /** Nobody needs it any more. */
  delete(held: Export): void {
    this.#slots.delete(held)
  }

  /** The other side has no memory: what is exported goes by messages alone from here on. */
  withoutMemory(): Iterable<readonly [held: Export, slot: ToldSlot]> {
    return this.#slots
  }
}
