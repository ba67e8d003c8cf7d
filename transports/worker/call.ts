/** One call to another thread, as its caller waits for it. */

import { listen } from '../../lib/boundary.ts'
import type { Grant } from './export.ts'
import type { Grace } from './grace.ts'
import type { Tie } from './sent-signal.ts'

export class Call {
  /** The answer, or the end of whichever of its contexts is first. */
  readonly outcome: Promise<unknown>
  /** Undefined where nobody watches over it. */
  readonly grace: Grace | undefined
  readonly #ties: readonly Tie[]
  /** What the other side holds of its contexts as long as it is at it, also when nobody here waits any more. */
  readonly #grants: readonly Grant[]
  #resolve!: (value: unknown) => void
  #reject!: (error: unknown) => void
  #stops: (() => boolean)[] = []
  #waits = true

  constructor(ties: readonly Tie[], grants: readonly Grant[], grace: Grace | undefined) {
    this.grace = grace
    this.#ties = ties
    this.#grants = grants
    this.outcome = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** Whether its caller waits. */
  get waits(): boolean {
    return this.#waits
  }

  /** It was sent: from now on its contexts may end it. */
  watch(): void {
    this.grace?.watch(this.#ties)
    for (const tie of this.#ties) {
      // To listen may tell others of an end, and whoever hears of it may close the link.
      if (!this.#waits) return
      const stop = listen(tie.ctx, () => {
        this.#leave()
        this.#reject(tie.end())
      })
      if (this.#waits) this.#stops.push(stop)
      else stop()
    }
  }

  /** The other side has answered. */
  answer(value: unknown): void {
    this.#over()
    this.#resolve(value)
  }

  /** The other side has answered that it failed, or never will answer. */
  fail(error: unknown): void {
    this.#over()
    this.#reject(error)
  }

  #over(): void {
    this.grace?.over()
    // Taking a listener back looks at its context: where a deadline has passed that the other thread saw before our timer fired, the listener runs, and the caller gets
    // the error of its own context.
    this.#leave()
    // One that has ended may not have come to us yet, where somebody who heard of it before has closed the link.
    const ended = this.#ties.find((tie) => tie.ctx.err() !== undefined)
    if (ended !== undefined) this.#reject(ended.end())
    for (const grant of this.#grants) grant.release()
  }

  #leave(): void {
    this.#waits = false
    const stops = this.#stops
    this.#stops = []
    for (const stop of stops) stop()
  }
}
