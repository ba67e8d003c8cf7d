/**
 * What waits in the link while the channel is full: so an end goes past megabytes that were said before it, and of what has ended meanwhile nothing is sent.
 *
 * What is urgent tells of what the peer knows already, is small, and may overtake everything. All else keeps its order: ids grow, what stands under an export
 * comes before that is retracted, items come before the result.
 */

import type { CallFrame, CancelFrame, CancelsFrame, ExportFrame, Frame, WireContext } from '../wire/frame.ts'
import { Lane } from './link-lane.ts'

/** A greeting is before everything; the others are of what the peer knows. */
const urgent: ReadonlySet<Frame['type']> = new Set<Frame['type']>(['hello', 'cancel', 'cancels', 'ack', 'credit', 'release'])

/** The ping of this number, which goes with a goaway, keeps its place, and so does its pong: what was said before it has come before it. Others begin at 1. */
export const inOrder = 0

function isUrgent(frame: Frame): boolean {
  return frame.type === 'ping' || frame.type === 'pong' ? frame.n !== inOrder : urgent.has(frame.type)
}

/** Of an export that is over before it is made: the peer may have a handle of it, and needs its end. */
const bare: WireContext = Object.freeze({ left: undefined, why: undefined, values: [], under: undefined })

export class HeldLane extends Lane {
  /** Calls and exports that the peer has not been told of. A call that ended is taken out here, and is not sent when its turn comes. */
  readonly #openings = new Map<number, CallFrame | ExportFrame>()
  /** Exports whose end has overtaken what waits here: the peer must not hear of anything under them. */
  readonly #closed = new Set<number>()
  /** How many answers wait for each call of the peer's that still wants them. */
  readonly #answers = new Map<number, number>()

  override push(frame: Frame, elements: number, bytes: number): void {
    if (frame.type === 'call' || frame.type === 'export') this.#openings.set(frame.id, frame)
    else if (isAnswer(frame)) this.#answers.set(frame.id, (this.#answers.get(frame.id) ?? 0) + 1)
    super.push(frame, elements, bytes)
  }

  /** Holds a frame, or gives it to `send` where it is urgent. */
  sort(frame: Frame, elements: number, bytes: number, send: Lane): void {
    if (!isUrgent(frame)) this.push(frame, elements, bytes)
    else if (this.#openings.size === 0 || (frame.type !== 'cancel' && frame.type !== 'cancels')) {
      send.push(frame, elements, bytes)
    } else this.#sortCancel(frame, elements, bytes, send)
  }

  /** Of a call that the peer does not know nothing is said; the end of an export that it does not know comes behind that. */
  #sortCancel(frame: CancelFrame | CancelsFrame, elements: number, bytes: number, send: Lane): void {
    const known: number[] = []
    const unknown: number[] = []
    for (const id of frame.type === 'cancel' ? [frame.id] : frame.ids) {
      const opening = this.#openings.get(id)
      if (opening?.type === 'call') {
        this.#openings.delete(id)
        continue
      }
      this.#closed.add(id)
      if (opening === undefined) known.push(id)
      else unknown.push(id)
    }
    if (this.#openings.size === 0) this.#closed.clear()
    if (known.length > 0) send.push(cancelOf(known, frame), elements, bytes)
    if (unknown.length > 0) this.push(cancelOf(unknown, frame), elements, bytes)
  }

  /** Nobody waits any more for the answers to a call of the peer's. */
  unwanted(id: number): void {
    this.#answers.delete(id)
  }

  override clear(): void {
    super.clear()
    this.#openings.clear()
    this.#closed.clear()
    this.#answers.clear()
  }

  protected override get goesAsItIs(): boolean {
    return false
  }

  protected override leave(frame: Frame): Frame | undefined {
    if (isAnswer(frame)) return this.#leaveAnswer(frame.id) ? frame : undefined
    if (frame.type !== 'call' && frame.type !== 'export') return frame
    const isOpen = this.#openings.delete(frame.id)
    const { under } = frame.context
    const isOver = under !== undefined && this.#closed.has(under)
    if (this.#openings.size === 0) this.#closed.clear()
    if (frame.type === 'call') return isOpen && !isOver ? frame : undefined
    return isOver ? { ...frame, context: bare } : frame
  }

  #leaveAnswer(id: number): boolean {
    const count = this.#answers.get(id)
    if (count === undefined) return false
    if (count === 1) this.#answers.delete(id)
    else this.#answers.set(id, count - 1)
    return true
  }
}

function cancelOf(ids: number[], { kind, cause }: CancelFrame | CancelsFrame): Frame {
  const [first] = ids
  return ids.length === 1 && first !== undefined
    ? { type: 'cancel', id: first, kind, cause }
    : { type: 'cancels', ids, kind, cause }
}

function isAnswer(frame: Frame): frame is Frame & { readonly type: 'item' | 'stream' | 'result' | 'error' } {
  return frame.type === 'item' || frame.type === 'result' || frame.type === 'stream' || frame.type === 'error'
}
