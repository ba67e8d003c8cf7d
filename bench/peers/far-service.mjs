// The far side of the contenders of service.mjs: listens, says where, and reports what it sees.
const [, , role, pinUrl] = process.argv
const { pinFar } = await import(pinUrl)
pinFar()
process.on('disconnect', () => process.exit())

const now = () => Number(process.hrtime.bigint())
const report = (report) => process.connected && process.send({ report })

/** So many calls are reported as one: when all are open, and when the last one has ended. */
let expected = 1
let [open, ended] = [0, 0]
const ready = () => {
  if (++open < expected) return
  open = 0
  report({ ready: true })
}
const seen = (cause) => {
  if (++ended < expected) return
  const at = now()
  ended = 0
  report({ ready: false, at, ...(cause !== undefined && { cause }) })
}
process.on('message', (order) => {
  expected = order.expect
  open = 0
  ended = 0
  report({ ready: true })
})

/** Calls that are to live through what happens to others on the same connection. */
const held = new Set()
const hold = () => new Promise((resolve) => held.add(resolve))
const go = () => {
  for (const resolve of held) resolve()
  held.clear()
}

/** Each resolves with the port at which it listens. */
const roles = {
  async grpc() {
    const grpc = await import('@grpc/grpc-js')
    const { definition } = await import('./grpc-definition.mjs')
    const server = new grpc.Server()
    const empty = Buffer.alloc(0)
    server.addService(definition, {
      watch(call) {
        call.on('cancelled', () => seen())
        ready()
      },
      hold: (_call, answer) => void hold().then(() => answer(null, empty)),
      go(_call, answer) {
        go()
        answer(null, empty)
      },
    })
    return new Promise((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
        if (error) reject(error)
        else resolve(port)
      })
    })
  },

  async connect() {
    const { createServer } = await import('node:http2')
    const { connectNodeAdapter } = await import('@connectrpc/connect-node')
    const { Bench, nothing } = await import('./connect-definition.mjs')
    const watch = (_request, { signal }) =>
      new Promise((resolve) => {
        signal.addEventListener(
          'abort',
          () => {
            seen()
            resolve(nothing())
          },
          { once: true },
        )
        ready()
      })
    const routes = (router) =>
      router.service(Bench, {
        watch,
        hold: () => hold().then(nothing),
        go() {
          go()
          return nothing()
        },
      })
    return listening(createServer(connectNodeAdapter({ routes })))
  },

  async trpc() {
    const { initTRPC } = await import('@trpc/server')
    const { applyWSSHandler } = await import('@trpc/server/adapters/ws')
    const { WebSocketServer } = await import('ws')
    const t = initTRPC.create()
    const router = t.router({
      watch: t.procedure.subscription(async function* ({ signal }) {
        const end = new Promise((resolve) => {
          signal.addEventListener(
            'abort',
            () => {
              seen()
              resolve()
            },
            { once: true },
          )
        })
        ready()
        await end
        yield 1
      }),
      hold: t.procedure.query(() => hold().then(() => 1)),
      go: t.procedure.mutation(() => go()),
    })
    const wss = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    applyWSSHandler({ wss, router, createContext: () => ({}) })
    return new Promise((resolve) => wss.once('listening', () => resolve(wss.address().port)))
  },

  async 'socket.io'() {
    const { createServer } = await import('node:http')
    const { Server } = await import('socket.io')
    const http = createServer()
    new Server(http).on('connection', (socket) => {
      const watched = new Set()
      socket.on('watch', (id) => {
        watched.add(id)
        ready()
      })
      socket.on('cancel', (id, cause) => {
        if (watched.delete(id)) seen(cause)
      })
      socket.on('hold', (answer) => void hold().then(answer))
      socket.on('go', (answer) => {
        go()
        answer()
      })
    })
    return listening(http)
  },

  async jsonrpc() {
    const { createServer } = await import('node:net')
    const rpc = await import('vscode-jsonrpc/node')
    return listening(
      createServer((socket) => {
        socket.setNoDelay(true)
        const connection = rpc.createMessageConnection(new rpc.StreamMessageReader(socket), new rpc.StreamMessageWriter(socket))
        connection.onRequest(
          'watch',
          (token) =>
            new Promise((resolve) => {
              token.onCancellationRequested(() => {
                seen()
                resolve(null)
              })
              ready()
            }),
        )
        connection.onRequest('hold', () => hold().then(() => null))
        connection.onRequest('go', () => {
          go()
          return null
        })
        connection.listen()
      }),
    )
  },
}

function listening(server) {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
}

process.send({ port: await roles[role]() })
