/** One time for several clocks: what is due on it, in order. */

/** Something that is due at an instant. */
export interface Due {
  readonly at: number
  readonly f: () => void
  /** Its place in the heap; -1 when it is not there. */
  index: number
  readonly order: number
}

/** Time that moves only when somebody says so. Of two that are due at one instant, the one that was set first comes first. */
export class Timeline {
  #now = 0
  #order = 0
  readonly #heap: Due[] = []

  /** Milliseconds since the beginning. */
  get now(): number {
    return this.#now
  }

  set(at: number, f: () => void): Due {
    const due: Due = { at, f, index: this.#heap.length, order: this.#order++ }
    this.#heap.push(due)
    this.#rise(due)
    return due
  }

  unset(due: Due): void {
    const { index } = due
    if (index < 0) return
    due.index = -1
    const last = this.#heap.pop() as Due
    if (last === due) return
    this.#place(last, index)
    this.#rise(last)
    this.#sink(last)
  }

  /** When the next one is due; `Infinity` where nothing is. */
  get next(): number {
    return this.#heap[0]?.at ?? Infinity
  }

  /** Moves on to what is due next, and does it. Returns false where nothing is due by `until`. */
  step(until: number): boolean {
    const first = this.#heap[0]
    if (first === undefined || first.at > until) return false
    this.unset(first)
    this.pass(first.at)
    first.f()
    return true
  }

  /** Moves on, and does nothing. Never back. */
  pass(until: number): void {
    this.#now = Math.max(this.#now, until)
  }

  #place(due: Due, index: number): void {
    this.#heap[index] = due
    due.index = index
  }

  #rise(due: Due): void {
    for (;;) {
      const above = (due.index - 1) >> 1
      const parent = this.#heap[above]
      if (due.index === 0 || parent === undefined || !isBefore(due, parent)) return
      this.#place(parent, due.index)
      this.#place(due, above)
    }
  }

  #sink(due: Due): void {
    for (;;) {
      const left = 2 * due.index + 1
      const [a, b] = [this.#heap[left], this.#heap[left + 1]]
      const child = a !== undefined && b !== undefined && isBefore(b, a) ? b : a
      if (child === undefined || isBefore(due, child)) return
      const { index } = child
      this.#place(child, due.index)
      this.#place(due, index)
    }
  }
}

function isBefore(a: Due, b: Due): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
