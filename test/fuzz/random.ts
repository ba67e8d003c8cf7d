/** Chance that can be had again: the same seed gives the same choices. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
    // Neighbouring seeds must not begin alike.
    this.#next()
  }

  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (t ^ (t >>> 14)) >>> 0
  }

  /** 0 to n - 1. */
  below(n: number): number {
    return Math.floor((this.#next() / 4_294_967_296) * n)
  }

  /** From a to b, both included. */
  between(a: number, b: number): number {
    return a + this.below(b - a + 1)
  }

  /** True once in n times. */
  once(n: number): boolean {
    return this.below(n) === 0
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T
  }

  /** Mostly small, seldom up to `most`. */
  small(most: number): number {
    return this.below(1 + this.below(1 + this.below(most + 1)))
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let i = 0; i < length; i++) bytes[i] = this.#next()
    return bytes
  }
}
