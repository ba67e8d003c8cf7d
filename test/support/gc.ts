import { setImmediate } from 'node:timers/promises'

/** One turn of the event loop: all microtasks, and what was posted, have run when it resolves. */
export async function turn(): Promise<void> {
  await setImmediate()
}

/** As `turn`, also for whoever is called in the middle of one: what was posted until now has arrived at another port of this thread. */
export async function arrived(): Promise<void> {
  await turn()
  await turn()
}

/** Collects garbage until all of these are collected, or gives up after a bounded number of rounds. Needs `--expose-gc`. */
export async function collected(...refs: readonly WeakRef<WeakKey>[]): Promise<boolean> {
  const { gc } = globalThis
  if (gc === undefined) throw new Error('This test needs Node to be started with --expose-gc.')
  for (let round = 0; round < 20; round++) {
    // What a WeakRef gave out or was made of lives to the end of the job; finalizers run in a job of their own.
    await turn()
    gc()
    if (refs.every((ref) => ref.deref() === undefined)) return true
  }
  return false
}

/** Bytes in use after everything that can be collected was collected. */
export async function heapInUse(): Promise<number> {
  for (let round = 0; round < 4; round++) {
    await turn()
    globalThis.gc?.()
  }
  return process.memoryUsage().heapUsed
}
