/** What the processes of the demo say to each other, and the record that every hop keeps of its context. */
import { cause, type Context, isDeadlineExceeded } from 'ctxbridge'

export interface Job {
  readonly id: number
  readonly dir: string
  readonly pattern: string
  /** How often the folder is searched. */
  readonly repeat: number
}

export interface Progress {
  /** Null while the folder is still being listed. */
  readonly total: number | null
  readonly files: number
  readonly matches: number
  /** Files and folders that could not be read. */
  readonly unreadable: number
}

/** What all workers of a job count in shared memory: places in a BigInt64Array. */
export const counters = { next: 0, files: 1, matches: 2, unreadable: 3 } as const

/** Served by the service, and by the gateway, which passes it on. All that a method returns is plain data: it crosses two wires. */
export interface Searcher {
  search(ctx: Context, job: Job): Promise<void>
  progress(ctx: Context, id: number): Promise<Progress>
  /** How far a job came, and what every hop from here on knows about its end. Asked when it is over, so with a context of its own. */
  report(ctx: Context, id: number): Promise<Report>
}

export interface Report {
  readonly progress: Progress
  readonly hops: readonly Hop[]
}

/** One place that a context reached, and what became of it there. */
export interface Hop {
  readonly name: string
  /** Null where the job never arrived. */
  path: string | null
  /** Null where the work was finished before anything ended it. */
  end: HopEnd | null
  /** A worker that did not answer in time. */
  readonly busy: boolean
  /** Of a worker: the id of its thread. */
  readonly thread: number | null
}

export interface HopEnd {
  readonly kind: 'canceled' | 'deadline exceeded' | 'failed' | 'gone'
  readonly cause: string
  /** By `now()`; null where nobody was there to look. */
  readonly at: number | null
}

export function newHop(name: string, more: Partial<Hop> = {}): Hop {
  return { name, path: null, end: null, busy: false, thread: null, ...more }
}

/**
 * Microseconds by the monotonic clock of the machine: on Linux, macOS and Windows all processes read the same one, so instants of
 * different processes can be subtracted. Instants of different machines can not. The library itself never sends an instant to
 * another process: deadlines cross a wire as time left.
 */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1_000
}

/** How a context ended, as of this very moment. */
export function endOf(ctx: Context): HopEnd {
  const at = now()
  return { kind: isDeadlineExceeded(ctx.err()) ? 'deadline exceeded' : 'canceled', cause: String(cause(ctx)), at }
}

/** Runs what a hop does for a job, and records the path of its context, and when and why that ended. */
export async function recorded<T>(ctx: Context, hop: Hop, work: () => Promise<T>): Promise<T> {
  hop.path = String(ctx)
  // Called synchronously, as soon as the context and everything below it is marked.
  const ended = (): void => void (hop.end = endOf(ctx))
  ctx.signal.addEventListener('abort', ended)
  try {
    return await work()
  } catch (error) {
    // It was done before we could listen; or it lives, but the next hop is gone or broken.
    hop.end ??= ctx.err() === undefined ? { kind: 'failed', cause: String(error), at: now() } : endOf(ctx)
    throw error
  } finally {
    // The link ends a handler's context when the handler is finished. That is no news.
    ctx.signal.removeEventListener('abort', ended)
  }
}
