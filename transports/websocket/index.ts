/**
 * Calls with a context over a WebSocket. The context of a call lives on the far side as long as the call: it ends when the
 * caller's ends, with the same kind and cause, and when the link is lost.
 */
import { connectBy, type DialOptions, takeDial } from './connect.ts'
import type { Connection } from '../../lib/bridge/link-connection.ts'
import { nodeSockets, takeUpgrade, type UpgradeOptions } from './ws.ts'

export type { LinkHandle, LinkLease, LinkLimits, LinkStats } from '../../lib/bridge/link.ts'
export { type Answer, type CloseOptions, type Connection, type Remote, wrap } from '../../lib/bridge/link-connection.ts'
export type { LinkSettings } from '../../lib/bridge/link-host.ts'
export { serve, type Service, type ServeSettings } from './serve.ts'
export type { Headers } from './ws.ts'

export interface ConnectOptions extends DialOptions, UpgradeOptions {}

/**
 * Connects to a server and waits until it has greeted. The connection keeps the process alive until it is closed, as any socket does.
 *
 * Rejects with a `BridgeError` of the code `ERR_REFUSED` where a server answers with another status than that of a WebSocket, which is the error's `status`: 401 where it
 * wants to know who you are; with the error of the system where there is nobody (`ECONNREFUSED`, `ENOTFOUND`, a certificate that is not trusted); with a `LinkLostError` where
 * nobody answers within 30 seconds, or the peer does not speak the protocol; with what `headers` threw; and with `err()` of the context in the options.
 *
 * @throws TypeError at once when the URL or the options are not of the stated form
 */
export function connect(url: string | URL, options: ConnectOptions = {}): Promise<Connection> {
  const taken = takeDial(options, { headers: true, agent: true })
  return connectBy(nodeSockets(takeUpgrade(taken)), url, taken)
}
