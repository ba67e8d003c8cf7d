/** The WebSocket of a page, or of a worker of one, as a channel. */
import { type Channel, closeCode } from '../../lib/bridge/link.ts'
import type { Life, Receiver, Sockets } from '../../lib/bridge/link-dial.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { closedByPeer, notSpoken } from '../../lib/bridge/link-show.ts'

/** How long a peer has to answer a close before its connection counts as gone. */
const closeGrace = 1_000

/** How often a socket is asked whether it has sent what waits, in milliseconds; it is asked as well when something comes. */
const drainCheck = 5

function openSocket(url: URL, _maxMessage: number, signal: AbortSignal): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url)
    socket.binaryType = 'arraybuffer'
    const giveUp = (): void => {
      socket.close()
      reject(new LinkLostError('The connecting was given up.'))
    }
    signal.addEventListener('abort', giveUp, { once: true })
    socket.addEventListener('open', () => {
      signal.removeEventListener('abort', giveUp)
      resolve(socket)
    })
    // A page is not told why.
    socket.addEventListener('error', () => reject(new LinkLostError('The WebSocket could not be opened.')))
  })
}

function openChannel<R extends Receiver>(socket: WebSocket, connect: (channel: Channel) => R): R {
  let over = false
  const lost = (reason: LinkLostError, final: boolean): void => {
    over = true
    receiver.lost(reason, final)
  }
  const close = (code: number, reason: string): void => {
    // What a page may say: 1000, and from 3000 on.
    const allowed =
      code >= 3_000 ? code : code === closeCode.normal || code === closeCode.goingAway ? closeCode.normal : closeCode.badFrame
    socket.close(allowed, clip(reason))
    setTimeout(() => {
      if (!over) lost(new LinkLostError('The connection was closed on this side.'), true)
    }, closeGrace)
  }
  const receiver = connect({
    send: (bytes) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(bytes as Uint8Array<ArrayBuffer>)
    },
    queued: () => socket.bufferedAmount,
    // No event tells of it.
    drained: (f) => void setTimeout(f, drainCheck),
    close,
    // There is no other way. Without a code it counts as a break.
    terminate: () => socket.close(),
  })
  socket.addEventListener('message', ({ data }) => {
    if (over) return
    // Binary data are buffers, by the type that was set; perhaps of another realm.
    if (typeof data !== 'string') return receiver.receive(new Uint8Array(data as ArrayBuffer))
    close(closeCode.notBinary, 'message: not binary')
    lost(notSpoken('message: not binary'), true)
  })
  socket.addEventListener('close', ({ code, reason }) => {
    if (over) return
    const broke = code === 1006 || code === 1005
    lost(new LinkLostError(broke ? 'The connection broke without a close.' : closedByPeer(code, reason)), !broke)
  })
  return receiver
}

/** A reason fits into a close frame: 123 bytes. */
function clip(reason: string): string {
  const bytes = new TextEncoder().encode(reason).subarray(0, 120)
  return new TextDecoder().decode(bytes).replace(/\ufffd+$/, '')
}

/**
 * A page may be frozen, or kept for going back to: its connection stays open meanwhile, and when the page wakes the browser closes it with 1001, which
 * would end the session. So it is left before. A worker of a page is told only that it is online again.
 */
function watch({ awake, asleep }: Life): () => void {
  const { document } = globalThis as Partial<typeof globalThis>
  const listeners: [Pick<EventTarget, 'addEventListener' | 'removeEventListener'>, string, (event: Event) => void][] = []
  if ('addEventListener' in globalThis) {
    listeners.push(
      [globalThis, 'online', awake],
      [globalThis, 'pageshow', (event) => isKept(event) && awake()],
      [globalThis, 'pagehide', (event) => isKept(event) && asleep()],
    )
  }
  if (document !== undefined) {
    const seen = (): unknown => document.visibilityState === 'visible' && awake()
    listeners.push([document, 'freeze', asleep], [document, 'resume', awake], [document, 'visibilitychange', seen])
  }
  for (const [target, type, listener] of listeners) target.addEventListener(type, listener)
  return () => {
    for (const [target, type, listener] of listeners) target.removeEventListener(type, listener)
  }
}

function isKept(event: Event): boolean {
  return (event as PageTransitionEvent).persisted
}

/** A page cannot tell who refuses from who cannot be reached: the lease decides. */
export const pageSockets: Sockets<WebSocket> = {
  open: openSocket,
  channel: openChannel,
  watch,
  refused: () => false,
}
