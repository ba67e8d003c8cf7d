/**
 * The far process of the WebSocket suites: a service of ours, and beside it a bare ws server, a bare TCP server and an HTTP server. With the ports
 * of another such process as its argument it is the gateway in front of that one.
 */
import { createServer as createHttpServer } from 'node:http'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterFunc, cause, type Context } from 'ctxbridge'
import { connect, serve, wrap } from 'ctxbridge/websocket'
import { pack, unpack } from 'msgpackr'
import { WebSocket, WebSocketServer } from 'ws'
import { now } from '../harness/clock.ts'
import { pinFar } from '../harness/pin.ts'
import type { FromProcess, Served, ToProcess } from './service-types.ts'

pinFar()
process.on('disconnect', () => process.exit())

function tell(message: FromProcess): void {
  process.send?.(message)
}
const ready = (): void => tell({ report: { ready: true } })
const seen = (at: number, name?: string, why?: string): void =>
  tell({ report: { ready: false, at, ...(name !== undefined && { name }), ...(why !== undefined && { cause: why }) } })

/** How many events are to come before one is reported: for storms. */
let expected = 1
let count = 0
let opened = 0

function countDown(): void {
  if (++count < expected) return
  const at = now()
  count = 0
  seen(at)
}

async function portOf(server: Server | WebSocketServer): Promise<number> {
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

const upstream = process.argv[2] === undefined ? undefined : (JSON.parse(process.argv[2]) as { link: number; ws: number })
const next = upstream === undefined ? undefined : wrap<Served>(await connect(`ws://127.0.0.1:${upstream.link}`))

const held = new Set<() => void>()
const expiries: Promise<[number: number, from: number, at: number]>[] = []

async function expiry(ctx: Context, number: number): Promise<[number: number, from: number, at: number]> {
  const from = now()
  const at = await new Promise<number>((resolve) => afterFunc(ctx, () => resolve(now())))
  if (ctx.err()?.name !== 'TimeoutError') throw new Error('It was no deadline that ended it.')
  return [number, from, at]
}

const methods: Served =
  next === undefined
    ? {
        watch(ctx: Context): Promise<void> {
          ctx.signal.addEventListener('abort', () => seen(now(), ctx.err()?.name ?? 'none', String(cause(ctx))), { once: true })
          ready()
          return ctx.done.then(() => undefined)
        },
        func(ctx: Context): Promise<void> {
          return new Promise((resolve) => {
            afterFunc(ctx, () => {
              seen(now(), ctx.err()?.name ?? 'none', String(cause(ctx)))
              resolve()
            })
            ready()
          })
        },
        one(ctx: Context): Promise<void> {
          afterFunc(ctx, countDown)
          if (++opened === expected) {
            opened = 0
            ready()
          }
          return ctx.done.then(() => undefined)
        },
        async expire(ctx: Context, number: number): Promise<void> {
          const one = expiry(ctx, number)
          expiries.push(one)
          await one
        },
        expired: () => Promise.all(expiries.splice(0)),
        nothing: () => 1,
        hold: () => new Promise<void>((resolve) => held.add(resolve)),
        go() {
          for (const answer of held) answer()
          held.clear()
        },
      }
    : {
        watch: (ctx: Context) => next.watch(ctx),
        func: (ctx: Context) => next.func(ctx),
        one: (ctx: Context) => next.one(ctx),
        expire: (ctx: Context, number: number) => next.expire(ctx, number),
        expired: (ctx: Context) => next.expired(ctx),
        nothing: (ctx: Context) => next.nothing(ctx) as unknown as number,
        hold: (ctx: Context) => next.hold(ctx),
        go: (ctx: Context) => next.go(ctx),
      }

const linkServer = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: 1_048_576 })
let bytes = (): number => 0
let traffic = (): number => 0
linkServer.on('connection', (_socket, { socket }) => {
  bytes = () => socket.bytesRead
  traffic = () => socket.bytesRead + socket.bytesWritten
})
serve(linkServer, methods, { limits: { maxCalls: 200_000 } })

// Text asks for an echo of msgpack; a binary frame is the event.
const wsServer = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
wsServer.on('connection', (socket, request) => {
  traffic = () => request.socket.bytesRead + request.socket.bytesWritten
  const forward =
    upstream === undefined ? undefined : new WebSocket(`ws://127.0.0.1:${upstream.ws}`, { perMessageDeflate: false })
  const open = forward === undefined ? undefined : once(forward, 'open')
  socket.on('message', (data: Buffer, isBinary) => {
    // Its next one may be a gateway as well, whose own way on is not open yet.
    if (forward !== undefined && forward.readyState !== WebSocket.OPEN)
      void open?.then(() => forward.send(data, { binary: isBinary }))
    else if (forward !== undefined) forward.send(data, { binary: isBinary })
    else if (!isBinary) ready()
    else if (data[0] === 0x93) socket.send(pack([(unpack(data) as number[])[1], 1]))
    else countDown()
  })
  forward?.once('open', () => socket.send('open'))
  socket.on('close', () => forward?.close())
})

// A byte of 0 asks whether it is ready, one of 1 is the event.
const tcpServer = createServer((socket) => {
  socket.setNoDelay(true).on('data', (data) => {
    if (data[0] === 0) ready()
    else seen(now())
  })
})
tcpServer.listen(0, '127.0.0.1')

const httpServer = createHttpServer((_request, response) => {
  response.on('close', () => seen(now()))
  ready()
})
httpServer.listen(0, '127.0.0.1')

process.on('message', (order: ToProcess) => {
  if ('expect' in order) {
    expected = order.expect
    count = 0
    opened = 0
    ready()
  } else if (order.ask === 'clock') tell({ clock: now() })
  else tell({ bytes: order.ask === 'bytes' ? bytes() : traffic() })
})
// All at once, since they may be listening by the time that the first has said so.
const [link = 0, ws = 0, tcp = 0, http = 0] = await Promise.all([linkServer, wsServer, tcpServer, httpServer].map(portOf))
tell({ ports: { link, ws, tcp, http } })
