/** What stands in front of the world: who is let in, how much anybody may ask for, and the end in peace. Numbers are rows of the list of hostile input. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request as httpRequest } from 'node:http'
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { afterFunc, background, cause, type Context, withCancel, withTimeout } from 'ctxbridge'
import { type Connection, connect, serve, wrap } from 'ctxbridge/websocket'
import { describe, expect, it, onTestFinished, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { turn } from '../support/gc.ts'
import { attacked } from './attacked.ts'
import { Proxy } from './proxy.ts'
import { call, frame, hello, message, opcode, RawClient, unpack } from './raw.ts'
import { holding, idle, local, rejection, until } from './support.ts'

const timeout = 30_000
const noContext = [null, null, []]
const asking = (token: string, received = 0): unknown[] => [...hello, [token, received]]

interface Requested {
  readonly client: Socket
  readonly request: IncomingMessage
  readonly socket: Socket
  readonly head: Buffer
}

/** A request to upgrade that nobody has handled. */
async function requested(): Promise<Requested> {
  const http = createServer()
  onTestFinished(() => void http.close())
  await once(http.listen(0, '127.0.0.1'), 'listening')
  const client = ask((http.address() as AddressInfo).port)
  const [request, socket, head] = (await once(http, 'upgrade')) as [IncomingMessage, Socket, Buffer]
  return { client, request, socket, head }
}

