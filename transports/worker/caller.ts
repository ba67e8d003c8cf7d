/** The calling side of a link: each call is answered exactly once, by the other thread or by its loss. */

import { type LinkLostError } from '../../lib/errors.ts'
import { isContext } from '../../lib/foreign.ts'
import { type CallPort, callerOf, missingHandler } from './comlink.ts'
import { Failure, failureFromWire, messageOf, refusal, unreadable } from './failure.ts'
import {
  type CallMessage,
  type Members,
  packAsk,
  packCall,
  type PackedAnswer,
  type PackedAsk,
  type PackedBegun,
  type PackedCall,
  Sent,
  unpackAnswer,
} from './call-message.ts'

/** A call, from when it is made. To read an argument may make another one: by a getter, or a transfer handler. */
export class Call {
  readonly watcher: Watcher | undefined
  /** Contexts that are properties of arguments, by the number of the argument, until it is sent; the method's name is number 0. */
  within: ReadonlyMap<number, Members> | undefined
  /** False when an argument could not be sent: then `answer` rejects. */
  sent = true
  /** Whether the answer is there. Whoever waits for it hears of that some microtasks later, and by then the worker may be gone. */
  answered = false
  answer: Promise<unknown> = unmade

  constructor(watcher: Watcher | undefined, within: ReadonlyMap<number, Members> | undefined) {
    this.watcher = watcher
    this.within = within
  }
}

const unmade = new Promise<never>(() => undefined)

/** Who watches over a call. */
export interface Watcher {
  /** The method is about to run. */
  begin(): void
}

export class Caller {
  readonly #port: CallPort
  readonly #call: (args: readonly unknown[]) => Promise<unknown>
  readonly #pending = new Map<string, Call>()
  /** Whether anybody ever watched over a call: from then on it is asked of all when they begin. */
  #watches = false
  /** The call that began last, where nothing was heard since: its method may not have let go of the thread yet. */
  #latest: { readonly watcher: Watcher | undefined } | undefined
  /** To be called when something is heard. */
  #heldUp: (() => void)[] = []
  readonly #ask: () => void
  #making: Call | undefined
  #lost: LinkLostError | undefined

  /** @param post sends a call to the other side; throws where it cannot be cloned */
  constructor(post: (message: PackedCall | PackedAsk, transfer: readonly Transferable[]) => void) {
    this.#ask = () => post(packAsk(), [])
    this.#port = {
      post: (message, transfer) => {
        // Comlink asks for a release when its proxy is collected: ours go with the link.
        if (message.type !== 'APPLY') return
        const making = this.#making as Call
        this.#pending.set(message.id, making)
        try {
          if (this.#lost === undefined) return post(packCall(message, making.within, this.#watches), transfer)
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
        making.sent = false
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
   * @param within contexts that are properties of arguments
   * @param watcher is told when the other side is about to run the method, if it gets as far as that
   */
  call(name: string, args: readonly unknown[], within?: ReadonlyMap<number, Members>, watcher?: Watcher): Call {
    this.#watches ||= watcher !== undefined
    const outer = this.#making
    const making = new Call(watcher, within)
    this.#making = making
    try {
      making.answer = this.#call([name, ...args]).then((value) => {
        if (value instanceof Failure) throw value.error
        return value
      })
      return making
    } finally {
      making.within = undefined
      this.#making = outer
    }
  }

  begun([, , id]: PackedBegun): void {
    this.#hear()
    const call = this.#pending.get(id)
    if (call === undefined) return
    const { watcher } = call
    this.#latest = { watcher }
    watcher?.begin()
  }

  /**
   * Whether another method than that of `watcher` may have kept the other thread ever since it began: it began later, and nothing was heard since. Then `free` is called when
   * something is. That takes no longer than until the thread yields, since it is asked.
   */
  isHeldUp(watcher: Watcher, free: () => void): boolean {
    if (this.#latest === undefined || this.#latest.watcher === watcher) return false
    if (this.#heldUp.push(free) === 1) this.#ask()
    return true
  }

  /** Whatever comes of a call was sent when no method kept the thread, unless it says that one begins. */
  #hear(): void {
    this.#latest = undefined
    for (const free of this.#heldUp.splice(0)) free()
  }

  receive(answer: PackedAnswer): void {
    this.#hear()
    const { message, failed } = unpackAnswer(answer)
    if (!this.#settle(message.id)) return
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

  /** Whether it was pending. */
  #settle(id: string): boolean {
    const call = this.#pending.get(id)
    if (call !== undefined) call.answered = true
    return this.#pending.delete(id)
  }

  #answer(id: string, error: unknown): void {
    this.#settle(id)
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
        // Bytes may be many, and each would be an entry.
        .filter((value) => typeof value === 'object' && value !== null && !(value instanceof Sent) && !ArrayBuffer.isView(value))
        .flatMap((value) => Object.values(value as object).slice(0, 100) as unknown[])
        .slice(0, 1_000)
    }
  } catch {
    // A getter of somebody else's threw.
  }
  return false
}
