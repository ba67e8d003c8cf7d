/**
 * One call to another thread, as its caller waits for it. It is of the copy of the package that calls, which the link may not be: so what is made of an answer is here, where transfer handlers and errors are those of
 * that copy.
 */

import { listen } from '../../lib/boundary.ts'
import { BridgeError, LinkLostError } from '../../lib/errors.ts'
import { handlerOf, hasFailed, type PackedAnswer, type PackedCall } from './call-message.ts'
import { decode, hasHandler } from './comlink.ts'
import type { Grant } from './export.ts'
import { failureFromWire, unreadable, unsendable, whyUnposted } from './failure.ts'
import type { Grace } from './grace.ts'
import type { Tie } from './sent-signal.ts'
import { holdsContext } from './within.ts'

export class Call {
  /** The answer, or the end of whichever of its contexts is first. */
  readonly outcome: Promise<unknown>
  /** Undefined where nobody watches over it. */
  readonly grace: Grace | undefined
  /** Called when its caller waits no more, though it was not answered. */
  givenUp: (() => void) | undefined
  readonly #ties: readonly Tie[]
  /** What the other side holds of its contexts as long as it is at it, also when nobody here waits any more. */
  readonly #grants: readonly Grant[]
  #resolve!: (value: unknown) => void
  #reject!: (error: unknown) => void
  #stops: (() => boolean)[] = []
  #waits = true
  /** Whichever ended first. */
  #first: Tie | undefined

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
    this.grace?.watch(this.#ties, (error) => this.#give(error))
    for (const tie of this.#ties) {
      // To listen may tell others of an end, and whoever hears of it may close the link.
      if (!this.#waits) return
      const stop = listen(tie.ctx, () => {
        this.#first ??= tie
        // Otherwise it is known within the grace what becomes of the method.
        if (this.grace?.isCounting !== true) this.#give(tie.end())
      })
      if (this.#waits) this.#stops.push(stop)
      else stop()
    }
  }

  /** Rejects though it was not answered. */
  #give(error: unknown): void {
    if (!this.#waits) return
    this.#leave()
    this.givenUp?.()
    this.#reject(error)
  }

  /** The other side has answered. */
  receive(answer: PackedAnswer): void {
    const value = answer[3]
    const handler = handlerOf(answer)
    if (hasFailed(answer)) this.#fail(failureFromWire(value))
    else if (handler === undefined) this.#answer(value)
    else if (!hasHandler(handler))
      this.#fail(new BridgeError('ERR_UNSENDABLE', unreadable('The result', handler, 'the thread that called')))
    else {
      let result: unknown
      try {
        result = decode(handler, value)
      } catch (error) {
        return this.#fail(error)
      }
      this.#answer(result)
    }
  }

  /** It never will answer. */
  lose(error: LinkLostError): void {
    this.#fail(lossOf(error))
  }

  /** What to throw where its message could not be posted. */
  unsendable([, , , args]: PackedCall, error: unknown): BridgeError {
    const why = holdsContext(args)
      ? 'a context must be an argument of its own, or a property of one that is a plain object.'
      : whyUnposted(error, args)
    return unsendable(String(args[0]), why, error)
  }

  #answer(value: unknown): void {
    this.#over()
    this.#resolve(value)
  }

  #fail(error: unknown): void {
    this.#over()
    this.#reject(error)
  }

  #over(): void {
    this.grace?.over()
    // Taking a listener back looks at its context: where a deadline has passed that the other thread saw before our timer fired, the listener runs, and the caller gets
    // the error of its own context.
    this.#leave()
    // One that has ended may not have come to us yet, where somebody who heard of it before has closed the link.
    const ended = this.#first ?? this.#ties.find((tie) => tie.ctx.err() !== undefined)
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

/** Why a link is closed, as an error of this copy of the package: its callers may look for the class. */
export function lossOf(error: Error): LinkLostError {
  if (error instanceof LinkLostError) return error
  const { message, cause } = error
  return new LinkLostError(message, cause === undefined ? undefined : { cause })
}
