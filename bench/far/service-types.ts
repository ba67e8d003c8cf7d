/** What a process of the WebSocket suites serves, and how it tells what it saw. */
import type { Context } from 'ctxbridge'
import type { Report } from '../harness/reports.ts'

/** First message of a process: where it listens. The others are reports, and answers to questions. */
export type FromProcess =
  | { readonly ports: { readonly link: number; readonly ws: number; readonly tcp: number; readonly http: number } }
  | { readonly report: Report }
  | { readonly clock: number }
  | { readonly bytes: number }

/** `clock`: a reading of it. `bytes`: what has come in on the latest socket of the link so far; `traffic`: on the latest one of all, in both directions. */
export type Question = 'clock' | 'bytes' | 'traffic'

/** `expect`: how many calls to report as one. */
export type ToProcess = { readonly ask: Question } | { readonly expect: number }

export interface Served {
  /** Reports the end of its context. */
  watch(ctx: Context): void
  /** The same, by afterFunc. */
  func(ctx: Context): void
  /** One of many: only the last end is reported. */
  one(ctx: Context): void
  /** One of many that end by their deadlines: its number is given back by `expired`. */
  expire(ctx: Context, number: number): void
  /** Of all calls of `expire` that have been begun since the last time, when all are over: since when each waited, and when it saw its deadline. */
  expired(ctx: Context): Promise<readonly (readonly [number: number, from: number, at: number])[]>
  nothing(ctx: Context): number
  /** Answered after `go` was called: a call that is to live through what happens to others. */
  hold(ctx: Context): void
  go(ctx: Context): void
}
