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
import type { CancelableContext, Context } from '../context.ts'
import { BridgeError, CanceledError, LinkLostError, withoutStack } from '../errors.ts'
import { type CancelFrame, type Frame, PROTOCOL_VERSION } from '../wire/frame.ts'
import { Calls } from './link-calls.ts'
import { LinkCore } from './link-core.ts'
import type { LinkHandle } from './link-handle.ts'
import { Handlers } from './link-handlers.ts'
import { Imports } from './link-imports.ts'
import { closeCode, type Fault, type LinkOptions, type LinkStats } from './link-types.ts'

export type { LinkHandle } from './link-handle.ts'
export {
  type Channel,
  closeCode,
  type LinkCodec,
  type LinkLimits,
  type LinkOptions,
  type LinkStats,
  linkLimits,
  type Method,
} from './link-types.ts'

export class Link<M = Uint8Array> {
  readonly #core: LinkCore<M>
  readonly #calls: Calls<M>
  readonly #imports: Imports<M>
  readonly #handlers: Handlers<M>
  #state: LinkStats['state'] = 'opening'

  /** Greets the peer. */
  constructor(options: LinkOptions<M>) {
    this.#core = new LinkCore(options, (frames) => this.#transmit(frames))
    this.#calls = new Calls(this.#core)
    this.#imports = new Imports(this.#core)
    this.#handlers = new Handlers(this.#core, this.#imports)
    const { maxMessage, maxCalls, maxContexts } = this.#core.limits
    const limits = { maxMessage, maxCalls: options.serve === undefined ? 0 : maxCalls, maxContexts, window: 1, lease: 0 }
    const { id: link, name = '' } = options
    this.#core.push(
      { type: 'hello', version: PROTOCOL_VERSION, limits, name, link, session: undefined },
      16,
      128 + 3 * name.length + 3 * link.length,
    )
  }

  /** The peer's name as it gave it; empty before it has greeted. Proves nothing. */
  get peerName(): string {
    return this.#core.peer.name
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
   * is done already is not sent. Arguments are copied before this returns.
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
    return this.#imports.import(handle)
  }

  /** Takes a message. What the protocol does not allow closes the link, with a code and a reason. */
  receive(message: M): void {
    if (this.#state === 'closed') return
    const { codec } = this.#core.options
    if (codec.size(message) > this.#core.limits.maxMessage) return this.#fail(closeCode.tooBig, 'message: longer than the limit')
    const frames = codec.decode(message)
    if (!frames.ok) return this.#fail(closeCode.badFrame, frames.reason)
    for (const frame of frames.value) {
      const fault = this.#take(frame)
      if (typeof fault === 'string') return this.#fail(closeCode.badFrame, fault)
      if (fault !== undefined) return this.#fail(fault.code, fault.reason)
      if (this.#core.lost !== undefined) return
    }
  }

  /** Returns why the frame is not allowed here, if so. */
  #take(frame: Frame): Fault | undefined {
    if ((this.#state === 'opening') !== (frame.type === 'hello')) {
      return frame.type === 'hello' ? 'hello: sent twice' : `${frame.type}: sent before hello`
    }
    switch (frame.type) {
      case 'hello':
        this.#core.greeted(frame)
        this.#state = 'open'
        this.#core.options.onOpen?.()
        return undefined
      case 'call':
        return this.#takeId(frame) ?? this.#handlers.takeCall(frame)
      case 'export':
        return this.#takeId(frame) ?? this.#imports.takeExport(frame)
      case 'cancel':
        return this.#takeCancel(frame)
      case 'retract':
        return this.#imports.takeRetract(frame)
      case 'result':
      case 'error':
        return this.#calls.takeAnswer(frame)
      case 'release':
        return this.#calls.exports.takeRelease(frame)
      case 'ping':
        this.#core.push({ type: 'pong', n: frame.n }, 4, 16)
        return undefined
      case 'pong':
        return undefined
      case 'goaway':
        this.#calls.takeGoaway()
        return undefined
      case 'stream':
      case 'item':
      case 'credit':
      case 'ack':
        return `${frame.type}: not spoken here`
    }
  }

  /** Calls and exports share one sequence of ids. */
  #takeId({ type, id }: { readonly type: string; readonly id: number }): string | undefined {
    const core = this.#core
    if (id <= core.highestPeerId) return `${type}: an id that is not above all before`
    core.highestPeerId = id
    this.#imports.passed(id)
    return undefined
  }

  #takeCancel(frame: CancelFrame): string | undefined {
    if (this.#handlers.takeCancel(frame) || this.#imports.takeCancel(frame)) return undefined
    return this.#core.takeLate(frame, 'peers')
  }

  #transmit(frames: readonly Frame[]): void {
    const { channel, codec } = this.#core.options
    channel.send(codec.encode(frames))
    if (channel.queued() > this.#core.limits.maxBacklog) this.#fail(closeCode.tooSlow, 'backlog: the peer does not read')
  }

  /** Ends the link on purpose: all that is open on it ends with a `LinkLostError`. What was sent before still goes out, before the close. */
  close(reason = 'closed'): void {
    this.#core.flush()
    if (this.#core.lost !== undefined) return
    this.#core.options.channel.close(closeCode.normal, reason)
    this.lost(new LinkLostError('The link was closed on this side.'))
  }

  /** The connection is gone, or of no more use: all that is open ends now. A second call changes nothing. */
  lost(reason: LinkLostError): void {
    if (this.#core.lost !== undefined) return
    this.#core.end(reason)
    this.#state = 'closed'
    this.#calls.close(reason)
    const error = withoutStack(() => new CanceledError({ cause: reason }))
    this.#handlers.close(error)
    this.#imports.close(error)
    this.#core.options.onClose?.(reason)
  }

  /** The peer did what is not allowed. */
  #fail(code: number, reason: string): void {
    this.#core.options.channel.close(code, reason)
    this.lost(
      new LinkLostError(`The link was closed on this side: ${reason}.`, { cause: new BridgeError('ERR_PROTOCOL', reason) }),
    )
  }
}
