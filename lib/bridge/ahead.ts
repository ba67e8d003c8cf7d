/** Handles of one context are numbered, and whoever carries them may let a later one overtake. */

/** One that handles have overtaken in so many places is taken for lost: a handle that nobody imports must not cost more and more. */
const mostRanges = 1_024

/** The numbers that came ahead of others. Those that overtook one handle follow each other: they are one range, however many they are. */
export class Ahead {
  /** From the first to the last of each, in order, with others missing in between. */
  readonly #ranges: { first: number; last: number }[] = []

  get isEmpty(): boolean {
    return this.#ranges.length === 0
  }

  has(number: number): boolean {
    return this.#ranges.some(({ first, last }) => first <= number && number <= last)
  }

  /** @returns up to where all have come now, of which it was `received` before */
  receive(number: number, received: number): number {
    this.#insert(number)
    const [lowest] = this.#ranges
    if (lowest === undefined) return received
    if (lowest.first > received + 1 && this.#ranges.length <= mostRanges) return received
    this.#ranges.shift()
    return lowest.last
  }

  #insert(number: number): void {
    const ranges = this.#ranges
    let after = ranges.length
    while (after > 0 && (ranges[after - 1]?.first ?? 0) > number) after--
    const [before, next] = [ranges[after - 1], ranges[after]]
    if (before !== undefined && number <= before.last) return
    const joins = before?.last === number - 1
    if (joins && next?.first === number + 1) {
      before.last = next.last
      ranges.splice(after, 1)
    } else if (joins) before.last = number
    else if (next?.first === number + 1) next.first = number
    else ranges.splice(after, 0, { first: number, last: number })
  }
}
