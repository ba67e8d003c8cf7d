/**
 * One end of a link: calls that go out, calls that come in, and what ends them. A state machine without I/O: it is given a
 * channel, a codec and a root context, whose clock is the only one it reads. It never throws because of what a peer sends.
 *
 * Ids only grow and are never used twice: an id that is not in a table is closed when it is at most the highest one seen, and was
 * never opened when it is above. So nothing is kept of what is over, and a late cancel cannot reach another call.
 */
import { bindingsOf, deadlineOf, endWith, listen, withInstant } from '../boundary.ts'
import { type CancelableContext, type Context, withCancel, withValue } from '../context.ts'
import { scopeOf } from '../foreign.ts'
import {
  BridgeError,
  CanceledError,
  type ContextError,
  DeadlineExceededError,
  kindOf,
  LinkLostError,
  withoutStack,
} from '../errors.ts'
import { named, type Key } from '../key.ts'
import { type CauseLimits, causeLimits, reviveCause, type WireCause } from '../wire/cause.ts'
import { describeCause } from '../wire/cause-describe.ts'
import {
  type CallFrame,
  type CancelFrame,
  type Frame,
  frameLimits,
  maxName,
  PROTOCOL_VERSION,
  type WireContext,
} from '../wire/frame.ts'
import type { Result } from '../wire/result.ts'
import { scanLimits } from '../wire/scan.ts'
import { checkSendable, countElements } from '../wire/sendable.ts'
import { isText, utf8Length } from '../wire/text.ts'
import { decodeValues, encodeValues, type ReportValue } from '../wire/values.ts'

/** What carries a link's messages: one connection. Whole messages, in order; what it calls back is `receive` and `lost`. */
export interface Channel {
  /** Queues a message; never throws. The bytes are the channel's from here on. */
  send(bytes: Uint8Array): void
  /** How many bytes wait for the peer to read. */
  queued(): number
  /** Closes the connection with a code and a reason of at most 100 characters, and sees to it that it is gone soon after. */
  close(code: number, reason: string): void
}

/** Messages as bytes. Neither function throws. */
export interface LinkCodec {
  encode(frames: readonly Frame[]): Uint8Array
  decode(bytes: Uint8Array): Result<Frame[]>
}

/** Close codes of this protocol, beside those of WebSocket (RFC 6455, section 7.4). */
export const closeCode: Readonly<Record<'normal' | 'notBinary' | 'tooBig' | 'tooSlow' | 'badFrame', number>> = Object.freeze({
  /** Closed on purpose. */
  normal: 1000,
  /** A message that is not binary. */
  notBinary: 1003,
  /** A message over the limit. */
  tooBig: 1009,
  /** The peer does not read what is sent to it. */
  tooSlow: 1013,
  /** A message or frame that the protocol does not allow. */
  badFrame: 4400,
})

export interface LinkLimits {
  /** The longest message to take, in bytes. */
  readonly maxMessage: number
  /** How many handlers may run at once for the peer. A cancelled call counts until its handler has finished. */
  readonly maxCalls: number
  /** How many bytes may wait for the peer to read before it is given up. */
  readonly maxBacklog: number
}

export const linkLimits: LinkLimits = Object.freeze({
  maxMessage: scanLimits.maxBytes,
  maxCalls: 1_000,
  maxBacklog: 16 * 1_048_576,
})

/** A served method: gets the context of the call, then the caller's arguments. */
export type Method = (ctx: Context, ...args: never[]) => unknown

export interface LinkOptions {
  readonly channel: Channel
  readonly codec: LinkCodec
  /** Makes the parent of all contexts that come in, when the peer has greeted; its clock is the link's. The peer's name is not to be trusted. */
  readonly root: (peerName: string) => Context
  /** Calls a function after the code that runs now: a microtask. All frames of that time leave in one message. */
  readonly defer: (f: () => void) => void
  /** The object whose own methods the peer may call. */
  readonly serve?: object | undefined
  /** The portable keys whose values are taken from the peer. */
  readonly keys?: readonly Key<unknown>[] | undefined
  /** Who this is, for the peer's logs. */
  readonly name?: string | undefined
  readonly limits?: Partial<LinkLimits> | undefined
  /** Is told what could not be delivered and is nobody's rejection: a context's value of that name. Must not throw. */
  readonly report: ReportValue
  /** Called once, when the peer has greeted. */
  readonly onOpen?: () => void
  /** Called once, when the link is over, after everything on it has ended. */
  readonly onClose?: (reason: LinkLostError) => void
}

