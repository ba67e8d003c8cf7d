/** The serving side of a link. */

import type { CancelableContext } from '../../lib/context.ts'
import { named } from '../../lib/key.ts'
import { type CallPort, isCall, serve } from './comlink.ts'
import { Failure, failureToWire, messageOf, refusal } from './failure.ts'
import { type CallMessage, type Envelope, isMarker } from './messages.ts'

export class Server {
  readonly #api: object
  readonly #import: (handle: unknown) => CancelableContext
  readonly #port: CallPort

  /** @param post sends a message of Comlink's to the other side; throws where it cannot be cloned */
  constructor(
    api: object,
    importHandle: (handle: unknown) => CancelableContext,
    post: (message: CallMessage, transfer: readonly Transferable[], failed: boolean) => void,
  ) {
    this.#api = api
    this.#import = importHandle
    this.#port = {
      post: (message, transfer) => {
        const { id, value } = message
        const fail = (failure: Failure): void => post({ id, type: 'RAW', value: failureToWire(failure) }, [], true)
        if (value instanceof Failure) return fail(value)
        try {
          post(message, transfer, false)
        } catch (error) {
          fail(new Failure(refusal('ERR_UNSENDABLE', `The result cannot be sent to the other thread: ${messageOf(error)}`)))
        }
      },
      receive: () => undefined,
    }
    serve((name, ...args) => this.#run(name, args), this.#port)
  }

  receive({ message }: Envelope): void {
    if (isCall(message)) this.#port.receive(message)
  }

  /** Runs a call. Its contexts live as long as it does: what it leaves behind that holds one, sees a plain cancel. */
  async #run(name: unknown, args: readonly unknown[]): Promise<unknown> {
    const imports: CancelableContext[] = []
    try {
      const list = args.map((arg) => {
        if (!isMarker(arg)) return arg
        const ctx = this.#import(arg.handle)
        imports.push(ctx)
        return ctx
      })
      return await this.#method(name).apply(this.#api, list)
    } catch (error) {
      return new Failure(error)
    } finally {
      // Before the answer leaves: whoever has it finds the slots given back.
      for (const ctx of imports) ctx[Symbol.dispose]()
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

/** Whether a method of that name can be called at all, on whatever object. */
export function isMethodName(name: string): boolean {
  return name !== 'then' && name !== 'toJSON' && !name.startsWith('__') && !(name in Object.prototype)
}
