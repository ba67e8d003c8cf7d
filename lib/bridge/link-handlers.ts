/** Calls that come in: each runs a method of what is served, with a context that lives as long as the call. */

import { endPlainly, endWith, listen } from '../boundary.ts'
import type { CancelableContext } from '../context.ts'
import { BridgeError, type ContextError } from '../errors.ts'
import { named } from '../given.ts'
import { race } from '../wait.ts'
import type { CallFrame, CreditFrame } from '../wire/frame.ts'
import { checkSendable, countElements } from '../wire/sendable.ts'
import { importContext } from './link-contexts.ts'
import { bytesOf, type LinkCore } from './link-core.ts'
import type { Imported, Imports } from './link-imports.ts'
import { LinkTable } from './link-table.ts'
import { Pace, type Paced } from './link-pace.ts'
import type { Method } from './link-types.ts'

/** A call whose method runs, waits for its turn, or is to be started. */
class Handler {
  readonly id: number
  readonly ctx: CancelableContext
  readonly under: Imported | undefined
  /** Whether the caller still waits, as far as a cancel of this very call tells. */
  wanted: boolean
  stream: OutgoingStream | undefined
  readonly #owner: HandlerOwner

  constructor(owner: HandlerOwner, id: number, ctx: CancelableContext, under: Imported | undefined) {
    this.#owner = owner
    this.id = id
    this.ctx = ctx
    this.under = under
    this.wanted = true
    this.stream = undefined
  }

  /** Waits for what its method will have come to: not by a `then` of the promise's own, which may do anything. Functions that are bound take half the memory of those that close over something. */
  follow(promise: Promise<unknown>): void {
    void Promise.prototype.then.call(promise, this.settle.bind(this), this.fail.bind(this))
  }

  // Not private, which would cost each a word that says that it has them.
  settle(value: unknown): void {
    this.#owner.settle(this, value)
  }

  fail(error: unknown): void {
    this.#owner.fail(this, error)
  }
}

interface HandlerOwner {
  settle(handler: Handler, value: unknown): void
  fail(handler: Handler, error: unknown): void
}

/** It waits for credit of the peer's, or for its turn. */
interface OutgoingStream extends Paced {
  /** How many items may be sent. */
  credit: number
}

interface Beginning {
  readonly handler: Handler
  readonly f: Method
  readonly args: readonly unknown[]
}

interface Waiting {
  readonly beginning: Beginning
  /** Of its arguments. */
  readonly bytes: number
}

export class Handlers<M> {
  readonly pace: Pace<M>
  readonly #core: LinkCore<M>
  readonly #imports: Imports<M>
  readonly #methods: object | undefined
  readonly #finished: (isAnswered: boolean) => void
  readonly #handlers = new LinkTable<Handler>()
  /** Those that are to start when the message that they came in is read, by ascending ids. */
  #starting: Beginning[] = []
  /** Those that came while as many ran as may, by their ids, in order. */
  readonly #waiting = new Map<number, Waiting>()
  #waitingBytes = 0
  /** How many methods have been called and have not finished. */
  #running = 0
  #advancing = false
  /** Calls that were refused in the message that is read now, and not cancelled in it. */
  readonly #refused = new Set<number>()
  #refusing = false

  /** @param finished called when a handler has finished, after its answer */
  constructor(core: LinkCore<M>, imports: Imports<M>, finished: (isAnswered: boolean) => void) {
    this.#core = core
    this.#finished = finished
    this.#imports = imports
    this.#methods = core.options.serve
    this.pace = new Pace(core)
  }

  /** All that are not over: running, waiting, or to be started. */
  get size(): number {
    return this.#handlers.size
  }

