/** As `index.ts`, for browsers: without what serves, and over the page's own WebSocket. Imports no Node code. */
import { connectBy, type DialOptions, takeDial } from './connect.ts'
import type { Connection } from '../../lib/bridge/link-connection.ts'
import { pageLease } from '../../lib/bridge/link-liveness.ts'
import { pageSockets } from './page.ts'

export type { LinkHandle, LinkLease, LinkLimits, LinkStats } from '../../lib/bridge/link.ts'
export { type Answer, type CloseOptions, type Connection, type Remote, wrap } from '../../lib/bridge/link-connection.ts'
export type { LinkSettings } from '../../lib/bridge/link-host.ts'

export interface ConnectOptions extends DialOptions {}

/**
 * Connects to a server and waits until it has greeted.
 *
 * Rejects with a `LinkLostError` where there is nobody or no such server, or it refuses, which a page is not told apart, and where the peer does not speak the
 * protocol; and with `err()` of the context in the options.
 *
 * @throws TypeError at once when the URL or the options are not of the stated form
 *
 * A hidden page's timers are slow, so its leases are longer: 125 and 150 s. The server's pings, which are messages, are answered at once. When the page can be seen again, wakes
 * from being frozen or kept for the history, or is online again, what is overdue ends, and the connection is tried, or made anew, at once. A page that is frozen or kept has 5 s for that, by the server's default, then its
 * work has ended; one that is closed or left has none. A worker is not told when its
 * page is frozen or kept: its work goes on over there, as far as the lease goes, and it may lose its connection when a page that was kept is gone back to. The page's own is better.
 */
export function connect(url: string | URL, options: ConnectOptions = {}): Promise<Connection> {
  const { headers, ...taken } = takeDial<ConnectOptions & { readonly headers?: unknown }>(options, { headers: true }, pageLease)
  if (headers !== undefined)
    throw new TypeError(
      'connect() can send no headers from a page: let the server look at a cookie, or give the name of who it is in a first call.',
    )
  return connectBy(pageSockets, url, taken)
}
