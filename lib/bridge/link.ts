/**
 * One end of a link: calls that go out, calls that come in, contexts that cross, and what ends them. A state machine without I/O: it is given a
 * channel, a codec and a root context, whose clock is the only one it reads. It never throws because of what a peer sends.
 *
 * Ids only grow and are never used twice: an id that is not in a table is closed when it is at most the highest one seen, and was
 * never opened when it is above. So nothing is kept of what is over, and a late cancel cannot reach another call.
 *
 * The parts: `link-calls.ts` and `link-exports.ts` are what this side has at the peer; `link-handlers.ts` and `link-imports.ts` are what the
 * peer has here; `link-core.ts` is what they share.
 */
import { delayUntil } from '../clock.ts'
import type { CancelableContext, Context } from '../context.ts'
import { BridgeError, CanceledError, LinkLostError, withoutStack } from '../errors.ts'
import { type CancelFrame, type CancelsFrame, type Frame, type HelloFrame, PROTOCOL_VERSION } from '../wire/frame.ts'
import { Calls } from './link-calls.ts'
import { clockOf, endAllBy, endBy } from './link-contexts.ts'
import { LinkCore } from './link-core.ts'
import type { LinkHandle } from './link-handle.ts'
import { Handlers } from './link-handlers.ts'
import { inOrder } from './link-held.ts'
import { Imports } from './link-imports.ts'
import { linkLease, Liveness } from './link-liveness.ts'
import { messageOverhead, Replay } from './link-replay.ts'
import { Unread } from './link-unread.ts'
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
  readonly #liveness: Liveness<M> | undefined
  /** Where there is a session, or may be one: until the peer has greeted without. */
  #replay: Replay<M> | undefined
  #channel: Channel<M> | undefined
  readonly #unread = new Unread()
  /** Whether more waited in the channel than may, when it was last asked. */
  #full = false
  /** How many messages were given to it since then: small ones take more memory than their bytes. */
  #piled = 0
  /** The channel that is to say when it has room. */
  #asked: Channel<M> | undefined
  #state: LinkStats['state'] = 'opening'
  /** Whether the channel is new, and our greeting, or the peer's, is still to come on it: then messages wait. */
  #greeting = false
  #token = ''
  /** Why the last connection is gone. */
  #broken: LinkLostError | undefined
  /** Who waits for quiet. */
  readonly #waits = new Set<() => void>()
  /** Whether this side goes away, and does not know yet that the peer has heard so. */
  #unheard = false

  /** Greets the peer. */
  constructor(options: LinkOptions<M>) {
    this.#channel = options.channel
    this.#core = new LinkCore(options, {
      transmit: (frames) => this.#transmit(frames),
      beforeFlush: () => {
        if (this.#replay?.due === true && this.#state !== 'opening') this.#acknowledge()
      },
      isRoomy: () => this.#isRoomy(),
      waits: () => this.#awaitRoom(),
      unacknowledged: () => this.#replay?.overdue ?? 0,
    })
    this.#calls = new Calls(this.#core, () => this.#settled())
    this.#imports = new Imports(this.#core)
    this.#handlers = new Handlers(this.#core, this.#imports, () => this.#settled())
    if (options.session !== undefined) this.#replay = new Replay()
    if (options.lease !== undefined) {
      this.#liveness = new Liveness(
        this.#core,
        { ...linkLease, ...options.lease },
        {
          shared: () => this.#state === 'suspended' || (this.#state === 'open' && this.#shared),
          ping: (n) => this.#core.push({ type: 'ping', n }, 4, 16),
          stale: () => this.leave(),
          unreadSince: (now) => this.#unreadSince(now),
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

  /** Whether anything is open in either direction. */
  get #shared(): boolean {
    return this.#calls.size + this.#handlers.size + this.#calls.exports.size + this.#imports.size > 0
  }

  stats(): LinkStats {
    const core = this.#core
    return {
      state: this.#state,
      calls: this.#calls.size,
      handlers: this.#handlers.size,
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
    if (this.#state === 'closed') return
    const { codec } = this.#core.options
    const size = codec.size(message)
    if (size > this.#core.limits.maxMessage) return this.#fail(closeCode.tooBig, 'message: longer than the limit')
    const frames = codec.decode(message)
    if (!frames.ok) return this.#fail(closeCode.badFrame, frames.reason)
    this.receiveFrames(frames.value, size)
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
    this.#settled()
    // Timers of a hidden page are late: whatever arrives shows that time has passed.
    this.#drain()
  }

  /** Returns why the frame is not allowed here, if so. */
  #take(frame: Frame): Fault | undefined {
    if (frame.type === 'hello') return this.#takeHello(frame)
    if (this.#state === 'opening' || this.#greeting) return `${frame.type}: sent before hello`
    switch (frame.type) {
      case 'call':
        return this.#takeId(frame) ?? this.#handlers.takeCall(frame)
      case 'export':
        return this.#takeId(frame) ?? this.#imports.takeExport(frame)
      case 'cancel':
        return this.#takeCancel(frame)
      case 'cancels':
        return this.#takeCancels(frame)
      case 'retract':
        return this.#imports.takeRetract(frame)
      case 'result':
      case 'error':
        return this.#calls.takeAnswer(frame)
      case 'stream':
        return this.#calls.takeStream(frame)
      case 'item':
        return this.#calls.takeItem(frame)
      case 'credit':
        return this.#handlers.takeCredit(frame)
      case 'release':
        return this.#calls.exports.takeRelease(frame)
      case 'ping':
        this.#acknowledge()
        this.#core.push({ type: 'pong', n: frame.n }, 4, 16)
        return undefined
      case 'pong':
        if (frame.n === inOrder && this.#unheard) this.#refuse()
        return undefined
      case 'goaway':
        this.#calls.takeGoaway()
        return undefined
      case 'ack':
        if (this.#replay === undefined) return 'ack: without a session'
        return this.#replay.confirm(frame.n) ? undefined : 'ack: of what was never sent'
    }
  }

  #takeHello(hello: HelloFrame): Fault | undefined {
    const { session } = hello
    if (this.#state === 'opening') {
      this.#core.greeted(hello)
      if (this.#core.options.session === 'connect') this.#token = session?.token ?? ''
      if (session === undefined || this.#token === '') this.#replay = undefined
      this.#state = 'open'
      this.#core.options.onOpen?.()
      return undefined
    }
    if (!this.#greeting) return 'hello: sent twice'
    if (hello.link !== this.#core.peer.link || session === undefined) return 'hello: of another session'
    if (this.#replay?.covers(session.received) !== true) return 'hello: a count that cannot be'
    this.#replay.confirm(session.received)
    this.#token = session.token
    this.#continue(this.#channel as Channel<M>)
    return undefined
  }

  /** Calls and exports share one sequence of ids. */
  #takeId({ type, id }: { readonly type: string; readonly id: number }): Fault | undefined {
    const core = this.#core
    if (id <= core.highestPeerId) return `${type}: an id that is not above all before`
    if (!core.budget.take()) return { code: closeCode.tooMuch, reason: `${type}: too many were opened and abandoned` }
    core.highestPeerId = id
    this.#imports.passed(id)
    return undefined
  }

  #takeCancel({ id, kind, cause }: CancelFrame): string | undefined {
    const ctx = this.#cancelled(id)
    if (ctx === undefined) return this.#core.takeLate({ type: 'cancel', id }, 'peers')
    endBy(ctx, kind, cause)
    return undefined
  }

  #takeCancels({ ids, kind, cause }: CancelsFrame): string | undefined {
    const contexts: CancelableContext[] = []
    for (const id of ids) {
      const ctx = this.#cancelled(id)
      const fault = ctx === undefined ? this.#core.takeLate({ type: 'cancels', id }, 'peers') : undefined
      if (fault !== undefined) return fault
      if (ctx !== undefined) contexts.push(ctx)
    }
    endAllBy(contexts, kind, cause)
    return undefined
  }

  /** Whoever the peer has cancelled, still to be ended. */
  #cancelled(id: number): CancelableContext | undefined {
    this.#core.unwanted(id)
    return this.#handlers.takeCancel(id) ?? this.#imports.takeCancel(id)
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
    const queued = this.#channel === undefined || this.#greeting ? 0 : this.#put(this.#channel, message, size)
    if (!this.#isTooMuch(queued)) this.#liveness?.watch()
  }

  /** Returns how many bytes wait in the channel now, with what messages cost beside theirs. */
  #put(channel: Channel<M>, message: M, size: number): number {
    this.#piled = this.#full ? this.#piled + 1 : 0
    channel.send(message)
    this.#unread.sent(size)
    const queued = channel.queued()
    this.#full = queued > this.#ahead
    return queued + messageOverhead * this.#piled
  }

  /** Gives the peer up where more waits for it than may. */
  #isTooMuch(queued: number): boolean {
    const waiting = Math.max(queued, this.#replay?.overdue ?? 0) + this.#core.heldBytes
    // What is large was refused before. Of what is small much must have gathered.
    if (waiting <= 2 * this.#core.limits.maxBacklog) return false
    this.#fail(closeCode.tooSlow, 'backlog: the peer does not read')
    return true
  }

  get #ahead(): number {
    return this.#core.options.ahead ?? 65_536
  }

  /** Whether the channel takes what is not urgent. It is asked only where it was full. */
  #isRoomy(): boolean {
    if (this.#channel === undefined || this.#greeting) return false
    if (this.#full) this.#full = this.#channel.queued() > this.#ahead
    return !this.#full
  }

  /** Something waits until the channel has room, or there is another one. */
  #awaitRoom(): void {
    const channel = this.#channel
    if (this.#isTooMuch(channel?.queued() ?? 0)) return
    this.#liveness?.watch()
    if (channel === undefined || this.#greeting || this.#asked === channel) return
    this.#asked = channel
    channel.drained(() => {
      if (this.#asked !== channel) return
      this.#asked = undefined
      if (this.#channel === channel) this.#drain()
    })
  }

  /** There may be room again: for what waits in the link, then for streams. */
  #drain(): void {
    this.#core.drain()
    this.#handlers.pace.wake()
  }

  #unreadSince(now: number): number {
    return this.#channel === undefined ? Infinity : this.#unread.since(this.#channel.queued(), now)
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
    if (this.#state === 'suspended' && this.#channel === undefined) return
    this.#suspend(reason)
    if (typeof this.#core.options.session === 'object') this.#liveness?.hurry()
  }

  #suspend(reason: LinkLostError): void {
    this.#channel = undefined
    this.#greeting = false
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
    this.#channel = channel
    this.#unread.reset()
    this.#greeting = true
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
    this.#channel?.close(closeCode.replaced, 'session: goes on over another connection')
    this.#channel = channel
    this.#unread.reset()
    channel.send(this.#core.options.codec.encode([this.#hello()]))
    this.#continue(channel)
    return true
  }

  #continue(channel: Channel<M>): void {
    this.#greeting = false
    this.#state = 'open'
    this.#broken = undefined
    this.#liveness?.heard()
    const { codec } = this.#core.options
    for (const message of this.#replay?.missing() ?? []) this.#put(channel, message, codec.size(message))
    this.#full = channel.queued() > this.#ahead
    this.#drain()
  }

  // --- The end ---------------------------------------------------------------------------------------------------------

  /** Ends the link on purpose: all that is open on it ends with a `LinkLostError`. What was sent before still goes out, before the close. */
  close(reason = 'closed'): void {
    this.#core.finish()
    if (this.#core.lost !== undefined) return
    this.#channel?.close(closeCode.normal, reason)
    this.lost(new LinkLostError('The link was closed on this side.'))
  }

  /**
   * Ends the link in peace: the peer is told to make no more calls, and those that it had made before it knew still run. What runs in either direction may
   * end within `grace` milliseconds, then the contexts of handlers that still run end with `ERR_GOING_AWAY` as their cause, may answer, and the link is
   * closed. Resolves when it is.
   */
  async shutdown(grace: number): Promise<void> {
    const core = this.#core
    if (core.lost !== undefined) return
    const reason = 'going away'
    core.push({ type: 'goaway', reason }, 4, 64)
    core.push({ type: 'ping', n: inOrder }, 4, 16)
    this.#unheard = true
    await this.#quiet(grace)
    this.#refuse()
    const error = new BridgeError('ERR_GOING_AWAY', 'The other side goes away.')
    this.#handlers.expire(withoutStack(() => new CanceledError({ cause: error })))
    // So that those who listen to their context can still answer.
    await this.#quiet(Math.min(grace, 100))
    core.finish()
    if (core.lost !== undefined) return
    this.#channel?.close(closeCode.goingAway, reason)
    this.lost(new LinkLostError('The link was closed on this side: going away.'))
  }

  /** What comes from here on the peer has sent although it knew. */
  #refuse(): void {
    this.#unheard = false
    this.#handlers.refuse()
  }

  /** A call or a handler may have been the last one. */
  #settled(): void {
    if (this.#waits.size > 0 && !this.#busy) this.#wake()
  }

  #wake(): void {
    for (const wake of this.#waits) wake()
  }

  get #busy(): boolean {
    return this.#core.lost === undefined && (this.#unheard || this.#calls.size + this.#handlers.size > 0)
  }

  /** Waits until nothing runs any more, or so many milliseconds have passed. */
  async #quiet(ms: number): Promise<void> {
    const clock = clockOf(this.#core)
    const until = clock.now() + ms
    while (this.#busy) {
      const left = until - clock.now()
      if (left <= 0) return
      // oxlint-disable-next-line no-await-in-loop -- a timer may be early
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clock.clearTimer(timer)
          this.#waits.delete(wake)
          resolve()
        }
        const timer = clock.setTimer(wake, delayUntil(until, clock.now()), true)
        this.#waits.add(wake)
      })
    }
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
    this.#wake()
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
    if (this.#state !== 'open' || this.#replay === undefined) return
    // Without a word, which would end the session where it arrives.
    this.#channel?.terminate()
    this.#suspend(new LinkLostError('Nothing was heard of the other side.'))
  }

  #silent(): void {
    this.#channel?.close(closeCode.silent, 'lease: nothing was heard')
    this.lost(this.#broken ?? new LinkLostError('Nothing was heard of the other side for longer than the lease.'))
  }

  /** The peer did what is not allowed. */
  #fail(code: number, reason: string): void {
    this.#channel?.close(code, reason)
    this.lost(
      new LinkLostError(`The link was closed on this side: ${reason}.`, { cause: new BridgeError('ERR_PROTOCOL', reason) }),
    )
  }
}
