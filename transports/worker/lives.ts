/**
 * Which threads live, in a browser: it tells nobody when one ends.
 *
 * Each thread holds a Web Lock while a channel of its is open, and others wait in line for that. A lock goes to the next in line when its holder lets go of it, or dies. Only threads of one origin, and
 * of one partition of it, see each other's; opaque origins have none.
 */

import { threads } from './host.ts'

const PREFIX = 'ctxbridge.'
const MAX_NAME = 64

/**
 * How long, in ms, after its lock was free a thread is taken for dead: what it had posted before may come later than the lock. That was up to 0.6 ms in Firefox 153, up to 40 ms in WebKitGTK, and
 * never in 120 deaths in Chromium 156.
 */
const LAG = 100

/** This thread's lock. */
export interface Life {
  readonly name: string
  /** False where locks may not be used, or it was let go of before. */
  readonly granted: Promise<boolean>
  /** To be called once by each who holds it. */
  readonly release: () => void
}

/** Another thread's lock, and who is told when that is free. */
interface Watched {
  readonly left: AbortController
  readonly told: Set<() => void>
}

let mine: Life | undefined
let holders = 0
const watched = new Map<string, Watched>()

/** Undefined in Node, which tells of ends itself, and in pages that are not served securely. */
function lockManager(): LockManager | undefined {
  return threads === undefined ? (globalThis.navigator as { locks?: LockManager } | undefined)?.locks : undefined
}

/** This thread's lock, which is let go of when all who hold it have released it. The next one has another name. Undefined where there are none. */
export function hold(): Life | undefined {
  const locks = lockManager()
  if (locks === undefined) return undefined
  holders++
  return (mine ??= take(locks))
}

function take(locks: LockManager): Life {
  const name = PREFIX + [...crypto.getRandomValues(new Uint32Array(4))].map((word) => word.toString(36)).join('')
  const over = new AbortController()
  const { signal } = over
  const granted = new Promise<boolean>((resolve) => {
    const held = (): unknown => {
      resolve(true)
      return signal.aborted ? undefined : new Promise((release) => signal.addEventListener('abort', release))
    }
    locks.request(name, { signal }, held).catch(() => resolve(false))
  })
  const release = (): void => {
    if (--holders > 0) return
    mine = undefined
    over.abort()
  }
  return { name, granted, release }
}

/** Whether it is what a thread's lock may be called. */
export function isLife(name: unknown): name is string {
  return typeof name === 'string' && name.startsWith(PREFIX) && name.length <= MAX_NAME
}

/** Whether a lock is held, or waited for, among those that this thread sees. */
export async function isSeen(name: string): Promise<boolean> {
  if (watched.has(name)) return true
  try {
    const { held = [], pending = [] } = (await lockManager()?.query()) ?? {}
    return [...held, ...pending].some((lock) => lock.name === name)
  } catch {
    return false
  }
}

/**
 * Waits for another thread's end: until its lock is free, and then for as long as what it had posted may take.
 *
 * @param name a lock that this thread sees, or would while its holder lives
 * @param ended called once, unless what is returned has been called before
 */
export function watch(name: string, ended: () => void): () => void {
  // So that one function may be given twice.
  const tell = (): void => ended()
  const one = watched.get(name) ?? waitFor(name)
  one.told.add(tell)
  return () => {
    one.told.delete(tell)
    if (one.told.size > 0 || watched.get(name) !== one) return
    watched.delete(name)
    one.left.abort()
  }
}

function waitFor(name: string): Watched {
  const one: Watched = { left: new AbortController(), told: new Set() }
  watched.set(name, one)
  const forget = (): void => {
    if (watched.get(name) === one) watched.delete(name)
  }
  const free = (): void => {
    setTimeout(() => {
      forget()
      for (const tell of one.told) tell()
    }, LAG)
  }
  // Rejects when nobody waits any more, or where locks may not be used: then nothing tells of an end.
  lockManager()?.request(name, { signal: one.left.signal }, free).catch(forget)
  return one
}
