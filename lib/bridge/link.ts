/**
 * One end of a link: calls that go out, calls that come in, contexts that cross, and what ends them. A state machine without I/O: it is given a
 * channel, a codec and a root context, whose clock is the only one it reads. It never throws because of what a peer sends.
 *
 * Ids only grow and are never used twice: an id that is not in a table is closed when it is at most the highest one seen, and was
 * never opened when it is above. So nothing is kept of what is over, and a late cancel cannot reach another call.
 *
 * The parts: `link-calls.ts` and `link-exports.ts` are what this side has at the peer; `link-handlers.ts` and `link-imports.ts` are what the
 * peer has here; `link-core.ts` is what they share; `link-intake.ts` gives each what comes, and `link-outflow.ts` takes what goes.
 */
import type { CancelableContext, Context } from '../context.ts'
import { BridgeError, CanceledError, LinkLostError, withoutStack } from '../errors.ts'
import { DATA } from '../wire/cause.ts'
import { type Frame, type HelloFrame, PROTOCOL_VERSION } from '../wire/frame.ts'
import { Calls } from './link-calls.ts'
import { LinkCore } from './link-core.ts'
import { Farewell } from './link-farewell.ts'
import type { LinkHandle } from './link-handle.ts'
import { Handlers } from './link-handlers.ts'
import { inOrder } from './link-held.ts'
import { Imports } from './link-imports.ts'
import { Intake } from './link-intake.ts'
import { linkLease, Liveness } from './link-liveness.ts'
import { Outflow } from './link-outflow.ts'
import { Replay } from './link-replay.ts'
import { notSpoken } from './link-show.ts'
import { type Channel, closeCode, type Fault, type LinkOptions, type LinkStats } from './link-types.ts'

export type { LinkHandle } from './link-handle.ts'
export type { LinkLease } from './link-liveness.ts'
export {
  type Channel,
  closeCode,
  type LinkCodec,
  type LinkLimits,
  type LinkOptions,
  type LinkStats,
  type Method,
} from './link-types.ts'

export class Link<M = Uint8Array> {
  readonly #core: LinkCore<M>
  readonly #calls: Calls<M>
  readonly #imports: Imports<M>
  readonly #handlers: Handlers<M>
  readonly #intake: Intake<M>
  readonly #liveness: Liveness<M> | undefined
  /** Where there is a session, or may be one: until the peer has greeted without. Without a token it acknowledges alone, and nobody goes on with it. */
  #replay: Replay<M> | undefined
  readonly #out: Outflow<M>
  #state: LinkStats['state'] = 'opening'
  #token = ''
  /** Why the last connection is gone. */
  #broken: LinkLostError | undefined
  readonly #farewell: Farewell<M>

