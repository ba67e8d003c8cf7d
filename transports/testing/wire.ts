/** A connection in memory that behaves as a WebSocket does: whole messages in order, a close that is answered, and all that can go wrong with it. */
import type { Channel } from '../../lib/bridge/link-types.ts'
import type { Receiver } from '../../lib/bridge/link-dial.ts'
import type { Clock } from '../../lib/clock.ts'
import { LinkLostError, withoutStack } from '../../lib/errors.ts'
import type { Timeline } from './timeline.ts'

/** How long a peer has to answer a close before its connection is cut. */
const closeGrace = 1_000
/** A connection that broke, or was closed without a code. */
const broke = 1006

export interface WireOptions<M> {
  readonly timeline: Timeline
  /** How many milliseconds a message takes, asked for each. */
  readonly latency: () => number
  readonly size: (message: M) => number
  /** How many bytes the network takes from a sender before they count as queued. Default: 65,536. */
  readonly buffer?: number
  /** For how many milliseconds a side that has dropped the connection is still told what arrives, asked for each. Default: 0. */
  readonly trail?: (() => number) | undefined
  /** The clocks of both sides: the one that connects, the one that accepts. */
  readonly clocks: readonly [Clock, Clock]
}

interface Packet<M> {
  readonly message: M | undefined
  readonly code: number
  readonly reason: string
  readonly size: number
  /** The instant of the timeline at which it arrives, or later. */
  at: number
}

/** One side of a connection. */
export class WireEnd<M> {
  readonly wire: Wire<M>
  readonly channel: Channel<M>
  /** What runs when something arrives: a simulation makes a process of it. */
  run: (f: () => void) => void = (f) => f()
  #state: 'open' | 'closing' | 'gone' = 'open'
  #receiver: Receiver<M> | undefined
  /** What came before somebody took it. */
  #early: (() => void)[] | undefined = []
  #cut: unknown
  readonly #clock: Clock
  #peer!: WireEnd<M>
  // The way from here to the peer.
  readonly #waiting: Packet<M>[] = []
  #moving = false
  #stalled = false
  #lossy = false
  #unread = 0
  #drained: (() => void) | undefined
  /** Whether it was dropped on this side, and that is still to be told. */
  #trailing = false
  #rate = Infinity
  #arrives = 0

