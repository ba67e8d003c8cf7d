/** A worker of a program that speaks Comlink and nothing else, and has been taught contexts: in Node's threads, in Web Workers, and in shared ones. */
import * as Comlink from 'comlink'
import { background, cause, type CancelableContext, type Context, withCancel } from 'ctxbridge'
import { install } from 'ctxbridge/comlink'
import { collect } from './collect.ts'

install(Comlink)

/** What has come, and is held here. */
let kept: CancelableContext[] = []
/** What has come, without being held here. */
const seen: WeakRef<AbortSignal>[] = []

const api = {
  async wait(ctx: Context, started: () => unknown): Promise<string> {
    await started()
    await ctx.done
    const why = cause(ctx)
    return why instanceof Error ? why.message : String(why)
  },
  async waitSignal(signal: AbortSignal, started: () => unknown): Promise<string> {
    await started()
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    const { name, message } = signal.reason as Error
    return `${name}: ${message}`
  },
  fail: (): unknown => {
    throw new RangeError('as ever')
  },
  async throwEnd(ctx: Context): Promise<unknown> {
    await ctx.done
    throw new Error('no time left', { cause: ctx.err() })
  },
  /** Looks at its context in a loop that does not yield, for as long as it takes. */
  spin(ctx: Context, word: Int32Array): string {
    Atomics.store(word, 0, 1)
    while (ctx.err() === undefined);
    return `${ctx.err()?.name}: ${String(cause(ctx))}`
  },
  keep: (ctx: Context): number => kept.push(ctx as CancelableContext),
  /** Ends one of them, for this side alone. */
  cancelKept: (index: number, why: string): void => kept[index]?.cancel(why),
  /** How each of them ended, or that it has not. */
  kept: (): string[] => kept.map((ctx) => (ctx.err() === undefined ? 'live' : String(cause(ctx)))),
  drop(): void {
    kept = []
  },
  see: (signal: AbortSignal): number => seen.push(new WeakRef(signal)),
  /** How many of those are held, by whom ever, and how many of them are different ones. */
  async held(): Promise<readonly [all: number, different: number]> {
    await collect()
    const held = seen.map((ref) => ref.deref()).filter((signal) => signal !== undefined)
    return [held.length, new Set(held).size]
  },
  look: (ctx: Context, signal: AbortSignal): unknown => ({
    err: ctx.err()?.name,
    cause: String(cause(ctx)),
    aborted: signal.aborted,
    deadline: ctx.deadline !== undefined,
  }),
  /** A context of this worker's, and what ends it. */
  make(): Context {
    const [ctx, cancel] = withCancel(background())
    api.end = () => cancel('the worker says so')
    return ctx
  },
  end: (): void => undefined,
  /** A signal of this worker's, and what aborts it. */
  makeSignal(): AbortSignal {
    const controller = new AbortController()
    api.abort = () => controller.abort(new RangeError('the worker says so'))
    return controller.signal
  },
  abort: (): void => undefined,
  aborted: (): AbortSignal => AbortSignal.abort('long ago'),
  async callback(f: (ctx: Context) => Promise<string>): Promise<string> {
    const [ctx, cancel] = withCancel(background())
    const told = f(ctx)
    cancel('called back')
    return told
  },
}

export type PlainApi = typeof api

const node = (globalThis as { process?: NodeJS.Process }).process
const parentPort = node?.getBuiltinModule?.('node:worker_threads').parentPort
if ('SharedWorkerGlobalScope' in globalThis) {
  addEventListener('connect', (event) => Comlink.expose(api, (event as MessageEvent).ports[0]))
} else if (parentPort === undefined || parentPort === null) {
  Comlink.expose(api)
} else {
  const { default: nodeEndpoint } = (await import(/* @vite-ignore */ ['comlink', 'dist/esm/node-adapter.mjs'].join('/'))) as {
    default: (port: unknown) => Comlink.Endpoint
  }
  Comlink.expose(api, nodeEndpoint(parentPort))
}
