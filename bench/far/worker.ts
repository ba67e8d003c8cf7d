/** The far side of the worker suites: one thread for each contender, which waits for events in the way of that contender. */
import * as Comlink from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { afterFunc, background, type CancelableContext, cause, type Context, withCancel } from 'ctxbridge'
import { type ContextHandle, expose, link, sleepSync } from 'ctxbridge/worker'
import { now } from '../harness/clock.ts'
import { pinFar } from '../harness/pin.ts'
import type { Report } from '../harness/reports.ts'
import { used } from './heap.ts'
import { installSignalHandler } from './signal-handler.ts'
import {
  type Awaiting,
  clockSamples,
  type ComlinkJobs,
  type Expiring,
  type FarData,
  type How,
  type Jobs,
  type Order,
} from './worker-jobs.ts'

/** A word that nobody ever writes. */
const waitWord = 8

pinFar()
const { role, report, wake, words } = workerData as FarData

function tell(message: Report): void {
  report.postMessage(message)
}

const ready = (): void => tell({ ready: true })

function ended(ctx: Context): void {
  const at = now()
  tell({ ready: false, at, name: ctx.err()?.name ?? 'none', cause: String(cause(ctx)) })
}

function watch(ctx: Context, how: Exclude<How, 'message' | 'message, to a context'>): void {
  switch (how) {
    case 'err':
      ready()
      while (ctx.err() === undefined);
      return ended(ctx)
    case 'flag':
      ready()
      while (Atomics.load(words, 0) === 0);
      seen()
      Atomics.store(words, 0, 0)
      return
    case 'aborted': {
      const { signal } = ctx
      ready()
      while (!signal.aborted);
      return ended(ctx)
    }
    case 'signal':
      ctx.signal.addEventListener('abort', () => ended(ctx), { once: true })
      return ready()
    case 'afterFunc':
      afterFunc(ctx, () => ended(ctx))
      return ready()
    case 'done':
      void ctx.done.then(() => ended(ctx))
      return ready()
    case 'sleepSync':
      ready()
      try {
        sleepSync(ctx, 60_000)
      } catch {
        ended(ctx)
      }
  }
}

let woken: (() => void) | undefined

/** Waits for a bare message, in a call of ours that lasts until then. What that ends, if anything, is a context of this thread, with a listener on its signal. */
async function wokenByMessage(ends: boolean): Promise<void> {
  if (woken === undefined) wake.on('message', () => woken?.())
  const ctx = ends ? withCancel(background()) : undefined
  ctx?.signal.addEventListener('abort', seen, { once: true })
  const told = ctx?.cancel ?? seen
  const come = new Promise<void>((resolve) => {
    woken = () => {
      told()
      resolve()
    }
  })
  ready()
  return come
}

/** A call of ours that lasts until its context ends, with which that is given back, or until the limit has seen its event. */
function watched(ctx: Context, how: How): void | Promise<void> {
  if (how === 'message' || how === 'message, to a context') return wokenByMessage(how !== 'message')
  watch(ctx, how)
  return how === 'signal' || how === 'afterFunc' || how === 'done' ? ctx.done.then(() => undefined) : undefined
}

function take(_ctx: Context, handles: readonly ContextHandle[]): [number, number] {
  const it = link()
  const contexts = Array.from<CancelableContext | undefined>({ length: handles.length }).fill(undefined)
  const before = now()
  let i = 0
  for (const handle of handles) contexts[i++] = it.import(handle)
  const between = now()
  for (const ctx of contexts) ctx?.cancel()
  return [between - before, now() - between]
}

async function keep(_ctx: Context, handles: readonly ContextHandle[]): Promise<number> {
  const it = link()
  const [first, ...others] = handles
  if (first === undefined) return 0
  const contexts = Array.from<CancelableContext>({ length: handles.length }).fill(it.import(first))
  const { heap } = await used()
  for (const [i, handle] of others.entries()) contexts[i + 1] = it.import(handle)
  const bytes = ((await used()).heap - heap) / others.length
  if (contexts.some((ctx) => ctx.err() !== undefined)) throw new Error('They were not live.')
  return bytes
}

