/** What happened: a hash of all of it, the last of it in words, and which rare states it came to. */

/** Something that must never be. */
export class Violation extends Error {}

export function must(condition: boolean, rule: string, what: () => string): asserts condition {
  if (!condition) throw new Violation(`${rule}: ${what()}`)
}

type Entry = readonly [at: number, what: string, a: number | string, b: number | string]

const kept = 200
const bits = new Float64Array(1)
const words = new Uint32Array(bits.buffer)

export class Log {
  /** How many events there were: operations, messages and timers. */
  events = 0
  #hash = 0x811c9dc5
  readonly #last: Entry[] = []
  readonly #seen = new Map<string, number>()

  /** Adds to the hash. */
  #mix(word: number): void {
    this.#hash = Math.imul(this.#hash ^ (word & 0xffff), 0x01000193)
    this.#hash = Math.imul(this.#hash ^ (word >>> 16), 0x01000193)
  }

  add(at: number, what: string, a: number | string, b: number | string = ''): void {
    bits[0] = at
    this.#mix(words[0] as number)
    this.#mix(words[1] as number)
    for (const part of [what, a, b]) {
      if (typeof part === 'number') this.#mix(part)
      else for (let i = 0; i < part.length; i++) this.#hash = Math.imul(this.#hash ^ part.charCodeAt(i), 0x01000193)
    }
    const entry: Entry = [at, what, a, b]
    if (this.#last.length < kept) this.#last.push(entry)
    else this.#last[this.events % kept] = entry
    this.events++
  }

  /** A state that is worth knowing to have been reached. */
  sometimes(state: string): void {
    this.#seen.set(state, (this.#seen.get(state) ?? 0) + 1)
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0')
  }

  get seen(): ReadonlyMap<string, number> {
    return this.#seen
  }

  /** The last events, a line each, in order. */
  get lines(): string[] {
    const start = this.events % kept
    const entries = this.#last.length < kept ? this.#last : [...this.#last.slice(start), ...this.#last.slice(0, start)]
    return entries.map(([at, what, a, b]) => `${at.toFixed(3).padStart(12)} ${what} ${a} ${b}`)
  }
}
