/** What a peer says, once it has greeted: each frame goes to the part that it is about. */

import type { CancelableContext } from '../context.ts'
import type { Kind } from '../errors.ts'
import type { WireCause } from '../wire/cause.ts'
import type { CancelsFrame, Frame } from '../wire/frame.ts'
import type { Calls } from './link-calls.ts'
import { endAllBy, endBy } from './link-contexts.ts'
import type { LinkCore } from './link-core.ts'
import type { Handlers } from './link-handlers.ts'
import type { Imports } from './link-imports.ts'
import { closeCode, type Fault } from './link-types.ts'

/** What is about the connection itself, and not about anything that is open on it. */
type OfConnection = 'hello' | 'ping' | 'pong' | 'ack'

export class Intake<M> {
  readonly #core: LinkCore<M>
  readonly #calls: Calls<M>
  readonly #imports: Imports<M>
  readonly #handlers: Handlers<M>

  constructor(core: LinkCore<M>, calls: Calls<M>, imports: Imports<M>, handlers: Handlers<M>) {
    this.#core = core
    this.#calls = calls
    this.#imports = imports
    this.#handlers = handlers
  }

  /** Returns why the frame is not allowed here, if so. */
  take(frame: Exclude<Frame, { readonly type: OfConnection }>): Fault | undefined {
    switch (frame.type) {
      case 'call':
        return this.#takeId(frame) ?? this.#handlers.takeCall(frame)
      case 'export':
        return this.#takeId(frame) ?? this.#imports.takeExport(frame)
      case 'cancel':
        return this.takeCancel(frame.id, frame.kind, frame.cause)
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
      case 'goaway':
        this.#calls.takeGoaway()
        return undefined
    }
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

  /** Returns why a cancel is not allowed here, if so. */
  takeCancel(id: number, kind: Kind, cause: WireCause | undefined): string | undefined {
    const ctx = this.#cancelled(id)
    if (ctx === undefined) return this.#core.takeLate({ type: 'cancel', id }, 'peers')
    endBy(ctx, kind, cause)
    return undefined
  }

  #takeCancels({ ids, kind, cause }: CancelsFrame): string | undefined {
    const contexts: CancelableContext[] = []
    let fault: string | undefined
    for (const id of ids) {
      const ctx = this.#cancelled(id)
      if (ctx !== undefined) contexts.push(ctx)
      else fault = this.#core.takeLate({ type: 'cancels', id }, 'peers')
      if (fault !== undefined) break
    }
    // Those before a fault, too: they are in no table any more, so the end of the link would not reach them.
    endAllBy(contexts, kind, cause)
    return fault
  }

  /** Whoever the peer has cancelled, still to be ended. */
  #cancelled(id: number): CancelableContext | undefined {
    this.#core.unwanted(id)
    return this.#handlers.takeCancel(id) ?? this.#imports.takeCancel(id)
  }
}
