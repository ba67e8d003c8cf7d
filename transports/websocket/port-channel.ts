/**
 * The way through a port to one end at its other side. Whatever else the port carries passes by, and so does what was meant for an end that was here before.
 *
 * Each end has an id. It greets whoever is there; whoever hears that greets back, by the id; and an end that is greeted by its id has found the other one, which is
 * there and knows it. So neither side need be first, and the greeting of an end that has gone leads nowhere.
 */
import { inCommon } from '../../lib/bridge/copies.ts'
import { type Channel, closeCode } from '../../lib/bridge/link.ts'
import { closedByPeer } from '../../lib/bridge/link-show.ts'
import { type Emitter, goneBefore, goneSoon, listenTo } from '../../lib/bridge/port.ts'
import { isOwnBytes } from '../../lib/bridge/realm.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { attempt } from '../../lib/given.ts'

export interface PortEndpoint extends Emitter {
  postMessage(message: unknown, transfer: never): void
}

/** What goes over the port: no other message has the first field. */
interface Envelope {
  readonly ctxbridge: 'link'
  /** The end that says it. */
  readonly from: unknown
  /** The end that it is for; undefined in the first greeting, which is for whoever is there. */
  readonly to?: unknown
  /** The greeting, the same each time. */
  readonly hello?: unknown
  readonly bytes?: unknown
  /** A code and a reason. */
  readonly close?: unknown
}

interface PortReceiver {
  receive(bytes: Uint8Array): void
  lost(reason: LinkLostError): void
}

/** It goes back with each message to that end. */
const longestId = 64

/** Those that somebody listens to, of whichever copy of the package: an end is alone on its side. */
const taken = inCommon('connected', () => new WeakSet<object>())

export class PortChannel implements Channel {
  readonly #endpoint: PortEndpoint
  readonly #id: string
  readonly #longest: number
  #receiver: PortReceiver | undefined
  #stop: (() => void) | undefined
  #greeting: Uint8Array | undefined
  /** The end that was greeted by its id. */
  #greeted: unknown
  /** The end that has greeted this one by its id: nobody else is heard. */
  #peer: unknown

  /** @param longest bytes of the longest message to take */
  constructor(endpoint: PortEndpoint, id: string, longest: number) {
    this.#endpoint = endpoint
    this.#id = id
    this.#longest = longest
  }

  /** Whether a channel listens to it. */
  static isTaken(endpoint: object): boolean {
    return taken().has(endpoint)
  }

  /** Gives what comes to a receiver, until the channel is closed or the port is: then the receiver is told that it is lost. */
  listen(receiver: PortReceiver): void {
    this.#receiver = receiver
    try {
      this.#stop = listenTo(this.#endpoint, {
        message: (data) => {
          if (isEnvelope(data)) this.#take(data)
        },
        closed: () => this.#leave('The port was closed, or its thread has ended.'),
        // It may have been one of the other end, which would wait for what it was to do.
        garbled: (error) => this.close(closeCode.notBinary, 'message: could not be read', error),
      })
    } catch (error) {
      // As in what it posts: it is something around a port.
      return this.#tell('The endpoint lets nobody listen to it.', error)
    }
    taken().add(this.#endpoint)
    const leave = (how: 'exited' | 'closed'): void =>
      this.#leave(how === 'exited' ? 'The worker has exited.' : 'The port was closed, or given away.')
    const gone = goneBefore(this.#endpoint)
    if (gone === undefined) goneSoon(this.#endpoint, leave)
    else leave(gone)
  }

  /** The first message is the greeting. */
  send(bytes: Uint8Array): void {
    const message = alone(bytes)
    if (this.#greeting === undefined) {
      this.#greeting = message
      this.#post({ hello: message }, undefined)
    } else this.#post({ bytes: message }, this.#peer, [message.buffer])
  }

  /** Nothing tells what a port has not delivered: what the peer acknowledges does. */
  queued(): number {
    return 0
  }

  drained(): void {
    // It is never full.
  }

  close(code: number, reason: string, cause?: unknown): void {
    if (this.#stop !== undefined) this.#post({ close: [code, reason] }, this.#peer)
    this.#leave(`This side has closed the connection (${code}, ${reason}).`, cause)
  }

  terminate(): void {
    this.#leave('This side has dropped the connection.')
  }

  #post(message: Partial<Envelope>, to: unknown, transfer: readonly unknown[] = []): void {
    try {
      this.#endpoint.postMessage({ ctxbridge: 'link', from: this.#id, to, ...message }, transfer as never)
    } catch (error) {
      // Bytes can always be sent: it is no port, but something around one, such as a proxy.
      this.#leave('The endpoint does not post what it is given.', error)
    }
  }

  #leave(reason: string, cause?: unknown): void {
    const stop = this.#stop
    if (stop === undefined) return
    this.#stop = undefined
    taken().delete(this.#endpoint)
    // It is over, whatever something around a port does with that.
    attempt(stop)
    this.#tell(reason, cause)
  }

  /** When whoever closed it is through with that. */
  #tell(reason: string, cause?: unknown): void {
    queueMicrotask(() => this.#receiver?.lost(new LinkLostError(reason, cause === undefined ? undefined : { cause })))
  }

  #take({ from, to, hello, bytes, close }: Envelope): void {
    if (typeof from !== 'string' || from.length > longestId || from === this.#id || (to !== undefined && to !== this.#id)) return
    if (hello !== undefined) return this.#takeGreeting(from, to, hello)
    if (from !== this.#peer) return
    if (close === undefined) return this.#receive(bytes)
    const [code, reason] = Array.isArray(close) ? (close as unknown[]) : []
    this.#leave(closedByPeer(typeof code === 'number' ? code : 0, typeof reason === 'string' ? reason : ''))
  }

  #takeGreeting(from: string, to: unknown, hello: unknown): void {
    if (this.#peer !== undefined) {
      // Messages keep their order: whoever comes later has taken the other one's place.
      if (from !== this.#peer) this.#leave('The other side of the port has connected anew.')
      return
    }
    if (this.#greeting !== undefined && this.#greeted !== from) {
      this.#greeted = from
      this.#post({ hello: this.#greeting }, from)
    }
    if (to === undefined) return
    this.#peer = from
    this.#receive(hello)
  }

  #receive(bytes: unknown): void {
    // What is shared could be changed while it is read.
    if (!isOwnBytes(bytes)) {
      this.close(closeCode.notBinary, 'message: not bytes')
    } else if (bytes.length > this.#longest) this.close(closeCode.tooBig, 'message: longer than the limit')
    else this.#receiver?.receive(bytes)
  }
}

function isEnvelope(data: unknown): data is Envelope {
  return typeof data === 'object' && data !== null && (data as Partial<Envelope>).ctxbridge === 'link'
}

/** The bytes in a buffer that has nothing else: an encoder's has other memory of this process behind them, which is nobody's business. */
function alone(bytes: Uint8Array): Uint8Array {
  return bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
}
