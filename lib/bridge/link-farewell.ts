/** The end of a link in peace: who goes away says so, lets what runs come to its end, and waits until the peer has heard the answers. */

import { after } from '../clock.ts'
import { BridgeError, CanceledError, withoutStack } from '../errors.ts'
import type { Calls } from './link-calls.ts'
import { clockOf } from './link-contexts.ts'
import type { LinkCore } from './link-core.ts'
import type { Handlers } from './link-handlers.ts'
import { Quiet } from './link-quiet.ts'

/** How long a peer may take to hear that this side goes away, in milliseconds, where nothing else is on its way to it: what it calls after that does not run. */
const longestHearing = 2_000

export class Farewell<M> {
  readonly #core: LinkCore<M>
  readonly #calls: Calls<M>
  readonly #handlers: Handlers<M>
  readonly #isOnItsWay: () => boolean
  readonly #quiet: Quiet<M>
  #begun = false
  /** How often the peer was asked whether it has heard all that was said before, by a ping that keeps its place; and how often it has answered. */
  #asked = 0
  #heard = 0
  /** The question whose answer is waited for, which may still have to be asked. */
  #last = 0

  /** @param isOnItsWay whether anything that was said waits for the peer to read it, as far as that is known */
  constructor(core: LinkCore<M>, calls: Calls<M>, handlers: Handlers<M>, isOnItsWay: () => boolean) {
    this.#core = core
    this.#calls = calls
    this.#handlers = handlers
    this.#isOnItsWay = isOnItsWay
    this.#quiet = new Quiet(core, () => this.isBusy)
  }

  /** Whether this side goes away and has something to wait for. */
  get isBusy(): boolean {
    if (!this.#begun || this.#core.lost !== undefined) return false
    return this.#heard < this.#last || this.#calls.size + this.#handlers.size > 0
  }

  /** Something has ended, or has come. */
  settled(): void {
    if (this.#begun) this.#quiet.settled()
  }

  /** A handler has finished, and has been answered for if somebody waits for that. */
  finished(isAnswered: boolean): void {
    if (!this.#begun) return
    if (isAnswered) this.#last = this.#asked + 1
    if (this.#last > this.#asked && this.#handlers.size === 0) this.#ask()
    this.#quiet.settled()
  }

  #ask(): void {
    this.#asked++
    this.#core.ask(() => {
      this.#heard++
      // What comes from here on the peer has sent although it knew.
      this.#handlers.refuse()
    })
  }

  /** Resolves when nothing runs any more, and all is heard; or when the grace is over and the contexts of handlers that still run have ended. */
  async say(reason: string, grace: number): Promise<void> {
    const core = this.#core
    this.#begun = true
    core.push({ type: 'goaway', reason }, 4, 64)
    this.#ask()
    const first = (this.#last = this.#asked)
    const forget = after(clockOf(core), longestHearing, false, () => {
      this.#handlers.refuse()
      if (this.#last === first && !this.#isOnItsWay()) this.#last = 0
      this.#quiet.settled()
    })
    await this.#quiet.within(grace)
    forget()
    this.#last = 0
    this.#handlers.refuse()
    const error = new BridgeError('ERR_GOING_AWAY', 'The other side goes away.')
    this.#handlers.expire(withoutStack(() => new CanceledError({ cause: error })))
    // So that those who listen to their context can still answer.
    await this.#quiet.within(Math.min(grace, 100))
  }
}
