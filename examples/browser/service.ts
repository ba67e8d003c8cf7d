/** The service: runs each search in a worker thread that it keeps, and tells who asks when the loop there has stopped. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Worker } from 'node:worker_threads'
import { background, type Context, race, sleep } from 'ctxbridge'
import { serve } from 'ctxbridge/websocket'
import { type Remote, wrap } from 'ctxbridge/worker'
import { WebSocketServer } from 'ws'
import { counters, endOf, type Hop, type Progress, type Searcher, type Stopped } from './work.ts'
import type { loops } from './worker.ts'

/** A run, from whoever asks for it first until its loop has stopped. */
class Run {
  readonly memory = new SharedArrayBuffer(16)
  readonly stopped: Promise<Stopped>
  service: Hop | undefined
  #resolve!: (stopped: Stopped) => void

  constructor() {
    this.stopped = new Promise((resolve) => (this.#resolve = resolve))
  }

  get progress(): Progress {
    const counts = new BigInt64Array(this.memory)
    return { looked: Number(counts[counters.looked]), primes: Number(counts[counters.primes]) }
  }

  loopStopped(loop: Hop): void {
    const hops = [...(this.service === undefined ? [] : [this.service]), loop]
    this.#resolve({ ...this.progress, hops })
  }
}

const runs = new Map<string, Run>()
let running = 0

function runOf(id: string): Run {
  let run = runs.get(id)
  if (run === undefined) runs.set(id, (run = new Run()))
  return run
}

type Thread = Remote<typeof loops>

function startThread(): Thread {
  return wrap<typeof loops>(new Worker(new URL('./worker.js', import.meta.url)))
}

const idle: Thread[] = []

/** Runs the loop of a run, until the thread can take the next one. */
async function loop(ctx: Context, id: string, run: Run): Promise<void> {
  const thread = idle.pop() ?? startThread()
  running++
  // Rejects when the context ends: the thread has to say when the loop has.
  await thread.countPrimes(ctx, id, run.memory).catch(() => undefined)
  run.loopStopped(await thread.ended(background(), id))
  runs.delete(id)
  running--
  idle.push(thread)
}

const searcher: Searcher = {
  async *count(ctx: Context, id: string) {
    const run = runOf(id)
    ctx.signal.addEventListener('abort', () => (run.service = endOf('service', ctx)))
    void loop(ctx, id, run)
    for (;;) {
      await sleep(ctx, 100)
      yield run.progress
    }
  },

  stopped: (ctx, id) => race(ctx, runOf(id).stopped),

  running: () => Promise.resolve(running),

  echo: (_ctx, x) => Promise.resolve(x),
}

// It lives as long as the process that started it.
process.on('disconnect', () => process.exit())
process.on('SIGINT', () => undefined)
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: 65_536 })
serve(server, searcher, { name: 'service' })
await once(server, 'listening')
idle.push(startThread())
process.send?.((server.address() as AddressInfo).port)
