/** What the parts of a link share: what is known of the peer, the ids, and the frames that wait to be sent. */

import type { Context } from '../context.ts'
import type { ContextError, LinkLostError } from '../errors.ts'
import { scopeOf } from '../foreign.ts'
import type { End } from '../end.ts'
import { type CauseLimits, causeLimits, type WireCause } from '../wire/cause.ts'
import { describeCause } from '../wire/cause-describe.ts'
import { type Frame, frameLimits, type HelloFrame } from '../wire/frame.ts'
import { scanLimits } from '../wire/scan.ts'
import { countElements } from '../wire/sendable.ts'
import { utf8Length } from '../wire/text.ts'
import { Budget } from './link-budget.ts'
import { type LinkLimits, limitsOf, linkLimits, type LinkOptions, type Peer } from './link-types.ts'

/** A cause, and what it costs in a message at most. */
export interface Described {
  readonly cause: WireCause | undefined
  readonly elements: number
  readonly bytes: number
}

/** What the frames of one message may hold together: see `scanLimits`. */
const maxElements = scanLimits.maxElements - 64

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
  readonly #transmit: (frames: readonly Frame[]) => void
  readonly #beforeFlush: () => void
  #lastId = 0
  #root: Context | undefined
  #budget: Budget | undefined
  /** What waits for the end of this turn; what each frame costs: elements, bytes; and all together. */
  #queue: Frame[] = []
  #costs: number[] = []
  #elements = 0
  #bytes = 0
  /** Whether something was said in this turn, whose end is awaited. */
  #speaking = false
  #described: (Described & { readonly error: ContextError }) | undefined

  /** @param beforeFlush may push what goes out with what waits */
  constructor(options: LinkOptions<M>, transmit: (frames: readonly Frame[]) => void, beforeFlush: () => void) {
    this.options = options
    this.limits = limitsOf(options.limits)
    this.#transmit = transmit
    this.#beforeFlush = beforeFlush
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

  /** Frames that wait for the end of this turn. */
  get queued(): number {
    return this.#queue.length
  }

  /** Queues a frame; `elements` and `bytes` are what it costs in a message, or more, never less. */
  push(frame: Frame, elements: number, bytes: number): void {
    if (this.lost !== undefined) return
    this.#queue.push(frame)
    this.#costs.push(elements, bytes)
    this.#elements += elements
    this.#bytes += bytes
    this.#speak()
  }

  /** Tells the peer of an end: at once where that is the first thing to say in this turn. Those of one kind and cause that follow each other share a frame. */
  pushCancel(id: number, end: End): void {
    if (this.lost !== undefined) return
    const { kind } = end
    const { cause, elements, bytes } = this.describeEnd(end)
    if (!this.#speaking) {
      this.#speaking = true
      this.#transmit([{ type: 'cancel', id, kind, cause }])
      return this.options.defer(this.#fallSilent)
    }
    const last = this.#queue.at(-1)
    const fits = (this.#costs.at(-2) ?? 0) < maxElements && (this.#costs.at(-1) ?? 0) + idBytes <= this.peer.limits.maxMessage
    if ((last?.type !== 'cancel' && last?.type !== 'cancels') || last.kind !== kind || last.cause !== cause || !fits) {
      return this.push({ type: 'cancel', id, kind, cause }, 8 + elements, 32 + bytes)
    }
    if (last.type === 'cancels') last.ids.push(id)
    else this.#queue[this.#queue.length - 1] = { type: 'cancels', ids: [last.id, id], kind, cause }
    const lastBytes = this.#costs.pop() ?? 0
    const lastElements = this.#costs.pop() ?? 0
    this.#costs.push(lastElements + 1, lastBytes + idBytes)
    this.#elements++
    this.#bytes += idBytes
    // Of very many the peer may end the first while the last are still said.
    if (last.type === 'cancels' && last.ids.length >= manyIds) this.flush()
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

  /** Sends all frames of this turn, in as few messages as the limits allow. */
  flush(): void {
    this.#described = undefined
    if (this.#queue.length === 0) return
    this.#beforeFlush()
    const queue = this.#queue
    const costs = this.#costs
    const whole =
      queue.length <= frameLimits.maxFrames && this.#elements <= maxElements && this.#bytes <= this.peer.limits.maxMessage
    this.#empty()
    if (whole && queue[0]?.type !== 'hello') return this.#transmit(queue)
    this.#split(queue, costs)
  }

  #split(queue: readonly Frame[], costs: readonly number[]): void {
    const { maxMessage } = this.peer.limits
    let start = 0
    let elements = 0
    let bytes = 0
    for (const [i, next] of queue.entries()) {
      const moreElements = costs[2 * i] as number
      const moreBytes = costs[2 * i + 1] as number
      const alone = next.type === 'hello' || queue[i - 1]?.type === 'hello'
      const full =
        alone || i - start >= frameLimits.maxFrames || elements + moreElements > maxElements || bytes + moreBytes > maxMessage
      if (full && i > start) {
        this.#send(queue.slice(start, i))
        start = i
        elements = bytes = 0
      }
      elements += moreElements
      bytes += moreBytes
    }
    this.#send(queue.slice(start))
  }

  #send(frames: readonly Frame[]): void {
    if (this.lost === undefined) this.#transmit(frames)
  }

  #empty(): void {
    this.#queue = []
    this.#costs = []
    this.#elements = this.#bytes = 0
  }

  /** Nothing goes out any more. */
  end(reason: LinkLostError): void {
    this.lost = reason
    this.#empty()
  }
}

/** What a further id in a frame takes at most. */
const idBytes = 9

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
