/** How fast the streams of this side go: no faster than what is said leaves, and no faster than the loop turns, whatever credit a peer gives. */

import { clockOf } from './link-contexts.ts'
import type { LinkCore } from './link-core.ts'

/** So many items go out in one turn of the loop, of all streams of a link together: then others have theirs. */
const itemsInTurn = 256

/** A stream that waits for its turn. */
export interface Paced {
  /** Called once, when it may ask again. */
  wake: (() => void) | undefined
}

export class Pace<M> {
  readonly #core: LinkCore<M>
  readonly #waiting = new Set<Paced>()
  #left = itemsInTurn
  #turning = false

  constructor(core: LinkCore<M>) {
    this.#core = core
  }

  /** Whether an item of so many bytes may go out now. If not, the stream is woken when it may ask again. */
  take(stream: Paced, bytes: number): boolean {
    const core = this.#core
    if (this.#left > 0 && !core.isCrowded && core.fits(bytes)) {
      this.#left--
      return true
    }
    this.#waiting.add(stream)
    // Where something waits for the peer, there is news when that moves.
    if (this.#left === 0 || !core.isWaiting) this.#awaitTurn()
    return false
  }

  /** Whether a stream waits. */
  get isAwaited(): boolean {
    return this.#waiting.size > 0
  }

  #awaitTurn(): void {
    if (this.#turning) return
    this.#turning = true
    const turned = (): void => {
      this.#turning = false
      this.#left = itemsInTurn
      this.wake()
    }
    const { afterReading } = this.#core.options
    if (afterReading === undefined) clockOf(this.#core).setTimer(turned, 1, false)
    else afterReading(turned)
  }

  /** There may be room again. */
  wake(): void {
    if (this.#waiting.size === 0 || this.#left === 0 || this.#core.isCrowded || !this.#core.fits(1)) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const stream of waiting) {
      const { wake } = stream
      stream.wake = undefined
      wake?.()
    }
  }

  /** The stream is over. */
  leave(stream: Paced): void {
    this.#waiting.delete(stream)
  }
}
