/**
 * The service between a page and a worker thread: serves the page, cross-origin isolated so that its clock is a fine one; passes contexts on to its
 * worker; and beside that passes bare frames on, as a flag to a worker that polls it, or as a message on a port.
 */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo } from 'node:net'
import { MessageChannel } from 'node:worker_threads'
import type { Context } from 'ctxbridge'
import { serve } from 'ctxbridge/websocket'
import { wrap } from 'ctxbridge/worker'
import { type WebSocket, WebSocketServer } from 'ws'
import { projectFile } from '../cases/paths.ts'
import { far } from '../cases/worker-far.ts'
import { now } from '../harness/clock.ts'
import { unpin } from '../harness/pin.ts'
import type { Report, Reports } from '../harness/reports.ts'
import type { FromPage, PageServed, ToPage } from './page-types.ts'
import type { How, Jobs } from './worker-jobs.ts'

unpin()
process.on('disconnect', () => process.exit())

const imports = {
  ctxbridge: '/dist/lib/index.js',
  'ctxbridge/websocket': '/dist/transports/websocket/browser.js',
  msgpackr: '/node_modules/msgpackr/index.js',
}
const page = `<!doctype html><title>bench</title><script type="importmap">${JSON.stringify({ imports })}</script><script type="module" src="/.build/bench/far/page.js"></script>`
/** What the page may load. */
const allowed = /^\/(dist|\.build\/bench|node_modules\/msgpackr)\/[\w./-]+\.js$/

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost')
  response.setHeader('Cross-Origin-Opener-Policy', 'same-origin').setHeader('Cross-Origin-Embedder-Policy', 'require-corp')
  if (pathname === '/') return response.setHeader('Content-Type', 'text/html').end(page)
  if (!allowed.test(pathname)) return response.writeHead(404).end()
  try {
    const text = await readFile(projectFile(pathname.slice(1)))
    return response.setHeader('Content-Type', 'text/javascript').end(text)
  } catch {
    return response.writeHead(404).end()
  }
})

let socket: WebSocket | undefined
const tell = (message: ToPage): void => socket?.send(JSON.stringify(message))

/** Passes on all that a worker reports. */
async function forward(reports: Reports): Promise<never> {
  for (;;) {
    await reports.ready()
    tell({ report: { ready: true } })
    const seen: Report = await reports.seen()
    tell({ report: seen })
  }
}

const [ours, busy, idle] = [far('ctxbridge'), far('atomics-flag'), far('message-port')]
for (const { reports } of [ours, busy, idle]) void forward(reports)

const jobs = wrap<Jobs>(ours.worker)
const methods: PageServed = { watch: (ctx: Context, how: How) => jobs.watch(ctx, how) as unknown as void }
const links = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 1_048_576 })
serve(links, methods)

const bare = new WebSocketServer({ noServer: true, perMessageDeflate: false })
const { port1, port2 } = new MessageChannel()
let cause = (): void => {}

function arm(what: 'busy' | 'idle', first: boolean): void {
  if (what === 'busy') {
    cause = () => void Atomics.store(busy.words, 0, 1)
    busy.worker.postMessage({})
    return
  }
  cause = () => port1.postMessage(1)
  if (first) idle.worker.postMessage({ port: port2 }, [port2])
  else idle.worker.postMessage({})
}

let first = true
bare.on('connection', (connected) => {
  socket = connected
  connected.on('message', (data: Buffer, isBinary) => {
    if (isBinary) return cause()
    const order = JSON.parse(data.toString()) as FromPage
    if ('ask' in order) return tell({ clock: now() })
    arm(order.arm, first)
    if (order.arm === 'idle') first = false
  })
})

server.on('upgrade', (request, stream, head) => {
  const target = request.url === '/bare' ? bare : links
  target.handleUpgrade(request, stream, head, (connected) => target.emit('connection', connected, request))
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
process.send?.({ port: (server.address() as AddressInfo).port })
