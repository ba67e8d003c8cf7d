/** What the parts of a link share: what is known of the peer, the ids, and the frames that wait to be sent. */

import type { Context } from '../context.ts'
import type { ContextError, Kind, LinkLostError } from '../errors.ts'
import { scopeOf } from '../foreign.ts'
import type { End } from '../end.ts'
import { isShortText } from '../wire/cancel-message.ts'
import { type CauseLimits, causeLimits, type WireCause } from '../wire/cause.ts'
import { describeCause } from '../wire/cause-describe.ts'
import type { Frame, HelloFrame } from '../wire/frame.ts'
import { countElements } from '../wire/sendable.ts'
import { utf8Length } from '../wire/text.ts'
import { Budget } from './link-budget.ts'
import { HeldLane, inOrder } from './link-held.ts'
import { Lane } from './link-lane.ts'
import { type LinkLimits, limitsOf, linkLimits, type LinkOptions, type Peer } from './link-types.ts'

/** A cause, and what it costs in a message at most. */
export interface Described {
  readonly cause: WireCause | undefined
  readonly elements: number
  readonly bytes: number
}

/** Where messages go. */
export interface Outlet {
  transmit(frames: readonly Frame[]): void
  /** Transmits the cancel of an id, without a cause or with a short text as its cause. Runs nobody's code before it returns. */
  transmitCancel(id: number, text: string | undefined): void
  /** May push what goes out with what waits. */
  beforeFlush(): void
  /** Whether what can wait need not. */
  isRoomy(): boolean
  /** Something waits for room: `drain` is to be called when there may be some. */
  waits(): void
  /** How many bytes the peer has got and should have said so, or has not got, of a session. */
  unacknowledged(): number
}

const isRoomy = (outlet: Outlet): boolean => outlet.isRoomy()
const always = (): boolean => true

export class LinkCore<M> {
  readonly options: LinkOptions<M>
  readonly limits: LinkLimits
  peer: Peer = { name: '', link: '', limits: { ...linkLimits, maxCalls: Infinity, maxContexts: Infinity, lease: 0 } }
  #causeLimits: CauseLimits = causeLimits
  /** Why the link is over; undefined while it is not. */
  lost: LinkLostError | undefined
  /** Frames about what was over already. */
  late = 0
  /** The highest id of the peer's calls and exports so far. */
  highestPeerId = 0
  readonly #outlet: Outlet
  #lastId = 0
  #root: Context | undefined
  #budget: Budget | undefined
  /** What waits for the end of this turn. */
  readonly #queue = new Lane()
  /** What was said in turns that are over, and waits until there is room for it. */
  readonly #held = new HeldLane()
  /** Whether something was said in this turn, whose end is awaited. */
  #speaking = false
  /** Who is to be told of the answers to `ask`, in their order. */
  #questions: (() => void)[] = []
  /** The id of whose end the peer was told before it came about here. */
  #announced = 0
  #described: (Described & { readonly error: ContextError }) | undefined

  constructor(options: LinkOptions<M>, outlet: Outlet) {
    this.options = options
    this.limits = limitsOf(options.limits)
    this.#outlet = outlet
  }

  /** The peer has greeted. */
  greeted({ name, link, limits }: HelloFrame): void {
    this.peer = { name, link, limits }
    // Any cause fits into half a message: an end must not fail because its reason is long. A value of size 8 takes 9 bytes at most.
    const maxSize = Math.min(causeLimits.maxSize, Math.floor((limits.maxMessage * 4) / 9))
    this.#causeLimits = { ...causeLimits, maxSize }
  }