function expiry(ctx: Context, how: Expiring): number | Promise<number> {
  switch (how) {
    case 'err':
      while (ctx.err() === undefined);
      return now()
    case 'signal':
      return new Promise((resolve) => {
        const { signal } = ctx
        if (signal.aborted) resolve(now())
        else signal.addEventListener('abort', () => resolve(now()), { once: true })
      })
    case 'sleepSync':
      try {
        sleepSync(ctx, 60_000)
      } catch {
        return now()
      }
      throw new Error('It slept for a minute.')
  }
}

async function expire(_ctx: Context, handles: readonly ContextHandle[], how: Expiring): Promise<[number, readonly number[]]> {
  const it = link()
  const contexts = handles.map((handle) => it.import(handle))
  const from = now()
  const seen = await Promise.all(contexts.map((ctx) => expiry(ctx, how)))
  if (contexts.some((ctx) => ctx.err()?.name !== 'TimeoutError')) throw new Error('It was no deadline that ended them.')
  return [from, seen]
}

function awaited(_ctx: Context, due: readonly number[], how: Awaiting): [number, readonly number[]] {
  const from = now()
  const seen = due.map((at) => {
    let time = now()
    while (time < at) {
      if (how === 'wait') Atomics.wait(words, waitWord, 0, (at - time) / 1e6)
      time = now()
    }
    return time
  })
  return [from, seen]
}

function onOrder(handle: (order: Order) => void): void {
  parentPort?.on('message', handle)
}

/** Ready made: without one the platform makes an error for each abort. */
const reason = new Error('a reason')
const seen = (): void => tell({ ready: false, at: now() })

if (role === 'ctxbridge') {
  const jobs: Jobs = { watch: watched, nothing: () => 1, take, keep, expire, await: awaited }
  expose(jobs)
} else if (role === 'comlink') {
  installSignalHandler()
  const jobs: ComlinkJobs = {
    watch(signal) {
      signal.addEventListener('abort', () => tell({ ready: false, at: now(), cause: String(signal.reason) }), { once: true })
      ready()
    },
    nothing: () => 1,
  }
  Comlink.expose(jobs, nodeEndpoint(parentPort as MessagePort))
} else if (role === 'atomics-flag') {
  onOrder(() => {
    ready()
    while (Atomics.load(words, 0) === 0);
    seen()
    Atomics.store(words, 0, 0)
  })
} else if (role === 'atomics-wait') {
  onOrder(() => {
    ready()
    Atomics.wait(words, 0, 0)
    seen()
    Atomics.store(words, 0, 0)
  })
} else if (role === 'wait-async' || role === 'wait-async-abort') {
  onOrder(() => {
    const { waitAsync } = Atomics as unknown as {
      waitAsync(words: Int32Array, index: number, value: number): { value: Promise<string> }
    }
    const controller = new AbortController()
    const told = (): void => {
      seen()
      Atomics.store(words, 0, 0)
    }
    if (role === 'wait-async-abort') controller.signal.addEventListener('abort', told, { once: true })
    void waitAsync(words, 0, 0).value.then(role === 'wait-async' ? told : () => controller.abort(reason))
    ready()
  })
} else if (role === 'message-port' || role === 'message-port-abort') {
  let told = seen
  const arm = (): void => {
    if (role === 'message-port-abort') {
      const controller = new AbortController()
      controller.signal.addEventListener('abort', seen, { once: true })
      told = () => controller.abort(reason)
    }
    ready()
  }
  onOrder(({ port }) => {
    port?.on('message', role === 'message-port' ? seen : () => told())
    arm()
    parentPort?.removeAllListeners('message')
    // It says itself when the next event is to come: the port lives on.
    parentPort?.on('message', arm)
  })
} else if (role === 'channel-per-job') {
  onOrder(({ port }) => {
    port?.once('message', () => {
      seen()
      port.close()
    })
    ready()
  })
} else if (role === 'clock') {
  // Answers each question, a number in word 0, with a reading in words 2 and 3, then with that number in word 1.
  const readings = new BigInt64Array(words.buffer)
  onOrder(() => {
    ready()
    for (let question = 1; question <= clockSamples; question++) {
      while (Atomics.load(words, 0) !== question);
      Atomics.store(readings, 1, BigInt(now()))
      Atomics.store(words, 1, question)
    }
  })
} else {
  onOrder(({ signal }) => {
    signal?.addEventListener('abort', () => tell({ ready: false, at: now(), cause: String(signal.reason) }), { once: true })
    ready()
  })
}
