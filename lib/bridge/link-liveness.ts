/**
 * Whether the peer is still there. Any message is a sign of life. While something is shared, silence is broken by a ping, and bounded twice: first
 * what the peer has here ends, later what this side has there. So the child stops before its parent gives it up.
 */

import type { Timer } from '../clock.ts'
import { delayUntil } from '../clock.ts'
import { clockOf } from './link-contexts.ts'
import type { LinkCore } from './link-core.ts'

/** All in milliseconds. */
export interface LinkLease {
  /** A ping goes out after so much silence, and again after as much more. */
  readonly ping: number
  /** After so much silence the contexts that came from the peer end. */
  readonly imports: number
  /** After so much silence the peer is given up: the link is lost. */
  readonly exports: number
  /** After the connection was seen to break, the side that accepts waits so long for another one: who is alive connects at once. */
  readonly resume: number
}

export const linkLease: LinkLease = Object.freeze({ ping: 10_000, imports: 25_000, exports: 30_000, resume: 1_000 })

export interface LivenessEvents {
  /** Whether anything is open in either direction, or the link waits for a connection. */
  shared(): boolean
  ping(n: number): void
  /** Two pings have had no answer: another connection may be worth a try. */
  stale(): void
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
  #timer: Timer = undefined
  #armed = false
  #judging = false

  constructor(core: LinkCore<M>, lease: LinkLease, events: LivenessEvents) {
    this.#core = core
    this.#lease = lease
    this.#events = events
  }

  /** The peer stops first: its own bound is the time that it was told, and ours has to be shorter than the peer's. */
  get #imports(): number {
    const { lease } = this.#core.peer.limits
    return lease === 0 ? this.#lease.imports : Math.min(this.#lease.imports, (lease * 5) / 6)
  }

  /** A message has come. */
  heard(): void {
    if (!this.#armed && !this.#judging) return
    this.#heard = clockOf(this.#core).now()
    this.#expired = this.#stale = this.#asked = false
    this.#until = Infinity
  }

  /** The connection broke, and the other side is to connect. */
  hurry(): void {
    this.#until = clockOf(this.#core).now() + this.#lease.resume
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

  get #needed(): boolean {
    return this.#asked || this.#events.shared()
  }

  #arm(): void {
    const clock = clockOf(this.#core)
    const next = Math.min(
      Math.max(this.#heard, this.#pinged) + this.#lease.ping,
      this.#heard + (this.#expired ? this.#lease.exports : this.#imports),
      this.#heard + this.#lease.exports,
      this.#until,
    )
    this.#armed = true
    this.#timer = clock.setTimer(() => this.#tick(), delayUntil(next, clock.now()), false)
  }

  #tick(): void {
    this.#armed = false
    if (!this.#needed) return
    const now = clockOf(this.#core).now()
    const silence = now - this.#heard
    if (now >= this.#until || silence >= this.#lease.exports || (silence >= this.#imports && !this.#expired)) {
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
        this.#events.stale()
      }
    }
    this.#arm()
  }

  #judge(): void {
    this.#judging = false
    if (this.#core.lost !== undefined || !this.#needed) return
    const now = clockOf(this.#core).now()
    const silence = now - this.#heard
    if (silence >= this.#imports && !this.#expired) {
      this.#expired = true
      this.#events.expire()
    }
    if (now >= this.#until || silence >= this.#lease.exports) return this.#events.lost()
    if (this.#core.lost === undefined && !this.#armed && this.#needed) this.#arm()
  }

  /** The link is over. */
  close(): void {
    if (this.#armed) clockOf(this.#core).clearTimer(this.#timer)
    this.#armed = false
  }
}