  /** The parent of all contexts that come in. */
  get root(): Context {
    return (this.#root ??= this.options.root(this.peer.name))
  }

  /** What the peer may open and abandon. */
  get budget(): Budget {
    const { maxAbandoned, abandonedPerSecond } = this.limits
    return (this.#budget ??= new Budget(scopeOf(this.root, 'link').time.clock, maxAbandoned, abandonedPerSecond))
  }

  nextId(): number {
    return ++this.#lastId
  }

  /** A frame of the peer's about an id that is in no table here: of ours, or of its own. Returns why it is not allowed, if so. */
  takeLate({ type, id }: { readonly type: string; readonly id: number }, whose: 'ours' | 'peers'): string | undefined {
    if (id > (whose === 'ours' ? this.#lastId : this.highestPeerId)) return `${type}: of what was never opened`
    this.late++
    return undefined
  }

  /** Why something ended or failed, for the peer. */
  describe(cause: unknown): WireCause {
    return describeCause(cause, this.#causeLimits, this.options.stacks)
  }

  /** The cause of an end on the wire: made once in a turn, though it may end thousands of calls. */
  describeEnd(end: End): Described {
    if (end.cause === undefined && !end.told) return plainEnd
    const { error } = end
    if (this.#described?.error !== error) {
      const cause = Object.hasOwn(error, 'cause') ? this.describe(error.cause) : undefined
      if (cause === undefined) return plainEnd
      this.#described = { error, cause, elements: countElements(cause), bytes: bytesOf(cause) }
    }
    return this.#described
  }

  /** Frames that wait for the end of this turn, or for room. */
  get queued(): number {
    return this.#queue.length + this.#held.length
  }

  /** How many bytes wait for room, at most. */
  get heldBytes(): number {
    return this.#held.bytes + frameOverhead * this.#held.length
  }

  /** Whether something waits for room. */
  get isCrowded(): boolean {
    return this.#held.length > 0
  }

  /** Whether anything waits for the peer: to be taken, or to be acknowledged. */
  get isWaiting(): boolean {
    return this.isCrowded || this.#outlet.unacknowledged() > 0
  }

  /** Whether so many bytes more may wait for the peer. What is beyond that is refused by itself, and the link goes on. */
  fits(bytes: number): boolean {
    return this.#queue.bytes + this.heldBytes + this.#outlet.unacknowledged() + bytes <= this.limits.maxBacklog
  }

  /** Queues a frame; `elements` and `bytes` are what it costs in a message, or more, never less. */
  push(frame: Frame, elements: number, bytes: number): void {
    if (this.lost !== undefined) return
    this.#queue.push(frame, elements, bytes)
    this.#speak()
  }

  /** Asks the peer whether it has heard all that was said before: when it has, and all that it had said by then has come, `answered` is called. */
  ask(answered: () => void): void {
    if (this.lost !== undefined) return
    this.#questions.push(answered)
    this.push({ type: 'ping', n: inOrder }, 4, 16)
  }

  /** The pong of such a ping has come, or of none. */
  answered(): void {
    this.#questions.shift()?.()
  }

  /**
   * Tells the peer of an end that is about to come, where that is the first thing to say in this turn and has no cause, or a short text: then `pushCancel` of the same
   * id, which is to follow in any case, does nothing more.
   */
  announce(id: number, kind: Kind, cause: unknown): void {
    if (this.#speaking || kind !== 'canceled' || this.lost !== undefined || this.#held.length > 0) return
    if (cause !== undefined && !isShortText(cause)) return
    this.#outlet.transmitCancel(id, cause)
    this.#announced = id
    this.#speak()
  }

  /** Tells the peer of an end: at once where that is the first thing to say in this turn. Those of one kind and cause that follow each other share a frame. */
  pushCancel(id: number, end: End): void {
    if (this.lost !== undefined || this.#announced === id) return
    const { kind } = end
    const { cause, elements, bytes } = this.describeEnd(end)
    if (!this.#speaking) {
      this.#speaking = true
      if (this.#held.length === 0) this.#outlet.transmit([{ type: 'cancel', id, kind, cause }])
      else {
        this.#queue.push({ type: 'cancel', id, kind, cause }, 8 + elements, 32 + bytes)
        this.flush()
      }
      return this.options.defer(this.#fallSilent)
    }
    const joined = this.#queue.join(id, kind, cause, this.peer.limits.maxMessage)
    if (joined === 0) this.push({ type: 'cancel', id, kind, cause }, 8 + elements, 32 + bytes)
    // Of very many the peer may end the first while the last are still said.
    else if (joined >= manyIds) this.flush()
  }

  #speak(): void {
    if (this.#speaking) return
    this.#speaking = true
    this.options.defer(this.#fallSilent)
  }

  readonly #fallSilent = (): void => {
    this.#speaking = false
    this.flush()
  }

  /**
   * Sends all frames of this turn, in as few messages as the limits allow. Where there is no room, only what is urgent goes, and the rest waits for
   * `drain`. That is never called while an end is still being told: so of what has ended none is sent.
   */
  flush(): void {
    this.#described = undefined
    if (this.#queue.length === 0) return
    this.#outlet.beforeFlush()
    if (this.#held.length === 0) this.#send(this.#queue, isRoomy)
    if (this.#queue.length > 0) this.#hold()
  }

  /** There may be room again for what waits. */
  drain(): void {
    if (this.#held.length === 0) return
    this.#send(this.#held, isRoomy)
    if (this.#held.length > 0) this.#outlet.waits()
  }

  /** Sends all that there is, whether or not there is room: the last that is heard. */
  finish(): void {
    this.flush()
    this.#send(this.#held, always)
  }

  #send(lane: Lane, may: (outlet: Outlet) => boolean): void {
    while (lane.length > 0 && this.lost === undefined && may(this.#outlet)) {
      const message = lane.next(Math.min(this.peer.limits.maxMessage, mostBytes))
      if (message.length > 0) this.#outlet.transmit(message)
    }
  }

  #hold(): void {
    const urgent = new Lane()
    this.#queue.takeAll((frame, elements, bytes) => this.#held.sort(frame, elements, bytes, urgent))
    this.#send(urgent, always)
    if (this.#held.length > 0) this.#outlet.waits()
  }

  /** A call of the peer's was cancelled: of its answers none is sent that waits. */
  unwanted(id: number): void {
    if (this.#held.length > 0) this.#held.unwanted(id)
  }

  /** Nothing goes out any more. */
  end(reason: LinkLostError): void {
    this.lost = reason
    this.#questions = []
    this.#queue.clear()
    this.#held.clear()
  }
}

/** A longer message is not made of several frames: what is urgent would wait behind it. */
const mostBytes = 65_536

/** What a frame that waits costs beside its bytes: it is an object in a list. */
const frameOverhead = 128

/** So many are enough for a message of their own. */
const manyIds = 1_024

const plainEnd: Described = Object.freeze({ cause: undefined, elements: 1, bytes: 9 })

/** How many bytes plain data takes in a message at most. */
export function bytesOf(data: unknown): number {
  if (typeof data === 'string') return 5 + utf8Length(data)
  if (typeof data !== 'object' || data === null) return 9
  if (ArrayBuffer.isView(data)) return 5 + data.byteLength
  let bytes = 5
  for (const element of Object.values(data)) bytes += bytesOf(element)
  if (!Array.isArray(data)) for (const key of Object.keys(data)) bytes += bytesOf(key)
  return bytes
}
