/** The calling side of a link: each call is answered exactly once, by the other thread or by its loss. */

import { type LinkLostError } from '../../lib/errors.ts'
import { isContext } from '../../lib/foreign.ts'
import { type CallPort, callerOf, missingHandler } from './comlink.ts'
import { Failure, failureFromWire, messageOf, refusal, unreadable } from './failure.ts'
import {
  type CallMessage,
  type Members,
  packCall,
  type PackedAnswer,
  type PackedBegun,
  type PackedCall,
  Sent,
  unpackAnswer,
} from './call-message.ts'

export interface Call {
  /** False when an argument could not be sent: then `answer` rejects. */
  readonly sent: boolean
  readonly answer: Promise<unknown>
}

export class Caller {
  readonly #port: CallPort
  readonly #call: (args: readonly unknown[]) => Promise<unknown>
  /** With what is to be called when the method begins. */
  readonly #pending = new Map<string, (() => void) | undefined>()
  /** Of the call that is being made. */
  #begun: (() => void) | undefined
  #within: ReadonlyMap<number, Members> | undefined
  #refused = false
  #lost: LinkLostError | undefined

  /** @param post sends a call to the other side; throws where it cannot be cloned */
  constructor(post: (message: PackedCall, transfer: readonly Transferable[]) => void) {
    this.#port = {
      post: (message, transfer) => {
        // Comlink asks for a release when its proxy is collected: ours go with the link.
        if (message.type !== 'APPLY') return
        const begun = this.#begun
        this.#pending.set(message.id, begun)
        try {
          if (this.#lost === undefined) return post(packCall(message, this.#within, begun !== undefined), transfer)
          this.#answer(message.id, this.#lost)
        } catch (error) {
          const why = holdsContext(message)
            ? 'a context must be an argument of its own, or a property of one that is a plain object.'
            : messageOf(error)
          this.#answer(
            message.id,
            refusal('ERR_UNSENDABLE', `An argument cannot be sent to the other thread: ${why}`, { cause: error }),
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

  /**
   * @param within contexts that are properties of arguments, by the number of the argument; the method's name is number 0
   * @param begun called when the other side is about to run the method, if it gets as far as that
   */
  call(name: string, args: readonly unknown[], within?: ReadonlyMap<number, Members>, begun?: () => void): Call {
    this.#refused = false
    this.#begun = begun
    this.#within = within
    const answer = this.#call([name, ...args]).then((value) => {
      if (value instanceof Failure) throw value.error
      return value
    })
    return { sent: !this.#refused, answer }
  }

  begun([, , id]: PackedBegun): void {
    this.#pending.get(id)?.()
  }

  receive(answer: PackedAnswer): void {
    const { message, failed } = unpackAnswer(answer)
    if (!this.#pending.delete(message.id)) return
    if (failed) this.#port.receive({ id: message.id, type: 'RAW', value: failureFromWire(message.value) })
    else {
      const missing = missingHandler(message)
      if (missing === undefined) this.#port.receive(message)
      else this.#answer(message.id, unreadable('The result', missing, 'the thread that called'))
    }
  }

  /** Ends all calls that are pending, and all to come. */
  lose(error: LinkLostError): void {
    this.#lost = error
    for (const id of this.#pending.keys()) this.#answer(id, error)
  }

  #answer(id: string, error: unknown): void {
    this.#pending.delete(id)
    this.#port.receive({ id, type: 'RAW', value: new Failure(error) })
  }
}

/** Whether one stands inside of an argument, not too far down. */
function holdsContext({ argumentList = [] }: CallMessage): boolean {
  let level: unknown[] = argumentList.map(({ value }) => value)
  try {
    for (let depth = 0; depth < 4; depth++) {
      if (level.some(isContext)) return true
      level = level
        .filter((value) => typeof value === 'object' && value !== null && !(value instanceof Sent))
        .flatMap((value) => Object.values(value as object).slice(0, 100) as unknown[])
        .slice(0, 1_000)
    }
  } catch {
    // A getter of somebody else's threw.
  }
  return false
}
