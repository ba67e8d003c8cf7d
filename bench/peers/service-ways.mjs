// How other libraries cancel a call in another process. Each way connects to the far process, and gives
// watch(): the call's cancel(cause), which returns what is to be awaited; hold(): a call that is answered after go(); go(); close().
import { once } from 'node:events'
import { versionOf } from './worker.mjs'

/** HTTP/2's guard against rapid resets: from some thousand cancels on in a short time, a server ends the connection. */
const perConnection = 250
const guarded = `a new connection for each ${perConnection} events: Node's HTTP/2 server ends one that has seen some 1,000 cancels`

const grpc = {
  name: 'grpc-js, call.cancel()',
  role: 'grpc',
  note: `@grpc/grpc-js ${versionOf('@grpc/grpc-js')}: carries no cause; ${guarded}`,
  perConnection,
  async connect(port) {
    const grpc = await import('@grpc/grpc-js')
    const { definition } = await import('./grpc-definition.mjs')
    const Client = grpc.makeGenericClientConstructor(definition, 'Bench')
    // Clients of one address would share a connection.
    const client = new Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
    const call = (name) =>
      new Promise((resolve, reject) => {
        client[name](Buffer.of(1), (error, value) => (error ? reject(error) : resolve(value)))
      })
    return {
      watch() {
        let over
        const settled = new Promise((resolve) => (over = resolve))
        const call = client.watch(Buffer.of(1), () => over())
        return () => {
          call.cancel()
          return settled
        }
      },
      hold: () => call('hold'),
      go: () => call('go'),
      close: () => client.close(),
    }
  },
}

/** Ready made: without one the platform would make an error, with its stack, for each abort. */
const reason = new Error('a reason')

const connect = {
  name: 'connect, an AbortSignal',
  role: 'connect',
  note: `@connectrpc/connect ${versionOf('@connectrpc/connect')} over HTTP/2, the last version for Node 20: carries no cause; ${guarded}`,
  perConnection,
  async connect(port) {
    const { createClient } = await import('@connectrpc/connect')
    const { createConnectTransport, Http2SessionManager } = await import('@connectrpc/connect-node')
    const { Bench } = await import('./connect-definition.mjs')
    const baseUrl = `http://127.0.0.1:${port}`
    const sessionManager = new Http2SessionManager(baseUrl)
    const client = createClient(Bench, createConnectTransport({ baseUrl, httpVersion: '2', sessionManager }))
    return {
      watch() {
        const controller = new AbortController()
        const call = client.watch({}, { signal: controller.signal }).catch(() => {})
        return () => {
          controller.abort(reason)
          return call
        }
      },
      hold: () => client.hold({}),
      go: () => client.go({}),
      close: () => sessionManager.abort(),
    }
  },
}

const trpc = {
  name: 'tRPC over WebSocket, unsubscribe()',
  role: 'trpc',
  note: `@trpc/server ${versionOf('@trpc/server')}, a subscription; what a query's signal aborts is not told to the server`,
  async connect(port) {
    const { createTRPCClient, createWSClient, wsLink } = await import('@trpc/client')
    const { WebSocket } = await import('ws')
    const socket = createWSClient({ url: `ws://127.0.0.1:${port}`, WebSocket })
    const client = createTRPCClient({ links: [wsLink({ client: socket })] })
    return {
      watch() {
        const subscription = client.watch.subscribe(undefined, { onData: () => {}, onError: () => {} })
        return () => subscription.unsubscribe()
      },
      hold: () => client.hold.query(),
      go: () => client.go.mutate(),
      close: () => socket.close(),
    }
  },
}

const socketIo = {
  name: 'socket.io, an event by hand',
  role: 'socket.io',
  note: `socket.io ${versionOf('socket.io')}: it has no calls, so the cancel is a message of one's own`,
  carries: { cause: 'proof' },
  async connect(port) {
    const { io } = await import('socket.io-client')
    const socket = io(`http://127.0.0.1:${port}`, { transports: ['websocket'], forceNew: true })
    await new Promise((resolve) => socket.once('connect', resolve))
    let id = 0
    return {
      watch() {
        const mine = ++id
        socket.emit('watch', mine)
        return (cause) => void socket.emit('cancel', mine, cause)
      },
      hold: () => socket.emitWithAck('hold'),
      go: () => socket.emitWithAck('go'),
      close: () => socket.close(),
    }
  },
}

const jsonrpc = {
  name: 'vscode-jsonrpc over a socket',
  role: 'jsonrpc',
  note: `vscode-jsonrpc ${versionOf('vscode-jsonrpc')}: $/cancelRequest over TCP; carries no cause`,
  async connect(port) {
    const rpc = await import('vscode-jsonrpc/node')
    const { connect } = await import('node:net')
    const socket = connect(port, '127.0.0.1').setNoDelay(true)
    await once(socket, 'connect')
    const connection = rpc.createMessageConnection(new rpc.StreamMessageReader(socket), new rpc.StreamMessageWriter(socket))
    connection.listen()
    return {
      watch() {
        const source = new rpc.CancellationTokenSource()
        const call = connection.sendRequest('watch', source.token).catch(() => {})
        return () => {
          source.cancel()
          return call
        }
      },
      hold: () => connection.sendRequest('hold'),
      go: () => connection.sendRequest('go'),
      close() {
        connection.dispose()
        socket.destroy()
      },
    }
  },
}

export const ways = [grpc, connect, trpc, socketIo, jsonrpc]
