/** The two ends that a link can have: a `Worker` as its maker sees it, and a `MessagePort`, which `parentPort` is, too. */

import { MessagePort, parentPort, Worker } from 'node:worker_threads'
import { named } from '../../lib/key.ts'

export type WorkerEndpoint = Worker | MessagePort

/** The endpoint that a function named `caller` was given; left out, it is `parentPort`. Throws a `TypeError` where it is none. */
export function endpointOf(value: unknown, caller: string): WorkerEndpoint {
  if (value === undefined) {
    if (parentPort !== null) return parentPort
    throw new TypeError(`${caller}() needs a Worker or a MessagePort when it is called in the main thread, which has no parent.`)
  }
  if (isEndpoint(value)) return value
  throw new TypeError(`${caller}() needs a Worker or a MessagePort of node:worker_threads, but got ${named(value)}.`)
}

export function isEndpoint(value: unknown): value is WorkerEndpoint {
  return value instanceof Worker || value instanceof MessagePort
}
