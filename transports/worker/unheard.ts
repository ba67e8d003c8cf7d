/**
 * What was posted before it is known that the other side listens.
 *
 * A port keeps what comes until somebody listens to it. A `Worker` of Node's drops it; so does a browser's worker, as soon as its script has run once; and where a program listens for messages of its own
 * first, it is the program that gets ours. So each side says HERE when it begins. Who hears that, says how many messages it has posted by then, and the other side how many of those it has heard: as messages keep
 * their order, the first ones are missing, and are posted again, to be taken before what was heard. Nobody waits for any of this: where nothing was missed, calls have begun long before.
 */

import type { WorkerEndpoint } from './endpoint.ts'
import { isAttach, isMemory } from './messages.ts'
import { type CallId, isCall } from './call-message.ts'

/**
 * How a message is posted again. An attach needs a new channel, and the memory of a link goes with it. A call with which something was transferred, or that cannot be copied, or for which nobody waits any more, is
 * gone.
 */
export type Kept =
  | { readonly how: 'copy'; readonly message: unknown; readonly id: CallId | undefined }
  | { readonly how: 'attach' }
  | { readonly how: 'gone'; readonly id: CallId | undefined }

export class Unheard {
  readonly #kept: Kept[] = []
  /** Where the copies of calls are. */
  readonly #calls = new Map<CallId, number>()

  /** How many messages were posted. */
  get count(): number {
    return this.#kept.length
  }

  /** Posts it, and keeps a copy. Throws where it cannot be cloned. */
  post(endpoint: WorkerEndpoint, message: unknown, transfer: readonly Transferable[]): void {
    const kept = keep(message, transfer)
    // What was copied is not read again: a getter may give something else then.
    endpoint.postMessage(kept.how === 'copy' ? kept.message : message, transfer as never)
    if (kept.how === 'copy' && kept.id !== undefined) this.#calls.set(kept.id, this.#kept.length)
    this.#kept.push(kept)
  }

  /** Nobody waits for the answer to that call any more. */
  giveUp(id: CallId): void {
    const at = this.#calls.get(id)
    if (at !== undefined) this.#kept[at] = { how: 'gone', id }
  }

  /** Those that are missing where that many were heard. */
  missing(heard: number): readonly Kept[] {
    return this.#kept.slice(0, Math.max(0, this.#kept.length - heard))
  }
}

function keep(message: unknown, transfer: readonly Transferable[]): Kept {
  if (isAttach(message) || isMemory(message)) return { how: 'attach' }
  const id = isCall(message) ? message[2] : undefined
  try {
    if (transfer.length === 0) return { how: 'copy', message: structuredClone(message), id }
  } catch {
    // To post it throws as well, or it is one of the few things that can be posted and not copied.
  }
  return { how: 'gone', id }
}