  get running(): number {
    return this.#running
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Takes a call, whose id is checked. Returns why it is not allowed, if so. */
  takeCall(frame: CallFrame): string | undefined {
    const { id, method, context } = frame
    const under = context.under === undefined ? undefined : this.#imports.get(context.under)
    if (context.under !== undefined && under === undefined) return 'call: under what is not open'
    const f = ownMethod(this.#methods, method)
    const { maxCalls } = this.#core.limits
    if (f === undefined) {
      this.#refuseCall(id, new BridgeError('ERR_NO_METHOD', `The peer serves no method of the name ${named(method)}.`))
    } else if (this.#refusing) {
      this.#refuseCall(id, new BridgeError('ERR_GOING_AWAY', 'The peer takes no new calls.'))
    } else if (this.#handlers.size >= 2 * maxCalls) {
      this.#refuseCall(id, new BridgeError('ERR_LIMIT', `The peer takes no more than ${maxCalls} calls at once.`))
    } else if (this.#core.budget.overdrawn) {
      this.#answerError(
        id,
        new BridgeError('ERR_LIMIT', 'Too many calls were opened and abandoned: the peer takes no more for now.'),
      )
    } else {
      const ctx = importContext(this.#core, under?.base ?? this.#core.root, context)
      // The codec of a value may have closed the link.
      if (this.#core.lost !== undefined) return undefined
      const handler = new Handler(this, id, ctx, under)
      this.#handlers.add(id, handler)
      this.#starting.push({ handler, f, args: frame.args })
      if (this.#starting.length === 1) this.#core.options.defer(this.#startAll)
    }
    return undefined
  }

  /** A call that is refused has its answer: so it was not abandoned, unless it is cancelled in the message that it came in. */
  #refuseCall(id: number, error: BridgeError): void {
    this.#answerError(id, error)
    this.#refused.add(id)
    if (this.#refused.size === 1) this.#core.options.defer(this.#forgetRefused)
  }

  readonly #forgetRefused = (): void => {
    for (const _ of this.#refused) this.#core.budget.giveBack()
    this.#refused.clear()
  }

  /**
   * After a message: a cancel in the same one, and a deadline that has passed, keep a handler from starting. Where as many run as may, it waits for one to finish: a caller that keeps to the limit
   * has others only where some were cancelled, of which it cannot know when they finish.
   */
  readonly #startAll = (): void => {
    const starting = this.#starting
    this.#starting = []
    const { maxCalls } = this.#core.limits
    for (const beginning of starting) {
      if (!beginning.handler.wanted) {
        this.#handlers.delete(beginning.handler.id)
        continue
      }
      if (this.#running < maxCalls && this.#waiting.size === 0) this.#start(beginning)
      else this.#wait(beginning)
    }
  }

  /** Until its turn, or until its context ends: then it is over, and another may wait in its place. What all have brought is no more bytes than may wait for the peer; as empty objects these take twenty times as much memory. */
  #wait(beginning: Beginning): void {
    const { handler, args } = beginning
    const bytes = bytesOf(args)
    const most = this.#core.limits.maxBacklog
    // One alone may be larger.
    if (this.#waitingBytes > 0 && this.#waitingBytes + bytes > most) {
      return this.#turnAway(handler, new BridgeError('ERR_LIMIT', `More than ${most} bytes of calls wait for others to finish.`))
    }
    this.#waiting.set(handler.id, { beginning, bytes })
    this.#waitingBytes += bytes
    listen(handler.ctx, () => {
      if (this.#takeWaiting(handler.id)) this.#turnAway(handler, handler.ctx.err())
    })
  }

  /** Whether it still waited. */
  #takeWaiting(id: number): boolean {
    this.#waitingBytes -= this.#waiting.get(id)?.bytes ?? 0
    return this.#waiting.delete(id)
  }

  /** It never starts. */
  #turnAway(handler: Handler, error: unknown): void {
    const isWanted = this.#over(handler)
    if (isWanted) this.#answerError(handler.id, error)
    this.#finished(isWanted)
  }

  /** One that waits starts for each that has finished. */
  #advance(): void {
    // One that fails at once has the next one started by this very loop.
    this.#advancing = true
    const { maxCalls } = this.#core.limits
    for (const [id, { beginning }] of this.#waiting) {
      if (this.#running >= maxCalls) break
      this.#takeWaiting(id)
      this.#start(beginning)
    }
    this.#advancing = false
  }

  #start({ handler, f, args }: Beginning): void {
    this.#running++
    let value: unknown
    try {
      handler.ctx.throwIfDone()
      value = f.call(this.#methods, handler.ctx, ...(args as never[]))
      // It may be a promise, of any kind.
      if ((typeof value === 'object' && value !== null) || typeof value === 'function')
        return handler.follow(Promise.resolve(value))
    } catch (error) {
      return this.fail(handler, error)
    }
    this.#succeed(handler, value)
  }

  /** What a method returned is there. */
  settle(handler: Handler, value: unknown): void {
    if (!isAsyncIterable(value)) return this.#succeed(handler, value)
    this.#stream(handler, value).then(
      (last) => this.#succeed(handler, last),
      (error: unknown) => this.fail(handler, error),
    )
  }

  #succeed(handler: Handler, value: unknown): void {
    const isWanted = this.#over(handler)
    if (isWanted) this.#answer(handler.id, value)
    this.#leave(isWanted)
  }