  constructor(wire: Wire<M>, clock: Clock) {
    this.wire = wire
    this.#clock = clock
    this.channel = {
      send: (message) => this.#send(message, 0, '', wire.options.size(message)),
      queued: () => Math.max(0, this.#unread - (wire.options.buffer ?? 65_536)),
      drained: (f) => {
        this.#drained = f
      },
      close: (code, reason) => this.#close(code, reason),
      terminate: () => this.terminate(),
    }
  }

  join(peer: WireEnd<M>): void {
    this.#peer = peer
  }

  /** Takes what comes, from here on. */
  attach<R extends Receiver<M>>(connect: (channel: Channel<M>) => R): R {
    const receiver = connect(this.channel)
    this.#receiver = receiver
    const early = this.#early
    this.#early = undefined
    if (early !== undefined && early.length > 0) {
      const { timeline } = this.wire.options
      timeline.set(timeline.now, () => {
        for (const f of early) this.run(f)
      })
    }
    return receiver
  }

  get open(): boolean {
    return this.#state !== 'gone'
  }

  /** How many bytes, by an estimate, and messages are on their way from here. */
  get unread(): number {
    return this.#unread
  }

  /** Nothing arrives at the peer any more until `resume`; nothing is lost. */
  stall(): void {
    this.#stalled = true
  }

  get stalled(): boolean {
    return this.#stalled
  }

  resume(): void {
    if (!this.#stalled) return
    this.#stalled = false
    this.#move()
  }

  /** All that is sent from here, or on its way, is lost from now on, and nobody is told. */
  lose(): void {
    this.#lossy = true
    this.#waiting.length = 0
  }

  /** From now on no more than so many bytes per millisecond move from here. */
  slow(rate: number): void {
    if (rate > this.#rate) {
      // What moves slowly now moves faster from now on.
      const { now } = this.wire.options.timeline
      for (const packet of this.#waiting) packet.at = Math.min(packet.at, now)
      this.#arrives = Math.min(this.#arrives, now)
    }
    this.#rate = rate
  }

  #send(message: M | undefined, code: number, reason: string, size: number): void {
    if (this.#state !== 'open') return
    this.#unread += size
    if (this.#lossy) return
    const { timeline, latency } = this.wire.options
    // None overtakes another one.
    this.#arrives = Math.max(this.#arrives + size / this.#rate, timeline.now + latency())
    this.#waiting.push({ message, code, reason, size, at: this.#arrives })
    this.#move()
  }

  #move(): void {
    const [first] = this.#waiting
    if (this.#moving || this.#stalled || first === undefined) return
    const { timeline } = this.wire.options
    this.#moving = true
    timeline.set(Math.max(timeline.now, first.at), () => {
      this.#moving = false
      if (this.#stalled) return
      const packet = this.#waiting.shift()
      if (packet === undefined) return
      this.#unread -= packet.size
      this.#tellDrained()
      this.#move()
      this.#peer.run(() => this.#peer.#take(packet))
    })
  }

  /** By itself, as an event of its own. */
  #tellDrained(): void {
    const f = this.#drained
    if (f === undefined) return
    this.#drained = undefined
    const { timeline } = this.wire.options
    timeline.set(timeline.now, () => {
      if (this.#state === 'open') this.run(f)
    })
  }

  #take({ message, code, reason }: Packet<M>): void {
    if (this.#state === 'gone' && !this.#trailing) return
    if (message !== undefined) {
      if (this.#early === undefined) this.#receiver?.receive(message)
      else this.#early.push(() => this.#receiver?.receive(message))
      return
    }
    if (this.#trailing) return
    // A close; where it is not the answer to ours, it is answered.
    if (this.#state === 'open') this.#send(undefined, code, reason, 8)
    const said = reason === '' ? '' : ` and the reason ${JSON.stringify(reason)}`
    this.#gone(code, `The peer closed the connection with code ${code}${said}.`)
  }

  #close(code: number, reason: string): void {
    if (this.#state !== 'open') return
    this.#send(undefined, code, reason.slice(0, 100), 8 + reason.length)
    this.#state = 'closing'
    this.#cut = this.#clock.setTimer(() => this.terminate(), closeGrace, false)
  }

  /** This side drops the connection. The peer sees that it broke, unless what is sent from here is lost. */
  terminate(): void {
    if (this.#state === 'gone') return
    this.#leave()
    // Told later, as by a socket, and by no timer of anybody's clock.
    const { timeline, trail } = this.wire.options
    this.#trailing = true
    timeline.set(timeline.now + (trail?.() ?? 0), () =>
      this.run(() => {
        this.#trailing = false
        this.#tell(broke, 'The connection broke without a close.')
      }),
    )
    this.#reset()
  }

  /** The process is gone: nobody is told here, and the peer sees that the connection broke, unless `silent`. */
  crash(silent: boolean): void {
    this.#receiver = undefined
    if (this.#state === 'gone') return
    this.#leave()
    if (!silent) this.#reset()
  }

  /** What is on its way is lost, and the peer hears of it. */
  #reset(): void {
    this.#waiting.length = 0
    if (this.#lossy) return
    const { timeline, latency } = this.wire.options
    const peer = this.#peer
    const at = Math.max(this.#arrives, timeline.now + latency())
    const arrive = (): void => {
      if (this.#stalled) timeline.set(timeline.now + 1_000, arrive)
      else peer.run(() => peer.broken())
    }
    timeline.set(at, arrive)
  }

  /** This side sees that the connection broke. */
  broken(): void {
    if (this.#state === 'gone') return
    this.#gone(broke, 'The connection broke without a close.')
  }

  #leave(): void {
    this.#state = 'gone'
    if (this.#cut !== undefined) this.#clock.clearTimer(this.#cut)
    this.wire.leave()
  }

  #gone(code: number, reason: string): void {
    this.#leave()
    this.#tell(code, reason)
  }

  #tell(code: number, reason: string): void {
    if (this.#early !== undefined) {
      this.#early.push(() => this.#tell(code, reason))
      return
    }
    const receiver = this.#receiver
    this.#receiver = undefined
    receiver?.lost(
      withoutStack(() => new LinkLostError(reason)),
      code !== broke,
    )
  }
}

export class Wire<M> {
  readonly options: WireOptions<M>
  readonly client: WireEnd<M>
  readonly server: WireEnd<M>
  /** Called when neither side has it any more. */
  onGone: (() => void) | undefined

  constructor(options: WireOptions<M>) {
    this.options = options
    this.client = new WireEnd(this, options.clocks[0])
    this.server = new WireEnd(this, options.clocks[1])
    this.client.join(this.server)
    this.server.join(this.client)
  }

  /** It breaks: what is on its way is lost, and both sides see it. */
  cut(): void {
    for (const end of [this.client, this.server]) {
      end.lose()
      end.run(() => end.broken())
    }
  }

  leave(): void {
    if (!this.client.open && !this.server.open) this.onGone?.()
  }
}
