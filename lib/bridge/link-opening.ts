/** The wait for the other side's greeting, which ends in one of four ways, and leaves nothing behind. */
import { after, type Clock } from '../clock.ts'
import type { Context } from '../context.ts'
import type { LinkLostError } from '../errors.ts'
import { race } from '../wait.ts'

/** How long the other side may take to greet where nothing else bounds that, in milliseconds. */
export const greetingTimeout = 10_000

export class Opening {
  /** Resolves when the link is over. */
  readonly closed: Promise<LinkLostError>
  /** To be called when the other side has greeted. */
  readonly greeted: () => void
  /** To be called when the link is over. */
  readonly over: (reason: LinkLostError) => void
  readonly #opened: Promise<void>

  constructor() {
    let greeted!: () => void
    let over!: (reason: LinkLostError) => void
    this.#opened = new Promise((resolve) => (greeted = resolve))
    this.closed = new Promise((resolve) => (over = resolve))
    this.greeted = greeted
    this.over = over
  }

  /**
   * Waits until the other side has greeted. Rejects, and closes the link, when that is over before, the context ends, or it takes longer than `limit` milliseconds, for the reason that
   * `late` gives.
   */
  async wait(link: { close(): void }, context: Context, clock: Clock, limit: number, late: () => LinkLostError): Promise<void> {
    let stop: (() => void) | undefined
    const timeout = new Promise<never>((_, reject) => {
      if (limit !== Infinity) stop = after(clock, limit, true, () => reject(late()))
    })
    try {
      await race(context, Promise.race([this.#opened, timeout, this.closed.then((reason) => Promise.reject(reason))]))
    } catch (error) {
      link.close()
      throw error
    } finally {
      stop?.()
    }
  }
}
