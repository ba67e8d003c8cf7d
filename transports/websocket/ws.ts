/** The only file that imports ws: sockets as channels of links, in Node. */
import { WebSocket, type WebSocketServer } from 'ws'
import { type Channel, closeCode } from '../../lib/bridge/link.ts'
import { LinkLostError } from '../../lib/errors.ts'

export type { WebSocketServer } from 'ws'

/** What a socket tells the link that it carries. */
export interface Receiver {
  receive(bytes: Uint8Array): void
  lost(reason: LinkLostError): void
}

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
  const receiver = connect({
    // ws reports a failure by its events, too: there is nothing to do here.
    send: (bytes) => socket.send(bytes, () => {}),
    queued: () => socket.bufferedAmount,
    close,
  })
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) receiver.receive(data)
    else {
      close(closeCode.notBinary, 'message: not binary')
      receiver.lost(new LinkLostError('The link was closed on this side: message: not binary.'))
    }
  })
  // What the peer sent is no WebSocket, or over a limit: ws says so to the peer and closes, but waits long for an answer.
  socket.on('error', (error) => {
    cutSoon()
    receiver.lost(new LinkLostError(`The link was closed on this side: ${error.message}.`, { cause: error }))
  })
  socket.on('close', (code, reason) => {
    clearTimeout(cut)
    const said = reason.length > 0 ? ` and the reason ${JSON.stringify(reason.toString())}` : ''
    receiver.lost(
      new LinkLostError(
        code === 1006 ? 'The connection broke without a close.' : `The peer closed the connection with code ${code}${said}.`,
      ),
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

/**
 * Opens a socket; rejects with ws's own error where there is nobody, or somebody else. `signal` gives up, also when the socket has just opened.
 * It comes paused: who takes it gives it to `openChannel`.
 */
export function openSocket(url: string | URL, maxPayload: number, signal: AbortSignal): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload })
    const giveUp = (): void => socket.terminate()
    signal.addEventListener('abort', giveUp, { once: true })
    socket.once('open', () => {
      // The server may greet at once, and nobody listens yet.
      socket.pause()
      resolve(socket)
    })
    // It stays: a socket that was given up may report more than once.
    socket.on('error', reject)
  })
}

/**
 * Calls `accept` for each connection of a server, until the function returned is called. From then on connections are turned away, unless
 * somebody else takes them: a socket that nobody listens to would take the process down with its first error.
 */
export function onConnection(server: WebSocketServer, accept: (socket: WebSocket) => void): () => void {
  server.off('connection', turnAway).on('connection', accept)
  return () => {
    server.off('connection', accept)
    if (server.listenerCount('connection') === 0) server.on('connection', turnAway)
  }
}

function turnAway(socket: WebSocket): void {
  openChannel(socket, (channel) => {
    channel.close(1001, 'going away')
    return { receive: () => {}, lost: () => {} }
  })
}

/** The longest message that a server lets pass, in bytes; `Infinity` without a limit. */
export function longestMessage({ options: { maxPayload = 0 } }: WebSocketServer): number {
  return maxPayload > 0 ? maxPayload : Infinity
}

/** Whether a value is a server of ws, of any copy of it. */
export function isServer(value: unknown): value is WebSocketServer {
  const server = value as Partial<WebSocketServer> | null
  if (typeof server !== 'object' || server === null || typeof server.options !== 'object') return false
  return typeof server.handleUpgrade === 'function' && typeof server.on === 'function'
}
