/** What `connect` is on every platform. */
import { takeSettings } from '../../lib/bridge/link-check.ts'
import { checkMethods } from '../../lib/bridge/served.ts'
import { type Connection, LinkConnection } from '../../lib/bridge/link-connection.ts'
import { dial, type Sockets } from '../../lib/bridge/link-dial.ts'
import type { LinkSettings } from '../../lib/bridge/link-host.ts'
import type { LinkLease } from '../../lib/bridge/link-liveness.ts'
import { background, type Context } from '../../lib/context.ts'
import { isContext } from '../../lib/foreign.ts'
import { attempt, named } from '../../lib/given.ts'
import { platform } from './platform.ts'

/** What every platform has. */
export interface DialOptions extends LinkSettings {
  /** Bounds the connecting, until the peer has greeted; its later end does nothing. A server that opens the connection has 10 seconds to greet in any case. */
  readonly context?: Context
  /**
   * Whether a connection that breaks is replaced by another one, on which everything goes on where it was: default true. A server that is gone, and one that
   * closes on purpose, ends it in any case, and so does silence that is longer than the lease.
   */
  readonly reconnect?: boolean
  /** What the server may call here. */
  readonly serve?: object
}

const dialNames: Record<Exclude<keyof DialOptions, keyof LinkSettings>, true> = { context: true, reconnect: true, serve: true }

/**
 * The options of `connect`, checked but for those that the platform has beside them.
 * @param own the names of these
 * @param lease what the platform makes of leases, where that differs from the rest
 */
export function takeDial<O extends DialOptions>(
  options: O,
  own: Record<Exclude<keyof O, keyof DialOptions>, unknown>,
  lease?: Partial<LinkLease>,
): O {
  const taken = takeSettings('connect', options, { ...dialNames, ...own }, lease)
  const { context, serve, reconnect = true } = taken
  if (context !== undefined && !isContext(context))
    throw new TypeError(`connect() needs its option 'context' to be a context, but got ${named(context)}.`)
  if (serve !== undefined) checkMethods('connect', serve)
  if (typeof reconnect !== 'boolean')
    throw new TypeError(`connect() needs its option 'reconnect' to be true or false, but got ${named(reconnect)}.`)
  return taken
}

/** @param options as `takeDial` gave them */
export function connectBy<S>(sockets: Sockets<S>, url: string | URL, options: DialOptions): Promise<Connection> {
  const { context = background(), serve, reconnect = true } = options
  return dial(platform, sockets, urlOf(url), context, options, serve, reconnect).then(
    ({ link, closed }) => new LinkConnection(link, closed),
  )
}

function urlOf(url: string | URL): URL {
  const parsed = attempt(() => new URL(url))
  if (parsed !== undefined && /^(?:wss?|https?|ws\+unix):$/.test(parsed.protocol)) return parsed
  throw new TypeError(
    `connect() needs a URL such as 'wss://example.com/path', but got ${named(attempt(() => (url instanceof URL ? url.href : url)) ?? url)}.`,
  )
}
