/** Connections as users hold them, and the methods of the other side. */
import { disposable, dispose } from '../dispose.ts'
import type { CancelableContext, Context } from '../context.ts'
import type { LinkLostError } from '../errors.ts'
import { named, readOptions } from '../given.ts'
import type { Link, LinkHandle, LinkStats } from './link.ts'
import { inspectAsText, show } from './link-show.ts'

/**
 * What can be called over a link: methods that take a context first. One that may be missing over there can be called all the same: then its promise rejects with `ERR_NO_METHOD`. To dispose of it closes the
 * connection, for all that is called over it.
 */
export type Remote<T> = {
  readonly [K in keyof T as NonNullable<T[K]> extends (ctx: Context, ...args: never[]) => unknown ? K : never]-?: NonNullable<
    T[K]
  > extends (ctx: Context, ...args: infer A) => infer R
    ? (ctx: Context, ...args: A) => Answer<Awaited<R>>
    : never
} & Disposable

/** What a call gives: a promise; of a stream, one that can also be read at once, by `for await (const item of remote.tokens(ctx))`. */
export type Answer<R> = [IsStream<R>, R] extends [true, AsyncIterable<infer T>]
  ? Promise<AsyncGenerator<T, R extends AsyncIterator<unknown, infer Last> ? Last : unknown, undefined>> & AsyncIterable<T>
  : Promise<R>

/** Neither `any` nor `never` is one. */
type IsStream<R> = 0 extends 1 & R ? false : [R] extends [never] ? false : [R] extends [AsyncIterable<unknown>] ? true : false

export interface CloseOptions {
  /** Milliseconds from 0. */
  readonly grace: number
}

/** A link with another process, over one connection after the other. Ends everything that is open on it when it is closed or lost. */
export interface Connection extends Disposable {
  /** The peer's name as it gave it. Proves nothing. */
  readonly peerName: string
  /** Resolves when the link is over, with the reason; never rejects. */
  readonly closed: Promise<LinkLostError>
  /**
   * A handle for `ctx`, to be sent in a message of one's own. It survives JSON and `structuredClone`, and may arrive before or after what the connection
   * itself sends; on the other side `import` makes a context of it. Everything that is below `ctx` and called over this connection is ended
   * with it by one frame.
   *
   * It is held until `ctx` ends, the last import on the other side has ended or was collected, or the connection is over.
   *
   * @throws TypeError when `ctx` is no context
   * @throws BridgeError `ERR_LIMIT` when the peer takes no more contexts, `ERR_LINK_LOST` when the connection is over
   */
  export(ctx: Context): LinkHandle
  /**
   * The context that a handle of the other side stands for: it ends when that one does, with the connection, by its deadline, or by its own `cancel`,
   * which the other side's context does not feel. Import a handle once, and cancel the import when it is not needed any more.
   *
   * Never throws: a handle is from outside. One that is of no use gives a context that is done, with a `BridgeError` as its cause; where it may have come before the frame that tells of it, when the peer has
   * answered that it has made none.
   */
  import(handle: unknown): CancelableContext
  /** Closes it; all calls that are open on it reject with a `LinkLostError`. */
  close(): void
  /**
   * Ends it in peace, and resolves when it is closed: the other side is told to make no more calls, those that it has made and that run in either direction may
   * end, and be answered, within so many milliseconds, then the contexts of the others end, with a `BridgeError` of the code `ERR_GOING_AWAY` as their cause.
   */
  close(options: CloseOptions): Promise<void>
  stats(): LinkStats
  /** As `close()`: what is still open on it rejects and ends with a `LinkLostError`. For `using connection = await connect(url)`. */
  [Symbol.dispose](): void
}

/** As much of a link as its users use, whatever its messages are. */
type UsedLink = Pick<Link, 'call' | 'export' | 'import' | 'close' | 'shutdown' | 'stats' | 'peerName'>

const links = new WeakMap<Connection, UsedLink>()

export class LinkConnection implements Connection {
  declare readonly [Symbol.dispose]: () => void
  readonly closed: Promise<LinkLostError>
  readonly #link: UsedLink

  constructor(link: UsedLink, closed: Promise<LinkLostError>) {
    this.#link = link
    this.closed = closed
    links.set(this, link)
  }

  get peerName(): string {
    return this.#link.peerName
  }

  export(ctx: Context): LinkHandle {
    return this.#link.export(ctx)
  }

  import(handle: unknown): CancelableContext {
    return this.#link.import(handle)
  }

  close(): void
  close(options: CloseOptions): Promise<void>
  close(options?: CloseOptions): Promise<void> | undefined {
    if (options !== undefined) return this.#link.shutdown(graceOf(options))
    this.#link.close()
    return undefined
  }

  stats(): LinkStats {
    return this.#link.stats()
  }

  static {
    disposable<LinkConnection>(this.prototype, function () {
      this.close()
    })
  }

  toString(): string {
    const { state, ...counts } = this.stats()
    return show(this.peerName === '' ? 'Connection' : `Connection(${JSON.stringify(this.peerName)})`, state, counts)
  }

  toJSON(): string {
    return String(this)
  }

  static {
    inspectAsText(this.prototype)
  }
}

/**
 * The methods of the other side, as those of a local object: `await reports.build(ctx, id)`. Each takes a context first, and rejects
 * with `ctx.err()` as soon as that is done; with what the method threw; or with a `BridgeError`. A method that returns an async iterable, as a generator
 * does, gives one: leaving its loop ends the context of the call, and runs the generator's `finally` there. To dispose of the object closes the connection.
 *
 * @param connection from `connect`, or one of a service's `connections`
 * @throws TypeError when it is neither
 */
export function wrap<T extends object>(connection: Connection): Remote<T> {
  const link = links.get(connection)
  if (link === undefined)
    throw new TypeError(`wrap() needs a connection, from connect() or of a service, but got ${named(connection)}.`)
  const methods = new Map<string, (ctx: Context, ...args: unknown[]) => Promise<unknown>>()
  const told = (): string => `Remote of ${String(connection)}`
  // Node's inspector asks the target, and not the proxy.
  return new Proxy(inspectAsText(Object.create(null) as Remote<T>, told), {
    get(_target, name) {
      if (name === Symbol.toPrimitive) return told
      if (name === dispose) return () => link.close()
      // A proxy that is awaited, printed or compared must not call the peer.
      if (typeof name !== 'string' || name === 'then' || name === 'toJSON' || name === 'constructor') return undefined
      let method = methods.get(name)
      if (method === undefined) methods.set(name, (method = (ctx, ...args) => link.call(ctx, name, args)))
      return method
    },
  })
}

export function graceOf(options: CloseOptions): number {
  const grace: unknown = readOptions('close', options, ['grace'], ({ grace }) => grace)
  if (typeof grace !== 'number' || !(grace >= 0)) {
    throw new TypeError(`close() needs a grace that is a number of milliseconds from 0, but got ${named(grace)}.`)
  }
  return grace
}
