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
  const close = (code: number, reason: string): void => {
    socket.close(code, clip(reason))
    // A peer that reads nothing answers no close either.
    setTimeout(() => socket.terminate(), closeGrace).unref()
  }
  const receiver = connect({
    // ws reports a failure by its events, too: there is nothing to do here.
    send: (bytes) => socket.send(bytes, () => {}),
    queued: () => socket.bufferedAmount,
    close,
  })
  let failure: Error | undefined
  socket.on('message', (data: Buffer, isBinary: boolean) => {
    if (isBinary) receiver.receive(data)
    else {
      close(closeCode.notBinary, 'message: not binary')
      receiver.lost(new LinkLostError('The link was closed on this side: the peer sent a text message.'))
    }
  })
  socket.on('error', (error) => {
    failure ??= error
  })
  socket.on('close', (code, reason) => {
    const said = reason.length > 0 ? ` and the reason ${JSON.stringify(reason.toString())}` : ''
    const message = code === 1006 ? 'The connection broke without a close.' : `The peer closed the connection with code ${code}${said}.`
    receiver.lost(new LinkLostError(message, failure === undefined ? undefined : { cause: failure }))
  })
  socket.resume()
  return receiver
}

/** A reason fits into a close frame: 123 bytes. */
function clip(reason: string): string {
  return Buffer.from(reason).subarray(0, 120).toString().replace(/\ufffd+$/, '')
}

/** Opens a socket; rejects with ws's own error where there is nobody, or somebody else. `signal` gives up. */
export function openSocket(url: string | URL, maxPayload: number, signal: AbortSignal): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload })
    const giveUp = (): void => socket.terminate()
    signal.addEventListener('abort', giveUp, { once: true })
    const settled = (): void => {
      signal.removeEventListener('abort', giveUp)
      socket.off('open', opened).off('error', failed)
      // A terminated socket may report more.
      socket.on('error', () => {})
    }
    const opened = (): void => {
      settled()
      // The server may greet at once, and nobody listens yet: `openChannel` goes on.
      socket.pause()
      resolve(socket)
    }
    const failed = (error: Error): void => {
      settled()
      reject(error)
    }
    socket.on('open', opened).on('error', failed)
    if (signal.aborted) giveUp()
  })
}

/** Calls `accept` for each connection of a server, until the function returned is called. */
export function onConnection(server: WebSocketServer, accept: (socket: WebSocket) => void): () => void {
  server.on('connection', accept)
  return () => void server.off('connection', accept)
}

/** Whether a value is a server of ws, of any copy of it. */
export function isServer(value: unknown): value is WebSocketServer {
  const server = value as Partial<WebSocketServer> | null
  return typeof server === 'object' && server !== null && typeof server.handleUpgrade === 'function' && typeof server.on === 'function'
}
