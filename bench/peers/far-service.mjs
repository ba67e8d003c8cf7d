// The far side of the contenders of service.mjs: listens, says where, and reports what it sees.
const [, , role, pinUrl] = process.argv
const { pinFar } = await import(pinUrl)
pinFar()
process.on('disconnect', () => process.exit())

const now = () => Number(process.hrtime.bigint())
const seen = (cause) =>
  process.connected && process.send({ report: { ready: false, at: now(), ...(cause !== undefined && { cause }) } })
const ready = () => process.send({ report: { ready: true } })
const listening = (port) => process.send({ port })

if (role === 'grpc') {
  const grpc = await import('@grpc/grpc-js')
  const { definition } = await import('./grpc-definition.mjs')
  const server = new grpc.Server()
  server.addService(definition, {
    watch(call) {
      call.on('cancelled', () => seen())
      ready()
    },
  })
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error
    listening(port)
  })
} else if (role === 'trpc') {
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
  })
  const wss = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  applyWSSHandler({ wss, router, createContext: () => ({}) })
  wss.once('listening', () => listening(wss.address().port))
} else if (role === 'socket.io') {
  const { createServer } = await import('node:http')
  const { Server } = await import('socket.io')
  const http = createServer()
  const io = new Server(http)
  io.on('connection', (socket) => {
    const watched = new Set()
    socket.on('watch', (id) => {
      watched.add(id)
      ready()
    })
    socket.on('cancel', (id, cause) => {
      if (watched.delete(id)) seen(cause)
    })
  })
  http.listen(0, '127.0.0.1', () => listening(http.address().port))
} else {
  const { createServer } = await import('node:net')
  const rpc = await import('vscode-jsonrpc/node')
  const server = createServer((socket) => {
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
    connection.listen()
  })
  server.listen(0, '127.0.0.1', () => listening(server.address().port))
}
