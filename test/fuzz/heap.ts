/** What stays in memory from one input to the next: nothing may. */
import { heapInUse } from '../support/gc.ts'

/** Inputs after which all is compiled and every table of the process has its size. */
const warm = 50_000
/** And so many between two looks. */
const interval = 250_000
/** What may come and go without being a leak, in bytes. Ten bytes that stay of each of two million inputs are more. */
export const mostGrowth: number = 16 * 1_048_576

export class Heap {
  readonly #collect: () => Promise<number>
  #looked = 0
  #first: number | undefined
  #last = 0

  /** @param collect collects all garbage, and gives the bytes that are left */
  constructor(collect: () => Promise<number> = collected) {
    this.#collect = collect
  }

  /** By how many bytes the heap has grown since it was warm; 0 while it is not. */
  get growth(): number {
    return this.#first === undefined ? 0 : this.#last - this.#first
  }

  get isLeaking(): boolean {
    return this.growth > mostGrowth
  }

  /** To be called now and then. Looks when it is time; at the end, whenever that is. */
  async look(inputs: number, end = false): Promise<void> {
    if (inputs < warm || (this.#first !== undefined && inputs - this.#looked < interval && !end)) return
    this.#looked = inputs
    this.#last = await this.#collect()
    this.#first ??= this.#last
  }

  toString(): string {
    if (this.#first === undefined) return `The heap is looked at from ${warm.toLocaleString('en')} inputs on.`
    const [first, last] = [this.#first, this.#last].map((bytes) => (bytes / 1_048_576).toFixed(1))
    return `After all garbage was collected, the heap had ${first} MB when it was warm, and ${last} MB at the end.`
  }
}

async function collected(): Promise<number> {
  if (globalThis.gc === undefined) throw new Error('To watch the heap, Node must be started with --expose-gc.')
  return (await heapInUse()) + process.memoryUsage().arrayBuffers
}
