/** Connecting, and calls over sockets of this process. */
import {
  background,
  BridgeError,
  type Context,
  createKey,
  isDeadlineExceeded,
  LinkLostError,
  withCancel,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { connect, type Connection, type ConnectOptions, serve, type ServeSettings, wrap } from 'ctxbridge/websocket'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { inspect } from 'node:util'
import { describe, expect, it, onTestFinished, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { turn } from '../support/gc.ts'
import { holding, idle, local, rejection, until } from './support.ts'

interface Methods {
  echo<T>(ctx: Context, value: T): T
  hold(ctx: Context): Promise<void>
}

/** A server that speaks WebSocket, and then does as it is told. */
async function plain(onConnection: (socket: import('ws').WebSocket) => void): Promise<{ url: string; server: WebSocketServer }> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  onTestFinished(() => {
    server.close()
    for (const socket of server.clients) socket.terminate()
  })
  server.on('connection', onConnection)
  await once(server, 'listening')
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

describe('connect', () => {
  it('resolves when the server has greeted, with its name', async () => {
    const { url, service } = await local({ f: () => 1 }, { name: 'reports' })
    const connection = await connect(url, { name: 'me' })
    expect(connection.peerName).toBe('reports')
    expect(connection.stats()).toEqual({
      state: 'open',
      calls: 0,
      handlers: 0,
      waiting: 0,
      exports: 0,
      imports: 0,
      queued: 0,
      late: 0,
    })
    await until(() => service.connections.size === 1)
    expect([...service.connections][0]?.peerName).toBe('me')
    connection.close()
    await idle(service)
    expect(service.connections.size).toBe(0)
  })

  it('closes what it opened at the end of a block', async () => {
    const { url, service } = await local({ f: () => 1 })
    let closed: Promise<unknown>
    {
      using connection = await connect(url)
      closed = connection.closed
    }
    expect(await closed).toMatchObject({ code: 'ERR_LINK_LOST', message: 'The link was closed on this side.' })
    await idle(service)
  })

  it('rejects where nobody is', async () => {
    const { url, server } = await plain(() => {})
    server.close()
    await once(server, 'close')
    await expect(connect(url)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  it('rejects where an HTTP server speaks no WebSocket', async () => {
    const server = createServer((_request, response) => response.end('hello')).listen(0, '127.0.0.1')
    onTestFinished(() => void server.close())
    await once(server, 'listening')
    const error = await rejection(connect(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`))
    expect(error).toBeInstanceOf(BridgeError)
    expect(error).toMatchObject({
      code: 'ERR_REFUSED',
      status: 200,
      message: 'The server answered with the status 200, and opened no WebSocket.',
    })
  })

  it('rejects with a LinkLostError, whose cause is what ws says, where the answer to the upgrade is of no use', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    server.on('upgrade', (_request, socket) => {
      const head = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
      socket.end(`${head}Sec-WebSocket-Accept: not the one\r\n\r\n`)
    })
    onTestFinished(() => void server.close())
    await once(server, 'listening')
    const error = await rejection(connect(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`))
    expect(error).toBeInstanceOf(LinkLostError)
    const cause = { message: 'Invalid Sec-WebSocket-Accept header' }
    expect(error).toMatchObject({ code: 'ERR_LINK_LOST', message: `The WebSocket could not be opened: ${cause.message}.`, cause })
  })

  it.each<[string, string | Uint8Array, string]>([
    ['text', 'hello', 'message: not binary'],
    ['other bytes', new Uint8Array([1, 2, 3]), 'message: '],
  ])('says that a server does not speak the protocol, which greets with %s', async (_name, greeting, reason) => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    server.on('connection', (socket) => socket.send(greeting))
    await once(server, 'listening')
    const error = await rejection(connect(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`))
    expect(error).toBeInstanceOf(LinkLostError)
    expect(String(error)).toContain(`The other side does not speak the protocol of ctxbridge (${reason}`)
    expect(error).toMatchObject({ cause: { code: 'ERR_PROTOCOL' } })
    server.close()
  })

  it('rejects with the end of its context: before it, while it connects, and while it waits for a greeting', async () => {
    const ended = withCancel(background())
    ended.cancel('before')
    expect(await rejection(connect('ws://127.0.0.1:1', { context: ended }))).toBe(ended.err())

    // Takes connections and never answers the upgrade.
    const deaf = createTcpServer().listen(0, '127.0.0.1')
    await once(deaf, 'listening')
    const connecting = withCancel(background())
    const result = rejection(connect(`ws://127.0.0.1:${(deaf.address() as AddressInfo).port}`, { context: connecting }))
    const [socket] = (await once(deaf, 'connection')) as [import('node:net').Socket]
    connecting.cancel('during')
    expect(await result).toBe(connecting.err())
    await once(socket.resume(), 'close')
    deaf.close()
    await once(deaf, 'close')

    const { url, server } = await plain(() => {})
    const error = await rejection(connect(url, { context: withTimeout(background(), 50) }))
    expect(isDeadlineExceeded(error)).toBe(true)
    await until(() => server.clients.size === 0)
  })

  it('leaves no socket where its context ends at about the moment in which it opens', async () => {
    const { url, server } = await plain(() => {})
    for (let turns = 0; turns < 8; turns++) {
      const context = withCancel(background())
      const connection = once(server, 'connection')
      const result = rejection(connect(url, { context }))
      const [socket] = (await connection) as [import('ws').WebSocket]
      socket.on('error', () => {})
      for (let i = 0; i < turns; i++) await turn()
      context.cancel()
      expect(await result).toBe(context.err())
      await until(() => server.clients.size === 0)
    }
  })

  it.each<[string, (socket: import('ws').WebSocket) => void, string]>([
    ['text', (socket) => socket.send('hello'), 'not binary'],
    ['another protocol', (socket) => socket.send(new Uint8Array([1, 2, 3])), 'more than one value'],
    ['another version', (socket) => socket.send(new Uint8Array([0x91, 0x92, 1, 2])), 'version 2 is not spoken here, 1 is'],
    ['a close', (socket) => socket.close(4321, 'go away'), 'code 4321 and the reason "go away"'],
    ['nothing, and hangs up', (socket) => socket.terminate(), 'broke'],
  ])('rejects where the peer sends %s', async (_name, act, reason) => {
    const { url, server } = await plain((socket) => {
      socket.on('error', () => {})
      act(socket)
    })
    const error = await rejection(connect(url))
    expect(error).toMatchObject({
      name: 'LinkLostError',
      code: 'ERR_LINK_LOST',
      message: expect.stringContaining(reason) as string,
    })
    await until(() => server.clients.size === 0)
  })

  it('does nothing when its context ends later', async () => {
    const { url } = await local({ echo: (_ctx: Context, x: unknown) => x })
    const context = withCancel(background())
    const connection = await connect(url, { context })
    context.cancel()
    expect(await wrap<Methods>(connection).echo(background(), 1)).toBe(1)
    connection.close()
  })

  it('throws at once where it is misused', () => {
    const wrong = (options: unknown) => () => connect('ws://127.0.0.1:1', options as ConnectOptions)
    expect(() => connect('nonsense')).toThrow(/^connect\(\) needs a URL such as .* but got "nonsense"\.$/)
    expect(() => connect(undefined as never)).toThrow('but got undefined.')
    expect(() => connect('ftp://example.com')).toThrow(TypeError)
    expect(() => connect(new URL('file:///etc'))).toThrow('but got "file:///etc".')
    expect(wrong({ reconect: false })).toThrow('connect() knows no option of the name "reconect".')
    expect(wrong({ constructor: 1 })).toThrow(TypeError)
    expect(wrong([])).toThrow(TypeError)
    for (const name of ['lease', 'limits']) {
      for (const value of [5, null, 'x', []])
        expect(wrong({ [name]: value })).toThrow(`needs its option '${name}' to be an object`)
    }
    expect(wrong({ limits: { constructor: 1 } })).toThrow(TypeError)
    expect(wrong({ lease: { toString: 1 } })).toThrow(TypeError)
    for (const headers of [
      5,
      null,
      'x',
      ['x', 'y'],
      new Map(),
      { a: 1 },
      { a: undefined },
      { 'a b': 'c' },
      { a: 'b\r\nc: d' },
      { '': 'x' },
    ]) {
      expect(wrong({ headers })).toThrow(/^connect\(\) needs headers /)
    }
    expect(wrong({ headers: { authorization: 'the secret\n' } })).not.toThrow('secret')
    expect(wrong({ agent: {} })).toThrow(TypeError)
    expect(wrong(null)).toThrow(TypeError)
    expect(wrong({ context: {} })).toThrow(TypeError)
    expect(wrong({ name: 'x'.repeat(257) })).toThrow(TypeError)
    expect(wrong({ name: '\ud800' })).toThrow(TypeError)
    expect(wrong({ name: 1 })).toThrow(TypeError)
    expect(wrong({ keys: [createKey('x')] })).toThrow(TypeError)
    expect(wrong({ keys: 1 })).toThrow(TypeError)
    expect(wrong({ limits: { maxMessage: 1_023 } })).toThrow(TypeError)
    expect(wrong({ limits: { maxCalls: 1.5 } })).toThrow(TypeError)
    expect(wrong({ limits: { maxBacklog: 65_535 } })).toThrow('maxBacklog to be a whole number of at least 65536')
    expect(wrong({ limits: { maxFoo: 1 } })).toThrow(TypeError)
    expect(wrong({ serve: {} })).toThrow(TypeError)
    expect(
      wrong({
        serve: new (class {
          f() {}
        })(),
      }),
    ).toThrow(TypeError)
    expect(() => wrap({} as Connection)).toThrow(TypeError)
    expect(() => wrap(null as never)).toThrow(TypeError)
  })
})

describe('serve', () => {
  it('throws at once where it is misused', async () => {
    const { server } = await plain(() => {})
    expect(() => serve({} as WebSocketServer, { f: () => 1 })).toThrow(TypeError)
    expect(() => serve(null as never, { f: () => 1 })).toThrow(TypeError)
    expect(() => serve(server, {})).toThrow(TypeError)
    expect(() => serve(server, null as never)).toThrow(TypeError)
    expect(() => serve(server, { f: () => 1 }, { name: 1 as never })).toThrow(TypeError)
    const wrong = (settings: unknown) => () => serve(server, { f: () => 1 }, settings as ServeSettings)
    expect(wrong({ allowedOrigin: '*' })).toThrow('serve() knows no option of the name "allowedOrigin".')
    expect(wrong({ reconnect: true })).toThrow(TypeError)
    expect(wrong({ identity: createKey('user') })).toThrow(TypeError)
    expect(wrong({ identity: {}, authorize: () => 1 })).toThrow(TypeError)
    const user = createKey<string>('user', { portable: { encode: (x) => x, decode: String } })
    expect(wrong({ identity: user, keys: [user], authorize: () => 1 })).toThrow(TypeError)
    const origins: [string, string][] = [
      ['https://example.com/', '"https://example.com"'],
      ['https://Example.com', '"https://example.com"'],
      ['https://example.com:443', '"https://example.com"'],
      ['https://example.com/app?x=1', '"https://example.com"'],
      ['example.com', 'a scheme, a host'],
      ['localhost:3000', 'a scheme, a host'],
      ['*', 'a scheme, a host'],
      ['', 'a scheme, a host'],
      ['chrome-extension://abc/', '"chrome-extension://abc"'],
    ]
    for (const [origin, hint] of origins) expect(wrong({ allowedOrigins: [origin] })).toThrow(hint)
    expect(server.listenerCount('connection')).toBe(1)
  })

  it('serves a server once at a time', async () => {
    const { url, server, service } = await local({ echo: () => 'old' })
    expect(() => serve(server, { echo: () => 'new' })).toThrow(/^serve\(\) needs a server that is not served yet/)
    const connection = await connect(url)
    expect(await wrap<Methods>(connection).echo(background(), '')).toBe('old')
    service.close()
    const again = serve(server, { echo: () => 'new' })
    // One that is closed twice does nothing to the next.
    service.close()
    expect(() => serve(server, { echo: () => 'newest' })).toThrow(TypeError)
    again.close()
  })

  it('tells its peers the smaller one of its own limit and that of the server', async () => {
    const { url } = await local({ echo: (_ctx: Context, x: unknown) => x }, {}, { maxPayload: 10_000 })
    const connection = await connect(url)
    const methods = wrap<Methods>(connection)
    await expect(methods.echo(background(), 'x'.repeat(10_000))).rejects.toMatchObject({ code: 'ERR_LIMIT' })
    expect(await methods.echo(background(), 'x'.repeat(9_800))).toHaveLength(9_800)
    connection.close()
  })

  it('can be closed and served anew on the same server', async () => {
    const { url, server, service } = await local({ echo: () => 'old' })
    service.close()
    const again = serve(server, { echo: () => 'new' })
    const connection = await connect(url)
    expect(await wrap<Methods>(connection).echo(background(), '')).toBe('new')
    expect(server.listenerCount('connection')).toBe(1)
    again.close()
    expect(await connection.closed).toMatchObject({ message: expect.stringContaining('code 1000') as string })
  })

  it.each([
    [undefined, /^TypeError: no$/],
    [false, /^TypeError: no$/],
    [true, /^TypeError: no\n {4}at .*connect\.test\.ts/],
  ])('sends the stacks of errors where its option says so: %s', async (stacks, expected) => {
    const fail = (): never => {
      throw new TypeError('no')
    }
    const { url } = await local({ fail }, stacks === undefined ? {} : { stacks })
    const connection = await connect(url)
    const error = await rejection(wrap<{ fail(ctx: Context): void }>(connection).fail(background()))
    expect((error as Error).stack).toMatch(expected)
    connection.close()
    await expect(local({ fail }, { stacks: 1 as never })).rejects.toThrow(TypeError)
  })

  it('lets what a handler answered in the turn of the close arrive', async () => {
    const { url, service } = await local({ echo: (_ctx: Context, x: unknown) => x, hold: () => new Promise(() => {}) })
    const connection = await connect(url)
    const methods = wrap<Methods & { stop(ctx: Context): void }>(connection)
    const results = [methods.echo(background(), 1), rejection(methods.hold(background()))]
    expect(await results[0]).toBe(1)
    service.close()
    expect(await results[1]).toMatchObject({ code: 'ERR_LINK_LOST' })
  })
})

describe('one socket', () => {
  it('carries calls in both directions, and a context from one to the other and back', async () => {
    const { hold, contexts, started } = holding()
    let connections: ReadonlySet<Connection> = new Set()
    const { url, service } = await local({
      // The first of the calls of a client already finds its connection.
      back: async (ctx: Context) => {
        const [connection] = connections
        return wrap<Methods>(connection as Connection).hold(ctx)
      },
    })
    connections = service.connections
    const connection = await connect(url, { serve: { hold } })
    const ctx = withCancel(background())
    const result = rejection(wrap<{ back(ctx: Context): Promise<void> }>(connection).back(ctx))
    const handled = await started()
    expect(service.stats()).toEqual({ connections: 1, calls: 1, handlers: 1, waiting: 0, contexts: 0 })
    expect(connection.stats()).toMatchObject({ calls: 1, handlers: 1 })
    ctx.cancel('there and back')
    expect(await result).toBe(ctx.err())
    expect((await handled.done).cause).toBe('there and back')
    await until(() => service.stats().handlers + service.stats().calls + connection.stats().handlers === 0)
    expect(contexts).toHaveLength(1)
    connection.close()
    await idle(service)
  })

  it('is wrapped by a proxy that neither awaiting nor printing makes a call of', async () => {
    const { url } = await local({ echo: (_ctx: Context, x: unknown) => x })
    const connection = await connect(url)
    const methods = wrap<Methods>(connection)
    expect(await (async () => methods)()).toBe(methods)
    expect(JSON.stringify({ methods })).toBe('{"methods":{}}')
    expect(methods.echo).toBe(methods.echo)
    expect(() => methods.echo(null as never, 1)).toThrow(TypeError)
    expect(connection.stats()).toMatchObject({ calls: 0, queued: 0 })
    connection.close()
  })

  it('loses nothing when thousands of unrelated calls end in one turn', async () => {
    const { hold, contexts } = holding()
    const { url, service } = await local({ hold, echo: (_ctx: Context, x: unknown) => x }, { limits: { maxCalls: 5_001 } })
    const connection = await connect(url)
    const methods = wrap<Methods>(connection)
    const calls = Array.from({ length: 5_000 }, () => {
      const ctx = withCancel(background())
      return { ctx, result: rejection(methods.hold(ctx)) }
    })
    const untouched = rejection(methods.hold(background()))
    await until(() => contexts.length === 5_001)
    for (const { ctx } of calls) ctx.cancel('one of many')
    for (const { ctx, result } of calls) expect(await result).toBe(ctx.err())
    await until(() => service.stats().handlers === 1)
    expect(contexts.at(-1)?.err()).toBeUndefined()
    expect(await methods.echo(background(), 'on')).toBe('on')
    connection.close()
    expect(await untouched).toMatchObject({ code: 'ERR_LINK_LOST' })
    await idle(service)
  })
})

test('a value that its codec refuses is left out, with one warning for each key', async () => {
  const shy = createKey<string>('shy', {
    portable: {
      encode: () => {
        throw new Error('not\ntoday')
      },
      decode: String,
    },
  })
  const { url } = await local({ echo: (_ctx: Context, x: unknown) => x })
  const connection = await connect(url)
  const warnings: Error[] = []
  const listener = (warning: Error): void => void warnings.push(warning)
  process.on('warning', listener)
  onTestFinished(() => void process.off('warning', listener))
  for (let i = 0; i < 3; i++) expect(await wrap<Methods>(connection).echo(withValue(background(), shy, 'x'), i)).toBe(i)
  await until(() => warnings.length > 0)
  expect(warnings).toMatchObject([
    { name: 'CtxbridgeWarning', message: 'The value of the context key "shy" was left out: "not\\ntoday"' },
  ])
  connection.close()
})

test('connections, services and what wrap gives say in a log what they are, and what is open', async () => {
  const held = holding()
  const { url, service } = await local({ hold: held.hold }, { name: 'reports' })
  const connection = await connect(url, { name: 'me' })
  const remote = wrap<Methods>(connection)
  expect(inspect(connection)).toBe('Connection("reports") { open }')
  const ctx = withCancel(background())
  const call = rejection(remote.hold(ctx))
  await held.started()
  expect([String(connection), inspect({ connection }), inspect(remote), String(remote)]).toEqual([
    'Connection("reports") { open, calls: 1 }',
    '{ connection: Connection("reports") { open, calls: 1 } }',
    'Remote of Connection("reports") { open, calls: 1 }',
    'Remote of Connection("reports") { open, calls: 1 }',
  ])
  expect([String(service), inspect([...service.connections])]).toEqual([
    'Service { connections: 1, handlers: 1 }',
    '[ Connection("me") { open, handlers: 1 } ]',
  ])
  expect(JSON.parse(JSON.stringify([connection, service]))).toEqual([String(connection), String(service)])
  ctx.cancel()
  await call
  // What wrap gave closes the connection, as it does with a worker's link.
  remote[Symbol.dispose]()
  expect(inspect(connection)).toBe('Connection("reports") { closed }')
  await idle(service)
  expect(inspect(service)).toBe('Service { idle }')
})
