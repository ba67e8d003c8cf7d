/** The side that is connected to. */
import type { IncomingMessage } from 'node:http'
import { checkSettings, leastMessage } from '../../lib/bridge/link-check.ts'
import { checkMethods } from '../../lib/bridge/served.ts'
import { maxMessageOf } from '../../lib/bridge/link-host.ts'
import { LinkService, type Service, type ServiceSettings } from '../../lib/bridge/link-service.ts'
import { named } from '../../lib/key.ts'
import { platform } from './platform.ts'
import { isServer, judgeUpgrades, longestMessage, onConnection, openChannel, type Refusal, type WebSocketServer } from './ws.ts'

export type { Service } from '../../lib/bridge/link-service.ts'

export interface ServeSettings extends ServiceSettings {
  /**
   * Asked for each request to upgrade, before there is a socket. Gives who it is, by a value that is the same for the same one, such as a user's
   * name: a session that broke goes on only for that one. False, and what is thrown, refuses the request, with 401 and with 500. Compare secrets in
   * constant time, and take no token from the URL, which is logged.
   *
   * Default: everybody, and a session goes on for whoever has its token.
   */
  readonly authorize?: (request: IncomingMessage) => unknown
  /**
   * The origins of pages that may connect, such as `https://example.com`; `'*'` for all. A request without an origin is of no page, and passes. Others are
   * refused with 403. Default: pages of the same host and port as the request.
   */
  readonly allowedOrigins?: readonly string[] | '*'
}

/**
 * Serves the own methods of an object to everybody who connects. A method gets the context of the call, then the caller's arguments; what
 * it returns and throws goes back. It never sees methods that are inherited, begin with `__`, or are called `constructor` or `then`.
 *
 * The server stays the caller's; give it `perMessageDeflate: false` and a `maxPayload`, since ws takes 100 MiB from anybody otherwise. Peers are told
 * the smaller one of `maxPayload` and the limit `maxMessage`.
 *
 * @throws TypeError when `server` is no WebSocketServer, or `methods` no object with methods of its own
 */
export function serve(server: WebSocketServer, methods: object, settings: ServeSettings = {}): Service {
  if (!isServer(server)) throw new TypeError(`serve() needs a WebSocketServer, but got ${named(server)}.`)
  checkMethods('serve', methods)
  checkSettings('serve', settings)
  checkServeSettings(settings)
  const maxMessage = Math.max(leastMessage, Math.min(maxMessageOf(settings), longestMessage(server)))
  const own = { ...settings, limits: { ...settings.limits, maxMessage } }
  /** Who has been let in, until there is a socket. */
  const identities = new WeakMap<IncomingMessage, unknown>()
  const service = new LinkService(platform, methods, own, () => {
    stop()
    giveBack()
  })
  const giveBack = judgeUpgrades(server, (request) => judge(request, settings, identities))
  const stop = onConnection(server, (socket, request) => {
    openChannel(socket, (channel) => service.accept(channel, identities.get(request)))
  })
  return service
}

async function judge(
  request: IncomingMessage,
  { authorize, allowedOrigins }: ServeSettings,
  identities: WeakMap<IncomingMessage, unknown>,
): Promise<Refusal | undefined> {
  if (!isAllowed(request, allowedOrigins)) return { status: 403 }
  if (authorize === undefined) return undefined
  const identity: unknown = await authorize(request)
  if (identity === false || identity === undefined || identity === null) return { status: 401 }
  identities.set(request, identity)
  return undefined
}

/** Whether a page of that origin may connect. What is no browser sends none. */
function isAllowed({ headers: { origin, host } }: IncomingMessage, allowed: ServeSettings['allowedOrigins']): boolean {
  if (origin === undefined || allowed === '*') return true
  if (allowed !== undefined) return allowed.includes(origin)
  try {
    return new URL(origin).host === host
  } catch {
    return false
  }
}

function checkServeSettings({ authorize, allowedOrigins, helloTimeout = 1, maxConnections = 1 }: ServeSettings): void {
  if (authorize !== undefined && typeof authorize !== 'function') {
    throw new TypeError(`serve() needs its option 'authorize' to be a function, but got ${named(authorize)}.`)
  }
  const isList = Array.isArray(allowedOrigins) && allowedOrigins.every((origin: unknown) => typeof origin === 'string')
  if (allowedOrigins !== undefined && allowedOrigins !== '*' && !isList) {
    throw new TypeError(
      `serve() needs its option 'allowedOrigins' to be '*' or an array of origins, but got ${named(allowedOrigins)}.`,
    )
  }
  for (const [name, value] of Object.entries({ helloTimeout, maxConnections })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new TypeError(`serve() needs its option '${name}' to be a whole number of at least 1, but got ${named(value)}.`)
    }
  }
}
