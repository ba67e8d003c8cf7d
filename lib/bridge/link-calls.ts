/** Calls that go out: each waits for its answer, or for the end of its context. */

import type { Context } from '../context.ts'
import { BridgeError, type ContextError, type Kind, type LinkLostError } from '../errors.ts'
import { scopeOf } from '../foreign.ts'
import { named } from '../given.ts'
import type { End } from '../end.ts'
import { Listener } from '../observers.ts'
import type { Scope } from '../scope.ts'
import { takeBack, takenEnd, tell } from '../tree.ts'
import { reviveAnswer } from '../wire/cause.ts'
import { type ErrorFrame, type ItemFrame, maxName, type ResultFrame, type StreamFrame } from '../wire/frame.ts'
import { aContext, aSignal, checkSendable } from '../wire/sendable.ts'
import { isText } from '../wire/text.ts'
import { failed, Failure, Pending } from './link-answer.ts'
import { describeContext } from './link-contexts.ts'
import type { LinkCore } from './link-core.ts'
import { type Exported, Exports } from './link-exports.ts'
import { RemoteStream } from './link-stream.ts'
import { LinkTable } from './link-table.ts'
import { closeCode, type Fault } from './link-types.ts'

/** A call that waits, and listens to its context. */
class PendingCall extends Listener {
  readonly id: number
  readonly scope: Scope
  /** The exported context that it is under. */
  readonly under: Exported | undefined
  readonly resolve: (value: unknown) => void
  readonly #calls: CallOwner

  constructor(id: number, scope: Scope, under: Exported | undefined, calls: CallOwner, resolve: (value: unknown) => void) {
    super()
    this.id = id
    this.scope = scope
    this.under = under
    this.resolve = resolve
    this.#calls = calls
  }

  override announce(kind: Kind, cause: unknown): boolean {
    // Where the peer knows the context, that was announced before.
    this.#calls.announce(this.id, kind, cause)
    return true
  }

  override run(): void {
    this.#calls.abandon(this)
  }

  /** Listens no more. Returns false where the context has ended: then it was abandoned. */
  stop(): boolean {
    return takeBack(this.scope, this)
  }
}

interface CallOwner {
  announce(id: number, kind: Kind, cause: unknown): void
  abandon(call: PendingCall): void
}

function unsendable(method: string, reason: string): string {
  const remedy = reason.startsWith(aContext)
    ? ' A call has one context, its first argument: merge(ctx, other) makes one of two.'
    : reason.startsWith(aSignal)
      ? " Join it to the call's context: withSignal(ctx, signal)."
      : ''
  return `The arguments of ${method}() cannot be sent because of ${reason}.${remedy}`
}

export class Calls<M> {
  readonly exports: Exports<M>
  readonly #core: LinkCore<M>
  readonly #finished: () => void
  readonly #calls = new LinkTable<PendingCall>()
  /** Of the open calls those whose method has returned a stream. */
  readonly #streams = new Map<number, RemoteStream>()
  /** Calls whose contexts have ended in this turn, and whose promises are still to be told. */
  #abandoned: PendingCall[] = []
  /** How many open calls, which are under no export, have a context of this scope or right below it. */
  readonly #uses = new Map<Scope, number>()
  #goingAway = false

