/** Waiting until nothing runs on a link any more. */

import { after } from '../clock.ts'
import { clockOf } from './link-contexts.ts'
import type { LinkCore } from './link-core.ts'

export class Quiet<M> {
  readonly #core: LinkCore<M>
  readonly #busy: () => boolean
  readonly #waits = new Set<() => void>()

  /** @param busy whether something runs */
  constructor(core: LinkCore<M>, busy: () => boolean) {
    this.#core = core
    this.#busy = busy
  }

  /** What has ended may have been the last that ran. */
  settled(): void {
    if (this.#waits.size > 0 && !this.#busy()) for (const wake of this.#waits) wake()
  }

  /** Resolves when nothing runs, or after so many milliseconds. Until then it keeps the process alive. */
  async within(ms: number): Promise<void> {
    const clock = clockOf(this.#core)
    const until = clock.now() + ms
    // Something may have begun again in the turn in which the last one ended.
    for (let left = ms; left > 0 && this.#busy(); left = until - clock.now()) {
      // oxlint-disable-next-line no-await-in-loop -- see above
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          forget()
          this.#waits.delete(wake)
          resolve()
        }
        const forget = after(clock, left, true, wake)
        this.#waits.add(wake)
      })
    }
  }
}