/** The status with which a request to upgrade is answered; 101 where it is taken. */
async function upgrade(port: number, headers: Record<string, string> = {}): Promise<number> {
  const request = httpRequest({
    port,
    host: '127.0.0.1',
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'),
      ...headers,
    },
  })
  request.on('error', () => undefined)
  request.end()
  return new Promise((resolve, reject) => {
    request.on('upgrade', (response, socket) => {
      socket.destroy()
      resolve(response.statusCode ?? 0)
    })
    request.on('response', (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    request.on('close', () => reject(new Error('no answer')))
  })
}

/** Asks for an upgrade, and does no more. */
function ask(port: number): Socket {
  const socket = connectTcp({ port, host: '127.0.0.1' })
  socket.on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  const fields = 'Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n'
  socket.write(`GET / HTTP/1.1\r\n${fields}Sec-WebSocket-Key: ${'A'.repeat(22)}==\r\n\r\n`)
  return socket
}

function thrower(): never {
  throw new Error('the list is gone')
}

describe('at the upgrade', { timeout }, () => {
  it('28 authorize decides, before there is a socket, and gives the same one its session back', async () => {
    const asked: unknown[] = []
    const { port, service, server } = await local(
      { echo: (_ctx: Context, x: unknown) => x },
      {
        authorize: async ({ headers }) => {
          asked.push(headers.authorization)
          await null
          if (headers.authorization === 'broken') throw new Error('the store is down')
          return headers.authorization === 'good' ? 'ann' : false
        },
      },
    )
    let sockets = 0
    server.on('connection', () => sockets++)
    expect(await upgrade(port)).toBe(401)
    expect(await upgrade(port, { Authorization: 'bad' })).toBe(401)
    const warned = once(process, 'warning')
    expect(await upgrade(port, { Authorization: 'broken' })).toBe(500)
    expect(sockets).toBe(0)
    expect(await upgrade(port, { Authorization: 'good' })).toBe(101)
    expect(asked).toEqual([undefined, 'bad', 'broken', 'good'])
    expect(await warned).toMatchObject([
      { name: 'CtxbridgeWarning', message: 'A request was refused with 500, since authorize() threw: "the store is down"' },
    ])
    await expect(connect(`ws://127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'ERR_REFUSED', status: 401 })
    await idle(service)
  })

  it.each([
    ['nothing, which lets nobody in', undefined, 401],
    ['null', null, 401],
    ['an empty text, as of a header without a value', '', 401],
    ['0', 0, 401],
    ['NaN', Number.NaN, 401],
    ['0n', 0n, 401],
  ])('28 authorize may give %s', async (_name, identity, status) => {
    const { port } = await local({ f: () => 1 }, { authorize: () => identity })
    expect(await upgrade(port)).toBe(status)
  })

  it('29 pages of other origins are refused, unless they are allowed', async () => {
    const same = await local({ f: () => 1 })
    expect(await upgrade(same.port, { Origin: 'https://evil.example' })).toBe(403)
    expect(await upgrade(same.port, { Origin: 'null' })).toBe(403)
    expect(await upgrade(same.port, { Origin: `http://127.0.0.1:${same.port + 1}` })).toBe(403)
    expect(await upgrade(same.port, { Origin: `http://127.0.0.1:${same.port}` })).toBe(101)
    expect(await upgrade(same.port)).toBe(101)
    const listed = await local({ f: () => 1 }, { allowedOrigins: ['https://good.example'] })
    expect(await upgrade(listed.port, { Origin: 'https://good.example' })).toBe(101)
    expect(await upgrade(listed.port, { Origin: 'https://good.example.evil.example' })).toBe(403)
    expect(await upgrade(listed.port, { Origin: `http://127.0.0.1:${listed.port}` })).toBe(403)
    const odd = ['http://localhost:3000', 'http://[::1]:8080', 'chrome-extension://abc', 'null']
    const several = await local({ f: () => 1 }, { allowedOrigins: odd })
    expect(await Promise.all(odd.map((Origin) => upgrade(several.port, { Origin })))).toEqual([101, 101, 101, 101])
    const all = await local({ f: () => 1 }, { allowedOrigins: '*' })
    expect(await upgrade(all.port, { Origin: 'https://evil.example' })).toBe(101)
  })

  it('28 whom a service let in that is closed now is no peer of the next one', async () => {
    const asking: ((ok: boolean) => void)[] = []
    const verifyClient = (_info: unknown, answer: (ok: boolean) => void): unknown =>
      asking.length === 0 ? asking.push(answer) : answer(true)
    const first = await local({ f: () => 1 }, { authorize: () => 'guest' }, { verifyClient })
    const connecting = rejection(connect(first.url))
    await until(() => asking.length > 0)
    first.service.close()
    let asked = 0
    const second = serve(first.server, { f: () => 2 }, { authorize: () => ++asked > 1 && 'ann' })
    onTestFinished(() => second.close())
    asking[0]?.(true)
    expect(await connecting).toMatchObject({ code: 'ERR_LINK_LOST', message: expect.stringContaining('1001') as string })
    expect(asked).toBe(0)
    await expect(connect(first.url)).rejects.toMatchObject({ status: 401 })
    const connection = await connect(first.url)
    expect(await wrap<{ f(ctx: Context): number }>(connection).f(background())).toBe(2)
    connection.close()
    await idle(second)
  })

  it('28 whom authorize says nothing of is refused with 503 when the time to greet is over', async () => {
    const { port, service } = await local({ f: () => 1 }, { authorize: () => new Promise(() => {}), helloTimeout: 50 })
    expect(await upgrade(port)).toBe(503)
    expect(service.stats().connections).toBe(0)
  })

  it.each([undefined, { grace: 60_000 }])(
    '28 whom authorize has said nothing of when the service ends is refused with 503 (%o)',
    async (options) => {
      const asked: ((identity: string) => void)[] = []
      const authorize = (): Promise<string> => new Promise((resolve) => asked.push(resolve))
      const { port, service } = await local({ f: () => 1 }, { authorize, helloTimeout: 600_000 })
      const statuses = [upgrade(port), upgrade(port)]
      await until(() => asked.length === 2)
      if (options === undefined) service.close()
      else await service.close(options)
      expect(await Promise.all(statuses)).toEqual([503, 503])
      // What it says at last is too late.
      for (const decide of asked) decide('ann')
      await setTimeout(0)
      expect(service.stats().connections).toBe(0)
    },
  )

  it('28 of as many as there may be connections authorize is asked at once, and not of more', async () => {
    const asked: ((identity: string) => void)[] = []
    const authorize = (): Promise<string> => new Promise((resolve) => asked.push(resolve))
    const { port } = await local({ f: () => 1 }, { authorize, maxConnections: 2 })
    const statuses = [upgrade(port), upgrade(port)]
    await until(() => asked.length === 2)
    expect(await upgrade(port)).toBe(503)
    expect(asked).toHaveLength(2)
    for (const decide of asked) decide('ann')
    expect(await Promise.all(statuses)).toEqual([101, 101])
  })

  it.each([
    ['has closed its connection', (client: Socket) => client.destroy()],
    ['has reset its connection', (client: Socket) => client.resetAndDestroy()],
    ['has said something too early, and closed', (client: Socket) => client.end('x')],
  ])('28 a request whose client %s waits for authorize no more', async (_name, go) => {
    const asked: IncomingMessage[] = []
    const authorize = (request: IncomingMessage): unknown => (asked.push(request) > 2 ? 'ann' : new Promise(() => {}))
    const { port, service } = await local({ f: () => 1 }, { authorize, maxConnections: 2, helloTimeout: 600_000 })
    const clients = [ask(port), ask(port)]
    await until(() => asked.length === 2)
    for (const client of clients) go(client)
    await until(() => asked.every(({ socket }) => socket.readableEnded || socket.destroyed))
    expect(await upgrade(port)).toBe(101)
    await idle(service)
  })

  it('28 of a request whose client has gone before authorize is not asked', async () => {
    let asked = 0
    const server = new WebSocketServer({ noServer: true })
    const service = serve(server, { f: () => 1 }, { authorize: () => ++asked })
    onTestFinished(() => service.close())
    const { client, request, socket, head } = await requested()
    client.destroy()
    await once(socket, 'end')
    server.handleUpgrade(request, socket, head, () => undefined)
    expect(asked).toBe(0)
  })

  it('28 who is let in may be paused at once', async () => {
    const server = new WebSocketServer({ noServer: true })
    const service = serve(server, { f: () => 1 }, { authorize: () => 'ann' })
    onTestFinished(() => service.close())
    const { client, request, socket, head } = await requested()
    await new Promise<void>((resolve) =>
      server.handleUpgrade(request, socket, head, (paused) => {
        paused.pause()
        resolve()
      }),
    )
    await turn()
    expect(socket.isPaused()).toBe(true)
    client.destroy()
    socket.destroy()
  })

  it('28 what authorize has judged listens to its socket no more', async () => {
    const listeners: unknown[] = []
    const { port } = await local(
      { f: () => 1 },
      {
        authorize: ({ socket }) => {
          listeners.push(socket, socket.listeners('close').at(-1), socket.listeners('readable').at(-1))
          return 'ann'
        },
      },
    )
    await once(ask(port), 'data')
    const [socket, onClose, onReadable] = listeners as [Socket, () => void, () => void]
    expect(onClose).toBe(onReadable)
    expect(socket.listeners('close')).not.toContain(onClose)
    expect(socket.listeners('readable')).not.toContain(onReadable)
  })

  it('28 a session whose request to go on is one too many to be judged is asked for again', async () => {
    const asked: (() => void)[] = []
    let busy = false
    const authorize = (): unknown => (busy ? new Promise((resolve) => asked.push(() => resolve(false))) : 'ann')
    const { port, url, service } = await local({ f: () => 1 }, { authorize, maxConnections: 1, lease: { resume: 30_000 } })
    const proxy = await Proxy.to(url)
    const connection = await connect(proxy.url)
    busy = true
    const other = ask(port)
    await until(() => asked.length === 1)
    proxy.last.cut()
    await until(() => proxy.passages[1]?.client.destroyed === true)
    busy = false
    asked[0]?.()
    expect(await wrap<{ f(ctx: Context): number }>(connection).f(background())).toBe(1)
    expect(asked).toHaveLength(1)
    other.destroy()
    connection.close()
    await idle(service)
  })

  it('28 what authorize throws of a request that is refused already refuses it no second time', async () => {
    const asked: ((error: Error) => void)[] = []
    const authorize = (): Promise<never> => new Promise((_resolve, reject) => asked.push(reject))
    const { port } = await local({ f: () => 1 }, { authorize, helloTimeout: 50 })
    expect(await upgrade(port)).toBe(503)
    const warned = once(process, 'warning')
    asked[0]?.(new Error('the store is down'))
    expect(await warned).toMatchObject([{ message: 'authorize() threw: "the store is down"' }])
  })

  it('28 a socket whose request the service has not judged is turned away', async () => {
    const { port, server, service } = await local({ f: () => 1 }, { authorize: () => 'ann' })
    // Somebody puts a judge of its own in the place of the service's.
    server.options.verifyClient = () => true
    const client = await RawClient.open(port)
    expect(await client.closed()).toEqual({ code: 1001, reason: 'going away' })
    expect(service.stats().connections).toBe(0)
  })

  it.each([
    ['of one argument', (_info: unknown) => thrower()],
    ['of two', (_info: unknown, _answer: unknown) => thrower()],
  ])("what the server's own verifyClient throws refuses with 500, too: one %s", async (_name, verifyClient) => {
    const { port, service } = await local({ f: () => 1 }, {}, { verifyClient })
    const warned = once(process, 'warning')
    expect(await upgrade(port)).toBe(500)
    expect(await warned).toMatchObject([
      { message: 'A request was refused with 500, since verifyClient() threw: "the list is gone"' },
    ])
    await idle(service)
  })

  it("the server's own verifyClient is asked, too, and is left when the service is closed", async () => {
    for (const verifyClient of [
      () => false,
      (_info: unknown, answer: (ok: boolean, code: number) => void) => answer(false, 418),
      // As ws takes it: only one of two parameters answers later.
      (_info: unknown, _answer: unknown, _more: unknown) => false,
      function (this: { readonly path?: string }) {
        return this.path === undefined
      },
    ] as (() => boolean)[]) {
      const { port, server, service } = await local({ f: () => 1 }, {}, { verifyClient, path: '/' })
      expect(await upgrade(port)).toBe(verifyClient.length === 2 ? 418 : 401)
      service.close()
      expect(server.options.verifyClient).toBe(verifyClient)
    }
  })

  it('27 headers without end, and sockets that say nothing, keep nobody else out', async () => {
    const target = await attacked()
    for (let i = 0; i < 200; i++) {
      const socket = connectTcp({ port: target.port, host: '127.0.0.1' })
      socket.on('error', () => undefined)
      onTestFinished(() => void socket.destroy())
    }
    const socket = connectTcp({ port: target.port, host: '127.0.0.1' })
    socket.on('error', () => undefined)
    socket.write(`GET / HTTP/1.1\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`)
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toContain('431')
    await target.unharmed()
  })

  it('throws at once what is misused', async () => {
    const wrong = (settings: object) => local({ f: () => 1 }, settings)
    await expect(wrong({ authorize: 'me' })).rejects.toThrow(TypeError)
    await expect(wrong({ allowedOrigins: 'https://x' })).rejects.toThrow(TypeError)
    await expect(wrong({ allowedOrigins: [1] })).rejects.toThrow(TypeError)
    await expect(wrong({ helloTimeout: 0 })).rejects.toThrow(TypeError)
    await expect(wrong({ maxConnections: 1.5 })).rejects.toThrow(TypeError)
    await expect(wrong({ maxTimeout: -1 })).rejects.toThrow(TypeError)
    await expect(wrong({ lease: { ping: 10, imports: 5 } })).rejects.toThrow(TypeError)
    await expect(wrong({ lease: { other: 5 } })).rejects.toThrow(TypeError)
  })
})

describe('after the upgrade', { timeout }, () => {
  it('26 who does not greet in time is closed', async () => {
    // Whoever is honest has greeted in time, which may take long on a busy machine.
    const inTime = async (helloTimeout: number): Promise<Awaited<ReturnType<typeof attacked>>> =>
      attacked({ helloTimeout }).catch((error: Error) => {
        if (!error.message.includes('4408')) throw error
        return inTime(2 * helloTimeout)
      })
    const target = await inTime(50)
    const client = await RawClient.open(target.port)
    expect(await client.closed()).toEqual({ code: 4408, reason: 'hello: not in time' })
    await target.unharmed()
  })

  it('26 a time to greet that is longer than a timer of the host takes does not pass at once', async () => {
    const target = await attacked({ helloTimeout: 30 * 86_400_000 })
    const client = await RawClient.open(target.port)
    // A timer of the host that was set before this one has fired when this one has.
    await setTimeout(2)
    const other = await RawClient.greeted(target.port)
    expect(client.ended).toBe(false)
    for (const { socket } of [client, other]) socket.destroy()
    await target.unharmed()
  })

  it('56 connections over the limit are closed, and others live on', async () => {
    const target = await attacked({ maxConnections: 3 })
    const clients = await Promise.all(Array.from({ length: 10 }, () => RawClient.greeted(target.port)))
    const closed = (): RawClient[] => clients.filter((client) => client.frames().some(({ op }) => op === opcode.close))
    await until(() => closed().length >= 8)
    await until(() => target.service.stats().connections === 3)
    expect(closed()).toHaveLength(8)
    for (const client of clients) client.socket.destroy()
    await target.unharmed()
  })

  it('56 at the limit of connections who goes on with a session is no further one', async () => {
    const { url, service } = await local({ echo: (_ctx: Context, x: unknown) => x }, { maxConnections: 1, lease: {} })
    const proxy = await Proxy.to(url)
    const connection = await connect(proxy.url)
    await until(() => service.connections.size === 1)
    proxy.last.cut()
    const methods = wrap<{ echo(ctx: Context, x: number): number }>(connection)
    expect(await methods.echo(background(), 1)).toBe(1)
    expect(proxy.passages.length).toBeGreaterThan(1)
    await expect(connect(url)).rejects.toMatchObject({ message: expect.stringContaining('code 1013') as string })
    expect(await methods.echo(background(), 2)).toBe(2)
    connection.close()
    await idle(service)
  })

  it('33 an open-and-cancel flood ends with 4429, and never runs more handlers than the limit', async () => {
    const target = await attacked({ limits: { maxCalls: 5, maxAbandoned: 2_000, abandonedPerSecond: 1 } })
    const client = await RawClient.greeted(target.port)
    let most = 0
    for (let id = 1; id < 5_000 && !client.ended; id += 250) {
      client.send(message(...Array.from({ length: 250 }, (_, i) => [call(id + i, 'hold'), [3, id + i, 0, null]]).flat()))
      await until(() => client.socket.writableLength === 0)
      most = Math.max(most, target.service.stats().handlers)
    }
    expect((await client.closed())?.code).toBe(4429)
    expect(most).toBeLessThanOrEqual(6)
    await target.unharmed()
  })

  it('34 a flood of contexts ends with 4429 at the limit, and all end at once', async () => {
    const target = await attacked()
    const client = await RawClient.greeted(target.port)
    client.send(
      message(...Array.from({ length: 1_000 }, (_, i) => [6, i + 1, noContext])),
      message([2, 1_001, 'hold', [...noContext, 1_000], []]),
    )
    const ctx = await target.held.started()
    expect(target.service.stats().contexts).toBe(1_000)
    client.send(message([6, 1_002, noContext]))
    expect(await client.closed()).toEqual({ code: 4429, reason: 'export: more contexts than 1000' })
    expect(cause(ctx)).toMatchObject({ name: 'LinkLostError' })
    await target.unharmed()
  })

  it.each([
    ['35 a chain of contexts', false],
    ['35 a chain of which the last one alone is open', true],
  ])('%s ends with 4400 at its ninth link', async (_name, retracts) => {
    const target = await attacked()
    const client = await RawClient.greeted(target.port)
    const link = (id: number): unknown[][] => {
      if (id === 1) return [[6, 1, noContext]]
      return retracts
        ? [
            [6, id, [...noContext, id - 1]],
            [11, id - 1],
          ]
        : [[6, id, [...noContext, id - 1]]]
    }
    client.send(message(...Array.from({ length: 8 }, (_, i) => link(i + 1)).flat(), [2, 9, 'hold', [...noContext, 8], []]))
    const ctx = await target.held.started()
    expect(target.service.stats().contexts).toBe(retracts ? 1 : 8)
    client.send(message([6, 10, [...noContext, 8]]))
    expect(await client.closed()).toEqual({ code: 4400, reason: 'export: more than 8 under each other' })
    expect(cause(ctx)).toMatchObject({ name: 'LinkLostError' })
    await target.unharmed()
  })

  it('36 the cancel of a context with many calls under it ends them all', async () => {
    const target = await attacked()
    const client = await RawClient.greeted(target.port)
    client.send(message([6, 1, noContext], ...Array.from({ length: 900 }, (_, i) => [2, i + 2, 'hold', [...noContext, 1], []])))
    await until(() => target.service.stats().handlers === 901)
    client.send(message([3, 1, 0, [0, 'all']]))
    await until(() => target.service.stats().handlers === 1)
    expect(target.held.contexts.filter((ctx) => cause(ctx) === 'all')).toHaveLength(900)
    client.socket.destroy()
    await target.unharmed()
  })

  it('37 a context that comes back to where it is from is another one there, and ends with it', async () => {
    const served = { back: (_ctx: Context, handle: unknown) => handle }
    const { url, service } = await local(served)
    const connection = await connect(url, { serve: served })
    await until(() => service.connections.size === 1)
    const [there] = [...service.connections] as [Connection]
    const ctx = withCancel(background())
    const imported = there.import(connection.export(ctx))
    const again = connection.import(there.export(imported))
    ctx.cancel('round')
    await again.done
    expect([cause(imported), cause(again)]).toEqual(['round', 'round'])
    // The handle itself is of no use at home.
    expect(cause(connection.import(connection.export(withTimeout(background(), 5_000))))).toMatchObject({ code: 'ERR_HANDLE' })
    connection.close()
    await idle(service)
  })

  it('40 values over the limits, and those that nobody registered, are dropped, and hurt nobody', async () => {
    const target = await attacked()
    const client = await RawClient.greeted(target.port)
    const values = Array.from({ length: 64 }, (_, i) => [`key ${i}`, 'x'.repeat(500)])
    client.send(message([2, 1, 'echo', [null, null, values], ['well']]))
    expect(await client.answer()).toEqual([[4, 1, 'well']])
    client.send(message([2, 2, 'echo', [null, null, [...values, ['one more', 1]]], []]))
    expect(await client.closed()).toMatchObject({ code: 4400 })
    await target.unharmed()
  })

  it('57 what a listener of a context throws is an uncaught exception, and stops nothing else', async () => {
    const uncaught: unknown[] = []
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', (error) => uncaught.push(error))
    onTestFinished(() => {
      process.removeAllListeners('uncaughtException')
      for (const listener of listeners) process.on('uncaughtException', listener)
    })
    const target = await attacked()
    const client = await RawClient.greeted(target.port)
    client.send(message(call(1, 'hold'), call(2, 'hold')))
    const [a, b] = [await target.held.started(), await target.held.started()]
    afterFunc(a, () => {
      throw new Error('mine')
    })
    client.send(message([3, 1, 0, null], [3, 2, 0, [0, 'too']]))
    await b.done
    expect(cause(b)).toBe('too')
    await until(() => uncaught.length === 1)
    expect(uncaught).toMatchObject([{ message: 'mine' }])
    client.socket.destroy()
    await target.unharmed()
  })

  it('61 a handler whose connection closes in the same message never starts, or ends at once', async () => {
    const target = await attacked()
    const client = await RawClient.open(target.port)
    client.send(message(hello, call(1, 'hold')), frame(opcode.close, new Uint8Array([3, 232])))
    expect(await client.closed()).toMatchObject({ code: 1000 })
    client.socket.end()
    await until(() => target.service.stats().handlers === 1)
    for (const ctx of target.held.contexts.slice(1)) expect(cause(ctx)).toMatchObject({ name: 'LinkLostError' })
    client.socket.destroy()
    await target.unharmed()
  })
})

describe('a session', { timeout }, () => {
  /** Greets, asks for a session, and gives the token. */
  async function opened(port: number): Promise<{ client: RawClient; token: string; received: () => number }> {
    const client = await RawClient.open(port)
    client.send(message(asking('')))
    const frames = (): { op: number; payload: Buffer }[] => client.frames().filter(({ op }) => op === opcode.binary)
    await until(() => frames().length > 0)
    const [greeting] = unpack((frames()[0] as { payload: Buffer }).payload) as [unknown[]]
    const [token] = greeting[5] as [string, number]
    return { client, token, received: () => frames().length - 1 }
  }

  it('31 of somebody else is refused with 4401, and the victim feels nothing', async () => {
    const target = await attacked({ authorize: ({ headers }) => headers.cookie ?? 'anybody' })
    const victim = await opened(target.port)
    victim.client.send(message(call(1, 'hold')))
    const ctx = await target.held.started()
    const thief = await RawClient.open(target.port, 'Cookie: thief')
    thief.send(message(asking(victim.token)))
    expect(await thief.closed()).toEqual({ code: 4401, reason: 'session: not known' })
    const guess = await RawClient.open(target.port)
    guess.send(message(asking('00000000-0000-4000-8000-000000000000')))
    expect(await guess.closed()).toMatchObject({ code: 4401 })
    expect(ctx.err()).toBeUndefined()
    victim.client.send(frame(opcode.close, new Uint8Array([3, 232])))
    victim.client.socket.end()
    await ctx.done
    victim.client.socket.destroy()
    await target.unharmed()
  })

  it('32 that goes on while the old connection lives closes that with 4409; 30 and its token is good once', async () => {
    const target = await attacked()
    const first = await opened(target.port)
    first.client.send(message(call(1, 'hold')))
    const ctx = await target.held.started()
    const second = await RawClient.open(target.port)
    second.send(message(asking(first.token, first.received())))
    expect(await first.client.closed()).toEqual({ code: 4409, reason: 'session: goes on over another connection' })
    // What is still said on the old one is nothing.
    first.client.send(message([3, 1, 0, null]))
    second.send(message([8, 5]))
    await until(() => second.frames().length > 1)
    expect(ctx.err()).toBeUndefined()
    const replay = await RawClient.open(target.port)
    replay.send(message(asking(first.token, first.received())))
    expect(await replay.closed()).toMatchObject({ code: 4401 })
    second.send(frame(opcode.close, new Uint8Array([3, 232])))
    second.socket.end()
    await ctx.done
    for (const client of [first.client, second, replay]) client.socket.destroy()
    await target.unharmed()
  })

  it('that broke is forgotten when nobody comes back', async () => {
    const target = await attacked()
    const { client, token } = await opened(target.port)
    client.send(message(call(1, 'hold')))
    const ctx = await target.held.started()
    client.socket.resetAndDestroy()
    await ctx.done
    const late = await RawClient.open(target.port)
    late.send(message(asking(token)))
    expect(await late.closed()).toMatchObject({ code: 4401 })
    await target.unharmed()
  })
})

describe('the end of a service', { timeout }, () => {
  it.each([undefined, { grace: 60_000 }])(
    'is that of who had not greeted: nothing that it still says is heard (%o)',
    async (options) => {
      let ran = 0
      const { port, service } = await local({ f: () => ran++ })
      const early = await RawClient.open(port)
      await until(() => service.stats().connections === 1)
      if (options === undefined) service.close()
      else await service.close(options)
      early.send(message(hello), message(call(1, 'f')), frame(opcode.close))
      await until(() => early.socket.readableEnded)
      expect(await early.closed()).toEqual({ code: 1001, reason: 'going away' })
      expect([ran, service.connections.size]).toEqual([0, 0])
      early.socket.destroy()
      await idle(service)
    },
  )

  it('leaves the server to whoever takes its connections then', async () => {
    const { port, server, service } = await local({ f: () => 1 })
    service.close()
    const early = await RawClient.open(port)
    expect(await early.closed()).toEqual({ code: 1001, reason: 'going away' })
    server.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
    const client = await RawClient.open(port)
    client.send(message('mine'), frame(opcode.ping))
    expect(await client.verdict()).toBeUndefined()
    expect(client.frames().some(({ op }) => op === opcode.binary)).toBe(true)
    expect(server.listenerCount('connection')).toBe(1)
    for (const { socket } of [early, client]) socket.destroy()
  })
})

describe('an end in peace', { timeout }, () => {
  it('62 of a service lets calls end, takes no new ones, and closes all with 1001', async () => {
    const held = holding()
    let finish!: () => void
    const { url, service } = await local({ hold: held.hold, slow: () => new Promise<void>((resolve) => (finish = resolve)) })
    const connections = [await connect(url), await connect(url)]
    const [a, b] = connections.map((connection) => wrap<{ hold(ctx: Context): unknown; slow(ctx: Context): unknown }>(connection))
    const slow = a?.slow(background())
    const hold = rejection(b?.hold(background()) as Promise<unknown>)
    const ctx = await held.started()
    await until(() => service.stats().handlers === 2)
    const over = service.close({ grace: 300 })
    await until(() => finish !== undefined)
    finish()
    await slow
    expect(await hold).toMatchObject({ name: 'AbortError', cause: { code: 'ERR_GOING_AWAY' } })
    expect(cause(ctx)).toMatchObject({ code: 'ERR_GOING_AWAY' })
    await over
    for (const connection of connections) {
      expect((await connection.closed).message).toContain('1001')
    }
    await idle(service)
    await expect(connect(url)).rejects.toMatchObject({ code: 'ERR_LINK_LOST' })
  })

  it('waits for calls that are on their way when it begins, whether or not anything runs', async () => {
    const { url, service } = await local({ hold: holding().hold, quick: () => 'ran' })
    const remote = wrap<{ hold(ctx: Context): unknown; quick(ctx: Context): string }>(await connect(url))
    await until(() => service.connections.size === 1)
    const hold = rejection(remote.hold(background()))
    const quick = remote.quick(background())
    const over = service.close({ grace: 300 })
    expect(await quick).toBe('ran')
    expect(await hold).toMatchObject({ name: 'AbortError', cause: { code: 'ERR_GOING_AWAY' } })
    await expect(remote.quick(background())).rejects.toMatchObject({ name: 'BridgeError', code: 'ERR_GOING_AWAY' })
    await over
    await idle(service)
  })

  it('lets who loses a connection come back to what runs, and nobody else in', async () => {
    let finish!: (result: string) => void
    const { url, port, service } = await local(
      { slow: () => new Promise((resolve) => (finish = resolve)) },
      { lease: { resume: 5_000 } },
    )
    const proxy = await Proxy.to(url)
    const connection = await connect(proxy.url)
    const slow = wrap<{ slow(ctx: Context): string }>(connection).slow(background())
    await until(() => finish !== undefined)
    const early = await RawClient.open(port)
    const over = service.close({ grace: 60_000 })
    proxy.last.cut()
    await until(() => proxy.passages.length > 1 && connection.stats().state === 'open')
    early.send(message(hello))
    expect(await early.closed()).toEqual({ code: 1001, reason: 'going away' })
    await expect(connect(url)).rejects.toMatchObject({ message: expect.stringContaining('going away') as string })
    finish('after all')
    expect(await slow).toBe('after all')
    await over
    await idle(service)
    const late = await RawClient.open(port)
    expect(await late.closed()).toEqual({ code: 1001, reason: 'going away' })
    for (const client of [early, late]) client.socket.destroy()
  })

  it('gives way to the next service of its server: then nobody comes back', async () => {
    const held = holding()
    const { url, port, server, service } = await local({ hold: held.hold }, { lease: { resume: 5_000 } })
    expect(() => serve(server, { f: () => 2 })).toThrow(/not served yet/)
    const proxy = await Proxy.to(url)
    const connection = await connect(proxy.url)
    const hold = rejection(wrap<{ hold(ctx: Context): unknown }>(connection).hold(background()))
    await held.started()
    const early = await RawClient.open(port)
    const over = service.close({ grace: 60_000 })
    const next = serve(server, { f: () => 2 })
    onTestFinished(() => next.close())
    expect(await early.closed()).toEqual({ code: 1001, reason: 'going away' })
    early.socket.destroy()
    const second = await connect(url)
    expect(await wrap<{ f(ctx: Context): number }>(second).f(background())).toBe(2)
    proxy.last.cut()
    expect(await hold).toMatchObject({ code: 'ERR_LINK_LOST' })
    service.close()
    await over
    // Its end takes nothing from the next one.
    expect(await wrap<{ f(ctx: Context): number }>(await connect(url)).f(background())).toBe(2)
    expect(() => serve(server, { f: () => 3 })).toThrow(/not served yet/)
  })

  it('throws a grace that is none', async () => {
    const { url, service } = await local({ f: () => 1 })
    const connection = await connect(url)
    expect(() => connection.close({ grace: -1 })).toThrow(TypeError)
    expect(() => service.close({ grace: 'x' as never })).toThrow(TypeError)
    await connection.close({ grace: 0 })
    await idle(service)
  })
})

describe('streams', { timeout }, () => {
  const served = () => {
    const told = { finished: 0, made: 0 }
    return {
      told,
      async *tokens(ctx: Context, to: number) {
        try {
          for (let n = 1; n <= to; n++) {
            ctx.throwIfDone()
            told.made++
            yield n
          }
          return 'end'
        } finally {
          told.finished++
        }
      },
      plain: () => 1,
    }
  }

  it('are read by for await, with and without waiting for the stream', async () => {
    const methods = served()
    const { url, service } = await local(methods)
    const connection = await connect(url)
    const remote = wrap<typeof methods>(connection)
    const items: number[] = []
    for await (const n of remote.tokens(background(), 1_000)) items.push(n)
    expect(items).toEqual(Array.from({ length: 1_000 }, (_, i) => i + 1))
    const stream = await remote.tokens(background(), 1)
    expect([await stream.next(), await stream.next()]).toEqual([
      { done: false, value: 1 },
      { done: true, value: 'end' },
    ])
    expect(methods.told.finished).toBe(2)
    connection.close()
    await idle(service)
  })

  it('stop at a break, and run the finally over there', async () => {
    const methods = served()
    const { url, service } = await local(methods)
    const connection = await connect(url)
    for await (const n of wrap<typeof methods>(connection).tokens(background(), 1e9)) if (n === 50) break
    await until(() => methods.told.finished === 1 && service.stats().handlers === 0)
    expect(methods.told.made).toBeLessThan(50 + 2 * 16 + 2)
    connection.close()
    await idle(service)
  })

  it('end with their context: a stop button', async () => {
    const methods = served()
    const { url, service } = await local(methods)
    const connection = await connect(url)
    const ctx = withCancel(background())
    const read = async (): Promise<void> => {
      for await (const n of wrap<typeof methods>(connection).tokens(ctx, 1e9)) if (n === 20) ctx.cancel('stop')
    }
    expect(await rejection(read())).toBe(ctx.err())
    await until(() => methods.told.finished === 1 && service.stats().handlers === 0)
    connection.close()
    await idle(service)
  })

  it('are none where a method returns something else', async () => {
    const methods = served()
    const { url, service } = await local(methods)
    const connection = await connect(url)
    const remote = wrap<{ plain(ctx: Context): AsyncIterable<number> }>(connection)
    const read = async (): Promise<void> => {
      for await (const _ of remote.plain(background()));
    }
    expect(await rejection(read())).toBeInstanceOf(TypeError)
    connection.close()
    await idle(service)
  })
})

test('a handle crosses in a message of a user, by whatever way', { timeout }, async () => {
  const { url, service } = await local({ f: () => 1 })
  const connection = await connect(url)
  await until(() => service.connections.size === 1)
  const [there] = [...service.connections] as [Connection]
  const ctx = withTimeout(background(), 60_000, 'late')
  const imported = there.import(JSON.parse(JSON.stringify(connection.export(ctx))))
  expect(imported.remaining()).toBeGreaterThan(50_000)
  ctx.cancel('by hand')
  await imported.done
  expect(cause(imported)).toBe('by hand')
  connection.close()
  await idle(service)
})
