/** What is open on a link, by its id. */

/** So many ids that follow each other share a page. */
const pageSize = 32

/** Those of `pageSize` ids in a row that are in the table. */
interface Page<T> {
  readonly slots: (T | undefined)[]
  used: number
}

/**
 * A map from ids, which only grow and mostly follow each other, in their order. In pages: a `Map` has 24 to 52 bytes for each entry, this has 11; it copies nothing
 * as it grows and shrinks; and who goes from id to id stays in one place of memory. A page goes with the last of its ids, so that one that stays open alone
 * holds some 400 bytes.
 */
export class LinkTable<T> {
  readonly #pages = new Map<number, Page<T>>()
  /** The one with the highest ids. It stays when it is empty: the next id is of it. */
  #newest: Page<T> | undefined
  #newestNumber = -1
  #size = 0

  get size(): number {
    return this.#size
  }

  get(id: number): T | undefined {
    return this.#page(Math.floor(id / pageSize))?.slots[id % pageSize]
  }

  /** Puts in what has an id that is above all before. */
  add(id: number, value: T): void {
    const number = Math.floor(id / pageSize)
    const page = this.#page(number) ?? this.#open(number)
    page.slots[id % pageSize] = value
    page.used++
    this.#size++
  }

  /** Takes out what has this id, if there is something. */
  delete(id: number): void {
    const number = Math.floor(id / pageSize)
    const page = this.#page(number)
    if (page?.slots[id % pageSize] === undefined) return
    page.slots[id % pageSize] = undefined
    page.used--
    this.#size--
    if (page.used === 0 && page !== this.#newest) this.#pages.delete(number)
  }

  /** All of them, as of now, in the order of their ids. */
  all(): T[] {
    const all: T[] = []
    for (const { slots } of this.#pages.values()) for (const value of slots) if (value !== undefined) all.push(value)
    return all
  }

  #page(number: number): Page<T> | undefined {
    return number === this.#newestNumber ? this.#newest : this.#pages.get(number)
  }

  #open(number: number): Page<T> {
    let page = this.#newest
    // Of calls that are made one after the other each page is the one before.
    if (page?.used === 0) this.#pages.delete(this.#newestNumber)
    else page = { slots: Array.from({ length: pageSize }), used: 0 }
    this.#pages.set(number, page)
    this.#newest = page
    this.#newestNumber = number
    return page
  }
}
