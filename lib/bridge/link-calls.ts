/** Calls that go out: each waits for its answer, or for the end of its context. */

import { listen } from '../boundary.ts'
import type { Context } from '../context.ts'
import { BridgeError, type ContextError, kindOf, type LinkLostError } from '../errors.ts'
import { scopeOf } from '../foreign.ts'
import { named } from '../key.ts'
import type { Scope } from '../scope.ts'
import { reviveCause } from '../wire/cause.ts'
import { type ErrorFrame, type ItemFrame, maxName, type ResultFrame, type StreamFrame } from '../wire/frame.ts'
import { checkSendable } from '../wire/sendable.ts'
import { isText } from '../wire/text.ts'
import { describeContext } from './link-contexts.ts'
import type { LinkCore } from './link-core.ts'
import { type Exported, Exports } from './link-exports.ts'
import { RemoteStream } from './link-stream.ts'
import { closeCode, type Fault } from './link-types.ts'

/** A call that waits. */
interface PendingCall {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: unknown) => void
  readonly scope: Scope
  /** The exported context that it is under. */
  readonly under: Exported | undefined
  stream: RemoteStream | undefined
  /** Takes back the listening to its context; false where that has ended. */
  stop: () => boolean
}

export class Calls<M> {
  readonly exports: Exports<M>
  readonly #core: LinkCore<M>
  readonly #calls = new Map<number, PendingCall>()
  /** How many open calls, which are under no export, have a context of this scope or right below it. */
  readonly #uses = new Map<Scope, number>()
  #goingAway = false

