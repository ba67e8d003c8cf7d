/**
 * `npm run example:browser`: a page with a Start and a Stop button, for work that is done three hops away.
 *
 *     page  ──WebSocket──  gateway  ──WebSocket──  service  ──shared memory──  worker thread
 *
 * This process is the gateway. It serves the page, and holds no more of a search than its context.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import { cause, LinkLostError } from 'ctxbridge'
import { connect, serve, wrap } from 'ctxbridge/websocket'
import { WebSocketServer } from 'ws'
import { sendFile } from './files.ts'
import { endOf, type Hop, type Searcher } from './work.ts'

const { values } = parseArgs({ options: { port: { type: 'string', default: '8080' } } })

// By a URL, since a child needs no more of us than its end when we end.
const child = fork(new URL('./service.js', import.meta.url))
const [port] = (await once(child, 'message')) as [number]
const service = wrap<Searcher>(await connect(`ws://127.0.0.1:${port}`, { name: 'gateway' }))
const hops = new Map<string, Hop>()

const searcher: Searcher = {
  async *count(ctx, id) {
    ctx.signal.addEventListener('abort', () => {
      hops.set(id, endOf('gateway', ctx))
      // Nobody is left who could ask how it ended.
      if (!(cause(ctx) instanceof LinkLostError)) return
      hops.delete(id)
      process.stdout.write('A tab has gone: its search is stopped in the service and in the worker thread.\n')
    })
    // A loop that is left, by whatever end, leaves the next one.
    yield* service.count(ctx, id)
  },

  async stopped(ctx, id) {
    try {
      const stopped = await service.stopped(ctx, id)
      const own = hops.get(id)
      return { ...stopped, hops: own === undefined ? stopped.hops : [own, ...stopped.hops] }
    } finally {
      hops.delete(id)
    }
  },

  running: (ctx) => service.running(ctx),

  echo: (ctx, x) => service.echo(ctx, x),
}

const http = createServer((request, response) => void sendFile(request, response))
const sockets = new WebSocketServer({ server: http, perMessageDeflate: false, maxPayload: 65_536 })
// Whoever forgets to set a deadline has ten minutes.
serve(sockets, searcher, { name: 'gateway', maxTimeout: 600_000 })

http.on('error', (error: NodeJS.ErrnoException) => {
  const why =
    error.code === 'EADDRINUSE'
      ? `Port ${values.port} is in use. Give another one with --port, or 0 for a free one.`
      : error.message
  process.stderr.write(`${why}\n`)
  process.exit(1)
})
http.listen(Number(values.port), '127.0.0.1', () => {
  process.stdout.write(`Open http://127.0.0.1:${(http.address() as AddressInfo).port}/ and press Start. Ctrl-C ends.\n`)
})
child.on('exit', () => process.exit(1))
