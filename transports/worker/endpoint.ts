/** The two ends that a link can have: a worker as its maker sees it, and a port, which a worker's own way out is, too. */

import { attempt, named } from '../../lib/given.ts'
import { threads } from './host.ts'

/**
 * A `Worker` or a `MessagePort`, of Node or of the web; in a Web Worker also its global scope.
 */
export interface WorkerEndpoint {
  postMessage(message: unknown, transfer: never): void
}

/** An endpoint and options, of which the former may have been left out. */
export function endpointAndOptions<O extends object>(first: unknown, options: O | undefined): [endpoint: unknown, options: O] {
  if (options !== undefined) return [first, options]
  return isOptions(first) ? [undefined, first as O] : [first, {} as O]
}

/** A plain object; what somebody has made as an endpoint, of Comlink say, is none. */
function isOptions(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  return attempt(() => Object.getPrototypeOf(value) === Object.prototype && !('postMessage' in value)) ?? false
}

/** The endpoint that a function named `caller` was given; undefined is the way to the thread that made this one. Throws a `TypeError` where it is none. */
export function endpointOf(value: unknown, caller: string): WorkerEndpoint {
  if (value === undefined) {
    const parent = parentOf()
    if (parent !== undefined) return parent
    const why = 'this thread has no way to one that made it, as no main thread, shared worker or service worker has'
    throw new TypeError(`${caller}() needs a Worker or a MessagePort here: ${why}.`)
  }
  if (attempt(() => isEndpoint(value))) {
    try {
      checkItself(value as WorkerEndpoint)
    } catch (cause) {
      throw aroundOne(caller, cause)
    }
    return value as WorkerEndpoint
  }
  throw new TypeError(`${caller}() needs a Worker or a MessagePort, but got ${named(value)}.`)
}

/** For what looks like an endpoint and cannot be used as one: a proxy of one, as frameworks make. */
export function aroundOne(caller: string, cause: unknown): TypeError {
  return new TypeError(`${caller}() needs a Worker or a MessagePort itself, but got something around one, which throws.`, {
    cause,
  })
}

function parentOf(): WorkerEndpoint | undefined {
  if (threads !== undefined) return threads.parentPort ?? undefined
  const scope: unknown = globalThis
  return isInstance(scope, 'DedicatedWorkerGlobalScope') ? scope : undefined
}

/** Throws what a proxy throws. */
function isEndpoint(value: unknown): boolean {
  if (threads !== undefined && (value instanceof threads.Worker || value instanceof threads.MessagePort)) return true
  return threads === undefined && ['Worker', 'MessagePort', 'DedicatedWorkerGlobalScope'].some((name) => isInstance(value, name))
}

/** Throws where it is a proxy of one, which would throw when something is posted: each platform looks whose member is asked for. A proxy of Node's `Worker` works as that does. */
function checkItself(endpoint: WorkerEndpoint): void {
  if (threads === undefined) void (endpoint as { readonly onmessage?: unknown }).onmessage
  else if (endpoint instanceof threads.MessagePort) (endpoint as Partial<{ hasRef(): boolean }>).hasRef?.()
}

/** Whether it is a worker, which its maker can terminate. */
export function canTerminate(value: unknown): value is WorkerEndpoint & { terminate(): unknown } {
  return attempt(() => (threads === undefined ? isInstance(value, 'Worker') : value instanceof threads.Worker)) ?? false
}

/** Whether it is a worker of the web's, as its maker sees it. */
export function isWebWorker(value: unknown): boolean {
  return threads === undefined && isInstance(value, 'Worker')
}

/** Whether it is one of the web's, or something around one. Throws what a proxy throws. */
function isInstance(value: unknown, name: string): value is WorkerEndpoint {
  const constructor = (globalThis as Record<string, unknown>)[name]
  return typeof constructor === 'function' && (value instanceof constructor || isOfAnotherRealm(value, constructor))
}

/** Whether it is one that a frame of this page has made, say: of another class of the same name. A getter of the platform's throws for all else. */
function isOfAnotherRealm(value: unknown, { prototype }: { readonly prototype: unknown }): boolean {
  const onmessage = Object.getOwnPropertyDescriptor(prototype, 'onmessage')
  if (onmessage?.get === undefined) return false
  try {
    onmessage.get.call(value)
    return true
  } catch {
    return false
  }
}