  /** Greets the peer. */
  constructor(options: LinkOptions<M>) {
    this.#out = new Outflow(options.channel, options.ahead)
    this.#core = new LinkCore(options, {
      transmit: (frames) => this.#transmit(frames),
      transmitCancel: (id, text) => this.#transmitCancel(id, text),
      beforeFlush: () => {
        if (this.#replay?.due === true && this.#state !== 'opening') this.#acknowledge()
      },
      isRoomy: () => this.#out.isRoomy(),
      waits: () => this.#awaitRoom(),
      unacknowledged: () => this.#replay?.overdue ?? 0,
    })
    this.#calls = new Calls(this.#core, () => this.#farewell.settled())
    this.#imports = new Imports(this.#core)
    this.#handlers = new Handlers(this.#core, this.#imports, (isAnswered) => this.#farewell.finished(isAnswered))
    this.#intake = new Intake(this.#core, this.#calls, this.#imports, this.#handlers)
    // What was said on a connection that broke waits for the next one, as far as the lease goes.
    const isOnItsWay = (): boolean => this.#state === 'suspended' || this.#core.isWaiting || this.#out.queued > 0
    this.#farewell = new Farewell(this.#core, this.#calls, this.#handlers, isOnItsWay)
    if (options.session !== undefined) this.#replay = new Replay()
    if (options.lease !== undefined) {
      this.#liveness = new Liveness(
        this.#core,
        { ...linkLease, ...options.lease },
        {
          shared: () => this.#state === 'suspended' || (this.#state === 'open' && this.#shared),
          ping: (n) => this.#core.push({ type: 'ping', n }, 4, 16),
          stale: () => this.leave(),
          unreadSince: (now) => this.#out.unreadSince(now),
          slow: () => this.#fail(closeCode.tooSlow, 'backlog: the peer reads too slowly'),
          expire: () => this.#expire(),
          lost: () => this.#silent(),
        },
      )
    }
    this.#core.push(this.#hello(), 24, 256 + 3 * (options.name?.length ?? 0) + 3 * options.id.length)
  }

  #hello(): HelloFrame {
    const { options, limits } = this.#core
    const { maxMessage, maxCalls, maxContexts, window } = limits
    const { id: link, name = '', serve, lease, session } = options
    if (typeof session === 'object') this.#token = session.accept()
    return {
      type: 'hello',
      version: PROTOCOL_VERSION,
      limits: {
        maxMessage,
        maxCalls: serve === undefined ? 0 : maxCalls,
        maxContexts,
        window,
        lease: lease === undefined ? 0 : Math.ceil(lease.exports ?? linkLease.exports),
      },
      name,
      link,
      session: session === undefined ? undefined : { token: this.#token, received: this.#replay?.received ?? 0 },
    }
  }

  /** The peer's name as it gave it; empty before it has greeted. Proves nothing. */
  get peerName(): string {
    return this.#core.peer.name
  }

  /** The token with which the session can be gone on with; empty without one. On the accepting side the one that was offered last. */
  get token(): string {
    return this.#token
  }

  /** Whether both sides have greeted, on this connection. */
  get #isOpen(): boolean {
    return this.#state === 'open' && !this.#out.greeting
  }

  /** Whether anything is open in either direction, or the peer is waited for. */
  get #shared(): boolean {
    if (this.#farewell.isBusy) return true
    return this.#calls.size + this.#handlers.size + this.#calls.exports.size + this.#imports.size > 0
  }

  stats(): LinkStats {
    const core = this.#core
    return {
      state: this.#state,
      calls: this.#calls.size,
      handlers: this.#handlers.running,
      waiting: this.#handlers.waiting,
      exports: this.#calls.exports.size,
      imports: this.#imports.size,
      queued: core.queued,
      late: core.late,
    }
  }

  /**
   * Calls a method of the peer. The promise rejects as soon as `ctx` is done, whether or not the peer answers, and a call whose context
   * is done already is not sent. Arguments are copied before this returns. Where the method returns a stream, the promise resolves with an async iterable, and
   * the call lives until that has ended.
   *
   * Rejects with `ctx.err()`, with what the method threw, or with a `BridgeError`: ERR_LINK_LOST, ERR_UNSENDABLE, ERR_LIMIT, ERR_GOING_AWAY,
   * ERR_NO_METHOD.
   *
   * @throws TypeError at once when `ctx` is no context or `method` no name of one
   */
  call(ctx: Context, method: string, args: readonly unknown[]): Promise<unknown> {
    return this.#calls.call(ctx, method, args)
  }

  /**
   * A handle for `ctx`, to be sent in a message of one's own; `import` on the other side makes a context of it, which ends when `ctx` does. One context
   * costs the peer one id, however often it is exported, until it ends, the last import there has ended or was collected, or the link is over.
   *
   * @throws TypeError when `ctx` is no context
   * @throws BridgeError ERR_LIMIT when the peer takes no more contexts, ERR_LINK_LOST when the link is over
   */
  export(ctx: Context): LinkHandle {
    return this.#calls.exports.grant(ctx)
  }

  /**
   * The context that a handle of the peer stands for: it ends when the peer's does, with the link, by its deadline, or by its own `cancel`, which the
   * peer's context does not feel. Cancel it, or drop it, when it is not needed any more: the last one gives the handle back.
   *
   * Never throws: the handle is from outside. One that is of no use gives a context that is done, whose cause is a `BridgeError`: ERR_HANDLE,
   * ERR_LIMIT, ERR_LINK_LOST.
   */
  import(handle: unknown): CancelableContext {
    const ctx = this.#imports.import(handle)
    // One that is awaited hangs on a peer that may never say anything.
    this.#liveness?.watch()
    return ctx
  }

  /** Takes a message. What the protocol does not allow closes the link, with a code and a reason. */
  receive(message: M): void {
    const { codec } = this.#core.options
    const id = codec.decodeCancel(message)
    if (id > 0 && this.#isOpen) return this.#receiveCancel(id, codec.cancelText(message), codec.size(message))
    if (this.#state === 'closed') return
    const size = codec.size(message)
    if (size > this.#core.limits.maxMessage) return this.#fail(closeCode.tooBig, 'message: longer than the limit')
    const frames = codec.decode(message)
    if (!frames.ok) return this.#fail(closeCode.badFrame, frames.reason)
    this.receiveFrames(frames.value, size)
  }

  /** The short way of `receive`, since others wait for an end: it tells them first. */
  #receiveCancel(id: number, text: string | undefined, size: number): void {
    this.#liveness?.heard()
    const isDue = this.#replay?.take(size) === true
    const fault = this.#intake.takeCancel(id, 'canceled', text === undefined ? undefined : [DATA, text])
    if (fault !== undefined) return this.#fail(closeCode.badFrame, fault)
    if (isDue) this.#acknowledge()
    // It shares nothing, and ends nothing that a quiet link waits for.
    if (this.#core.isCrowded || this.#handlers.pace.isAwaited) this.#drain()
  }

  /** As `receive`, for a message of that size that somebody has decoded. */
  receiveFrames(frames: readonly Frame[], size: number): void {
    this.#liveness?.heard()
    // A greeting alone is of its connection, all else of the session.
    if (this.#replay !== undefined && !(frames.length === 1 && frames[0]?.type === 'hello') && this.#replay.take(size)) {
      this.#acknowledge()
    }
    for (const frame of frames) {
      const fault = this.#take(frame)
      if (typeof fault === 'string') return this.#fail(closeCode.badFrame, fault)
      if (fault !== undefined) return this.#fail(fault.code, fault.reason)
      if (this.#core.lost !== undefined) return
    }
    this.#liveness?.watch()
    this.#farewell.settled()
    // Timers of a hidden page are late: whatever arrives shows that time has passed.
    this.#drain()
  }

  /** Returns why the frame is not allowed here, if so. */
  #take(frame: Frame): Fault | undefined {
    if (frame.type === 'hello') return this.#takeHello(frame)
    if (this.#state === 'opening' || this.#out.greeting) return `${frame.type}: sent before hello`
    switch (frame.type) {
      case 'ping':
        this.#acknowledge()
        this.#core.push({ type: 'pong', n: frame.n }, 4, 16)
        return undefined
      case 'pong':
        if (frame.n === inOrder) this.#core.answered()
        return undefined
      case 'ack':
        if (this.#replay === undefined) return 'ack: without a session'
        return this.#replay.confirm(frame.n) ? undefined : 'ack: of what was never sent'
      default:
        return this.#intake.take(frame)
    }
  }

  #takeHello(hello: HelloFrame): Fault | undefined {
    const { session } = hello
    if (this.#state === 'opening') {
      const { options } = this.#core
      if (hello.link === options.id) return 'hello: it is the one of this side, sent back'
      if (options.session === 'acknowledge' && session === undefined) return 'hello: without a session'
      this.#core.greeted(hello)
      if (options.session === 'connect') this.#token = session?.token ?? ''
      if (this.#token === '' && options.session !== 'acknowledge') this.#replay = undefined
      this.#state = 'open'
      this.#core.options.onOpen?.()
      return undefined
    }
    if (!this.#out.greeting) return 'hello: sent twice'
    if (hello.link !== this.#core.peer.link || session === undefined) return 'hello: of another session'
    if (this.#replay?.covers(session.received) !== true) return 'hello: a count that cannot be'
    this.#replay.confirm(session.received)
    this.#token = session.token
    this.#continue()
    return undefined
  }

  // --- What goes out ---------------------------------------------------------------------------------------------------

  #acknowledge(): void {
    const n = this.#replay?.acknowledge()
    if (n !== undefined) this.#core.push({ type: 'ack', n }, 4, 16)
  }

  #transmit(frames: readonly Frame[]): void {
    const { codec } = this.#core.options
    const message = codec.encode(frames)
    const size = codec.size(message)
    if (this.#replay !== undefined && frames[0]?.type !== 'hello') this.#replay.keep(message, size)
    if (!this.#isTooMuch(this.#out.put(message, size))) this.#liveness?.watch()
  }

  /** As `#transmit`, while a context is about to end: so whatever this comes to is found out later. */
  #transmitCancel(id: number, text: string | undefined): void {
    const { codec, defer } = this.#core.options
    const message = codec.encodeCancel(id, text)
    const size = codec.size(message)
    const queued = this.#out.put(message, size)
    this.#replay?.keep(message, size)
    if (this.#waiting(queued) <= this.#mostWaiting) return
    defer(() => {
      if (this.#core.lost === undefined) this.#isTooMuch(queued)
    })
  }

  #waiting(queued: number): number {
    return Math.max(queued, this.#replay?.overdue ?? 0) + this.#core.heldBytes
  }

  /** What is large was refused before. Of what is small much must have gathered. */
  get #mostWaiting(): number {
    return 2 * this.#core.limits.maxBacklog
  }

  /** Gives the peer up where more waits for it than may. */
  #isTooMuch(queued: number): boolean {
    if (this.#waiting(queued) <= this.#mostWaiting) return false
    this.#fail(closeCode.tooSlow, 'backlog: the peer does not read')
    return true
  }

  /** Something waits until the channel has room, or there is another one. */
  #awaitRoom(): void {
    if (this.#isTooMuch(this.#out.queued)) return
    this.#liveness?.watch()
    this.#out.awaitRoom(() => this.#drain())
  }

  /** There may be room again: for what waits in the link, then for streams. */
  #drain(): void {
    this.#core.drain()
    this.#handlers.pace.wake()
  }

  /** Finds out at once whether the peer is still there, on this connection: a machine that slept, or has got another network, cannot know. */
  probe(): void {
    if (this.#state === 'open') this.#liveness?.probe()
  }

  // --- Another connection ----------------------------------------------------------------------------------------------

  /**
   * The connection is gone. A link with a session waits for another one, as long as the leases allow; without one it is lost. Of a channel that is not
   * the present one nothing is heard here: see to that.
   */
  detached(reason: LinkLostError): void {
    if (this.#replay === undefined || this.#token === '' || this.#state === 'opening' || this.#state === 'closed') {
      return this.lost(reason)
    }
    if (this.#state === 'suspended' && this.#out.channel === undefined) return
    this.#suspend(reason)
    if (typeof this.#core.options.session === 'object') this.#liveness?.hurry()
  }

  #suspend(reason: LinkLostError): void {
    this.#out.disconnect()
    this.#state = 'suspended'
    this.#broken = reason
    this.#liveness?.watch()
    this.#core.options.onSuspend?.(reason)
  }

  /**
   * The side that connects has a connection again: greets, and goes on when the peer has. Returns false, and leaves the channel to the caller, where the
   * link waits for none: it may have been closed meanwhile.
   */
  reconnected(channel: Channel<M>): boolean {
    if (this.#state !== 'suspended') return false
    this.#out.connect(channel)
    this.#out.greeting = true
    channel.send(this.#core.options.codec.encode([this.#hello()]))
    return true
  }

  /**
   * Somebody who has proven that the session is theirs has connected to the side that accepts: the link goes on there, and the old connection is
   * closed. Returns false, and changes nothing, where the count of received messages cannot be.
   */
  resume(channel: Channel<M>, { link, session }: HelloFrame): boolean {
    if (this.#state === 'closed' || session === undefined || link !== this.#core.peer.link) return false
    this.#core.flush()
    if (this.#core.lost !== undefined || this.#replay?.covers(session.received) !== true) return false
    this.#replay.confirm(session.received)
    this.#out.channel?.close(closeCode.replaced, 'session: goes on over another connection')
    this.#out.connect(channel)
    channel.send(this.#core.options.codec.encode([this.#hello()]))
    this.#continue()
    return true
  }

  #continue(): void {
    this.#out.greeting = false
    this.#state = 'open'
    this.#broken = undefined
    this.#liveness?.heard()
    const { codec } = this.#core.options
    for (const message of this.#replay?.missing() ?? []) this.#out.put(message, codec.size(message))
    this.#drain()
  }

  // --- The end ---------------------------------------------------------------------------------------------------------

  /** Ends the link on purpose: all that is open on it ends with a `LinkLostError`. What was sent before still goes out, before the close. */
  close(reason = 'closed'): void {
    this.#core.finish()
    if (this.#core.lost !== undefined) return
    this.#out.channel?.close(closeCode.normal, reason)
    this.lost(new LinkLostError('The link was closed on this side.'))
  }

  /**
   * Ends the link in peace: the peer is told to make no more calls, and those that it had made before it knew still run. What runs in either direction may
   * end, and its answers may reach the peer, within `grace` milliseconds; then the contexts of handlers that still run end with `ERR_GOING_AWAY` as their cause, may
   * answer, and the link is closed. Resolves when it is. A peer that has not heard of it after 2 seconds, though nothing is on its way to it, is not waited for any
   * longer; one whose connection breaks meanwhile may come back.
   */
  async shutdown(grace: number): Promise<void> {
    const core = this.#core
    if (core.lost !== undefined) return
    const reason = 'going away'
    await this.#farewell.say(reason, grace)
    core.finish()
    if (core.lost !== undefined) return
    this.#out.channel?.close(closeCode.goingAway, reason)
    this.lost(new LinkLostError('The link was closed on this side: going away.'))
  }

  /** The connection is gone, or of no more use: all that is open ends now. A second call changes nothing. */
  lost(reason: LinkLostError): void {
    if (this.#core.lost !== undefined) return
    this.#core.end(reason)
    this.#state = 'closed'
    this.#replay = undefined
    this.#calls.close(reason)
    const error = withoutStack(() => new CanceledError({ cause: reason }))
    this.#handlers.close(error)
    this.#imports.close(error)
    this.#liveness?.close()
    this.#farewell.settled()
    this.#core.options.onClose?.(reason)
  }

  /** Nothing was heard for so long that the peer will give this side up: what it has here ends. */
  #expire(): void {
    const reason = new LinkLostError('Nothing was heard of the other side for too long.')
    const error = withoutStack(() => new CanceledError({ cause: reason }))
    this.#handlers.expire(error)
    this.#imports.expire(error)
  }

  /**
   * Drops the connection for another one; nothing happens where there is no session to go on with. Neither side waits for a connection that is silent, as
   * long as there is time for another one. The side that accepts drops it, too: the other one may hear all that comes, and not know that nothing of its own
   * arrives.
   */
  leave(): void {
    if (this.#state !== 'open' || this.#token === '') return
    // Without a word, which would end the session where it arrives.
    this.#out.channel?.terminate()
    this.#suspend(new LinkLostError('Nothing was heard of the other side.'))
  }

  #silent(): void {
    this.#out.channel?.close(closeCode.silent, 'lease: nothing was heard')
    this.lost(this.#broken ?? new LinkLostError('Nothing was heard of the other side for longer than the lease.'))
  }

  /** The peer did what is not allowed. */
  #fail(code: number, reason: string): void {
    const isPeer = this.#state !== 'opening'
    this.#out.channel?.close(code, reason)
    const cause = new BridgeError('ERR_PROTOCOL', reason)
    this.lost(isPeer ? new LinkLostError(`The link was closed on this side: ${reason}.`, { cause }) : notSpoken(reason))
  }
}
