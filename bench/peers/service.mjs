// What other libraries do between processes.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { versionOf } from './worker.mjs'

async function far({ Reports, pinUrl }, role) {
  const child = fork(new URL('far-service.mjs', import.meta.url), [role, pinUrl], { execArgv: [] })
  const reports = new Reports()
  const exited = once(child, 'exit')
  let closing = false
  void exited.then(() => closing || reports.fail(new Error('The far process has exited.')))
  const [{ port }] = await once(child, 'message')
  child.on('message', ({ report }) => reports.add(report))
  return {
    port,
    reports,
    async close() {
      closing = true
      child.disconnect()
      await exited
    },
  }
}

export const cancel = (kit) => [
  kit.latency({
    name: 'grpc-js, call.cancel()',
    kind: 'peer',
    note: `@grpc/grpc-js ${versionOf('@grpc/grpc-js')}: carries no cause`,
    async start() {
      const grpc = await import('@grpc/grpc-js')
      const { definition } = await import('./grpc-definition.mjs')
      const it = await far(kit, 'grpc')
      const Client = grpc.makeGenericClientConstructor(definition, 'Bench')
      const client = new Client(`127.0.0.1:${it.port}`, grpc.credentials.createInsecure())
      return {
        reports: it.reports,
        arm() {
          let over
          const settled = new Promise((resolve) => (over = resolve))
          const call = client.watch(Buffer.of(1), () => over())
          return () => {
            call.cancel()
            return settled
          }
        },
        async close() {
          client.close()
          await it.close()
        },
      }
    },
  }),
  kit.latency({
    name: 'tRPC over WebSocket, unsubscribe()',
    kind: 'peer',
    note: `@trpc/server ${versionOf('@trpc/server')}, a subscription; what a query's signal aborts is not told to the server`,
    async start() {
      const { createTRPCClient, createWSClient, wsLink } = await import('@trpc/client')
      const { WebSocket } = await import('ws')
      const it = await far(kit, 'trpc')
      const socket = createWSClient({ url: `ws://127.0.0.1:${it.port}`, WebSocket })
      const client = createTRPCClient({ links: [wsLink({ client: socket })] })
      return {
        reports: it.reports,
        arm() {
          const subscription = client.watch.subscribe(undefined, { onData: () => {} })
          return () => subscription.unsubscribe()
        },
        async close() {
          await socket.close()
          await it.close()
        },
      }
    },
  }),
  kit.latency({
    name: 'socket.io, an event by hand',
    kind: 'peer',
    note: `socket.io ${versionOf('socket.io')}: it has no calls, so the cancel is a message of one's own`,
    carries: { cause: 'proof' },
    async start() {
      const { io } = await import('socket.io-client')
      const it = await far(kit, 'socket.io')
      const socket = io(`http://127.0.0.1:${it.port}`, { transports: ['websocket'] })
      await new Promise((resolve) => socket.once('connect', resolve))
      let id = 0
      return {
        reports: it.reports,
        arm() {
          const mine = ++id
          socket.emit('watch', mine)
          return (cause) => void socket.emit('cancel', mine, cause)
        },
        async close() {
          socket.close()
          await it.close()
        },
      }
    },
  }),
  kit.latency({
    name: 'vscode-jsonrpc over a socket',
    kind: 'peer',
    note: `vscode-jsonrpc ${versionOf('vscode-jsonrpc')}: $/cancelRequest over TCP; carries no cause`,
    async start() {
      const rpc = await import('vscode-jsonrpc/node')
      const { connect } = await import('node:net')
      const it = await far(kit, 'jsonrpc')
      const socket = connect(it.port, '127.0.0.1').setNoDelay(true)
      await once(socket, 'connect')
      const connection = rpc.createMessageConnection(new rpc.StreamMessageReader(socket), new rpc.StreamMessageWriter(socket))
      connection.listen()
      return {
        reports: it.reports,
        arm() {
          const source = new rpc.CancellationTokenSource()
          const call = connection.sendRequest('watch', source.token).catch(() => {})
          return () => {
            source.cancel()
            return call
          }
        },
        async close() {
          connection.dispose()
          socket.destroy()
          await it.close()
        },
      }
    },
  }),
  {
    name: 'connect',
    kind: 'peer',
    cannot: 'Its current version needs Node 22, and its cancel is one of HTTP/2 as that of grpc-js; not written yet.',
  },
]
