/** Calling what another thread serves. */

import { dispose } from '../../lib/dispose.ts'
import { inspectAsText } from '../../lib/bridge/link-show.ts'
import { named, readOptions } from '../../lib/given.ts'
import { type Members, packCall, SentContext } from './call-message.ts'
import { Call, lossOf } from './call.ts'
import { isHandled } from './comlink.ts'
import { canTerminate, endpointAndOptions, endpointOf, type WorkerEndpoint } from './endpoint.ts'
import { messageOf, unsendable } from './failure.ts'
import type { Grant } from './export.ts'
import { Grace } from './grace.ts'
import { flatten } from './handle.ts'
import type { LinkOptions } from './link.ts'
import { Tie, TiedObject } from './sent-signal.ts'
import { isMethodName } from './server.ts'
import { linkOf } from './links.ts'
import type { WorkerLink } from './worker-link.ts'

/** The names that are never called: see `expose`. */
type NoMethod = 'then' | 'toJSON' | `__${string}` | keyof typeof Object.prototype | 'constructor'

/** Never one: `any`, `never`. */
type IsStream<R> = 0 extends 1 & R
  ? false
  : [R] extends [never]
    ? false
    : [R] extends [AsyncIterable<unknown> | Iterator<unknown>]
      ? true
      : false

type IsMethod<F> = [F] extends [(...args: never[]) => infer Result]
  ? IsStream<Awaited<Result>> extends true
    ? false
    : true
  : false

type Called<F> = 0 extends 1 & F
  ? (...args: unknown[]) => Promise<unknown>
  : F extends (...args: infer Args) => infer Result
    ? (...args: Args) => Promise<Awaited<Result>>
    : never

/**
 * The methods of `T` as another thread calls them: with the same parameters, and a promise of the result. Generators are left out: what they give does not cross. One that may be missing over
 * there can be called all the same: then its promise rejects with `ERR_NO_METHOD`.
 */
export type Remote<T> = {
  readonly [Name in keyof T as Name extends NoMethod | symbol | number
    ? never
    : IsMethod<NonNullable<T[Name]>> extends true
      ? Name
      : never]-?: Called<NonNullable<T[Name]>>
} & Disposable

export interface WrapOptions extends LinkOptions {
  /**
   * How long, in ms, a method may go on after it has begun and one of its contexts has ended. One that waits until another lets go of the worker has not; and
   * where another one, which began later, has kept the thread from it, the time begins anew when that lets go. Then the worker is terminated: the call rejects with a
   * `BridgeError` of code `ERR_CONTEXT_IGNORED` that names the method, with what ended its context as its cause, and all else that was pending on it with a `LinkLostError` that names it as well. So a call whose context
   * ends while its method runs rejects when that has returned, or its time has passed. Default: `Infinity`, nothing is terminated. Only for a `Worker`.
   */
  readonly grace?: number
}

/**
 * The object that is served on the other side of `endpoint`: `await wrap<Jobs>(worker).countPrimes(ctx, 1e9)`.
 *
 * A context, or an AbortSignal, may stand anywhere in the argument list, also several, and as a property of an argument that is a plain object: `remote.load(url, { signal })`.
 * Not deeper inside: there a context is refused, and of a signal Node makes an empty object. The promise of a call
 *
 * - rejects at once with a context's `err()`, or a signal's reason, when one of them is done, the first that is, whether or not the method has answered, or ever
 *   does (with a `grace`, when it has answered, or that is over); where one is done already, nothing is sent, and where one is done before the worker comes to it, the method does not run;
 * - rejects with what the method throws, by kind, name, message, code and causes;
 * - rejects with a `LinkLostError` when the worker exits, crashes, is terminated, or is gone already;
 * - rejects with a `BridgeError`: `ERR_NO_METHOD`, `ERR_UNSENDABLE` when an argument or the result cannot be cloned, `ERR_LIMIT` when the other thread serves nothing, and 10,000
 *   calls wait for it to, `ERR_PROTOCOL` when it has another version of this package.
 *
 * The link is shared by all who wrap the same endpoint. To dispose of the object closes it, for all of them, and terminates nothing.
 *
 * @param endpoint default: `parentPort`, so in a worker what the thread serves that made it
 * @throws TypeError when `endpoint` is neither a Worker nor a MessagePort, or an option is of no use
 */
