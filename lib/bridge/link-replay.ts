/**
 * What makes a link outlive its connection. Both sides count the messages of a session, in either direction; the sender keeps each until the
 * receiver has said that it came. On a new connection each side says how many it has, and gets the others: every message once, and in order.
 */

/** Acknowledged with whatever goes out next after so many messages; by itself after so many messages, or bytes. */
const ackWithNext = 16
const ackAfterMessages = 64
const ackAfterBytes = 65_536

/** What a message that is kept, or waits, costs beside its bytes: it is an object in a list. */
export const messageOverhead = 256
/** Of so many bytes a peer need not have said that they came. */
const unsaid = ackAfterBytes + ackAfterMessages * messageOverhead

export class Replay<M> {
  readonly #kept: { readonly message: M; readonly size: number }[] = []
  #sent = 0
  #bytes = 0
  #received = 0
  #unacknowledged = 0
  #unacknowledgedBytes = 0

  /** How many messages of the session have come in. */
  get received(): number {
    return this.#received
  }

  /** How many bytes are kept beyond what the peer need not have acknowledged. */
  get overdue(): number {
    return Math.max(0, this.#bytes - unsaid)
  }

  keep(message: M, size: number): void {
    this.#sent++
    this.#bytes += size + messageOverhead
    this.#kept.push({ message, size })
  }

  /** A message has come. Returns whether it is time to say so. */
  take(size: number): boolean {
    this.#received++
    this.#unacknowledged++
    this.#unacknowledgedBytes += size
    return this.#unacknowledged >= ackAfterMessages || this.#unacknowledgedBytes >= ackAfterBytes
  }

  /** Whether it is time to say so with what goes out anyway. */
  get due(): boolean {
    return this.#unacknowledged >= ackWithNext
  }

  /** How many have come, to be said now; undefined where the peer knows. */
  acknowledge(): number | undefined {
    if (this.#unacknowledged === 0) return undefined
    this.#unacknowledged = this.#unacknowledgedBytes = 0
    return this.#received
  }

  /** Whether the peer can go on where it has so many: the others are kept. */
  covers(count: number): boolean {
    return count >= this.#sent - this.#kept.length && count <= this.#sent
  }

  /** The peer says how many it has. Returns false where it cannot have them; that it has fewer than it said before is old news, sent again. */
  confirm(count: number): boolean {
    const first = this.#sent - this.#kept.length
    if (count > this.#sent) return false
    if (count <= first) return true
    for (const { size } of this.#kept.splice(0, count - first)) this.#bytes -= size + messageOverhead
    return true
  }

  /** What the peer has not got, in order. */
  missing(): M[] {
    this.#unacknowledged = this.#unacknowledgedBytes = 0
    return this.#kept.map(({ message }) => message)
  }
}
