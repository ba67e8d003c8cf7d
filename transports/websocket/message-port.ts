/**
 * The protocol of `ctxbridge/websocket` over anything that speaks `postMessage`: ports of Node and of the web, workers, a frame of a page behind a port. What comes
 * is checked byte by byte as from a socket, so the other side need not be trusted.
 */
import { type Channel, closeCode, type Link } from '../../lib/bridge/link.ts'
import { background, type Context } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { isContext } from '../../lib/foreign.ts'
import { named } from '../../lib/key.ts'
import { race } from '../../lib/wait.ts'
import { platform } from './platform.ts'
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
  /** Bounds the wait for the other side's greeting; its later end does nothing. Default: no bound. */
  readonly context?: Context
}

/** What goes over the port: no other message has this field. */
interface Envelope {
  readonly ctxbridge: 'link'
  readonly bytes?: unknown
  readonly close?: unknown
}

/**
 * Links this side to the one at the other end of `endpoint`, which calls `connect`, too; resolves when that has greeted. Each may serve and call. The
 * connection listens to the endpoint until it is closed, and closes no port; one that Node closes, or whose thread has exited there, ends it.
 * In a browser nothing tells of that: there the lease does.
 *
 * Rejects with a `LinkLostError` when the other side speaks no such protocol or is gone, and with `err()` of the context in the options.
 *
 * @throws TypeError at once when `endpoint` speaks no `postMessage`, or the options are not of the stated form
 */
export function connect(endpoint: PostMessageEndpoint, options: PortOptions = {}): Promise<Connection> {
  const emitter = endpoint as (Partial<Emitter> & PostMessageEndpoint) | null | undefined
  const listens = typeof emitter?.on === 'function' || typeof emitter?.addEventListener === 'function'
  if (typeof emitter?.postMessage !== 'function' || !listens) {
    throw new TypeError(`connect() needs a MessagePort, a Worker or what is like them, but got ${named(endpoint)}.`)
  }
  // Threads of a page have no word of the other's end, and timers that are late.
  const lease = typeof emitter.on === 'function' ? {} : pageLease
  checkSettings('connect', options, { serve: true, context: true }, lease)
  const { context = background(), serve: methods } = options
  if (!isContext(context)) throw new TypeError(`connect() needs its option 'context' to be a context, but got ${named(context)}.`)
  if (methods !== undefined) checkMethods('connect', methods)
  const settings = { ...options, lease: { ...lease, ...options.lease } }
  return open(emitter as Emitter & PostMessageEndpoint, settings, methods, context)
}

async function open(
  endpoint: Emitter & PostMessageEndpoint,
  options: LinkSettings,
  methods: object | undefined,
  context: Context,
): Promise<Connection> {
  let greeted!: () => void
  let over!: (reason: LinkLostError) => void
  const opened = new Promise<void>((resolve) => (greeted = resolve))
  const closed = new Promise<LinkLostError>((resolve) => (over = resolve))
  const post = (message: Partial<Envelope>, transfer: readonly unknown[]): void =>
    endpoint.postMessage({ ctxbridge: 'link', ...message }, transfer as never)
  const leave = (reason: string): void => {
    stop()
    // When whoever closed it is through with that.
    queueMicrotask(() => link.lost(new LinkLostError(reason)))
  }
  const channel: Channel = {
    send: (bytes) => {
      const message = alone(bytes)
      post({ bytes: message }, [message.buffer])
    },
    // Nothing tells what a port has not delivered.
    queued: () => 0,
    drained: () => undefined,
    close: (code, reason) => {
      post({ close: [code, reason] }, [])
      leave(`This side has closed the connection (${code}, ${reason}).`)
    },
    terminate: () => leave('This side has dropped the connection.'),
  }
  const link: Link = makeLink(platform, channel, options, methods, undefined, { onOpen: greeted, onClose: over })
  const longest = maxMessageOf(options)
  const stop = listenTo(
    endpoint,
    (data) => {
      if (!isEnvelope(data)) return
      const { bytes, close } = data
      if (close !== undefined) {
        const [code, reason] = Array.isArray(close) ? (close as unknown[]) : []
        leave(`The other side has closed the connection (${String(code).slice(0, 10)}, ${String(reason).slice(0, 100)}).`)
      } else if (!(bytes instanceof Uint8Array)) {
        channel.close(closeCode.notBinary, 'message: not bytes')
      } else if (bytes.length > longest) {
        channel.close(closeCode.tooBig, 'message: longer than the limit')
      } else {
        link.receive(bytes)
      }
    },
    () => leave('The port was closed, or its thread has ended.'),
  )
  try {
    await race(context, Promise.race([opened, closed.then((reason) => Promise.reject(reason))]))
  } catch (error) {
    link.close()
    throw error
  }
  return new LinkConnection(link, closed)
}

function isEnvelope(data: unknown): data is Envelope {
  return typeof data === 'object' && data !== null && (data as Partial<Envelope>).ctxbridge === 'link'
}

/** As much of Node's emitters and of the web's targets as is used here. */
interface Emitter {
  on?(event: string, listener: (value: unknown) => void): unknown
  off(event: string, listener: (value: unknown) => void): unknown
  addEventListener(event: string, listener: (event: { data?: unknown }) => void): void
  removeEventListener(event: string, listener: (event: { data?: unknown }) => void): void
  start?(): void
}

function listenTo(endpoint: Emitter, message: (data: unknown) => void, gone: () => void): () => void {
  if (typeof endpoint.on === 'function') {
    const ends = ['close', 'exit', 'messageerror']
    endpoint.on('message', message)
    for (const end of ends) endpoint.on(end, gone)
    return () => {
      endpoint.off('message', message)
      for (const end of ends) endpoint.off(end, gone)
    }
  }
  const listener = (event: { data?: unknown }): void => message(event.data)
  const ends = ['close', 'messageerror']
  endpoint.addEventListener('message', listener)
  for (const end of ends) endpoint.addEventListener(end, gone)
  endpoint.start?.()
  return () => {
    endpoint.removeEventListener('message', listener)
    for (const end of ends) endpoint.removeEventListener(end, gone)
  }
}

/** The bytes in a buffer that has nothing else: an encoder's has other memory of this process behind them, which is nobody's business. */
function alone(bytes: Uint8Array): Uint8Array {
  return bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
}
