/** Calls that come in: each runs a method of what is served, with a context that lives as long as the call. */

import { endWith } from '../boundary.ts'
import type { CancelableContext } from '../context.ts'
import { BridgeError, type ContextError } from '../errors.ts'
import { named } from '../key.ts'
import { describeCause } from '../wire/cause-describe.ts'
import type { CallFrame, CancelFrame } from '../wire/frame.ts'
import { checkSendable, countElements } from '../wire/sendable.ts'
import { errorOf, importContext } from './link-contexts.ts'
import { bytesOf, type LinkCore } from './link-core.ts'
import type { Imported, Imports } from './link-imports.ts'
import type { Method } from './link-types.ts'

interface RunningHandler {
  readonly ctx: CancelableContext
  readonly under: Imported | undefined
  /** Whether the caller still waits, as far as a cancel of this very call tells. */
  wanted: boolean
}

export class Handlers<M> {
  readonly #core: LinkCore<M>
  readonly #imports: Imports<M>
  readonly #methods: object | undefined
  readonly #handlers = new Map<number, RunningHandler>()

  constructor(core: LinkCore<M>, imports: Imports<M>) {
    this.#core = core
    this.#imports = imports
    this.#methods = core.options.serve
  }

  get size(): number {
    return this.#handlers.size
  }

  /** Takes a call, whose id is checked. Returns why it is not allowed, if so. */
  takeCall(frame: CallFrame): string | undefined {
    const { id, method, context } = frame
    const under = context.under === undefined ? undefined : this.#imports.get(context.under)
    if (context.under !== undefined && under === undefined) return 'call: under what is not open'
    const f = ownMethod(this.#methods, method)
    const { maxCalls } = this.#core.limits
    if (f === undefined) {
      this.#answerError(id, new BridgeError('ERR_NO_METHOD', `The peer serves no method of the name ${named(method)}.`))
    } else if (this.#handlers.size >= maxCalls) {
      this.#answerError(id, new BridgeError('ERR_LIMIT', `The peer takes no more than ${maxCalls} calls at once.`))
    } else {
      void this.#run(id, f, frame, under)
    }
    return undefined
  }

  /** Runs a handler, and answers unless the caller has gone. Never rejects. */
  async #run(id: number, f: Method, { context, args }: CallFrame, under: Imported | undefined): Promise<void> {
    const core = this.#core
    const ctx = importContext(core, under?.base ?? core.root, context)
    const handler: RunningHandler = { ctx, under, wanted: true }
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
    if (!handler.wanted || under?.ended === true || core.lost !== undefined) return
    if ('error' in outcome) this.#answerError(id, outcome.error)
    else this.#answer(id, outcome.value)
  }

  /** Returns false where no handler of that id runs. */
  takeCancel({ id, kind, cause }: CancelFrame): boolean {
    const handler = this.#handlers.get(id)
    if (handler === undefined) return false
    handler.wanted = false
    endWith(handler.ctx, errorOf(kind, cause))
    return true
  }

  #answer(id: number, value: unknown): void {
    const { maxMessage } = this.#core.peer.limits
    const checked = value === undefined ? undefined : checkSendable(value)
    if (checked?.ok === false) {
      return this.#answerError(id, new BridgeError('ERR_UNSENDABLE', `The result cannot be sent: ${checked.reason}.`))
    }
    const bytes = 32 + (checked?.bytes ?? 0)
    if (bytes > maxMessage) {
      const message = `The result is larger than the caller takes: ${maxMessage} bytes.`
      return this.#answerError(id, new BridgeError('ERR_LIMIT', message))
    }
    this.#core.push({ type: 'result', id, value: checked?.value }, 8 + (checked?.elements ?? 0), bytes)
  }

  #answerError(id: number, error: unknown): void {
    const wire = describeCause(error, this.#core.causeLimits)
    this.#core.push({ type: 'error', id, error: wire }, 8 + countElements(wire), 32 + bytesOf(wire))
  }

  /** The link is over: the contexts of all handlers end. */
  close(error: ContextError): void {
    for (const handler of this.#handlers.values()) {
      handler.wanted = false
      endWith(handler.ctx, error)
    }
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
