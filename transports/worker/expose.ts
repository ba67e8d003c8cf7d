/** Serving an object to the other thread. */

import { checkMethods } from '../../lib/bridge/served.ts'
import { endpointAndOptions, type WorkerEndpoint } from './endpoint.ts'
import type { LinkOptions } from './link.ts'
import { linkOf } from './links.ts'
import { serverOf } from './worker-link.ts'

/**
 * Serves the own methods of `api` to the other side of `endpoint`, in a worker the thread that made it. Contexts among the arguments of a
 * call, or the properties of a plain object among them, are contexts here, and live as long as the call: when it is over they are cancelled here, and given back. What a method throws
 * rejects the caller's promise; what it returns must survive `structuredClone`.
 *
 * Never called are inherited methods, so those of a class instance too, and what is named `then`, `toJSON`, as a member of
 * `Object.prototype`, or with `__` at its beginning. As a listener of the endpoint, it keeps a worker alive.
 *
 * @param endpoint default: `parentPort`
 * @throws TypeError when `api` is no object with methods of its own, or something is served on this endpoint already
 */
export function expose(api: object, options?: LinkOptions): void
export function expose(api: object, endpoint: WorkerEndpoint | undefined, options?: LinkOptions): void
export function expose(api: object, endpointOrOptions?: WorkerEndpoint | LinkOptions, more?: LinkOptions): void {
  checkMethods('expose', api)
  const [endpoint, options] = endpointAndOptions(endpointOrOptions, more)
  if (!linkOf(endpoint, options, 'expose').serve(api, serverOf))
    throw new TypeError('expose() serves one object for each endpoint, and this one has one already.')
}
