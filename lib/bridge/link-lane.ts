/** Frames that wait to be sent, in order, each with what it costs in a message. */

import type { Kind } from '../errors.ts'
import type { WireCause } from '../wire/cause.ts'
import { type CancelsFrame, type Frame, frameLimits } from '../wire/frame.ts'
import { scanLimits } from '../wire/scan.ts'

/** What the frames of one message may hold together: see `scanLimits`. */
const maxElements = scanLimits.maxElements - 64

/** What a further id in a frame takes at most. */
const idBytes = 9

export class Lane {
  #frames: Frame[] = []
  /** Of each frame: elements, bytes. */
  #costs: number[] = []
  /** Where the first one is that was not taken yet. */
  #first = 0
  #elements = 0
  #bytes = 0

  get length(): number {
    return this.#frames.length - this.#first
  }

  /** How many bytes all of them take in messages at most. */
  get bytes(): number {
    return this.#bytes
  }

  /** `elements` and `bytes` are what it costs in a message, or more, never less. */
  push(frame: Frame, elements: number, bytes: number): void {
    this.#frames.push(frame)
    this.#costs.push(elements, bytes)
    this.#elements += elements
    this.#bytes += bytes
  }

  /** Lets the cancel that is last tell of one more end of its kind and cause. Returns of how many it tells then; 0 where there is none, or no room in a message. */
  join(id: number, kind: Kind, cause: WireCause | undefined, maxBytes: number): number {
    const last = this.#frames.at(-1)
    if ((last?.type !== 'cancel' && last?.type !== 'cancels') || last.kind !== kind || last.cause !== cause) return 0
    const costs = this.#costs
    const elements = costs[costs.length - 2] as number
    const bytes = costs[costs.length - 1] as number
    if (elements >= maxElements || bytes + idBytes > maxBytes) return 0
    costs[costs.length - 2] = elements + 1
    costs[costs.length - 1] = bytes + idBytes
    this.#elements++
    this.#bytes += idBytes
    if (last.type === 'cancels') return last.ids.push(id)
    const both: CancelsFrame = { type: 'cancels', ids: [last.id, id], kind, cause }
    this.#frames[this.#frames.length - 1] = both
    return 2
  }

  /** Takes as many as fit into one message of so many bytes; one at least, though it may be `leave` that lets none go. A greeting goes alone. */
  next(maxBytes: number): Frame[] {
    const frames = this.#frames
    const isWhole = this.#first === 0 && frames.length <= frameLimits.maxFrames && this.#elements <= maxElements
    if (isWhole && this.#bytes <= maxBytes && this.goesAsItIs && frames[0]?.type !== 'hello') {
      this.clear()
      return frames
    }
    const message: Frame[] = []
    let elements = 0
    let bytes = 0
    for (let i = this.#first; i < frames.length; i++) {
      const next = frames[i] as Frame
      const moreElements = this.#costs[2 * i] as number
      const moreBytes = this.#costs[2 * i + 1] as number
      const isFull =
        message.length >= frameLimits.maxFrames || elements + moreElements > maxElements || bytes + moreBytes > maxBytes
      if (message.length > 0 && (isFull || next.type === 'hello' || message[0]?.type === 'hello')) break
      this.#first = i + 1
      this.#elements -= moreElements
      this.#bytes -= moreBytes
      const leaving = this.leave(next)
      if (leaving === undefined) continue
      message.push(leaving)
      elements += moreElements
      bytes += moreBytes
    }
    if (this.length === 0) this.clear()
    else if (this.#first > frames.length / 2) this.#forgetTaken()
    return message
  }

  /** Takes all, one by one. */
  takeAll(take: (frame: Frame, elements: number, bytes: number) => void): void {
    const frames = this.#frames
    const costs = this.#costs
    const first = this.#first
    this.clear()
    for (let i = first; i < frames.length; i++) take(frames[i] as Frame, costs[2 * i] as number, costs[2 * i + 1] as number)
  }

  clear(): void {
    this.#frames = []
    this.#costs = []
    this.#first = this.#elements = this.#bytes = 0
  }

  /** Whether `leave` lets every frame go as it is. */
  protected get goesAsItIs(): boolean {
    return true
  }

  /** What is sent in place of a frame that was taken; undefined where nothing is. */
  protected leave(frame: Frame): Frame | undefined {
    return frame
  }

  #forgetTaken(): void {
    this.#frames.splice(0, this.#first)
    this.#costs.splice(0, 2 * this.#first)
    this.#first = 0
  }
}
