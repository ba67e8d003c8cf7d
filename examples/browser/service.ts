/** The service: runs each search in a worker thread that it keeps, and tells who asks when the loop there has stopped. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Worker } from 'node:worker_threads'
import { type Context, race, sleep } from 'ctxbridge'
import { serve } from 'ctxbridge/websocket'
import { wrap } from 'ctxbridge/worker'
import { WebSocketServer } from 'ws'
import { counters, endOf, type Hop, type LoopEnd, type Progress, type Searcher, type Stopped } from './work.ts'
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

  loopStopped({ name, end, cause }: LoopEnd): void {
    const hops = [...(this.service === undefined ? [] : [this.service]), { name, end, cause }]
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

function startThread() {
  const worker = new Worker(new URL('./worker.js', import.meta.url))
  const thread = wrap<typeof loops>(worker)
  worker.on('message', (told: Partial<LoopEnd>) => {
    const { id } = told
    // The link of the calls has messages of its own.
    if (id === undefined || !runs.has(id)) return
    runOf(id).loopStopped(told as LoopEnd)
    runs.delete(id)
    running--
    idle.push(thread)
  })
  return thread
}

const idle: ReturnType<typeof startThread>[] = []

const searcher: Searcher = {
  async *count(ctx: Context, id: string) {
    const run = runOf(id)
    const thread = idle.pop() ?? startThread()
    ctx.signal.addEventListener('abort', () => (run.service = endOf('service', ctx)))
    running++
    // It rejects when the context ends, and so does the sleep.
    thread.countPrimes(ctx, id, run.memory).catch(() => undefined)
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
