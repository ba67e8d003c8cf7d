/** What `connect` is on every platform. */
import { checkSettings } from '../../lib/bridge/link-check.ts'
import { checkMethods } from '../../lib/bridge/served.ts'
import { type Connection, LinkConnection } from '../../lib/bridge/link-connection.ts'
import { dial, type Sockets } from '../../lib/bridge/link-dial.ts'
import type { LinkSettings } from '../../lib/bridge/link-host.ts'
import { background, type Context } from '../../lib/context.ts'
import { isContext } from '../../lib/foreign.ts'
import { named } from '../../lib/given.ts'
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

/** @param own options that the platform has beside those, already checked */
export function connectBy<S>(
  sockets: Sockets<S>,
  url: string | URL,
  options: DialOptions,
  own: object = {},
): Promise<Connection> {
  checkSettings('connect', options, { ...dialNames, ...own }, sockets.lease)
  const { context = background(), serve: methods, reconnect = true } = options
  if (!isContext(context)) throw new TypeError(`connect() needs its option 'context' to be a context, but got ${named(context)}.`)
  if (methods !== undefined) checkMethods('connect', methods)
  if (typeof reconnect !== 'boolean')
    throw new TypeError(`connect() needs its option 'reconnect' to be true or false, but got ${named(reconnect)}.`)
  const settings = { ...options, lease: { ...sockets.lease, ...options.lease } }
  return dial(platform, sockets, urlOf(url), context, settings, methods, reconnect).then(
    ({ link, closed }) => new LinkConnection(link, closed),
  )
}

function urlOf(url: string | URL): URL {
  try {
    const parsed = new URL(url)
    if (/^(?:wss?|https?|ws\+unix):$/.test(parsed.protocol)) return parsed
  } catch {
    // It is none.
  }
  throw new TypeError(
    `connect() needs a URL such as 'wss://example.com/path', but got ${named(url instanceof URL ? url.href : url)}.`,
  )
}
