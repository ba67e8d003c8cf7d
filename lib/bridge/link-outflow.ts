/** The way out: the channel that a link has at present, what waits in it, and when there is room. */

import { messageOverhead } from './link-replay.ts'
import { Unread } from './link-unread.ts'
import type { Channel } from './link-types.ts'

export class Outflow<M> {
  /** Undefined while there is none. */
  channel: Channel<M> | undefined
  /** Whether the channel is new, and the greeting of either side is still to come on it: then messages wait. */
  greeting = false
  readonly #ahead: number
  readonly #unread = new Unread()
  /** Whether more waited in the channel than may, when it was last asked. */
  #full = false
  /** How many messages were given to it since then: small ones take more memory than their bytes. */
  #piled = 0
  /** The channel that is to say when it has room. */
  #asked: Channel<M> | undefined

  /** @param ahead how many bytes may wait in the channel before what is not urgent waits in the link */
  constructor(channel: Channel<M> | undefined, ahead = 65_536) {
    this.channel = channel
    this.#ahead = ahead
  }

  /** There is another channel. */
  connect(channel: Channel<M>): void {
    this.channel = channel
    this.#full = false
    this.#unread.reset()
  }

  /** There is none any more. */
  disconnect(): void {
    this.channel = undefined
    this.greeting = false
  }

  /** Sends a message of that size where there is a channel for it. Returns how many bytes wait in that now, with what messages cost beside theirs. */
  put(message: M, size: number): number {
    const { channel } = this
    if (channel === undefined || this.greeting) return 0
    this.#piled = this.#full ? this.#piled + 1 : 0
    channel.send(message)
    this.#unread.sent(size)
    const queued = channel.queued()
    this.#full = queued > this.#ahead
    return queued + messageOverhead * this.#piled
  }

  /** Bytes that wait in the channel. */
  get queued(): number {
    return this.channel?.queued() ?? 0
  }

  /** Whether the channel takes what is not urgent. It is asked only where it was full. */
  isRoomy(): boolean {
    if (this.channel === undefined || this.greeting) return false
    if (this.#full) this.#full = this.channel.queued() > this.#ahead
    return !this.#full
  }

  /** Calls `f` when the channel may have room again: once, however often that was asked for. With another channel, or none, whoever connects sees to it. */
  awaitRoom(f: () => void): void {
    const { channel } = this
    if (channel === undefined || this.greeting || this.#asked === channel) return
    this.#asked = channel
    channel.drained(() => {
      if (this.#asked !== channel) return
      this.#asked = undefined
      f()
    })
  }

  /** The instant since which the peer has left bytes unread; `Infinity` where none wait. */
  unreadSince(now: number): number {
    return this.channel === undefined ? Infinity : this.#unread.since(this.channel.queued(), now)
  }
}