  /** @param finished called when no call is open any more */
  constructor(core: LinkCore<M>, finished: () => void) {
    this.#core = core
    this.#finished = finished
    this.exports = new Exports(core)
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
    if (early !== undefined) return failed(early)
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
        ? new BridgeError('ERR_UNSENDABLE', unsendable(method, checked.reason))
        : bytes > maxMessage
          ? new BridgeError('ERR_LIMIT', `The call of ${method}() is larger than the peer takes: ${maxMessage} bytes.`)
          : !core.fits(bytes)
            ? new BridgeError(
                'ERR_LIMIT',
                `More than ${core.limits.maxBacklog} bytes wait for the peer to take them: the call of ${method}() was not sent.`,
              )
            : undefined)
    if (refused !== undefined || !checked.ok) {
      if (under !== undefined) under.users--
      this.#settle(under)
      return failed(refused)
    }
    const elements = 8 + described.elements + checked.elements
    const id = core.nextId()
    core.push({ type: 'call', id, method, context: described.context, args: checked.value as unknown[] }, elements, bytes)
    const pending = new Pending()
    const call = new PendingCall(id, scope, under, this, pending.resolve)
    this.#calls.add(id, call)
    if (under === undefined) this.#count(scope, 1)
    // In this order: the deadline may pass right here.
    tell(scope, call)
    return pending.answer
  }

  /** The second call with a context, or the second one right below it, makes it one that the peer knows. */
  #share(scope: Scope): Exported | undefined {
    const { up } = scope
    if (this.#uses.has(scope)) return this.exports.open(scope, scope)
    if (up !== undefined && !up.endless && this.#uses.has(up)) return this.exports.open(up, up)
    return undefined
  }

  #count(scope: Scope, by: 1 | -1): void {
    this.#countOne(scope, by)
    if (scope.up !== undefined) this.#countOne(scope.up, by)
  }

  #countOne(scope: Scope, by: 1 | -1): void {
    if (scope.endless) return
    const count = (this.#uses.get(scope) ?? 0) + by
    if (count === 0) this.#uses.delete(scope)
    else this.#uses.set(scope, count)
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

  /** Takes a call out of the table. Whoever does settles its promise, or its stream, which is returned. */
  #remove(call: PendingCall): RemoteStream | undefined {
    this.#calls.delete(call.id)
    if (call.under === undefined) this.#count(call.scope, -1)
    else call.under.users--
    if (this.#calls.size === 0) this.#finished()
    if (this.#streams.size === 0) return undefined
    const stream = this.#streams.get(call.id)
    this.#streams.delete(call.id)
    return stream
  }

  /** The context of a call is about to end. */
  announce(id: number, kind: Kind, cause: unknown): void {
    this.#core.announce(id, kind, cause)
  }

  /** The context of a call is done: nobody waits any longer, and the peer is told to stop, unless a cancel of what it is under does that. */
  abandon(call: PendingCall): void {
    const { scope, under } = call
    const end = takenEnd(scope) as End
    if (this.#calls.get(call.id) === undefined) return
    const stream = this.#remove(call)
    if (under === undefined || takenEnd(under.scope) !== end) {
      this.#core.pushCancel(call.id, end)
      this.#settle(under)
    }
    if (stream !== undefined) return stream.abort(end.error)
    this.#abandoned.push(call)
    if (this.#abandoned.length === 1) void ready.then(this.#failAbandoned)
  }

  /** To make thousands of errors, and to reject as many promises, takes long enough for the other side to stop meanwhile: so this comes behind what tells it. */
  readonly #failAbandoned = (): void => {
    const abandoned = this.#abandoned
    this.#abandoned = []
    let failure: Failure | undefined
    let told: ContextError | undefined
    for (const { scope, resolve } of abandoned) {
      const { error } = takenEnd(scope) as End
      if (error !== told || failure === undefined) failure = new Failure((told = error))
      resolve(failure)
    }
  }

  /** Returns why the frame is not allowed, if so. */
  takeAnswer(frame: ResultFrame | ErrorFrame): string | undefined {
    const call = this.#calls.get(frame.id)
    // A deadline that has passed is first, though no timer may have fired yet: then the call is abandoned by now.
    if (call === undefined || !call.stop()) return this.#core.takeLate(frame, 'ours')
    const stream = this.#remove(call)
    if (frame.type === 'error') {
      const error = reviveAnswer(frame.error)
      if (stream === undefined) call.resolve(new Failure(error))
      else stream.finish({ error })
    } else if (stream === undefined) call.resolve(frame.value)
    else stream.finish({ value: frame.value })
    this.#settle(call.under)
    return undefined
  }

  /** Returns why the frame is not allowed, if so. */
  takeStream(frame: StreamFrame): string | undefined {
    const { id } = frame
    const call = this.#calls.get(id)
    if (call === undefined) return this.#core.takeLate(frame, 'ours')
    if (this.#streams.has(id)) return 'stream: twice for one call'
    const owner = {
      credit: (n: number) => this.#core.push({ type: 'credit', id, n }, 4, 24),
      leave: () => this.#leave(id),
    }
    const stream = new RemoteStream(owner, this.#core.limits.window)
    this.#streams.set(id, stream)
    call.resolve(stream)
    return undefined
  }

  /** Returns why the frame is not allowed, if so. */
  takeItem(frame: ItemFrame): Fault | undefined {
    if (this.#calls.get(frame.id) === undefined) return this.#core.takeLate(frame, 'ours')
    const stream = this.#streams.get(frame.id)
    if (stream === undefined) return 'item: of a call that is no stream'
    if (stream.push(frame.value)) return undefined
    return { code: closeCode.tooMuch, reason: `item: more than the window of ${this.#core.limits.window}` }
  }

  /** The reader of a stream has gone. */
  #leave(id: number): void {
    const call = this.#calls.get(id)
    // Where its context has ended it is abandoned.
    if (call === undefined || !call.stop()) return
    this.#remove(call)
    this.#core.push({ type: 'cancel', id, kind: 'canceled', cause: undefined }, 8, 32)
    this.#settle(call.under)
  }

  /** The link is over: every call that still waits rejects. */
  close(reason: LinkLostError): void {
    const failure = new Failure(reason)
    for (const call of this.#calls.all()) {
      // Where its context has ended, that was first, and the call is abandoned with that error.
      if (this.#calls.get(call.id) === undefined || !call.stop()) continue
      const stream = this.#remove(call)
      if (stream === undefined) call.resolve(failure)
      else stream.finish({ error: reason })
    }
    this.exports.close()
  }
}

const ready = Promise.resolve()
