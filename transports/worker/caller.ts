/** The calling side of a link: each call is answered exactly once, by the other thread or by its loss. */

import type { LinkLostError } from '../../lib/errors.ts'
import { type CallPort, callerOf } from './comlink.ts'
import { Failure, failureFromWire, messageOf, refusal } from './failure.ts'
import type { CallMessage, Envelope } from './messages.ts'

export interface Call {
  /** False when an argument could not be sent: then `answer` rejects. */
  readonly sent: boolean
  readonly answer: Promise<unknown>
}

export class Caller {
  readonly #port: CallPort
  readonly #call: (args: readonly unknown[]) => Promise<unknown>
  readonly #pending = new Set<string>()
  #refused = false
  #lost: LinkLostError | undefined

  /** @param post sends a message of Comlink's to the other side; throws where it cannot be cloned */
  constructor(post: (message: CallMessage, transfer: readonly Transferable[]) => void) {
    this.#port = {
      post: (message, transfer) => {
        // Comlink asks for a release when its proxy is collected: ours go with the link.
        if (message.type !== 'APPLY') return
        this.#pending.add(message.id)
        try {
          if (this.#lost === undefined) return post(message, transfer)
          this.#answer(message.id, this.#lost)
        } catch (error) {
          this.#answer(
            message.id,
            refusal('ERR_UNSENDABLE', `An argument cannot be sent to the other thread: ${messageOf(error)}`, { cause: error }),
          )
        }
        this.#refused = true
      },
      receive: () => undefined,
    }
    this.#call = callerOf(this.#port)
  }

  /** How many calls the other side has not answered; those whose caller waits no more are counted. */
  get size(): number {
    return this.#pending.size
  }

  call(name: string, args: readonly unknown[]): Call {
    this.#refused = false
    const answer = this.#call([name, ...args]).then((value) => {
      if (value instanceof Failure) throw value.error
      return value
    })
    return { sent: !this.#refused, answer }
  }

  receive({ message, failed }: Envelope): void {
    if (!this.#pending.delete(message.id)) return
    if (failed === true) this.#port.receive({ id: message.id, type: 'RAW', value: failureFromWire(message.value) })
    else this.#port.receive(message)
  }

  /** Ends all calls that are pending, and all to come. */
  lose(error: LinkLostError): void {
    this.#lost = error
    for (const id of this.#pending) this.#answer(id, error)
  }

  #answer(id: string, error: unknown): void {
    this.#pending.delete(id)
    this.#port.receive({ id, type: 'RAW', value: new Failure(error) })
  }
}
