/** What the far side of the worker suites is told, and what it serves. */
import type { MessagePort } from 'node:worker_threads'
import type { Context } from 'ctxbridge'
import type { ContextHandle } from 'ctxbridge/worker'

export type Role =
  | 'ctxbridge'
  | 'comlink'
  | 'atomics-flag'
  | 'atomics-wait'
  | 'wait-async'
  | 'wait-async-abort'
  | 'message-port'
  | 'message-port-abort'
  | 'channel-per-job'
  | 'transferable-signal'
  | 'clock'

/** How often the clocks of two threads are compared. */
export const clockSamples = 1_000

export interface FarData {
  readonly role: Role
  readonly report: MessagePort
  /** For those limits that wait for a message. */
  readonly wake: MessagePort
  /** Word 0 is the bare flag. */
  readonly words: Int32Array<SharedArrayBuffer>
}

/** How it waits for something else, the limits in the same surroundings: for a flag, for a message, for a message by which it ends a context of its own. */
export type Bare = 'flag' | 'message' | 'message, to a context'

/** How a job of ours waits for its context to end. */
export type How = 'err' | 'aborted' | 'signal' | 'afterFunc' | 'done' | 'sleepSync' | Bare

/** How a job waits for the deadlines of many, of which each is due after the one before it. */
export type Expiring = 'err' | 'signal' | 'sleepSync'

/** How a thread waits for an instant with nothing of ours: it reads the clock over and over, or blocks with a timeout. */
export type Awaiting = 'loop' | 'wait'

/** A message to those that are not ours. */
export interface Order {
  readonly port?: MessagePort
  readonly signal?: AbortSignal
}

export interface Jobs {
  watch(ctx: Context, how: How): void
  nothing(ctx: Context): number
  /** Imports them all, and gives them back: ns for each of the two. */
  take(ctx: Context, handles: readonly ContextHandle[]): readonly [imported: number, released: number]
  /** Imports them all, and tells what one takes: bytes of its heap. */
  keep(ctx: Context, handles: readonly ContextHandle[]): Promise<number>
  /** Sees the deadlines of all: since when it waited, and when it saw each. */
  expire(
    ctx: Context,
    handles: readonly ContextHandle[],
    how: Expiring,
  ): Promise<readonly [from: number, seen: readonly number[]]>
  /** The same with nothing of ours: it waits for each of these instants of the machine's clock, in ns, until it reads one that is not before it. */
  await(ctx: Context, due: readonly number[], how: Awaiting): readonly [from: number, seen: readonly number[]]
}

/** As served by Comlink without us. */
export interface ComlinkJobs {
  watch(signal: AbortSignal): void
  nothing(): number
}
