/**
 * Whether the peer is still there. Any message is a sign of life. While something is shared, silence is broken by a ping, and bounded twice: first
 * what the peer has here ends, later what this side has there. So the child stops before its parent gives it up.
 */

import type { Timer } from '../clock.ts'
import { delayUntil } from '../clock.ts'
import { clockOf } from './link-contexts.ts'
import type { LinkCore } from './link-core.ts'

/** In milliseconds, but for `stretch`. */
export interface LinkLease {
  /** A ping goes out after so much silence, and again after as much more. */
  readonly ping: number
  /** After so much silence the contexts that came from the peer end. */
  readonly imports: number
  /** After so much silence the peer is given up: the link is lost. */
  readonly exports: number
  /** After the connection was seen to break, the side that accepts waits so long for another one: who is alive connects at once. */
  readonly resume: number
  /**
   * A peer that announces a longer lease than `exports` is waited for as long as it would wait, up to so many times what is said here, from 1: of a page
   * that is hidden timers are late, and of a phone whole minutes are missing. `ping` stays.
   */
  readonly stretch: number
}

export const linkLease: LinkLease = Object.freeze({ ping: 10_000, imports: 25_000, exports: 30_000, resume: 1_000, stretch: 5 })

/**
 * Of a page, five times those of the rest: while it is hidden its timers come once a second, later once a minute, and phones sleep. The other side goes
 * along, up to its lease's `stretch`.
 */
export const pageLease: Partial<LinkLease> = Object.freeze({ imports: 125_000, exports: 150_000, resume: 5_000 })

export interface LivenessEvents {
  /** Whether anything is open in either direction, or the link waits for a connection. */
  shared(): boolean
  ping(n: number): void
  /** Two pings have had no answer, or one that was sent to find out: another connection may be worth a try. */
  stale(): void
  /** The instant since which bytes wait for the peer to read them; `Infinity` where none do. */
  unreadSince(now: number): number
  /** The peer has not read them for as long as it may be silent. */
  slow(): void
  /** What the peer has here must end. It may come back, and the link goes on then. */
  expire(): void
  /** The peer is given up. */
  lost(): void
}

export class Liveness<M> {
  readonly #core: LinkCore<M>
  readonly #lease: LinkLease
  readonly #events: LivenessEvents
  /** The instant of the last sign of life; of the first thing shared after a time with nothing, where that was later. */
  #heard = 0
  #pinged = 0
  /** Whether a ping has had no answer yet: until it has, there is somebody to watch. */
  #asked = false
  #pings = 0
  #stale = false
  #expired = false
  /** The instant at which the wait for another connection is over. */
  #until = Infinity
  /** The instant by which a ping that was sent to find out must be answered. */
  #probed = Infinity
  #timer: Timer = undefined
  #armed = false
  #judging = false

  constructor(core: LinkCore<M>, lease: LinkLease, events: LivenessEvents) {
    this.#core = core
    this.#lease = lease
    this.#events = events
  }

  /** How much longer than usual this peer is waited for. What it announces is bounded: it may be anybody. */
  get #stretch(): number {
    return Math.min(Math.max(1, this.#core.peer.limits.lease / this.#lease.exports), this.#lease.stretch)
  }

  /** The peer stops first: its own bound is the time that it was told, and ours has to be shorter than the peer's. */
  get #imports(): number {
    const { lease } = this.#core.peer.limits
    const imports = this.#lease.imports * this.#stretch
    return lease === 0 ? imports : Math.min(imports, (lease * 5) / 6)
  }

  get #exports(): number {
    return this.#lease.exports * this.#stretch
  }

  /** A message has come. */
  heard(): void {
    if (!this.#armed && !this.#judging) return
    this.#heard = clockOf(this.#core).now()
    this.#expired = this.#stale = this.#asked = false
    this.#until = this.#probed = Infinity
  }

  /** The connection broke, and the other side is to connect. */
  hurry(): void {
    this.#until = clockOf(this.#core).now() + this.#lease.resume * this.#stretch
    if (this.#armed) {
      clockOf(this.#core).clearTimer(this.#timer)
      this.#arm()
    } else this.watch()
  }

  /** Something may be shared that was not: from now on there is somebody to watch. */
  watch(): void {
    if (this.#armed || this.#judging || !this.#events.shared()) return
    this.#heard = this.#pinged = clockOf(this.#core).now()
    this.#expired = this.#stale = this.#asked = false
    this.#arm()
  }

  /** The machine slept, or the network is another one: asks at once, and does not wait long for the answer. */
  probe(): void {
    if (this.#judging) return
    const clock = clockOf(this.#core)
    if (this.#armed) clock.clearTimer(this.#timer)
    else this.#heard = clock.now()
    this.#pinged = clock.now()
    this.#probed = this.#pinged + this.#lease.ping / 5
    this.#asked = true
    this.#events.ping(++this.#pings)
    this.#arm()
  }

  get #needed(): boolean {
    return this.#asked || this.#events.shared() || this.#events.unreadSince(clockOf(this.#core).now()) < Infinity
  }

  #arm(): void {
    const clock = clockOf(this.#core)
    const next = Math.min(
      Math.max(this.#heard, this.#pinged) + this.#lease.ping,
      this.#heard + (this.#expired ? this.#exports : this.#imports),
      this.#heard + this.#exports,
      this.#until,
      this.#probed,
    )
    this.#armed = true
    this.#timer = clock.setTimer(() => this.#tick(), delayUntil(next, clock.now()), false)
  }

  #tick(): void {
    this.#armed = false
    if (!this.#needed) return
    const now = clockOf(this.#core).now()
    const silence = now - this.#heard
    if (now - this.#events.unreadSince(now) >= this.#exports) return this.#events.slow()
    const late = now >= Math.min(this.#until, this.#probed)
    if (late || silence >= this.#exports || (silence >= this.#imports && !this.#expired)) {
      // The loop may have stalled: what has come meanwhile is read before anybody is judged.
      this.#judging = true
      const { afterReading } = this.#core.options
      if (afterReading === undefined) clockOf(this.#core).setTimer(() => this.#judge(), 1, false)
      else afterReading(() => this.#judge())
      return
    }
    if (now - Math.max(this.#heard, this.#pinged) >= this.#lease.ping) {
      this.#pinged = now
      this.#asked = true
      if (silence < 2 * this.#lease.ping || this.#stale) this.#events.ping(++this.#pings)
      else {
        this.#stale = true
        // Nothing was heard: whoever watches from now on does not begin anew.
        this.#judging = true
        this.#events.stale()
        this.#judging = false
      }
    }
    if (this.#core.lost === undefined) this.#arm()
  }

  #judge(): void {
    if (this.#core.lost === undefined && this.#needed) this.#decide()
    this.#judging = false
    if (this.#core.lost === undefined && this.#needed) this.#arm()
  }

  #decide(): void {
    const now = clockOf(this.#core).now()
    const silence = now - this.#heard
    if (silence >= this.#imports && !this.#expired) {
      this.#expired = true
      this.#events.expire()
    }
    if (now >= this.#until || silence >= this.#exports) return this.#events.lost()
    if (now >= this.#probed) {
      this.#probed = Infinity
      this.#stale = true
      this.#events.stale()
    }
  }

  /** The link is over. */
  close(): void {
    if (this.#armed) clockOf(this.#core).clearTimer(this.#timer)
    this.#armed = false
  }
}
