/** The only file that imports ws: sockets as channels of links, in Node. */
import type { Agent, IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { type ServerOptions, type VerifyClientCallbackSync, WebSocket, type WebSocketServer } from 'ws'
import { type Channel, closeCode } from '../../lib/bridge/link.ts'
import type { Receiver, Sockets } from '../../lib/bridge/link-dial.ts'
import { closedByPeer, notSpoken } from '../../lib/bridge/link-show.ts'
import type { ServiceSettings } from '../../lib/bridge/link-service.ts'
import { after, hostClock } from '../../lib/clock.ts'
import { BridgeError, LinkLostError } from '../../lib/errors.ts'
import { attempt, named } from '../../lib/given.ts'
import { warn } from './platform.ts'

export type { WebSocketServer } from 'ws'

/** How long a server has to answer the request to upgrade. */
const connectTimeout = 30_000

/** How long a peer has to answer a close before its connection is cut. */
const closeGrace = 1_000

/**
 * The channel over a socket, which belongs to it from here on: the socket is closed when the link is. `connect` is given the channel and gives
 * whoever takes what comes.
 */
export function openChannel<R extends Receiver>(socket: WebSocket, connect: (channel: Channel) => R): R {
  let cut: NodeJS.Timeout | undefined
  /** A peer that reads nothing answers no close either. */
  const cutSoon = (): void => {
    cut ??= setTimeout(() => socket.terminate(), closeGrace).unref()
  }
  const close = (code: number, reason: string): void => {
    socket.close(code, clip(reason))
    cutSoon()
  }
  let drained: (() => void) | undefined
  /** A message has left, or failed to: that is reported by events, too. */
  const sent = (): void => {
    const f = drained
    drained = undefined
    f?.()
  }
  const receiver = connect({
    send: (bytes) => socket.send(bytes, sent),
    queued: () => socket.bufferedAmount,
    drained: (f) => {
      drained = f
    },
    close,
    terminate: () => socket.terminate(),
  })
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) receiver.receive(data)
    else {
      close(closeCode.notBinary, 'message: not binary')
      receiver.lost(notSpoken('message: not binary'), true)
    }
  })
  // What the peer sent is no WebSocket, or over a limit: ws says so to the peer and closes, but waits long for an answer.
  socket.on('error', (error) => {
    cutSoon()
    receiver.lost(new LinkLostError(`The link was closed on this side: ${error.message}.`, { cause: error }), true)
  })
  socket.on('close', (code, reason) => {
    clearTimeout(cut)
    receiver.lost(
      new LinkLostError(code === 1006 ? 'The connection broke without a close.' : closedByPeer(code, reason.toString())),
      // A page has no other way to drop a connection than to close it without a code.
      code !== 1006 && code !== 1005,
    )
  })
  socket.resume()
  return receiver
}

/** A reason fits into a close frame: 123 bytes. */
function clip(reason: string): string {
  return Buffer.from(reason)
    .subarray(0, 120)
    .toString()
    .replace(/\ufffd+$/, '')
}

/** Headers by their names. */
export type Headers = Readonly<Record<string, string>>

/** How the request to upgrade is made. */
export interface UpgradeOptions {
  /**
   * Headers of the request, such as `{ authorization: 'Bearer ...' }`: of the first one, and of each by which a connection that broke is replaced. A function is asked
   * each time, for a token that does not last. What it throws rejects `connect`; later it is one attempt that failed. A page cannot send any.
   */
  readonly headers?: Headers | (() => Headers | PromiseLike<Headers>)
  /** Makes the connections: an `https.Agent` has a certificate, or an authority to trust (`new Agent({ ca, cert, key })`); a proxy's agent goes through that. It stays the caller's. */
  readonly agent?: Agent
}

/** These options, checked, and copies. */
export function takeUpgrade({ headers, agent }: UpgradeOptions): UpgradeOptions {
  if (agent !== undefined && typeof attempt(() => (agent as { addRequest?: unknown } | null)?.addRequest) !== 'function') {
    throw new TypeError(`connect() needs its option 'agent' to be an Agent of node:http or node:https, but got ${named(agent)}.`)
  }
  return {
    ...(headers === undefined ? {} : { headers: typeof headers === 'function' ? headers : takeHeaders(headers) }),
    ...(agent === undefined ? {} : { agent }),
  }
}

