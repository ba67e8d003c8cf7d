/**
 * What one of many takes in memory: a process for each sample, so that nothing of other measurements is in it. Its arguments are what is kept, and how many;
 * its one message is the bytes of each.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterFunc, background, type Context, createKey, withCancel, withTimeout, withValue } from 'ctxbridge'
import { connect, type Connection, serve, wrap } from 'ctxbridge/websocket'
import { link, wrap as wrapWorker } from 'ctxbridge/worker'
import { WebSocketServer } from 'ws'
import { far } from '../cases/worker-far.ts'
import { type Used, used } from './heap.ts'
import type { Kept } from './memory-types.ts'
import type { Jobs } from './worker-jobs.ts'

const [, , kept, count] = process.argv
const many = Number(count)
const parent = withCancel(background())
const key = createKey<string>('key')
const listener = (): void => {}

const ofAll = ({ heap, buffers }: Used): number => heap + buffers
const ofHeap = ({ heap }: Used): number => heap

async function bytesOf(make: (i: number) => unknown, settled?: () => Promise<unknown>, of = ofAll): Promise<number> {
  // The code is compiled, and tables have their first entries, before anything is counted.
  const first = make(0)
  const all = Array.from<unknown>({ length: many }).fill(first)
  const before = of(await used())
  for (let i = 0; i < many; i++) all[i] = make(i)
  await settled?.()
  const bytes = (of(await used()) - before) / many
  if (all.length !== many) throw new Error('They were not kept.')
  return bytes
}

function listened<T extends { readonly signal: AbortSignal }>(it: T): T {
  it.signal.addEventListener('abort', listener)
  return it
}

async function server(methods: object): Promise<string> {
  const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: 1_048_576 })
  serve(sockets, methods, { limits: { maxCalls: 4 * many } })
  await once(sockets, 'listening')
  return `ws://127.0.0.1:${(sockets.address() as AddressInfo).port}`
}

/** Both sides are in this process. */
async function call(): Promise<number> {
  let running = 0
  const methods = {
    hold(ctx: Context) {
      running++
      return new Promise<void>((resolve) => afterFunc(ctx, resolve))
    },
  }
  const remote = wrap<typeof methods>(await connect(await server(methods)))
  const ctx = withCancel(background())
  const all = (): boolean => running > many
  return bytesOf(
    () => remote.hold(ctx),
    async () => {
      while (!all()) await new Promise((resolve) => setImmediate(resolve))
    },
  )
}

async function connection(): Promise<number> {
  const url = await server({ nothing: () => 1 })
  const open: Connection[] = []
  return bytesOf(listener, async () => {
    while (open.length < many) open.push(await connect(url))
  })
}

async function exported(): Promise<number> {
  const out = link(far('ctxbridge').worker)
  return bytesOf(() => {
    const ctx = withCancel(parent)
    return [ctx, out.export(ctx)]
  })
}

/** Without the table, which is a buffer, and without the handle, which is sent. */
async function exporter(): Promise<number> {
  const out = link(far('ctxbridge').worker)
  const make = (): Context => {
    const ctx = withCancel(parent)
    out.export(ctx)
    return ctx
  }
  return bytesOf(make, undefined, ofHeap)
}

async function importer(): Promise<number> {
  const { worker } = far('ctxbridge')
  const out = link(worker)
  const contexts = Array.from({ length: many }, () => withCancel(parent))
  const bytes = await wrapWorker<Jobs>(worker).keep(
    background(),
    contexts.map((ctx) => out.export(ctx)),
  )
  if (contexts.some((ctx) => ctx.err() !== undefined)) throw new Error('They were not live.')
  return bytes
}

/** Of the shared memory alone. */
async function slots(): Promise<number> {
  const out = link(far('ctxbridge').worker)
  const { arrayBuffers: before } = process.memoryUsage()
  const all = Array.from({ length: many }, () => {
    const ctx = withCancel(parent)
    return [ctx, out.export(ctx)]
  })
  if (out.stats().slots !== all.length) throw new Error('They were not all exported.')
  return (process.memoryUsage().arrayBuffers - before) / many
}

const makers: Record<Kept, () => Promise<number>> = {
  cancel: () => bytesOf(() => withCancel(parent)),
  timeout: () => bytesOf(() => withTimeout(parent, 60_000)),
  value: () => bytesOf(() => withValue(parent, key, 'v')),
  signal: () => bytesOf(() => listened(withCancel(parent))),
  controller: () =>
    bytesOf(() => {
      const controller = new AbortController()
      return controller.signal.aborted ? undefined : controller
    }),
  'controller, listened to': () => bytesOf(() => listened(new AbortController())),
  call,
  connection,
  exported,
  exporter,
  importer,
  slots,
}

process.send?.(await makers[kept as Kept]())
process.exit()
