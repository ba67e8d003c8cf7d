/** What the workers of the conformance suite serve: the same file in Node's threads and in Web Workers, with shared memory and without. */
import {
  afterFunc,
  background,
  type CancelableContext,
  cause,
  type Context,
  createKey,
  merge,
  sleep,
  withCancel,
  withTimeout,
} from 'ctxbridge'
import { expose, link, sleepSync } from 'ctxbridge/worker'

export const tenant = createKey<string>('tenant', {
  portable: { encode: (value: string) => value, decode: (data: unknown) => String(data) },
})

/** An end, as data. */
export interface Seen {
  readonly name: string | undefined
  readonly code: unknown
  readonly cause: unknown
  readonly message: unknown
  /** Whether the thread's event loop turned between the start of the job and the end. */
  readonly turned: boolean
  /** What was left of the deadline when the end was seen. */
  readonly left: number
}

export type How = 'done' | 'signal' | 'sleep' | 'afterFunc'

const node = (globalThis as { process?: NodeJS.Process }).process
const threads = node?.getBuiltinModule?.('node:worker_threads')
const parent = (threads?.parentPort ?? globalThis) as { postMessage(message: unknown): void }
const data = (threads?.workerData ?? { sharedMemory: new URL(import.meta.url).searchParams.get('memory') !== 'no' }) as {
  readonly sharedMemory: boolean
}

let last: Seen | undefined
let turns = 0
const held: CancelableContext[] = []
let own: CancelableContext | undefined

function begin(): number {
  setTimeout(() => turns++, 0)
  parent.postMessage({ started: true })
  return turns
}

function note(ctx: Context, before: number): void {
  const error = ctx.err()
  const why = cause(ctx)
  last = {
    name: error?.name,
    code: error?.code,
    cause: why === error ? 'itself' : why instanceof Error ? why.name : why,
    message: why instanceof Error ? why.message : undefined,
    turned: turns !== before,
    left: ctx.remaining(),
  }
}

const jobs = {
  add: (a: number, b: number): number => a + b,
  last: (): Seen | undefined => last,
  stats: () => link().stats(),
  value: (ctx: Context): string | undefined => ctx.value(tenant),
  state: (ctx: Context): { err: string | undefined; deadline: boolean } => ({
    err: ctx.err()?.name,
    deadline: ctx.deadline !== undefined,
  }),
  fail: (): never => {
    throw Object.assign(new RangeError('out of range'), { code: 'E_RANGE' })
  },
  hang: async (_ctx: Context): Promise<void> => {
    begin()
    await new Promise(() => undefined)
  },

  spin(ctx: Context): void {
    const before = begin()
    for (;;) {
      if (ctx.err() === undefined) continue
      note(ctx, before)
      ctx.throwIfDone()
    }
  },

  block(ctx: Context): void {
    const before = begin()
    try {
      sleepSync(ctx, 60_000)
    } finally {
      note(ctx, before)
    }
  },

  /** Looks for `ms` without a turn, then waits. It has turned if the loop saw nothing. */
  async deaf(ctx: Context, ms: number): Promise<void> {
    const before = begin()
    const until = performance.now() + ms
    let seen = false
    while (performance.now() < until) seen ||= ctx.err() !== undefined
    await ctx.done
    note(ctx, before)
    if (last !== undefined) last = { ...last, turned: !seen }
  },

  async idle(ctx: Context, how: How): Promise<void> {
    const before = begin()
    await (how === 'done'
      ? ctx.done
      : how === 'sleep'
        ? sleep(ctx, 60_000).catch(() => undefined)
        : new Promise<void>((resolve) => {
            if (how === 'afterFunc') afterFunc(ctx, resolve)
            else if (ctx.signal.aborted) resolve()
            else ctx.signal.addEventListener('abort', () => resolve(), { once: true })
          }))
    note(ctx, before)
    ctx.throwIfDone()
  },

  async either(a: Context, text: string, b: Context): Promise<string> {
    const before = begin()
    const both = merge(a, b)
    await both.done
    note(both, before)
    return text
  },

  async options({ ctx, signal, text }: { ctx: Context; signal: AbortSignal; text: string }): Promise<void> {
    const before = begin()
    await Promise.race([ctx.done, new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))])
    note(ctx, before)
    if (last !== undefined) last = { ...last, message: [text, signal.aborted ? String(signal.reason) : 'live'] }
  },

  /** A thousand contexts below, half of them observed: how many ended with it, and how many listeners ran. */
  async family(ctx: Context): Promise<readonly [number, number]> {
    const children = Array.from({ length: 1_000 }, () => withTimeout(ctx, 60_000))
    let told = 0
    for (const child of children.slice(0, 500)) child.signal.addEventListener('abort', () => told++)
    begin()
    await ctx.done
    return [children.filter((child) => child.err() === ctx.err()).length, told]
  },

  hold(handle: unknown): { err: string | undefined; tenant: string | undefined; cause: unknown } {
    const ctx = link().import(handle)
    held.push(ctx)
    const why = cause(ctx)
    return { err: ctx.err()?.name, tenant: ctx.value(tenant), cause: why instanceof Error ? why.name : why }
  },
  watchHeld(): void {
    void held[0]?.done.then((error) => parent.postMessage({ told: error.name, cause: error.cause }))
  },
  release(): void {
    for (const ctx of held.splice(0)) ctx.cancel()
  },
  make(): unknown {
    own = withCancel(withTimeout(background(), 60_000))
    return link().export(own)
  },
  end(): void {
    own?.cancel('the worker says so')
  },
}

export type ConformanceJobs = typeof jobs

expose(jobs, { keys: [tenant], sharedMemory: data.sharedMemory })
