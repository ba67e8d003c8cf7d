/** The side that is connected to. */
import type { IncomingMessage } from 'node:http'
import { leastMessage, takeSettings } from '../../lib/bridge/link-check.ts'
import { checkMethods } from '../../lib/bridge/served.ts'
import { type LinkSettings, maxMessageOf } from '../../lib/bridge/link-host.ts'
import { LinkService, type Service, type ServiceSettings } from '../../lib/bridge/link-service.ts'
import { attempt, named } from '../../lib/given.ts'
import { isKey, type Key } from '../../lib/key.ts'
import { platform } from './platform.ts'
import {
  isServer,
  judgeUpgrades,
  longestMessage,
  onConnection,
  openChannel,
  type Refusal,
  turnAway,
  type WebSocketServer,
} from './ws.ts'

export type { Service } from '../../lib/bridge/link-service.ts'

/** What `authorize` says of a request: who it is; whatever is falsy refuses it, as what comes of `token && users.get(token)` where there is none. */
export type Verdict<Identity> = Identity | false | undefined | null | 0 | 0n | ''

export interface ServeSettings<Identity = unknown> extends ServiceSettings {
  /**
   * Asked for each request to upgrade, before there is a socket. Gives who it is, by a value that is the same for the same one: a user's name, or plain data of the same
   * content; an object of a class must be the very same. A session that broke goes on only for that one, so leave out what changes with each request, such as when a token was made.
   *
   * Whatever is falsy refuses the request, with 401: `false`, `undefined`, `null`, and also an empty text and 0, which are nobody's. What it throws refuses it, too, with 500, and is reported by a warning of the process; and so does
   * what the server's own `verifyClient` throws. A socket whose request this very service has not let in is closed with 1001. What it has not said
   * within `helloTimeout`, or when the service is closed, refuses with 503, and so does a request that comes while `maxConnections` others wait for what it says. A request
   * that is refused, or whose client has gone, waits no more, but `authorize` is not told: one that may hang needs a time limit of its own, as in each `helloTimeout` as many
   * more may be asked. Compare secrets in constant time, and take no token from the URL, which is logged.
   *
   * Default: everybody, and a session goes on for whoever has its token.
   */
  readonly authorize?: (request: IncomingMessage) => Verdict<NoInfer<Identity>> | PromiseLike<Verdict<NoInfer<Identity>>>
  /**
   * The key under which every context that comes in over a connection has what `authorize` gave for it: `ctx.value(userKey)` in a method says who calls. It goes on to
   * others only where the key is portable, and no peer can set it.
   */
  readonly identity?: Key<Identity>
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
 * @throws TypeError when `server` is no WebSocketServer, or is served already, by a service that is not closed; when `methods` is no object with methods of its own, and when
 * a setting is not of the stated form
 */
export function serve<Identity = unknown>(
  server: WebSocketServer,
  methods: object,
  options: ServeSettings<Identity> = {},
): Service {
  if (!isServer(server)) throw new TypeError(`serve() needs a WebSocketServer, but got ${named(server)}.`)
  checkMethods('serve', methods)
  const settings = takeServeSettings(options)
  if (served.get(server)?.giveWay() === false) {
    throw new TypeError(
      'serve() needs a server that is not served yet: put all methods into one object, or close the service that is there.',
    )
  }
  const maxMessage = Math.max(leastMessage, Math.min(maxMessageOf(settings), longestMessage(server)))
  const own = { ...settings, limits: { ...settings.limits, maxMessage } }
  /** Whom this service has let in, until there is a socket; and who they are. */
  const admitted: Admitted = new WeakMap()
  const service = new LinkService(platform, methods, own, () => {
    stop()
    giveBack()
    if (served.get(server) === service) served.delete(server)
  })
  served.set(server, service)
  const giveBack = judgeUpgrades(server, service, (request) => judge(request, settings, admitted))
  const stop = onConnection(server, (socket, request) => {
    const known = admitted.get(request)
    // It was let in by a service that was here before, or by nobody.
    if (known === undefined) turnAway(socket)
    else openChannel(socket, (channel) => service.accept(channel, known.identity))
  })
  return service
}

/** Two services of one server would both greet whoever connects. */
const served = new WeakMap<WebSocketServer, LinkService>()

type Admitted = WeakMap<IncomingMessage, { readonly identity: unknown }>

/** Rejects with what `authorize` throws. */
async function judge<Identity>(
  request: IncomingMessage,
  { authorize, allowedOrigins }: ServeSettings<Identity>,
  admitted: Admitted,
): Promise<Refusal | (() => void)> {
  if (!isAllowed(request, allowedOrigins)) return { status: 403 }
  const identity = await authorize?.(request)
  if (authorize !== undefined && !identity) return { status: 401 }
  return () => admitted.set(request, { identity })
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

const serveNames: Record<Exclude<keyof ServeSettings, keyof LinkSettings>, true> = {
  authorize: true,
  identity: true,
  allowedOrigins: true,
  helloTimeout: true,
  maxConnections: true,
}

function takeServeSettings<Identity>(options: ServeSettings<Identity>): ServeSettings<Identity> {
  const settings = takeSettings('serve', options, serveNames)
  const { authorize, identity, keys = [], allowedOrigins, helloTimeout = 1, maxConnections = 1 } = settings
  if (authorize !== undefined && typeof authorize !== 'function') {
    throw new TypeError(`serve() needs its option 'authorize' to be a function, but got ${named(authorize)}.`)
  }
  if (identity !== undefined) {
    if (!attempt(() => isKey(identity)))
      throw new TypeError(`serve() needs its option 'identity' to be a key, but got ${named(identity)}.`)
    if (authorize === undefined)
      throw new TypeError("serve() needs the option 'authorize' beside 'identity': it gives the value.")
    if ((keys as readonly unknown[]).includes(identity))
      throw new TypeError("serve() cannot take the key of 'identity' from its peers: it may not be among 'keys'.")
  }
  const origins = allowedOrigins === undefined || allowedOrigins === '*' ? allowedOrigins : takeOrigins(allowedOrigins)
  for (const [name, value] of Object.entries({ helloTimeout, maxConnections })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new TypeError(`serve() needs its option '${name}' to be a whole number of at least 1, but got ${named(value)}.`)
    }
  }
  return origins === undefined ? settings : { ...settings, allowedOrigins: origins }
}

function takeOrigins(given: unknown): readonly string[] {
  const origins = attempt(() => {
    if (!Array.isArray(given)) return undefined
    const taken: string[] = []
    for (const origin of given as readonly unknown[]) {
      if (typeof origin !== 'string') return undefined
      taken.push(origin)
    }
    return taken
  })
  if (origins === undefined) {
    throw new TypeError(`serve() needs its option 'allowedOrigins' to be '*' or an array of origins, but got ${named(given)}.`)
  }
  for (const origin of origins) checkOrigin(origin)
  return origins
}

/** What a browser sends is compared to the letter: `https://example.com/` would keep out the very page that it means. */
function checkOrigin(text: string): void {
  const origin = attempt(() => originOf(text))
  if (origin === text || text === 'null') return
  const hint = origin === undefined ? 'a scheme, a host and perhaps a port' : `as browsers send it: ${JSON.stringify(origin)}`
  throw new TypeError(`serve() needs origins in its option 'allowedOrigins' (${hint}), but got ${named(text)}.`)
}

/** That of an extension's or an app's page has a scheme of its own, for which URL gives none. Throws where it is none. */
function originOf(text: string): string | undefined {
  const { protocol, host, origin } = new URL(text)
  if (origin !== 'null') return origin
  return host === '' ? undefined : `${protocol}//${host}`
}
