/** The serving side of a link. */

import type { CancelableContext } from '../../lib/context.ts'
import { type BridgeError } from '../../lib/errors.ts'
import { named } from '../../lib/key.ts'
import {
  type CallMessage,
  packAnswer,
  type PackedAnswer,
  packBegun,
  type PackedBegun,
  type PackedCall,
  Sent,
  type SentContext,
  unpackCall,
} from './call-message.ts'
import { type CallPort, missingHandler, serve } from './comlink.ts'
import { giveBack } from './importer.ts'
import { VERSION } from './messages.ts'
import { SentSignal } from './sent-signal.ts'
import { Failure, failureToWire, messageOf, refusal, unreadable } from './failure.ts'
import { isOrHasWithin } from './within.ts'

export class Server {
  readonly #api: object
  readonly #import: (handle: unknown) => CancelableContext
  readonly #post: (message: PackedAnswer | PackedBegun, transfer: readonly Transferable[]) => void
  readonly #port: CallPort
  /** What to post when the method begins of the call that is being received. */
  #asked: PackedBegun | undefined

  /** @param post sends to the other side; throws where an answer cannot be cloned */
  constructor(
    api: object,
    importHandle: (handle: unknown) => CancelableContext,
    post: (message: PackedAnswer | PackedBegun, transfer: readonly Transferable[]) => void,
  ) {
    this.#api = api
    this.#import = importHandle
    this.#post = post
    this.#port = {
      post: (message, transfer) => {
        const { value } = message
        const fail = (failure: Failure): void => post(packAnswer({ ...message, value: failureToWire(failure) }, true), [])
        if (value instanceof Failure) return fail(value)
        const refuse = (why: string): void =>
          fail(new Failure(refusal('ERR_UNSENDABLE', `The result cannot be sent to the other thread: ${why}`)))
        try {
          // Node would make an empty object of it.
          if (value instanceof AbortSignal) return refuse(noContexts)
          post(packAnswer(message, false), transfer)
        } catch (error) {
          refuse(remedyFor(value) ?? messageOf(error))
        }
      },
      receive: () => undefined,
    }
    serve((name, ...args) => this.#run(name, args), this.#port)
  }

  receive(call: PackedCall): void {
    const [, version] = call
    // Nothing else of it can be read. Were it passed over, its caller would wait for ever.
    if (version !== VERSION) {
      const both = `the thread that called speaks version ${version} of the protocol of threads, the one that was called ${VERSION}`
      return this.#post(unread(call, refusal('ERR_PROTOCOL', `Both threads need the same version of ctxbridge: ${both}.`)), [])
    }
    const message = unpackCall(call)
    if (message === undefined)
      return this.#post(unread(call, refusal('ERR_PROTOCOL', 'The call is of no form that can be read.')), [])
    const missing = missingHandler(message)
    if (missing === undefined) {
      this.#asked = call[5] === true ? packBegun(call) : undefined
      try {
        return this.#port.receive(message)
      } catch (error) {
        const what = 'An argument could not be read by the thread that was called'
        return this.#refuse(message, refusal('ERR_UNSENDABLE', `${what}: its transfer handler threw: ${messageOf(error)}`))
      }
    }
    this.#refuse(message, unreadable('An argument', missing, 'the thread that was called'))
  }

  /** Answers a call whose method does not run. Its contexts were not imported: who called takes them back, as after every call. */
  #refuse({ id }: CallMessage, why: BridgeError): void {
    this.#port.post({ id, type: 'RAW', value: new Failure(why) }, [])
  }

  /**
   * Runs a call, unless one of its contexts has ended by now. They live as long as it does: what it leaves behind that holds one, sees a plain cancel; what holds a signal,
   * which says no more than that somebody has aborted, sees nothing.
   */
  async #run(name: unknown, args: readonly unknown[]): Promise<unknown> {
    const imports: CancelableContext[] = []
    const signals: SentSignal[] = []
    // Comlink runs this while the call is being received.
    const asked = this.#asked
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
      if (asked !== undefined) this.#post(asked, [])
      return await this.#method(name).apply(this.#api, list)
    } catch (error) {
      return new Failure(error)
    } finally {
      // Nobody has aborted them.
      for (const signal of signals) signal.letGo()
      // Before the answer leaves: whoever has it finds the slots given back.
      for (const ctx of imports) giveBack(ctx)
    }
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

/** The answer to a call of which nothing was read. */
export function unread([, version, id]: PackedCall, why: BridgeError): PackedAnswer {
  return packAnswer({ id, type: 'RAW', value: failureToWire(new Failure(why)) }, true, version)
}

const noStreams =
  'what a generator gives does not cross here. Take a callback as an argument, by Comlink.proxy(), or serve over a port with ctxbridge/message-port, which has streams.'

const noContexts =
  'a context, or an AbortSignal, is no result. Return what link().export(ctx) gives, and import() that on the other side; or call install(Comlink) of ctxbridge/comlink on both sides.'

/** For what is known not to cross. */
function remedyFor(value: unknown): string | undefined {
  try {
    if (isStream(value)) return noStreams
    return isOrHasWithin(value) ? noContexts : undefined
  } catch {
    // A proxy of somebody else's threw.
    return undefined
  }
}

function isStream(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && 'next' in value && (Symbol.asyncIterator in value || Symbol.iterator in value)
  )
}

/** Whether a method of that name can be called at all, on whatever object. */
export function isMethodName(name: string): boolean {
  return name !== 'then' && name !== 'toJSON' && !name.startsWith('__') && !(name in Object.prototype)
}
