/** The numbers of a thread's links: by one a handle and a slot say which link they belong to. */

/** Slots have them in an Int32. */
export const MAX_LINK: number = 2 ** 31 - 1

/** A link's number, as it came from elsewhere. Where the link's bell lies follows from it. */
export function isLinkNumber(link: unknown): boolean {
  return Number.isInteger(link) && (link as number) > 0 && (link as number) <= MAX_LINK
}

/**
 * Those that stand under a number of their own, which nobody else has for as long as they do. Numbers only grow up to the last one, and then begin anew with those that are free: each context that
 * goes by itself, as with plain Comlink, takes one, so a server comes there in some weeks. A handle that was kept from the first time is refused by the second link with its number all the same, as generations of slots, and ids
 * in place of slots, are never used twice.
 */
export class Numbered<T> {
  readonly #all = new Map<number, T>()
  /** The number that was taken last. */
  last = 0

  /** To be given back by `delete`. */
  add(one: T): number {
    do this.last = this.last === MAX_LINK ? 1 : this.last + 1
    while (this.#all.has(this.last))
    this.#all.set(this.last, one)
    return this.last
  }

  delete(number: number): void {
    this.#all.delete(number)
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#all.values()
  }
}