export interface LinkStats {
  readonly state: 'opening' | 'open' | 'closed'
  /** Calls that wait for an answer of the peer. */
  readonly calls: number
  /** Handlers that run for the peer. */
  readonly handlers: number
  /** Frames that wait for the end of this turn. */
  readonly queued: number
  /** Frames about what was over already: crossings, not faults. */
  readonly late: number
}

interface PendingCall {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  stop: () => boolean
}

interface RunningHandler {
  readonly ctx: CancelableContext
  /** Whether the caller still waits. */
  wanted: boolean
}

/** A cause, and what it costs in a message at most. */
interface Described {
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

export class Link {
  readonly #options: LinkOptions
  readonly #limits: LinkLimits
  readonly #methods: object | undefined
  #state: LinkStats['state'] = 'opening'
  #lost: LinkLostError | undefined
  #goingAway = false
  /** What the peer takes; until it has said so, what any peer takes. */
  #peer = { name: '', maxMessage: linkLimits.maxMessage, maxCalls: Infinity }
  #causeLimits: CauseLimits = causeLimits
  #root: Context | undefined
  #lastId = 0
  #highestPeerId = 0
  readonly #calls = new Map<number, PendingCall>()
  readonly #handlers = new Map<number, RunningHandler>()
  #queue: QueuedFrame[] = []
  #late = 0
  #described: (Described & { readonly error: ContextError }) | undefined