export function wrap<T extends object>(options?: WrapOptions): Remote<T>
export function wrap<T extends object>(endpoint: WorkerEndpoint | undefined, options?: WrapOptions): Remote<T>
export function wrap<T extends object>(endpointOrOptions?: WorkerEndpoint | WrapOptions, more?: WrapOptions): Remote<T> {
  const [endpoint, given] = endpointAndOptions(endpointOrOptions, more)
  const [grace, options] = readOptions(
    'wrap',
    given,
    ['grace', 'keys', 'sharedMemory'],
    ({ grace = Infinity, keys = [], sharedMemory = true }) => [grace, { keys, sharedMemory }],
  )
  if (typeof grace !== 'number' || !(grace >= 0)) {
    throw new TypeError(`wrap() needs 'grace' to be a number of milliseconds, at least 0, but got ${named(grace)}.`)
  }
  if (grace !== Infinity && !canTerminate(endpointOf(endpoint, 'wrap')))
    throw new TypeError("wrap() can only give a 'grace' to a Worker: nothing else can be terminated.")
  // Not before all is checked: a link posts, and listens.
  const link = linkOf(endpoint, options, 'wrap')
  // Now and not with the first context: so that the table is there before any handle, whichever way that takes.
  link.announce()
  const methods = new Map<string, (...args: unknown[]) => Promise<unknown>>()
  const own = { [dispose]: () => link[dispose](), [Symbol.toStringTag]: 'Remote' }
  // Node's inspector asks the target, and not the proxy.
  Object.freeze(inspectAsText(own, () => `Remote of ${String(link)}`))
  return new Proxy(own, {
    get(target, name, receiver) {
      if (typeof name === 'symbol' || !isMethodName(name)) return Reflect.get(target, name, receiver) as unknown
      let method = methods.get(name)
      if (method === undefined) methods.set(name, (method = (...args) => call(link, name, args, grace)))
      return method
    },
  }) as unknown as Remote<T>
}

/** Never throws. */
function call(link: WorkerLink, name: string, args: readonly unknown[], grace: number): Promise<unknown> {
  const grants: Grant[] = []
  const objects: TiedObject[] = []
  let isSending = false
  try {
    const ties: Tie[] = []
    const places = args.map((arg) => {
      const place = Tie.to(arg) ?? tiedObject(name, arg)
      if (place === undefined) return arg
      if (place instanceof TiedObject) objects.push(place)
      ties.push(...place.ties)
      return place
    })
    for (const tie of ties) if (tie.ctx.err() !== undefined) throw tie.end()
    if (link.lost !== undefined) throw link.lost
    isSending = true
    const { exporter } = link
    const send = (tie: Tie): SentContext => {
      const grant = exporter.exportForCall(tie.ctx)
      grants.push(grant)
      return new SentContext(flatten(grant.handle), tie.isSignal)
    }
    let within: Map<number, Members> | undefined
    const list = places.map((place, i) => {
      if (place instanceof Tie) return send(place)
      if (!(place instanceof TiedObject)) return place
      within ??= new Map<number, Members>()
      within.set(i + 1, new Map(place.members.map(([key, tie]) => [key, send(tie)])))
      return place.object
    })
    const watch = grace === Infinity ? undefined : new Grace(link, name, grace)
    const made = new Call(ties, grants, watch)
    link.caller.call((id, asks) => packCall(id, name, list, within, asks), made)
    made.watch()
    return made.outcome
  } catch (error) {
    revoke(grants)
    if (error !== undefined && error === link.lost) return Promise.reject(lossOf(link.lost))
    return Promise.reject(isSending && args.some(throws) ? unsendable(name, messageOf(error), error) : error)
  } finally {
    for (const object of objects) object.letGo()
  }
}

/** Undefined where the argument is none. */
function tiedObject(name: string, arg: unknown): TiedObject | undefined {
  try {
    return TiedObject.of(arg)
  } catch (error) {
    throw unsendable(name, messageOf(error), error)
  }
}

/** Whether an argument throws when it is looked at. */
function throws(arg: unknown): boolean {
  try {
    void [isHandled(arg), arg instanceof Tie]
    return false
  } catch {
    return true
  }
}

function revoke(grants: Grant[]): void {
  for (const grant of grants.splice(0).toReversed()) grant.revoke()
}
