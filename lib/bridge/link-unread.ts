/** How long bytes have waited for the peer to read them, by what a channel tells: how many wait. */

/** Asked now and then: what it says is late by no more than the time between two questions. */
export class Unread {
  /** Bytes that were sent, ever. */
  #sent = 0
  /** What was sent when somebody last asked and bytes waited, and when that was. */
  #mark = 0
  #since = Infinity

  /** A message has been given to the channel. */
  sent(bytes: number): void {
    // Its head, at least: what is counted short here makes the wait look longer, and never by more than a few bytes.
    this.#sent += bytes + 2
  }

  /** The channel is another one: of the old one nothing waits. */
  reset(): void {
    this.#since = Infinity
  }

  /** The instant since which bytes wait, of those that wait now; `Infinity` where none do. */
  since(queued: number, now: number): number {
    if (queued === 0) this.#since = Infinity
    else if (this.#since === Infinity || this.#sent - queued >= this.#mark) {
      this.#mark = this.#sent
      this.#since = now
    }
    return this.#since
  }
}
