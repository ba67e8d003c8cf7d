/**
 * The protocol of `ctxbridge/websocket` over anything that speaks `postMessage`: ports of Node and of the web, workers, a frame of a page behind a port. What comes
 * is checked byte by byte as from a socket, so the other side need not be trusted.
 */
import { background, type Context } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { isContext } from '../../lib/foreign.ts'
import { attempt, named } from '../../lib/given.ts'
import { platform } from './platform.ts'
import { PortChannel, type PortEndpoint } from './port-channel.ts'
import { takeSettings } from '../../lib/bridge/link-check.ts'
import { checkMethods } from '../../lib/bridge/served.ts'
import { type Connection, LinkConnection } from '../../lib/bridge/link-connection.ts'
import { type LinkSettings, makeLink, maxMessageOf } from '../../lib/bridge/link-host.ts'
import { pageLease } from '../../lib/bridge/link-liveness.ts'
import { greetingTimeout, Opening } from '../../lib/bridge/link-opening.ts'

export type { LinkHandle, LinkLease, LinkLimits, LinkStats } from '../../lib/bridge/link.ts'
export { type Answer, type CloseOptions, type Connection, type Remote, wrap } from '../../lib/bridge/link-connection.ts'
export type { LinkSettings } from '../../lib/bridge/link-host.ts'

/** A `MessagePort`, a `Worker`, or what is like them, of Node or of the web. It may carry other messages as well. */
export interface PostMessageEndpoint {
  postMessage(message: unknown, transfer: never): void
}

export interface PortOptions extends LinkSettings {
  /** What the other side may call here. */
  readonly serve?: object
  /** Bounds the wait for the other side; its later end does nothing. Default: 10 seconds. `background()` waits for however long the other side takes to call `connect`. */
  readonly context?: Context
}

/**
 * Links this side to the one at the other end of `endpoint`, which calls `connect`, too, before or after; resolves when each knows that the other one is there. Each may
 * serve and call. The connection listens to the endpoint until it is closed, and closes no port; one that Node closes, or whose thread has exited there, ends it.
 * In a browser nothing tells of that: there the lease does. When it is over, `connect` may be called again, by both sides.
 *
 * Rejects with a `LinkLostError` when the other side does not speak the protocol, is gone, or has not connected in time, and with `err()` of the context in the options.
 *
 * @throws TypeError at once when `endpoint` speaks no `postMessage`, is a window or a `BroadcastChannel`, which have more than one other side, or has a connection already that is not closed; and when the options are not of the stated form
 */
export function connect(endpoint: PostMessageEndpoint, options: PortOptions = {}): Promise<Connection> {
  const shared = manySided(endpoint)
  if (shared !== undefined) {
    throw new TypeError(
      `connect() needs an endpoint with one other side, but got ${shared}: make a MessageChannel, and give each side one of its ports.`,
    )
  }
  if (!isEndpoint(endpoint)) {
    throw new TypeError(`connect() needs a MessagePort, a Worker or what is like them, but got ${named(endpoint)}.`)
  }
  if (PortChannel.isTaken(endpoint)) {
    throw new TypeError('connect() needs an endpoint without a connection: close the one that is there, or use a MessageChannel.')
  }
  // Threads of a page have no word of the other's end, and timers that are late.
  const lease = typeof endpoint.on === 'function' ? {} : pageLease
  const settings = takeSettings('connect', options, { serve: true, context: true }, lease)
  const { context, serve: methods } = settings
  if (context !== undefined && !isContext(context))
    throw new TypeError(`connect() needs its option 'context' to be a context, but got ${named(context)}.`)
  if (methods !== undefined) checkMethods('connect', methods)
  return open(endpoint, settings, methods, context)
}

/** What speaks to several, or hears from several. */
function manySided(endpoint: unknown): string | undefined {
  const found = attempt(() => {
    if (typeof BroadcastChannel === 'function' && endpoint instanceof BroadcastChannel) return 'a BroadcastChannel'
    // Also one of another origin tells that of itself.
    return (endpoint as { readonly window?: unknown }).window === endpoint ? 'a window' : undefined
  })
  return found
}

/** What throws when it is looked at is none. */
function isEndpoint(endpoint: PostMessageEndpoint): endpoint is PortEndpoint {
  const found = attempt(() => {
    const { postMessage, on, addEventListener } = endpoint as Partial<PortEndpoint>
    return typeof postMessage === 'function' && (typeof on === 'function' || typeof addEventListener === 'function')
  })
  return found ?? false
}

async function open(
  endpoint: PortEndpoint,
  options: LinkSettings,
  methods: object | undefined,
  context: Context | undefined,
): Promise<Connection> {
  const opening = new Opening()
  const channel = new PortChannel(endpoint, platform.id(), maxMessageOf(options))
  const link = makeLink(platform, channel, options, methods, 'acknowledge', { onOpen: opening.greeted, onClose: opening.over })
  channel.listen(link)
  const limit = context === undefined ? greetingTimeout : Infinity
  await opening.wait(link, context ?? background(), platform.clock, limit, notConnected)
  return new LinkConnection(link, opening.closed)
}

function notConnected(): LinkLostError {
  return new LinkLostError(
    `The other side of the port did not connect within ${greetingTimeout} ms: give connect() a 'context' that bounds the wait, where it may take longer.`,
  )
}
