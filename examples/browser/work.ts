/** What page, gateway, service and worker say to each other. All of it is plain data. */
import { cause, type Context, isDeadlineExceeded } from 'ctxbridge'

/** Served by the gateway, and by the service behind it. */
export interface Searcher {
  /** Counts primes until its context ends, and tells how far it is, a few times in a second. */
  count(ctx: Context, id: string): AsyncGenerator<Progress, void>
  /** Answers when the loop of that run has stopped: not when it was told to, but when it has. */
  stopped(ctx: Context, id: string): Promise<Stopped>
  /** How many loops run now. */
  running(ctx: Context): Promise<number>
  echo(ctx: Context, x: number): Promise<number>
}

export interface Progress {
  /** Numbers that were looked at. */
  readonly looked: number
  readonly primes: number
}

export interface Stopped extends Progress {
  /** From the gateway to the worker: how each saw the end. */
  readonly hops: readonly Hop[]
}

export interface Hop {
  readonly name: string
  readonly end: string
  readonly cause: string
}

/** How a context ended, as of now. */
export function endOf(name: string, ctx: Context): Hop {
  const end = ctx.err() === undefined ? 'finished' : isDeadlineExceeded(ctx.err()) ? 'deadline exceeded' : 'canceled'
  const why = cause(ctx)
  return { name, end, cause: why instanceof Error ? why.message : String(why ?? '') }
}

/** What a worker counts in shared memory: places in a BigInt64Array. */
export const counters = { looked: 0, primes: 1 } as const
