/** The calling side of a link: each call is answered exactly once, by the other thread or by its loss. */

import { type LinkLostError } from '../../lib/errors.ts'
import type { Call } from './call.ts'
import {
  type CallId,
  packAsk,
  type PackedAnswer,
  type PackedAsk,
  type PackedBegun,
  type PackedCall,
  type Parcel,
} from './call-message.ts'
import type { Grace } from './grace.ts'
import { randomId } from './host.ts'

/** Of this thread's calls. Where it begins is random: an answer may come to whoever was given the port after the call was made. */
let ids = randomId()

type Post = (message: PackedCall | PackedAsk, transfer: readonly Transferable[]) => boolean

export class Caller {
  readonly #post: Post
  readonly #giveUp: (id: CallId) => void
  readonly #pending = new Map<CallId, Call>()
  /** Whether anybody ever watched over a call: from then on it is asked of all when they begin. */
  #watches = false
  /** The call that began last, where nothing was heard since: its method may not have let go of the thread yet. */
  #latest: Call | undefined
  /** To be called when something is heard. */
  #heldUp: (() => void)[] = []
  #lost: LinkLostError | undefined

  /**
   * @param post sends a call to the other side, and says whether it is kept until that is heard; throws where it cannot be cloned
   * @param giveUp told of such a call when nobody waits for its answer any more
   */
  constructor(post: Post, giveUp: (id: CallId) => void) {
    this.#post = post
    this.#giveUp = giveUp
  }

  /** How many calls the other side has not answered; those whose caller waits no more are counted. */
  get size(): number {
    return this.#pending.size
  }

  /** Whether somebody waits for an answer. */
  get isAwaited(): boolean {
    return [...this.#pending.values()].some((call) => call.waits)
  }

  /**
   * Sends a call, which is told of its outcome: perhaps before this returns.
   *
   * @param pack makes the message, of an id and of whether the other side is to say when the method begins
   * @throws BridgeError `ERR_UNSENDABLE`, when an argument cannot be sent; LinkLostError; what a transfer handler throws. Then the call was not sent, and is not answered
   */
  call(pack: (id: CallId, asks: boolean) => Parcel<PackedCall>, call: Call): void {
    this.#watches ||= call.grace !== undefined
    const id = ++ids
    // To read an argument may make other calls, or close the link: by a getter, or a transfer handler.
    const [message, transfer] = pack(id, this.#watches)
    if (this.#lost !== undefined) throw this.#lost
    this.#pending.set(id, call)
    try {
      if (this.#post(message, transfer)) call.givenUp = () => this.#giveUp(id)
    } catch (error) {
      // By then it may be over.
      if (!this.#pending.delete(id)) return
      throw call.unsendable(message, error)
    }
  }

  begun([, , id]: PackedBegun): void {
    this.#hear()
    const call = this.#pending.get(id)
    if (call === undefined) return
    this.#latest = call
    call.grace?.begin()
  }

  /**
   * Whether another method than that of `grace` may have kept the other thread ever since it began: it began later, and nothing was heard since. Then `free` is called when
   * something is. That takes no longer than until the thread yields, since it is asked.
   */
  isHeldUp(grace: Grace, free: () => void): boolean {
    if (this.#latest === undefined || this.#latest.grace === grace) return false
    if (this.#heldUp.push(free) === 1) this.#post(packAsk(), [])
    return true
  }

  /** Whatever comes of a call was sent when no method kept the thread, unless it says that one begins. */
  #hear(): void {
    this.#latest = undefined
    if (this.#heldUp.length > 0) for (const free of this.#heldUp.splice(0)) free()
  }

  receive(answer: PackedAnswer): void {
    this.#hear()
    const [, , id] = answer
    const call = this.#pending.get(id)
    if (call === undefined) return
    this.#pending.delete(id)
    call.receive(answer)
  }

  /** The other side will never hear of that call. */
  miss(id: CallId, error: LinkLostError): void {
    const call = this.#pending.get(id)
    this.#pending.delete(id)
    call?.lose(error)
  }

  /** Ends all calls that are pending, and all to come. */
  lose(error: LinkLostError): void {
    this.#lost = error
    const pending = [...this.#pending.values()]
    this.#pending.clear()
    for (const call of pending) call.lose(error)
  }
}
