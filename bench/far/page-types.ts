/** What the page, its service and the bench say to each other in the suite of the browser. */
import type { Context } from 'ctxbridge'
import type { ClockResult } from '../harness/model.ts'
import type { Report } from '../harness/reports.ts'
import type { How } from './worker-jobs.ts'

/** How a cancel goes from the page through the service to its worker. `bare`: a frame, then a flag or a message on a port. */
export type Way = 'ours busy' | 'ours idle' | 'bare busy' | 'bare idle'

/** What the page can be asked for, as `bench` of its global object. */
export interface PageBench {
  /** Once, before all else: compares the page's clock with the service's, for all ways, and measures how long a bare frame is to be. */
  setUp(): Promise<ClockResult>
  /** Sets a way up, and shows that it works. */
  prove(way: Way): Promise<string>
  /** Latencies of one round, in ns; `warm` as in the bench. */
  round(way: Way, warm: boolean): Promise<number[]>
}

/** From the page, as text over the bare WebSocket. A binary frame is the event itself. */
export type FromPage = { readonly ask: 'clock' } | { readonly arm: 'busy' | 'idle' }

/** To the page, likewise. */
export type ToPage = { readonly clock: number } | { readonly report: Report }

export interface PageServed {
  /** Passes its own context on to the worker's job, which reports the end. */
  watch(ctx: Context, how: How): void
}
