/** Blocking a worker thread, until time has passed or a context has ended. */

import { sourcesOf } from '../../lib/boundary.ts'
import type { Context } from '../../lib/context.ts'
import { isContext } from '../../lib/foreign.ts'
import { named } from '../../lib/given.ts'
import { isMainThread } from './host.ts'
import { RemoteSource } from './remote-source.ts'

/** Where contexts of several threads may end it, one of them rings, and the others are looked at as often as this. In ms. */
const SLICE = 5

/**
 * Blocks this worker thread for `ms` milliseconds; `Infinity` until the context ends. The event loop does not turn meanwhile. A cancel of the context in
 * another thread wakes it at once, by shared memory, and its deadline does; where several other threads may each end it, or the context came by messages
 * alone, as soon as can be seen: within 5 ms of the former, and not before the next turn of the latter.
 *
 * @throws the context's `err()` when it has ended, before or meanwhile
 * @throws TypeError in the main thread and in a service worker, which must not block (`await sleep(ctx, ms)` there); where memory cannot be shared, as nothing can block then;
 *   when `ctx` is no context, or `ms` is no number
 */
export function sleepSync(ctx: Context, ms: number): void {
  if (!isContext(ctx)) throw new TypeError(`sleepSync() needs a context, but got ${named(ctx)}.`)
  if (typeof ms !== 'number' || Number.isNaN(ms))
    throw new TypeError(`sleepSync() needs a number of milliseconds, but got ${named(ms)}.`)
  if (!isMainThread && typeof SharedArrayBuffer !== 'function') {
    throw new TypeError('sleepSync() needs shared memory, which there is none of here: await sleep(ctx, ms).')
  }
  if (isMainThread || !canBlock()) {
    throw new TypeError(
      'sleepSync() needs a worker thread that may block, as the main thread and a service worker may not: await sleep(ctx, ms).',
    )
  }
  const until = performance.now() + ms
  const sources = sourcesOf(ctx)
  const readers = new Set(sources.map((source) => (source instanceof RemoteSource ? source.reader : undefined)))
  const [first] = readers
  const bell = first ?? nobody
  // One bell is waited for. Whoever does not ring it is looked at now and then.
  const most = readers.size > 1 || (sources.length > 0 && first === undefined) ? SLICE : Infinity
  for (;;) {
    const seen = bell.bell()
    ctx.throwIfDone()
    const left = until - performance.now()
    if (!(left > 0)) return
    bell.wait(seen ?? 0, Math.min(left, ctx.remaining(), most))
  }
}

/** Whether the engine lets this thread block: nothing tells but the attempt. */
function canBlock(): boolean {
  try {
    nobody.wait(0, 0)
    return true
  } catch {
    return false
  }
}

/** Rings for nobody: only time passes. */
const nobody = {
  bell: (): number | undefined => 0,
  wait: (seen: number, ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, seen, ms),
}
