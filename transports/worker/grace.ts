/** A worker whose method does not heed its context is ended, some time later, with its method. */

import { listen } from '../../lib/boundary.ts'
import { BridgeError, LinkLostError, withoutStack } from '../../lib/errors.ts'
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
  #forgetCaller: (() => void) | undefined
  /** Called with what its caller is to be told, where the method has not returned by then. Undefined where nobody waits. */
  #tell: ((error: unknown) => void) | undefined

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

  /** Whether the method is given time, or may be. */
  get isCounting(): boolean {
    return this.#forget !== undefined || this.#forgetCaller !== undefined
  }

  /**
   * What must not end while the method goes on.
   *
   * @param tell called with what the caller of the method is to be told, where the time has passed
   */
  watch(ties: readonly Tie[], tell: (error: unknown) => void): void {
    this.#tell = tell
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
    this.#forget?.()
    this.#forgetCaller?.()
    for (const stop of this.#stops.splice(0)) stop()
  }

  #count(): void {
    const ended = this.#ended
    if (ended === undefined || this.#isOver) return
    // Before it runs it is another method that keeps the worker busy, and whoever called that may well wait for it. But that it has begun may have come, and not been read yet.
    if (!this.#runs) {
      this.#forget ??= afterGrace(0, true, () => {
        this.#forget = undefined
        if (this.#runs) this.#count()
        else this.#give(ended.end())
      })
      return
    }
    // Where nobody waits, and nothing else keeps the process alive, the worker ends with that.
    this.#forget ??= afterGrace(this.#ms, this.#tell !== undefined, () => {
      this.#forget = undefined
      const cause = ended.end()
      // And so may one that has begun since: then this one could not run, and has its grace still before it.
      if (this.#link.caller.isHeldUp(this, () => this.#count())) {
        // Its caller waits for no longer than it takes where nothing blocks the worker, however many do.
        const patience = Math.max(100, 2 * this.#ms)
        this.#forgetCaller ??= afterGrace(patience, this.#tell !== undefined, () => this.#give(cause))
        return
      }
      const after = `${this.#ms} ms after`
      const ignored = `The method '${this.#name}' ignored its context for ${after} that had ended, so its worker was terminated.`
      this.#give(withoutStack(() => new BridgeError('ERR_CONTEXT_IGNORED', ignored, { cause })))
      const method = `The worker was terminated: the method '${this.#name}' went on for ${after} its context had ended.`
      this.#link.terminate(new LinkLostError(method, { cause }))
    })
  }

  #give(error: unknown): void {
    const tell = this.#tell
    this.#tell = undefined
    tell?.(error)
  }
}