  constructor(core: LinkCore<M>) {
    this.#core = core
    this.exports = new Exports(core, (exported, error) => this.#abandonAll(exported, error))
  }

  get size(): number {
    return this.#calls.size
  }

  /** The peer takes no new calls. */
  takeGoaway(): void {
    this.#goingAway = true
  }

  call(ctx: Context, method: string, args: readonly unknown[]): Promise<unknown> {
    const scope = scopeOf(ctx, method)
    if (!isText(method, 1, maxName))
      throw new TypeError(`A method needs a name of 1 to ${maxName} characters, but got ${named(method)}.`)
    const early = ctx.err() ?? this.#refusal()
    if (early !== undefined) return Promise.reject(early)
    const core = this.#core
    const under = scope.endless ? undefined : (this.exports.find(scope) ?? this.#share(scope))
    // Held while users' code runs: getters of the arguments, codecs of the values.
    if (under !== undefined) under.users++
    const checked = checkSendable(args)
    const described = describeContext(core, ctx, under)
    const { maxMessage } = core.peer.limits
    const bytes = checked.ok ? 32 + 3 * method.length + checked.bytes + described.bytes : 0
    const refused =
      ctx.err() ??
      this.#refusal() ??
      (!checked.ok
        ? new BridgeError('ERR_UNSENDABLE', `The arguments of ${method}() cannot be sent: ${checked.reason}.`)
        : bytes > maxMessage
          ? new BridgeError('ERR_LIMIT', `The call of ${method}() is larger than the peer takes: ${maxMessage} bytes.`)
          : undefined)
    if (refused !== undefined || !checked.ok) {
      if (under !== undefined) under.users--
      this.#settle(under)
      return Promise.reject(refused)
    }
    const elements = 8 + described.elements + checked.elements
    return new Promise((resolve, reject) => {
      const id = core.nextId()
      core.push({ type: 'call', id, method, context: described.context, args: checked.value as unknown[] }, elements, bytes)
      const call: PendingCall = { resolve, reject, scope, under, stream: undefined, stop: notDone }
      this.#calls.set(id, call)
      if (under === undefined) this.#count(scope, 1)
      if (under?.scope === scope) {
        // The exported context is listened to once for all of them.
        under.calls.add(id)
        call.stop = () => ctx.err() === undefined
      } else {
        // In this order: the deadline may pass right here.
        call.stop = listen(ctx, () => this.#abandon(id, ctx))
      }
    })
  }

  /** The second call with a context, or the second one right below it, makes it one that the peer knows. */
  #share(scope: Scope): Exported | undefined {
    const { up } = scope
    if (this.#uses.has(scope)) return this.exports.open(scope, scope)
    if (up !== undefined && !up.endless && this.#uses.has(up)) return this.exports.open(up, up)
    return undefined
  }

  #count(scope: Scope, by: 1 | -1): void {
    for (const s of [scope, scope.up]) {
      if (s === undefined || s.endless) continue
      const count = (this.#uses.get(s) ?? 0) + by
      if (count === 0) this.#uses.delete(s)
      else this.#uses.set(s, count)
    }
  }

  #settle(under: Exported | undefined): void {
    if (under !== undefined) this.exports.settle(under)
  }

  /** Why nothing can be called now. */
  #refusal(): BridgeError | undefined {
    const { lost, peer } = this.#core
    if (lost !== undefined) return lost
    if (this.#goingAway) return new BridgeError('ERR_GOING_AWAY', 'The peer takes no new calls.')
    const { maxCalls } = peer.limits
    if (this.#calls.size < maxCalls) return undefined
    const message = maxCalls === 0 ? 'The peer serves nothing.' : `The peer takes no more than ${maxCalls} calls at once.`
    return new BridgeError('ERR_LIMIT', message)
  }

  /** Takes a call out of the table. Whoever does settles its promise. */
  #remove(id: number, call: PendingCall): void {
    this.#calls.delete(id)
    const { under } = call
    if (under === undefined) return this.#count(call.scope, -1)
    under.users--
    under.calls.delete(id)
  }

  /** The context of a call is done: nobody waits any longer, and the peer is told to stop, unless a cancel of what it is under does that. */
  #abandon(id: number, ctx: Context): void {
    const call = this.#calls.get(id)
    if (call === undefined) return
    this.#remove(id, call)
    const error = ctx.err() as ContextError
    if (call.under === undefined || call.under.scope.err() !== error) {
      const { cause, elements, bytes } = this.#core.describeEnd(error)
      this.#core.push({ type: 'cancel', id, kind: kindOf(error) ?? 'canceled', cause }, 8 + elements, 32 + bytes)
      this.#settle(call.under)
    }
    fail(call, error)
  }

  /** An exported context is done: so are the calls that have no end of their own, all by one frame, which has been sent. */
  #abandonAll(exported: Exported, error: ContextError): void {
    for (const id of exported.calls) {
      const call = this.#calls.get(id) as PendingCall
      this.#calls.delete(id)
      fail(call, error)
    }
    exported.users -= exported.calls.size
    exported.calls.clear()
  }

  /** Returns why the frame is not allowed, if so. */
  takeAnswer(frame: ResultFrame | ErrorFrame): string | undefined {
    const call = this.#calls.get(frame.id)
    // A deadline that has passed is first, though no timer may have fired yet: then the call is abandoned by now.
    if (call === undefined || !call.stop()) return this.#core.takeLate(frame, 'ours')
    this.#remove(frame.id, call)
    if (frame.type === 'error') {
      const error = reviveCause(frame.error)
      if (call.stream === undefined) call.reject(error)
      else call.stream.finish({ error })
    } else if (call.stream === undefined) call.resolve(frame.value)
    else call.stream.finish({ value: frame.value })
    this.#settle(call.under)
    return undefined
  }

  /** Returns why the frame is not allowed, if so. */
  takeStream(frame: StreamFrame): string | undefined {
    const { id } = frame
    const call = this.#calls.get(id)
    if (call === undefined) return this.#core.takeLate(frame, 'ours')
    if (call.stream !== undefined) return 'stream: twice for one call'
    const owner = {
      credit: (n: number) => this.#core.push({ type: 'credit', id, n }, 4, 24),
      leave: () => this.#leave(id),
    }
    call.stream = new RemoteStream(owner, this.#core.limits.window)
    call.resolve(call.stream)
    return undefined
  }

  /** Returns why the frame is not allowed, if so. */
  takeItem(frame: ItemFrame): Fault | undefined {
    const call = this.#calls.get(frame.id)
    if (call === undefined) return this.#core.takeLate(frame, 'ours')
    if (call.stream === undefined) return 'item: of a call that is no stream'
    if (call.stream.push(frame.value)) return undefined
    return { code: closeCode.tooMuch, reason: `item: more than the window of ${this.#core.limits.window}` }
  }

  /** The reader of a stream has gone. */
  #leave(id: number): void {
    const call = this.#calls.get(id)
    if (call === undefined) return
    call.stop()
    // Its context may have ended right here.
    if (!this.#calls.has(id)) return
    this.#remove(id, call)
    this.#core.push({ type: 'cancel', id, kind: 'canceled', cause: undefined }, 8, 32)
    this.#settle(call.under)
  }

  /** The link is over: every call that still waits rejects. */
  close(reason: LinkLostError): void {
    for (const [id, call] of [...this.#calls]) {
      // Where its context has ended, that was first, and the call is abandoned with that error.
      if (!this.#calls.has(id) || !call.stop()) continue
      this.#remove(id, call)
      if (call.stream === undefined) call.reject(reason)
      else call.stream.finish({ error: reason })
    }
    this.exports.close()
  }
}

function fail({ stream, reject }: PendingCall, error: unknown): void {
  if (stream === undefined) reject(error)
  else stream.abort(error)
}

const notDone = (): boolean => true
