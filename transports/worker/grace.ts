/** A worker whose method does not heed its context is ended, some time later, with its method. */

import { listen } from '../../lib/boundary.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { afterGrace } from './after-grace.ts'
import type { WorkerLink } from './worker-link.ts'
import type { Tie } from './sent-signal.ts'

/** Terminates the worker when a method goes on for longer than `grace` after it has begun and one of its contexts has ended. */
export class Grace {
  readonly #link: WorkerLink
  readonly #name: string
  readonly #ms: number
  #runs = false
  #ended: Tie | undefined
  readonly #stops: (() => boolean)[] = []
  #isOver = false
  #forget: (() => void) | undefined

  constructor(link: WorkerLink, name: string, ms: number) {
    this.#link = link
    this.#name = name
    this.#ms = ms
  }

  /** The method is about to run. */
  begin(): void {
    this.#runs = true
    this.#count()
  }

  /** What must not end while the method goes on. */
  watch(ties: readonly Tie[]): void {
    for (const tie of ties) {
      const stop = listen(tie.ctx, () => {
        this.#ended ??= tie
        this.#count()
      })
      // To listen may tell others of an end, and whoever hears of it may close the link.
      if (this.#isOver) stop()
      else this.#stops.push(stop)
    }
  }

  /** The call is over. */
  over(): void {
    this.#isOver = true
    this.#runs = false
    this.#forget?.()
    for (const stop of this.#stops.splice(0)) stop()
  }

  #count(): void {
    const ended = this.#ended
    // Before it runs it is another method that keeps the worker busy, and whoever called that may well wait for it.
    if (!this.#runs || ended === undefined) return
    // Where nothing else keeps the process alive, the worker ends with that.
    this.#forget ??= afterGrace(this.#ms, false, () => {
      this.#forget = undefined
      // And so may one that has begun since: then this one could not run, and has its grace still before it.
      if (this.#link.caller.isHeldUp(this, () => this.#count())) return
      const method = `The worker was terminated: the method '${this.#name}' went on for ${this.#ms} ms after its context had ended.`
      this.#link.terminate(new LinkLostError(method, { cause: ended.end() }))
    })
  }
}
