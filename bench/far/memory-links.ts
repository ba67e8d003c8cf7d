/** What calls and connections take. Both sides are in this process. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterFunc, background, type Context, withCancel } from 'ctxbridge'
import { connect, type Connection, serve, wrap } from 'ctxbridge/websocket'
import { WebSocketServer } from 'ws'
import { bytesOf, many } from './bytes-of.ts'

async function server(methods: object): Promise<string> {
  const sockets = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: 1_048_576 })
  serve(sockets, methods, { limits: { maxCalls: 4 * many } })
  await once(sockets, 'listening')
  return `ws://127.0.0.1:${(sockets.address() as AddressInfo).port}`
}

export async function call(): Promise<number> {
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

export async function connection(): Promise<number> {
  const url = await server({ nothing: () => 1 })
  const open: Connection[] = []
  return bytesOf(
    () => {},
    async () => {
      while (open.length < many) open.push(await connect(url))
    },
  )
}
