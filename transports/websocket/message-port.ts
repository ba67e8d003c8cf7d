/**
 * The protocol of `ctxbridge/websocket` over anything that speaks `postMessage`: ports of Node and of the web, workers, a frame of a page behind a port. What comes
 * is checked byte by byte as from a socket, so the other side need not be trusted.
 */
import { background, type Context } from '../../lib/context.ts'
import type { LinkLostError } from '../../lib/errors.ts'
import { isContext } from '../../lib/foreign.ts'
import { named } from '../../lib/key.ts'
import { race } from '../../lib/wait.ts'
import { platform } from './platform.ts'
import { PortChannel, type PortEndpoint } from './port-channel.ts'
import { checkSettings } from '../../lib/bridge/link-check.ts'
import { checkMethods } from '../../lib/bridge/served.ts'
import { type Connection, LinkConnection } from '../../lib/bridge/link-connection.ts'
import { type LinkSettings, makeLink, maxMessageOf } from '../../lib/bridge/link-host.ts'
import { pageLease } from '../../lib/bridge/link-liveness.ts'

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
  /** Bounds the wait for the other side, which may call `connect` whenever it likes; its later end does nothing. Default: no bound. */
  readonly context?: Context
}

/**
 * Links this side to the one at the other end of `endpoint`, which calls `connect`, too, sooner or later; resolves when each knows that the other one is there. Each may
 * serve and call. The connection listens to the endpoint until it is closed, and closes no port; one that Node closes, or whose thread has exited there, ends it.
 * In a browser nothing tells of that: there the lease does. When it is over, `connect` may be called again, by both sides.
 *
 * Rejects with a `LinkLostError` when the other side does not speak the protocol or is gone, and with `err()` of the context in the options.
 *
 * @throws TypeError at once when `endpoint` speaks no `postMessage`, or has a connection already that is not closed; and when the options are not of the stated form
 */
export function connect(endpoint: PostMessageEndpoint, options: PortOptions = {}): Promise<Connection> {
  const emitter = endpoint as Partial<PortEndpoint> | null | undefined
  const listens = typeof emitter?.on === 'function' || typeof emitter?.addEventListener === 'function'
  if (typeof emitter?.postMessage !== 'function' || !listens) {
    throw new TypeError(`connect() needs a MessagePort, a Worker or what is like them, but got ${named(endpoint)}.`)
  }
  if (PortChannel.isTaken(endpoint)) {
    throw new TypeError('connect() needs an endpoint without a connection: close the one that is there, or use a MessageChannel.')
  }
  // Threads of a page have no word of the other's end, and timers that are late.
  const lease = typeof emitter.on === 'function' ? {} : pageLease
  checkSettings('connect', options, { serve: true, context: true }, lease)
  const { context = background(), serve: methods } = options
  if (!isContext(context)) throw new TypeError(`connect() needs its option 'context' to be a context, but got ${named(context)}.`)
  if (methods !== undefined) checkMethods('connect', methods)
  const settings = { ...options, lease: { ...lease, ...options.lease } }
  return open(endpoint as PortEndpoint, settings, methods, context)
}

async function open(
  endpoint: PortEndpoint,
  options: LinkSettings,
  methods: object | undefined,
  context: Context,
): Promise<Connection> {
  let greeted!: () => void
  let over!: (reason: LinkLostError) => void
  const opened = new Promise<void>((resolve) => (greeted = resolve))
  const closed = new Promise<LinkLostError>((resolve) => (over = resolve))
  const channel = new PortChannel(endpoint, platform.id(), maxMessageOf(options))
  const link = makeLink(platform, channel, options, methods, 'acknowledge', { onOpen: greeted, onClose: over })
  channel.listen(link)
  try {
    await race(context, Promise.race([opened, closed.then((reason) => Promise.reject(reason))]))
  } catch (error) {
    link.close()
    throw error
  }
  return new LinkConnection(link, closed)
}
