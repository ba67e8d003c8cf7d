/** What the parts of a link share: what is known of the peer, the ids, and the frames that wait to be sent. */

import type { Context } from '../context.ts'
import type { ContextError, LinkLostError } from '../errors.ts'
import { scopeOf } from '../foreign.ts'
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

interface QueuedFrame {
  readonly frame: Frame
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
  #queue: QueuedFrame[] = []
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
  describeEnd(error: ContextError): Described {
    if (this.#described?.error !== error) {
      const cause = Object.hasOwn(error, 'cause') ? this.describe(error.cause) : undefined
      this.#described = { error, cause, elements: countElements(cause ?? null), bytes: bytesOf(cause ?? null) }
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
    this.#queue.push({ frame, elements, bytes })
    if (this.#queue.length === 1) this.options.defer(() => this.flush())
  }

  /** Sends all frames of this turn, in as few messages as the limits allow. */
  flush(): void {
    if (this.#queue.length > 0) this.#beforeFlush()
    const queue = this.#queue
    this.#queue = []
    this.#described = undefined
    const { maxMessage } = this.peer.limits
    let start = 0
    let elements = 0
    let bytes = 0
    for (const [i, next] of queue.entries()) {
      const alone = next.frame.type === 'hello' || queue[i - 1]?.frame.type === 'hello'
      const full =
        alone || i - start >= frameLimits.maxFrames || elements + next.elements > maxElements || bytes + next.bytes > maxMessage
      if (full && i > start) {
        this.#send(queue.slice(start, i))
        start = i
        elements = bytes = 0
      }
      elements += next.elements
      bytes += next.bytes
    }
    if (queue.length > start) this.#send(queue.slice(start))
  }

  #send(queue: readonly QueuedFrame[]): void {
    if (this.lost === undefined) this.#transmit(queue.map(({ frame }) => frame))
  }

  /** Nothing goes out any more. */
  end(reason: LinkLostError): void {
    this.lost = reason
    this.#queue = []
  }
}

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
