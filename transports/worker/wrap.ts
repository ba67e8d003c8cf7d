/** Calling what another thread serves. */

import { listen } from '../../lib/boundary.ts'
import { after, hostClock } from '../../lib/clock.ts'
import type { Context } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { isContext } from '../../lib/foreign.ts'
import { named } from '../../lib/key.ts'
import { SentContext } from './call-message.ts'
import { canTerminate, type WorkerEndpoint } from './endpoint.ts'
import type { Grant } from './export.ts'
import { flatten } from './handle.ts'
import { linkOf, type LinkOptions, type WorkerLink } from './link.ts'
import { isMethodName } from './server.ts'

/** The names that are never called: see `expose`. */
type NoMethod = 'then' | 'toJSON' | `__${string}` | keyof typeof Object.prototype | 'constructor'

/** The methods of `T` as another thread calls them: with the same parameters, and a promise of the result. */
export type Remote<T> = {
  readonly [Name in keyof T as Name extends NoMethod | symbol | number
    ? never
    : T[Name] extends (...args: never[]) => unknown
      ? Name
      : never]: T[Name] extends (...args: infer Args) => infer Result ? (...args: Args) => Promise<Awaited<Result>> : never
} & Disposable

export interface WrapOptions extends LinkOptions {
  /**
   * How long, in ms, a method may go on after one of its contexts has ended. Then the worker is terminated, and all that was pending on it is rejected with
   * a `LinkLostError` that names the method. Default: `Infinity`, nothing is terminated. Only for a `Worker`.
   */
  readonly grace?: number
}

/**
 * The object that is served on the other side of `endpoint`: `await wrap<Jobs>(worker).countPrimes(ctx, 1e9)`.
 *
 * A context may stand anywhere in the argument list, also several; not inside of another argument. The promise of a call
 *
 * - rejects at once with a context's `err()` when one of the contexts is done, the first that is, whether or not the method has answered, or ever
 *   does; where one is done already, nothing is sent;
 * - rejects with what the method throws, by kind, name, message, code and causes;
 * - rejects with a `LinkLostError` when the worker exits, crashes, is terminated, or is gone already;
 * - rejects with a `BridgeError`: `ERR_NO_METHOD`, `ERR_UNSENDABLE` when an argument or the result cannot be cloned, `ERR_LIMIT`.
 *
 * The link is shared by all who wrap the same endpoint. To dispose of the object closes it, for all of them, and terminates nothing.
 *
 * @throws TypeError when `endpoint` is neither a Worker nor a MessagePort, or an option is of no use
 */
export function wrap<T extends object>(endpoint: WorkerEndpoint, options: WrapOptions = {}): Remote<T> {
  if (endpoint === undefined) throw new TypeError('wrap() needs a Worker or a MessagePort, but got undefined.')
  const link = linkOf(endpoint, options, 'wrap')
  const { grace = Infinity } = options
  if (typeof grace !== 'number' || !(grace >= 0)) {
    throw new TypeError(`wrap() needs 'grace' to be a number of milliseconds, at least 0, but got ${named(grace)}.`)
  }
  if (grace !== Infinity && !canTerminate(endpoint))
    throw new TypeError("wrap() can only give a 'grace' to a Worker: nothing else can be terminated.")
  // Now and not with the first context: so that the table is there before any handle, whichever way that takes.
  if (link.lost === undefined) void link.exporter
  const methods = new Map<string, (...args: unknown[]) => Promise<unknown>>()
  const own = Object.freeze({ [Symbol.dispose]: () => link[Symbol.dispose](), [Symbol.toStringTag]: 'Remote' })
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
  try {
    const contexts = args.filter(isContext)
    for (const ctx of contexts) ctx.throwIfDone()
    if (link.lost !== undefined) throw link.lost
    const { exporter } = link
    const list = args.map((arg) => {
      if (!isContext(arg)) return arg
      const grant = exporter.exportForCall(arg)
      grants.push(grant)
      return new SentContext(flatten(grant.handle))
    })
    const { sent, answer } = link.caller.call(name, list)
    // As long as the other side is at it, it holds the contexts, also when nobody here waits any more.
    if (sent) void answer.catch(() => undefined).then(() => grants.forEach((grant) => grant.release()))
    else revoke(grants)
    if (sent && grace !== Infinity) enforce(link, name, contexts, answer, grace)
    return raceAll(link, contexts, answer)
  } catch (error) {
    revoke(grants)
    return Promise.reject(error)
  }
}

function revoke(grants: Grant[]): void {
  for (const grant of grants.splice(0).toReversed()) grant.revoke()
}

/** Terminates the worker when a method goes on for longer than `grace` after one of its contexts has ended. */
function enforce(link: WorkerLink, name: string, contexts: readonly Context[], answer: Promise<unknown>, grace: number): void {
  let forget: (() => void) | undefined
  const stops = contexts.map((ctx) =>
    listen(ctx, () => {
      forget ??= after(hostClock, grace, true, () => {
        const method = `The worker was terminated: the method '${name}' went on for ${grace} ms after its context had ended.`
        link.terminate(new LinkLostError(method, { cause: ctx.err() }))
      })
    }),
  )
  const settled = (): void => {
    forget?.()
    for (const stop of stops) stop()
  }
  answer.then(settled, settled)
}

/** The outcome of `answer`, or the end of whichever context is first. Leaves nothing on the contexts. */
function raceAll(link: WorkerLink, contexts: readonly Context[], answer: Promise<unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const stops: (() => boolean)[] = []
    let waits = true
    link.waiting++
    const settle = (): void => {
      if (waits) link.waiting--
      waits = false
      for (const stop of stops.splice(0)) stop()
    }
    for (const ctx of contexts) {
      const stop = listen(ctx, () => {
        settle()
        reject(ctx.err())
      })
      if (!waits) break
      stops.push(stop)
    }
    // Taking a listener back looks at its context: where a deadline has passed that the other thread saw before our timer fired,
    // the listener runs, and the caller gets the error of its own context.
    answer.then(
      (value) => {
        settle()
        resolve(value)
      },
      (error: unknown) => {
        settle()
        reject(error)
      },
    )
  })
}