function takeHeaders(headers: Headers): Headers {
  const fields = attempt(() =>
    typeof headers === 'object' && headers !== null && !(Symbol.iterator in headers)
      ? Object.entries<unknown>(headers)
      : undefined,
  )
  if (fields === undefined) {
    throw new TypeError(
      `connect() needs headers that are an object of texts, or a function that gives one, but got ${named(headers)}.`,
    )
  }
  for (const [name, value] of fields) {
    // The value is likely to be a secret.
    if (typeof value !== 'string' || !/^[\t\x20-\x7e\x80-\xff]*$/.test(value) || !/^[\w!#$%&'*+.^`|~-]+$/.test(name)) {
      throw new TypeError(
        `connect() needs headers of names and texts that HTTP allows, but that of the name ${named(name)} is not.`,
      )
    }
  }
  return Object.fromEntries(fields) as Headers
}

/** What is asked may hang: then `signal` gives up. */
async function ask(give: () => Headers | PromiseLike<Headers>, signal: AbortSignal): Promise<Headers> {
  const given = await new Promise<Headers>((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    Promise.resolve().then(give).then(resolve, reject)
  })
  signal.throwIfAborted()
  return takeHeaders(given)
}

/**
 * Opens a socket; rejects with the system's error where there is nobody, and with a `LinkLostError` where what answers does not open one. `signal` gives up, also when the socket has just opened.
 * It comes paused: who takes it gives it to `openChannel`.
 */
async function openSocket(url: URL, maxPayload: number, signal: AbortSignal, options: UpgradeOptions): Promise<WebSocket> {
  const headers = typeof options.headers === 'function' ? await ask(options.headers, signal) : options.headers
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, {
      perMessageDeflate: false,
      maxPayload,
      handshakeTimeout: connectTimeout,
      ...(headers === undefined ? {} : { headers }),
      ...(options.agent === undefined ? {} : { agent: options.agent }),
    })
    const giveUp = (): void => socket.terminate()
    signal.addEventListener('abort', giveUp, { once: true })
    socket.once('open', () => {
      // The server may greet at once, and nobody listens yet.
      socket.pause()
      resolve(socket)
    })
    socket.once('unexpected-response', (_request, { statusCode = 0 }) => {
      reject(refusal(statusCode))
      socket.terminate()
    })
    // It stays: a socket that was given up may report more than once.
    socket.on('error', (error) => reject(unopened(error)))
  })
}

/**
 * Calls `accept` for each connection of a server, until the function returned is called. From then on connections are turned away, unless
 * somebody else takes them: a socket that nobody listens to would take the process down with its first error.
 */
export function onConnection(server: WebSocketServer, accept: (socket: WebSocket, request: IncomingMessage) => void): () => void {
  server.off('connection', turnAwayAlone).on('connection', accept)
  return () => {
    server.off('connection', accept)
    if (server.listenerCount('connection') === 0) server.on('connection', turnAwayAlone)
  }
}

function turnAwayAlone(this: WebSocketServer, socket: WebSocket): void {
  if (this.listenerCount('connection') === 1) turnAway(socket)
  // Somebody else takes them now.
  else this.off('connection', turnAwayAlone)
}

/** Closes a socket of which nothing is heard, since nobody here goes on with it. */
export function turnAway(socket: WebSocket): void {
  openChannel(socket, (channel) => {
    channel.close(1001, 'going away')
    return { receive: () => {}, lost: () => {} }
  })
}

/** Why nobody who connects gets a socket: the status that the request is answered with, from 400 to 599. */
export interface Refusal {
  readonly status: number
}

/**
 * Lets `judge` say of each request to upgrade, before there is a socket, why it is refused, or what is done when it is let in; beside what the server's own `verifyClient` says.
 * A rejection of `judge`, which is what `authorize` threw, refuses with 500; and with 503 is refused what is not judged within `helloTimeout`, or beside `maxConnections` others:
 * to refuse the newcomer bounds what is asked of `authorize`, and under a flood some are still let in, where to give up the oldest might let in nobody. A client that has gone,
 * or says something before it is answered, makes room. Returns what takes it back, and refuses who has not been judged yet.
 */
