/** The serving side of a link. */

import type { CancelableContext } from '../../lib/context.ts'
import { type BridgeError } from '../../lib/errors.ts'
import { named } from '../../lib/given.ts'
import {
  type CallId,
  packBegun,
  type PackedAnswer,
  type PackedBegun,
  type PackedCall,
  packFailure,
  packResult,
  type ReceivedCall,
  Sent,
  type SentContext,
  unpackCall,
} from './call-message.ts'
import { decode, hasHandler, isHandled } from './comlink.ts'
import { VERSION } from './messages.ts'
import { SentSignal } from './sent-signal.ts'
import { failureToWire, messageOf, refusal, unreadable, whyUnposted } from './failure.ts'
import { isStream } from './stream.ts'
import { hasWithin, holdsContext, isContextOrSignal, isListWithOne } from './within.ts'

export class Server {
  readonly #api: object
  readonly #import: (handle: unknown) => CancelableContext
  readonly #giveBack: (ctx: CancelableContext) => void
  readonly #post: (message: PackedAnswer | PackedBegun, transfer: readonly Transferable[]) => void

  /** @param post sends to the other side; throws where an answer cannot be cloned */
  constructor(
    api: object,
    importHandle: (handle: unknown) => CancelableContext,
    giveBack: (ctx: CancelableContext) => void,
    post: (message: PackedAnswer | PackedBegun, transfer: readonly Transferable[]) => void,
  ) {
    this.#api = api
    this.#import = importHandle
    this.#giveBack = giveBack
    this.#post = post
  }

  /** The method begins at once. */
  receive(call: PackedCall): void {
    const [, version, id] = call
    // Nothing else of it can be read. Were it passed over, its caller would wait for ever.
    if (version !== VERSION) {
      const both = `the thread that called speaks version ${version} of the protocol of threads, the one that was called ${VERSION}`
      return this.#post(unread(call, refusal('ERR_PROTOCOL', `Both threads need the same version of ctxbridge: ${both}.`)), [])
    }
    const received = unpackCall(call)
    if (received === undefined)
      return this.#post(unread(call, refusal('ERR_PROTOCOL', 'The call is of no form that can be read.')), [])
    // Its contexts were not imported yet: who called takes them back, as after every call.
    const refused = read(received)
    if (refused !== undefined) return this.#fail(id, refused)
    const [name, ...args] = received.args
    void this.#run(call, name, args)
  }

  /**
   * Runs a call, unless one of its contexts has ended by now, and answers it. They live as long as it does: what it leaves behind that holds one, sees a plain cancel; what holds a signal,
   * which says no more than that somebody has aborted, sees nothing. Never rejects.
   */
  async #run(call: PackedCall, name: unknown, args: readonly unknown[]): Promise<void> {
    const [, , id, , , asks] = call
    const imports: CancelableContext[] = []
    const signals: SentSignal[] = []
    const letGo = (): void => {
      // Nobody has aborted them.
      for (const signal of signals) signal.letGo()
      // Before the answer leaves: whoever has it finds the slots given back.
      for (const ctx of imports) this.#giveBack(ctx)
    }
    let result: unknown
    try {
      const arrive = ({ handle, isSignal }: SentContext): unknown => {
        const ctx = this.#import(handle)
        imports.push(ctx)
        if (!isSignal) return ctx
        const sent = new SentSignal(ctx)
        signals.push(sent)
        return sent.signal
      }
      const list = args.map((arg) => (arg instanceof Sent ? arg.open(arrive) : arg))
      for (const ctx of imports) ctx.throwIfDone()
      if (asks === true) this.#post(packBegun(call), [])
      result = await this.#method(name).apply(this.#api, list)
    } catch (error) {
      letGo()
      return this.#fail(id, error)
    }
    letGo()
    this.#answer(id, result)
  }

  #answer(id: CallId, result: unknown): void {
    const refuse = (why: string): void =>
      this.#fail(id, refusal('ERR_UNSENDABLE', `The result cannot be sent to the other thread: ${why}`))
    try {
      // Of a signal Node would make an empty object.
      if (isContextOrSignal(result) && !isHandled(result)) return refuse(noContexts)
      if (hasWithin(result) && !isHandled(result)) return refuse(noneWithin)
      const [message, transfer] = packResult(id, result)
      this.#post(message, transfer)
    } catch (error) {
      refuse(isStream(result) ? noStreams : holdsOne(result) ? noneWithin : whyUnposted(error, [result]))
    }
  }

  #fail(id: CallId, error: unknown): void {
    this.#post(packFailure(id, failureToWire(error)), [])
  }

  #method(name: unknown): (...args: unknown[]) => unknown {
    const method: unknown =
      typeof name === 'string' && isMethodName(name) && Object.hasOwn(this.#api, name)
        ? (this.#api as Record<string, unknown>)[name]
        : undefined
    if (typeof method === 'function') return method as (...args: unknown[]) => unknown
    throw refusal(
      'ERR_NO_METHOD',
      `The served object has no own method ${named(name)}; inherited ones, and so those of a class, cannot be called.`,
    )
  }
}

/** Reads what transfer handlers must; says why it cannot be read. */
function read({ args, handled }: ReceivedCall): BridgeError | undefined {
  const missing = handled.find(([, handler]) => !hasHandler(handler))
  if (missing !== undefined) return refusal('ERR_UNSENDABLE', unreadable('An argument', missing[1], 'the thread that was called'))
  try {
    for (const [at, handler] of handled) args[at] = decode(handler, args[at])
    return undefined
  } catch (error) {
    const what = 'An argument could not be read by the thread that was called'
    return refusal('ERR_UNSENDABLE', `${what}: its transfer handler threw: ${messageOf(error)}`)
  }
}

/** The answer to a call of which nothing was read. */
export function unread([, version, id]: PackedCall, why: BridgeError): PackedAnswer {
  return packFailure(id, failureToWire(why), version)
}

const noStreams =
  'what a generator gives does not cross here. Take a callback as an argument, by Comlink.proxy(), or serve over a port with ctxbridge/message-port, which has streams.'

const noContexts =
  'a context, or an AbortSignal, is no result. Return what link().export(ctx) gives, and import() that on the other side; or call install(Comlink) of ctxbridge/comlink on both sides.'

const noneWithin =
  'a context, or an AbortSignal, cannot be within a result. Put in its place what link().export(ctx) gives, and import() that on the other side.'

/** Whether a context, or a signal, stands within a result that could not be sent. Never throws. */
function holdsOne(result: unknown): boolean {
  return !isContextOrSignal(result) && (hasWithin(result) || isListWithOne(result) || holdsContext([result]))
}

/** Whether a method of that name can be called at all, on whatever object. */
export function isMethodName(name: string): boolean {
  return name !== 'then' && name !== 'toJSON' && !name.startsWith('__') && !(name in Object.prototype)
}
