/** Contexts in messages of one's own: the link over an endpoint, as its users hold it. Nothing else is in the declarations of this file, so that a program without the types of the web can read them. */

import type { CancelableContext, Context } from '../../lib/context.ts'
import type { Key } from '../../lib/key.ts'
import { endpointAndOptions, type WorkerEndpoint } from './endpoint.ts'
import type { ContextHandle } from './handle.ts'
import { linkOf } from './links.ts'

export interface LinkOptions {
  /** The portable keys whose values are taken over from contexts that come in. Values of other keys are dropped. */
  readonly keys?: readonly Key<unknown>[]
  /**
   * Whether contexts that go out may do so in shared memory; the first who uses a link's endpoint in this thread decides. Default: true, and it is done wherever
   * memory can be shared. Without it all is the same, but that a loop that never yields sees nothing until it does.
   */
  readonly sharedMemory?: boolean
}

export interface LinkStats {
  /** Contexts of this thread that other threads hold or may hold, over all of its links: those that are live, and ended ones that were not given back. */
  readonly slots: number
  /** Chunks of shared memory that this thread has for them. They are kept. */
  readonly chunks: number
  /** Live contexts that this link exports. */
  readonly exports: number
  /** Live contexts that were imported over this link, and not released. */
  readonly imports: number
  /** Those of them that somebody in this thread waits for. */
  readonly observers: number
  /** Calls that the other side has not answered, also where their callers wait no more. */
  readonly calls: number
}

/** Takes contexts over to the other thread and back, in messages of one's own. Disposing closes it, and terminates nothing. */
export interface Link extends Disposable {
  /**
   * A handle for `ctx`, to be sent in a message over the same endpoint, once. Export again to send it again: it costs no second slot.
   * A handle that has not been imported when its context ends still tells of that end, with its cause, when it comes within a minute, unless there are 16,384 newer ones on this link. One that
   * comes later gives a context that is done, whose cause is a `BridgeError` of code `ERR_HANDLE`. So a handle that is never sent, or never imported, holds its slot until then.
   *
   * @throws TypeError when `ctx` is no context; LinkLostError when the other side is gone
   */
  export(ctx: Context): ContextHandle
  /**
   * The context that a handle stands for. Cancel or dispose it when you are through with it: that gives it back, and ends nothing on the other
   * side; to drop it does so, too, some time later, unless its `signal` or `done`, or that of a context below it, was ever asked for, or somebody still waits for it: then it is held until its end. It ends with the exporter's and for the same reason, by its deadline, or with a
   * `LinkLostError` as its cause when the other thread is gone. A handle that is stale, forged or of another link gives a
   * context that is done, with a `BridgeError` of code `ERR_HANDLE` as its cause.
   *
   * @throws TypeError when `handle` is no handle at all
   */
  import(handle: unknown): CancelableContext
  stats(): LinkStats
}

/**
 * The link over an endpoint: always the same one until it is disposed of. The first call in each thread listens to the endpoint, so that
 * messages begin to flow. What the other side had posted before is posted again; but a handle can be imported only when that side's first message has come. So make it beside your own `on('message')`.
 *
 * @param endpoint a `Worker`, `parentPort`, or one of the two ports of a `MessageChannel`. Default: `parentPort`
 * @throws TypeError when `endpoint` is none of these
 */
export function link(options?: LinkOptions): Link
export function link(endpoint: WorkerEndpoint | undefined, options?: LinkOptions): Link
export function link(endpointOrOptions?: WorkerEndpoint | LinkOptions, more?: LinkOptions): Link {
  const [endpoint, options] = endpointAndOptions(endpointOrOptions, more)
  return linkOf(endpoint, options, 'link')
}

/**
 * Whether a message that came over an endpoint is one of this package's own: for a program that listens there itself.
 * `worker.on('message', (message) => { if (!isLinkMessage(message)) ... })`
 */
export function isLinkMessage(message: unknown): boolean {
  try {
    if (Array.isArray(message)) return typeof message[0] === 'string' && message[0].startsWith('ctxbridge.')
    return typeof message === 'object' && message !== null && 'ctxbridge' in message && typeof message.ctxbridge === 'string'
  } catch {
    // It did not come in a message: a getter or a proxy of somebody else's threw.
    return false
  }
}
