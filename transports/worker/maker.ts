/**
 * Node tells of a thread's death who made it, and nobody else. A third thread may have contexts of the dead one, in a loop that never yields. So whoever made a thread has its table of slots, and when
 * that has died without a word, as a terminated one does, it takes back there what that has left open.
 */

import { type WorkerEndpoint } from './endpoint.ts'
import { threads } from './host.ts'
import type { Importer } from './importer.ts'
import { isNodeWorker } from './watch-endpoint.ts'

/** What each worker that this thread has made showed last: for longer than there is a link to it, but no part of its table that it has made since. */
const shown = new WeakMap<object, Importer>()

/** To be called with what has come over a worker: `thread` is whose it is, as that says itself. Of another one, which the worker passes on, its exit says nothing. */
export function speakFor(endpoint: WorkerEndpoint, importer: Importer, thread: number | undefined): void {
  if (!isNodeWorker(endpoint) || endpoint.threadId !== thread) return
  if (!shown.has(endpoint)) {
    // First: what it had said may be of a part of its table that is not known yet, and the end of the link lets go of that.
    endpoint.prependOnceListener('exit', () => {
      const last = shown.get(endpoint)
      last?.drain()
      // After all who listen here: this thread's own imports that have not heard of it yet have a better reason.
      queueMicrotask(() => last?.reader.ownerDied())
    })
  }
  shown.set(endpoint, importer)
}

let hasThird = false

/** To be called with each endpoint that this thread has a link over; `show` shows its table to the thread that made it, if there is a link to that. */
export function tellMaker(endpoint: WorkerEndpoint, show: (maker: WorkerEndpoint) => void): void {
  const maker = threads?.parentPort ?? undefined
  if (maker === undefined) return
  hasThird ||= endpoint !== maker
  if (hasThird) show(maker)
}