  /** A method failed. */
  fail(handler: Handler, error: unknown): void {
    const isWanted = this.#over(handler)
    if (isWanted) this.#answerError(handler.id, error)
    this.#leave(isWanted)
  }

  /** A method has finished, and its place is another one's. */
  #leave(isAnswered: boolean): void {
    this.#running--
    if (this.#waiting.size > 0 && !this.#advancing) this.#advance()
    this.#finished(isAnswered)
  }

  /** A handler has finished. Returns whether somebody waits for its answer. */
  #over({ id, ctx, under, wanted }: Handler): boolean {
    this.#handlers.delete(id)
    // Whatever the handler left running under its context has nobody to work for any more.
    endPlainly(ctx, 'canceled')
    if (!wanted || under?.ended === true || this.#core.lost !== undefined) {
      this.#core.unwanted(id)
      return false
    }
    this.#core.budget.giveBack()
    if (under !== undefined) under.useful = true
    return true
  }

  /**
   * Sends the items of a stream, each when there is credit for it; returns what the stream returned. At the end of the context, and when an item cannot be
   * sent, the stream is told to return: its `finally` runs, and is waited for.
   */
  async #stream(handler: Handler, iterable: AsyncIterable<unknown>): Promise<unknown> {
    const core = this.#core
    const { id, ctx } = handler
    const stream = this.#outgoing(handler)
    const iterator = iterable[Symbol.asyncIterator]()
    let finished = false
    try {
      // One that comes when nobody waits for it any more does not begin.
      ctx.throwIfDone()
      core.push({ type: 'stream', id }, 4, 16)
      for (;;) {
        // oxlint-disable-next-line no-await-in-loop -- item after item
        const result: IteratorResult<unknown, unknown> = await race(ctx, iterator.next())
        if (result.done === true) {
          finished = true
          return result.value
        }
        const item = this.#checkItem(result.value)
        // One item ahead, so that the end is told without a credit for it.
        while (stream.credit === 0 || !this.pace.take(stream, item.bytes)) {
          // oxlint-disable-next-line no-await-in-loop -- item after item
          await race(ctx, new Promise<void>((resolve) => (stream.wake = resolve)))
        }
        ctx.throwIfDone()
        stream.credit--
        core.push({ type: 'item', id, value: item.value }, 8 + item.elements, item.bytes)
      }
    } catch (error) {
      // What the stream itself threw ends it; and what is done is not asked to return once more.
      if (ctx.err() === undefined && !(error instanceof BridgeError)) finished = true
      throw error
    } finally {
      this.pace.leave(stream)
      if (!finished) await iterator.return?.()
    }
  }

  /** Made when it is asked for: the peer may give credit before there is a stream. */
  #outgoing(handler: Handler): OutgoingStream {
    return (handler.stream ??= { credit: this.#core.peer.limits.window, wake: undefined })
  }

  /** An item as it can be sent, and what it costs in a message. */
  #checkItem(item: unknown): { readonly value: unknown; readonly elements: number; readonly bytes: number } {
    const checked = item === undefined ? nothing : checkSendable(item)
    if (!checked.ok) throw new BridgeError('ERR_UNSENDABLE', `An item cannot be sent because of ${checked.reason}.`)
    const { limits, peer } = this.#core
    const bytes = 32 + checked.bytes
    if (bytes > peer.limits.maxMessage) {
      throw new BridgeError('ERR_LIMIT', `An item is larger than the caller takes: ${peer.limits.maxMessage} bytes.`)
    }
    if (bytes > limits.maxBacklog) {
      throw new BridgeError('ERR_LIMIT', `An item is larger than what may wait for the caller: ${limits.maxBacklog} bytes.`)
    }
    return { value: checked.value, elements: checked.elements, bytes }
  }

  /** Returns why the frame is not allowed, if so. */
  takeCredit(frame: CreditFrame): string | undefined {
    const handler = this.#handlers.get(frame.id)
    if (handler === undefined) return this.#core.takeLate(frame, 'peers')
    const stream = this.#outgoing(handler)
    stream.credit += frame.n
    if (!Number.isSafeInteger(stream.credit)) return 'credit: more than 2^53-1 together'
    stream.wake?.()
    stream.wake = undefined
    return undefined
  }

  /** Takes no new calls from here on. */
  refuse(): void {
    this.#refusing = true
  }

  /** Ends the contexts of all handlers: those that run answer as they will, those that wait never start. */
  expire(error: ContextError): void {
    for (const { ctx } of this.#handlers.all()) endWith(ctx, error)
  }

  /** The caller has gone. Returns the context that is to be ended by that; undefined where there is no handler of that id. */
  takeCancel(id: number): CancelableContext | undefined {
    const handler = this.#handlers.get(id)
    if (handler === undefined) {
      if (this.#refused.size > 0) this.#refused.delete(id)
      return undefined
    }
    handler.wanted = false
    const next = this.#starting[0]
    if (next !== undefined && id >= next.handler.id) {
      this.#handlers.delete(id)
      this.#finished(false)
    }
    return handler.ctx
  }

  #answer(id: number, value: unknown): void {
    const { maxMessage } = this.#core.peer.limits
    const checked = value === undefined ? undefined : checkSendable(value)
    if (checked?.ok === false) {
      return this.#answerError(id, new BridgeError('ERR_UNSENDABLE', `The result cannot be sent because of ${checked.reason}.`))
    }
    const bytes = 32 + (checked?.bytes ?? 0)
    if (bytes > maxMessage) {
      const message = `The result is larger than the caller takes: ${maxMessage} bytes.`
      return this.#answerError(id, new BridgeError('ERR_LIMIT', message))
    }
    if (!this.#core.fits(bytes)) {
      const message = `More than ${this.#core.limits.maxBacklog} bytes wait for the caller to take them: the result was not sent.`
      return this.#answerError(id, new BridgeError('ERR_LIMIT', message))
    }
    this.#core.push({ type: 'result', id, value: checked?.value }, 8 + (checked?.elements ?? 0), bytes)
  }

  #answerError(id: number, error: unknown): void {
    const wire = this.#core.describe(error)
    this.#core.push({ type: 'error', id, error: wire }, 8 + countElements(wire), 32 + bytesOf(wire))
  }

  /** The link is over: the contexts of all handlers end. */
  close(error: ContextError): void {
    for (const handler of this.#handlers.all()) {
      handler.wanted = false
      endWith(handler.ctx, error)
    }
  }
}

/** What `yield` gives without a value. */
const nothing = { ok: true, value: undefined, elements: 0, bytes: 0 } as const

/** Never throws: what a handler returned may be a proxy. */
function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  if (typeof value !== 'object' || value === null) return false
  try {
    return typeof (value as Partial<AsyncIterable<unknown>>)[Symbol.asyncIterator] === 'function'
  } catch {
    return false
  }
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
