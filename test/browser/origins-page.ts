/**
 * What runs in the pages, frames and workers of origins.test.ts, the same in all: it serves whoever sends a port, or has made this worker, and has in `origins` what the
 * test evaluates.
 */
import { afterFunc, background, cause, type Context, withCancel } from 'ctxbridge'
import { expose, type WorkerEndpoint, wrap } from 'ctxbridge/worker'

/** Timers that wait for seconds, in each thread: they fire when the test says so. */
const timers = new Map<number, () => void>()
let armed = 0
const { setTimeout, clearTimeout } = globalThis
Object.assign(globalThis, {
  setTimeout(f: (...args: unknown[]) => void, ms: number, ...args: unknown[]): unknown {
    if (!(ms >= 5_000)) return setTimeout(f, ms, ...args)
    timers.set(--armed, () => f(...args))
    return armed
  },
  clearTimeout(id: number): void {
    if (!timers.delete(id)) clearTimeout(id)
  },
})

function fire(): void {
  for (const f of timers.values()) f()
  timers.clear()
}

let tell: (reason: string) => void
const ended = new Promise<string>((resolve) => (tell = resolve))
const api = {
  add: (_ctx: Context, a: number, b: number): number => a + b,
  async watch(ctx: Context): Promise<void> {
    await new Promise<void>((resolve) => afterFunc(ctx, resolve))
    tell(String(cause(ctx)))
  },
  /** Keeps its thread for so many ms. */
  block(_ctx: Context, ms: number): number {
    postMessage('begun')
    const until = performance.now() + ms
    while (performance.now() < until);
    return 3
  },
  /** How what is watched has ended. */
  ended: (): Promise<string> => ended,
  fire,
}

const { name } = globalThis as { name?: string }
if (name === 'without locks') {
  const refuse = (): Promise<never> => Promise.reject(new DOMException('The request was denied.', 'SecurityError'))
  Object.assign(navigator.locks, { request: refuse, query: refuse })
}

if (globalThis.document === undefined) expose(api)
else globalThis.addEventListener('message', ({ ports }) => ports[0] !== undefined && expose(api, ports[0]))

async function frame(url: string, sandbox?: string): Promise<Window> {
  const element = document.createElement('iframe')
  if (sandbox !== undefined) element.setAttribute('sandbox', sandbox)
  element.src = url
  const loaded = new Promise((resolve) => element.addEventListener('load', resolve))
  document.body.append(element)
  await loaded
  return element.contentWindow as Window
}

/** A port to a frame. */
function portTo(window: Window): MessagePort {
  const { port1, port2 } = new MessageChannel()
  window.postMessage('serve', '*', [port2])
  return port1
}

/** Calls for long after each thread had the time to take the other for dead; returns how a context that is cancelled then ends over there. */
async function talk(endpoint: WorkerEndpoint): Promise<string> {
  const remote = wrap<typeof api>(endpoint)
  const watched = withCancel(background())
  void remote.watch(watched).catch(() => undefined)
  for (let round = 0; round < 50; round++) {
    if ((await remote.add(withCancel(background()), round, 1)) !== round + 1) throw new Error('a wrong answer')
    fire()
    await remote.fire()
    // Whoever asked for a lock before has got it, if it is free.
    await navigator.locks.request('a turn', () => undefined)
  }
  watched.cancel('of the page')
  return remote.ended()
}

/** A worker whose first call does not yield, and how that goes. */
async function blocked(): Promise<{ worker: Worker; pending: Promise<unknown> }> {
  const worker = new Worker('/script.js')
  const begun = new Promise((resolve) => worker.addEventListener('message', ({ data }) => data === 'begun' && resolve(data)))
  const pending = wrap<typeof api>(worker).block(withCancel(background()), 300)
  await begun
  return { worker, pending }
}

Object.assign(globalThis, {
  origins: {
    frame: async (url: string, sandbox?: string) => talk(portTo(await frame(url, sandbox))),
    /** A frame in a frame, of this page's origin again. */
    frameInFrame: async (url: string) => talk(portTo((await frame(url)).frames[0] as Window)),
    async dataWorker(): Promise<string> {
      const script = await (await fetch('/script.js')).text()
      return talk(new Worker(`data:text/javascript,${encodeURIComponent(script)}`))
    },
    /** As the browser refuses them where it blocks what third parties would store. */
    workerWithoutLocks: () => talk(new Worker('/script.js', { name: 'without locks' })),
    async terminated() {
      const { worker, pending } = await blocked()
      worker.terminate()
      return pending.catch(String)
    },
    async busy() {
      const { pending } = await blocked()
      // Whatever waits for seconds, and whoever waits for a lock, has had its turn while the worker has none.
      for (let round = 0; round < 20; round++) {
        fire()
        await navigator.locks.request('a turn', () => undefined)
      }
      return pending
    },
  },
})
