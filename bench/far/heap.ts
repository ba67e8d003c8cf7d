/** What a thread's heap holds. */

export interface Used {
  readonly heap: number
  /** What lies beside the heap: of buffers. */
  readonly buffers: number
}

/** Bytes in use in this thread when all is collected that can be. Needs `--expose-gc`. */
export async function used(): Promise<Used> {
  for (let before = Number.POSITIVE_INFINITY; ; ) {
    globalThis.gc?.()
    await new Promise((resolve) => setTimeout(resolve, 2))
    const { heapUsed: heap, arrayBuffers: buffers } = process.memoryUsage()
    if (heap + buffers > 0.9995 * before) return { heap, buffers }
    before = heap + buffers
  }
}
