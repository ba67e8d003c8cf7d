/**
 * Calls with a context over a WebSocket. The context of a call lives on the far side as long as the call: it ends when the
 * caller's ends, with the same kind and cause, and when the link is lost.
 */
import { type ConnectOptions, connectBy } from './connect.ts'
import type { Connection } from '../../lib/bridge/link-connection.ts'
import { nodeSockets } from './ws.ts'

export type { LinkHandle, LinkLease, LinkLimits, LinkStats } from '../../lib/bridge/link.ts'
export type { ConnectOptions } from './connect.ts'
export { type Answer, type CloseOptions, type Connection, type Remote, wrap } from '../../lib/bridge/link-connection.ts'
export type { LinkSettings } from '../../lib/bridge/link-host.ts'
export { serve, type Service, type ServeSettings } from './serve.ts'

/**
 * Connects to a server and waits until it has greeted.
 *
 * Rejects with the socket's error where there is nobody or no such server, with a `LinkLostError` where the peer does not speak the
 * protocol, and with `err()` of the context in the options.
 *
 * @throws TypeError at once when the options are not of the stated form
 */
export function connect(url: string | URL, options: ConnectOptions = {}): Promise<Connection> {
  return connectBy(nodeSockets, url, options)
}