export function judgeUpgrades(
  server: WebSocketServer,
  { helloTimeout, maxConnections }: UpgradeBounds,
  judge: (request: IncomingMessage) => Promise<Refusal | (() => void)>,
): () => void {
  const { options } = server
  const { verifyClient: own } = options
  const waiting = new Set<() => void>()
  const verify = (info: Upgrade, answer: Answer): void => {
    const { socket } = info.req
    if (waiting.size >= maxConnections || !socket.readable) return answer(false, 503)
    const decide = (said: Refusal | (() => void)): void => {
      if (!waiting.delete(giveUp)) return
      forget()
      socket.off('close', giveUp).off('readable', giveUp)
      if (typeof said !== 'function') return answer(false, said.status)
      // After what Node does when the last who waited for it to be readable has gone: it resumes a socket, also one that whoever gets it has paused.
      process.nextTick(() => {
        said()
        passOn(own, options, info, answer)
      })
    }
    const giveUp = (): void => decide({ status: 503 })
    waiting.add(giveUp)
    const forget = after(hostClock, helloTimeout, false, giveUp)
    // A socket that the client has closed is readable, and closes when it is answered. Nobody may say anything before that: it would hide the end behind it.
    socket.once('close', giveUp).once('readable', giveUp)
    judge(info.req).then(decide, (error: unknown) => {
      warn(waiting.has(giveUp) ? 'A request was refused with 500, since authorize() threw' : 'authorize() threw', error)
      decide({ status: 500 })
    })
  }
  options.verifyClient = verify
  return () => {
    if (options.verifyClient === verify) options.verifyClient = own
    for (const giveUp of waiting) giveUp()
  }
}

type UpgradeBounds = Required<Pick<ServiceSettings, 'helloTimeout' | 'maxConnections'>>

interface Upgrade {
  readonly origin: string
  readonly secure: boolean
  readonly req: IncomingMessage
}

type Answer = (ok: boolean, status?: number, message?: string, headers?: OutgoingHttpHeaders) => void

/** As ws does it: `own` is called on the options, and answers later where it has two parameters. */
function passOn(own: ServerOptions['verifyClient'], options: ServerOptions, info: Upgrade, answer: Answer): void {
  if (own === undefined || own === null) return answer(true)
  let answered = false
  const ask: Answer = (...said) => {
    answered = true
    answer(...said)
  }
  try {
    if (own.length === 2) {
      own.call(options, info, ask)
      return
    }
    if (!(own as VerifyClientCallbackSync).call(options, info)) return answer(false, 401)
  } catch (error) {
    // Where it has answered, it is a listener of the socket that threw.
    if (answered) throw error
    warn('A request was refused with 500, since verifyClient() threw', error)
    return answer(false, 500)
  }
  answer(true)
}

/** The longest message that a server lets pass, in bytes; `Infinity` without a limit. */
export function longestMessage({ options: { maxPayload = 0 } }: WebSocketServer): number {
  return maxPayload > 0 ? maxPayload : Infinity
}

/** Whether a value is a server of ws, of any copy of it. */
export function isServer(value: unknown): value is WebSocketServer {
  const found = attempt(() => {
    const { options, handleUpgrade, on } = value as Partial<WebSocketServer>
    return typeof options === 'object' && typeof handleUpgrade === 'function' && typeof on === 'function'
  })
  return found ?? false
}

/** The error of the system, whose code says it all; what ws says itself has none. */
function unopened(error: Error & { readonly code?: unknown }): Error {
  if (error.code !== undefined) return error
  return new LinkLostError(`The WebSocket could not be opened: ${error.message}.`, { cause: error })
}

function refusal(status: number): BridgeError {
  const message = `The server answered with the status ${status}, and opened no WebSocket.`
  return Object.assign(new BridgeError('ERR_REFUSED', message), { status })
}

/** Nobody listens there, or whoever does turns us away. */
function refused(error: unknown): boolean {
  const { code, status = 0 } = error as { code?: unknown; status?: number }
  return code === 'ECONNREFUSED' || (code === 'ERR_REFUSED' && status >= 400 && status < 410)
}

export function nodeSockets(options: UpgradeOptions): Sockets<WebSocket> {
  return {
    open: (url, maxMessage, signal) => openSocket(url, maxMessage, signal, options),
    channel: openChannel,
    refused,
  }
}