  /** Greets the peer. */
  constructor(options: LinkOptions) {
    this.#options = options
    this.#limits = { ...linkLimits, ...options.limits }
    this.#methods = options.serve
    const { maxMessage, maxCalls } = this.#limits
    const limits = { maxMessage, maxCalls: this.#methods === undefined ? 0 : maxCalls }
    const name = options.name ?? ''
    this.#push({ type: 'hello', version: PROTOCOL_VERSION, limits, name }, 8, 64 + 3 * name.length)
  }

  /** The peer's name as it gave it; empty before it has greeted. Proves nothing. */
  get peerName(): string {
    return this.#peer.name
  }

  stats(): LinkStats {
    const { size: calls } = this.#calls
    return { state: this.#state, calls, handlers: this.#handlers.size, queued: this.#queue.length, late: this.#late }
  }

  // --- Calls that go out -----------------------------------------------------------------------------------------------

  /**
   * Calls a method of the peer. The promise rejects as soon as `ctx` is done, whether or not the peer answers, and a call whose context
   * is done already is not sent. Arguments are copied before this returns.
   *
   * Rejects with `ctx.err()`, with what the method threw, or with a `BridgeError`: ERR_LINK_LOST, ERR_UNSENDABLE, ERR_LIMIT, ERR_GOING_AWAY,
   * ERR_NO_METHOD.
   *
   * @throws TypeError at once when `ctx` is no context or `method` no name of one
   */
  call(ctx: Context, method: string, args: readonly unknown[]): Promise<unknown> {
    scopeOf(ctx, method)
    if (!isText(method, 1, maxName))
      throw new TypeError(`A method needs a name of 1 to ${maxName} characters, but got ${named(method)}.`)
    const early = ctx.err() ?? this.#refusal()
    if (early !== undefined) return Promise.reject(early)
    const checked = checkSendable(args)
    if (!checked.ok)
      return Promise.reject(new BridgeError('ERR_UNSENDABLE', `The arguments of ${method}() cannot be sent: ${checked.reason}.`))
    const context = this.#describeContext(ctx)
    const elements = 16 + checked.elements + countElements(context.values) + countElements(context.why ?? null)
    const bytes = 64 + 3 * method.length + checked.bytes + bytesOf(context.values) + bytesOf(context.why ?? null)
    if (bytes > this.#peer.maxMessage) {
      return Promise.reject(
        new BridgeError('ERR_LIMIT', `The call of ${method}() is larger than the peer takes: ${this.#peer.maxMessage} bytes.`),
      )
    }
    // Once more, since getters of the arguments and codecs of the values have run.
    const late = ctx.err() ?? this.#refusal()
    if (late !== undefined) return Promise.reject(late)
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId
      this.#push({ type: 'call', id, method, context, args: checked.value as unknown[] }, elements, bytes)
      const call: PendingCall = { resolve, reject, stop: () => true }
      this.#calls.set(id, call)
      // In this order: the deadline may pass right here.
      call.stop = listen(ctx, () => this.#abandon(id, ctx))
    })
  }

  /** Why nothing can be called now. */
  #refusal(): BridgeError | undefined {
    if (this.#lost !== undefined) return this.#lost
    if (this.#goingAway) return new BridgeError('ERR_GOING_AWAY', 'The peer takes no new calls.')
    if (this.#calls.size >= this.#peer.maxCalls) {
      const { maxCalls } = this.#peer
      return new BridgeError(
        'ERR_LIMIT',
        maxCalls === 0 ? 'The peer serves nothing.' : `The peer takes no more than ${maxCalls} calls at once.`,
      )
    }
    return undefined
  }

  #describeContext(ctx: Context): WireContext {
    const deadline = deadlineOf(ctx)
    return {
      // Asked when the message is made: what runs before that counts.
      get left() {
        const left = deadline === undefined ? Number.NaN : deadline.at - deadline.clock.now()
        return Number.isFinite(left) ? left : undefined
      },
      why: deadline?.cause === undefined ? undefined : describeCause(deadline.cause, this.#causeLimits),
      values: encodeValues(bindingsOf(ctx), this.#options.report),
    }
  }

  /** The context of a call is done: nobody waits any longer, and the peer is told to stop. */
  #abandon(id: number, ctx: Context): void {
    const call = this.#calls.get(id)
    if (call === undefined) return
    this.#calls.delete(id)
    const error = ctx.err() as ContextError
    const { cause, elements, bytes } = this.#describeEnd(error)
    this.#push({ type: 'cancel', id, kind: kindOf(error) ?? 'canceled', cause }, 8 + elements, 32 + bytes)
    call.reject(error)
  }

  /** The cause of an end on the wire: made once in a turn, though it may end thousands of calls. */
  #describeEnd(error: ContextError): Described {
    if (this.#described?.error !== error) {
      const cause = Object.hasOwn(error, 'cause') ? describeCause(error.cause, this.#causeLimits) : undefined
      this.#described = { error, cause, elements: countElements(cause ?? null), bytes: bytesOf(cause ?? null) }
    }
    return this.#described
  }

  // --- What comes in ---------------------------------------------------------------------------------------------------

  /** Takes a message. What the protocol does not allow closes the link, with a code and a reason. */
  receive(bytes: Uint8Array): void {
    if (this.#state === 'closed') return
    if (bytes.length > this.#limits.maxMessage) return this.#fail(closeCode.tooBig, 'message: longer than the limit')
    const frames = this.#options.codec.decode(bytes)
    if (!frames.ok) return this.#fail(closeCode.badFrame, frames.reason)
    for (const frame of frames.value) {
      const reason = this.#take(frame)
      if (reason !== undefined) return this.#fail(closeCode.badFrame, reason)
      if (this.#lost !== undefined) return
    }
  }

  /** Returns why the frame is not allowed here, if so. */
  #take(frame: Frame): string | undefined {
    if ((this.#state === 'opening') !== (frame.type === 'hello')) {
      return frame.type === 'hello' ? 'hello: sent twice' : `${frame.type}: sent before hello`
    }
    switch (frame.type) {
      case 'hello': {
        this.#peer = { name: frame.name, ...frame.limits }
        // Any cause fits into half a message: an end must not fail because its reason is long. A value of size 8 takes 9 bytes at most.
        this.#causeLimits = {
          ...causeLimits,
          maxSize: Math.min(causeLimits.maxSize, Math.floor((frame.limits.maxMessage * 4) / 9)),
        }
        this.#state = 'open'
        this.#root = this.#options.root(frame.name)
        this.#options.onOpen?.()
        return undefined
      }
      case 'call':
        return this.#takeCall(frame)
      case 'cancel':
        return this.#takeCancel(frame)
      case 'result':
      case 'error': {
        const call = this.#calls.get(frame.id)
        // A deadline that has passed is first, though no timer may have fired yet: then the call is abandoned by now.
        if (call === undefined || !call.stop()) return this.#takeLate(frame, this.#lastId)
        this.#calls.delete(frame.id)
        if (frame.type === 'result') call.resolve(frame.value)
        else call.reject(reviveCause(frame.error))
        return undefined
      }
      case 'ping':
        this.#push({ type: 'pong', n: frame.n }, 4, 16)
        return undefined
      case 'pong':
        return undefined
      case 'goaway':
        this.#goingAway = true
        return undefined
      case 'export':
      case 'release':
        return `${frame.type}: not spoken here`
    }
  }

  #takeLate(frame: { readonly type: string; readonly id: number }, highest: number): string | undefined {
    if (frame.id > highest) return `${frame.type}: of a call that was never made`
    this.#late++
    return undefined
  }

  #takeCancel(frame: CancelFrame): string | undefined {
    const handler = this.#handlers.get(frame.id)
    if (handler === undefined) return this.#takeLate(frame, this.#highestPeerId)
    handler.wanted = false
    endWith(handler.ctx, errorOf(frame))
    return undefined
  }

  #takeCall(frame: CallFrame): string | undefined {
    const { id, method } = frame
    if (id <= this.#highestPeerId) return 'call: an id that is not above all before'
    this.#highestPeerId = id
    const f = ownMethod(this.#methods, method)
    if (f === undefined) {
      this.#answerError(id, new BridgeError('ERR_NO_METHOD', `The peer serves no method of the name ${named(method)}.`))
    } else if (this.#handlers.size >= this.#limits.maxCalls) {
      this.#answerError(id, new BridgeError('ERR_LIMIT', `The peer takes no more than ${this.#limits.maxCalls} calls at once.`))
    } else {
      void this.#run(id, f, frame)
    }
    return undefined
  }

  /** Runs a handler, and answers unless the caller has gone. Never rejects. */
  async #run(id: number, f: Method, { context, args }: CallFrame): Promise<void> {
    const ctx = this.#importContext(context)
    const handler: RunningHandler = { ctx, wanted: true }
    this.#handlers.set(id, handler)
    let outcome: { readonly value: unknown } | { readonly error: unknown }
    try {
      // After this message: a cancel in the same one, and a deadline that has passed, keep the handler from starting.
      await Promise.resolve()
      ctx.throwIfDone()
      outcome = { value: await f.call(this.#methods, ctx, ...(args as never[])) }
    } catch (error) {
      outcome = { error }
    }
    this.#handlers.delete(id)
    // Whatever the handler left running under its context has nobody to work for any more.
    ctx.cancel()
    if (!handler.wanted || this.#lost !== undefined) return
    if ('error' in outcome) this.#answerError(id, outcome.error)
    else this.#answer(id, outcome.value)
  }

  #importContext({ left, why, values }: WireContext): CancelableContext {
    const { keys = [], report } = this.#options
    // There are no calls before the greeting.
    const root = this.#root as Context
    let base = root
    if (values.length > 0) {
      for (const [key, value] of decodeValues(values, keys, report).bindings) base = withValue(base, key, value)
    }
    if (left === undefined) return withCancel(base)
    const now = scopeOf(root, 'link').time.clock.now()
    return withInstant(base, now + left, why === undefined ? undefined : reviveCause(why))
  }

  #answer(id: number, value: unknown): void {
    const checked = value === undefined ? undefined : checkSendable(value)
    if (checked?.ok === false) {
      return this.#answerError(id, new BridgeError('ERR_UNSENDABLE', `The result cannot be sent: ${checked.reason}.`))
    }
    const bytes = 32 + (checked?.bytes ?? 0)
    if (bytes > this.#peer.maxMessage) {
      return this.#answerError(
        id,
        new BridgeError('ERR_LIMIT', `The result is larger than the caller takes: ${this.#peer.maxMessage} bytes.`),
      )
    }
    this.#push({ type: 'result', id, value: checked?.value }, 8 + (checked?.elements ?? 0), bytes)
  }

  #answerError(id: number, error: unknown): void {
    const wire = describeCause(error, this.#causeLimits)
    this.#push({ type: 'error', id, error: wire }, 8 + countElements(wire), 32 + bytesOf(wire))
  }

  // --- What goes out ---------------------------------------------------------------------------------------------------

  /** Queues a frame; `elements` and `bytes` are what it costs in a message, or more, never less. */
  #push(frame: Frame, elements: number, bytes: number): void {
    if (this.#lost !== undefined) return
    this.#queue.push({ frame, elements, bytes })
    if (this.#queue.length === 1) this.#options.defer(() => this.#flush())
  }

  /** Sends all frames of this turn, in as few messages as the limits allow. */
  #flush(): void {
    const queue = this.#queue
    this.#queue = []
    this.#described = undefined
    let start = 0
    let elements = 0
    let bytes = 0
    for (const [i, next] of queue.entries()) {
      const full =
        i - start >= frameLimits.maxFrames || elements + next.elements > maxElements || bytes + next.bytes > this.#peer.maxMessage
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
    if (this.#lost !== undefined) return
    const { channel, codec } = this.#options
    channel.send(codec.encode(queue.map(({ frame }) => frame)))
    if (channel.queued() > this.#limits.maxBacklog) this.#fail(closeCode.tooSlow, 'backlog: the peer does not read')
  }

  // --- The end ---------------------------------------------------------------------------------------------------------

  /** Ends the link on purpose: all that is open on it ends with a `LinkLostError`. What was sent before still goes out, before the close. */
  close(reason = 'closed'): void {
    this.#flush()
    if (this.#lost !== undefined) return
    this.#options.channel.close(closeCode.normal, reason)
    this.lost(new LinkLostError('The link was closed on this side.'))
  }

  /** The connection is gone, or of no more use: all that is open ends now. A second call changes nothing. */
  lost(reason: LinkLostError): void {
    if (this.#lost !== undefined) return
    this.#lost = reason
    this.#state = 'closed'
    this.#queue = []
    for (const [id, call] of this.#calls) {
      // Where its context has ended, that was first, and the call is abandoned with that error.
      if (!call.stop()) continue
      this.#calls.delete(id)
      call.reject(reason)
    }
    const error = withoutStack(() => new CanceledError({ cause: reason }))
    for (const handler of this.#handlers.values()) {
      handler.wanted = false
      endWith(handler.ctx, error)
    }
    this.#options.onClose?.(reason)
  }

  /** The peer did what is not allowed. */
  #fail(code: number, reason: string): void {
    this.#options.channel.close(code, reason)
    this.lost(
      new LinkLostError(`The link was closed on this side: ${reason}.`, { cause: new BridgeError('ERR_PROTOCOL', reason) }),
    )
  }
}

/** The error with which a peer's cancel ends a context. */
function errorOf({ kind, cause: wire }: CancelFrame): ContextError {
  const options = wire === undefined ? undefined : { cause: reviveCause(wire) }
  return withoutStack(() => (kind === 'deadline' ? new DeadlineExceededError(options) : new CanceledError(options)))
}

/** A method that may be called from outside: an own one, and none that an object has for other purposes. */
function ownMethod(target: object | undefined, name: string): Method | undefined {
  if (target === undefined || name === 'then' || name === 'constructor' || name.startsWith('__')) return undefined
  let f: unknown
  try {
    // By descriptor: a getter is not run for a stranger.
    f = Object.getOwnPropertyDescriptor(target, name)?.value
  } catch {
    // What is served is a proxy that does not like to be asked.
  }
  return typeof f === 'function' ? (f as Method) : undefined
}

/** How many bytes plain data takes in a message at most. */
function bytesOf(data: unknown): number {
  if (typeof data === 'string') return 5 + utf8Length(data)
  if (typeof data !== 'object' || data === null) return 9
  if (ArrayBuffer.isView(data)) return 5 + data.byteLength
  let bytes = 5
  for (const element of Object.values(data)) bytes += bytesOf(element)
  if (!Array.isArray(data)) for (const key of Object.keys(data)) bytes += bytesOf(key)
  return bytes
}
