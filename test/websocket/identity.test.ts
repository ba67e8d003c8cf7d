/** Who connects, and how it says so: headers of the client, and what methods of the server know of them. */
import { background, type Context, createKey, withTimeout, withValue } from 'ctxbridge'
import { connect, type Headers, serve, wrap } from 'ctxbridge/websocket'
import { once } from 'node:events'
import { Agent, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, it, onTestFinished } from 'vitest'
import { WebSocketServer } from 'ws'
import { idle, local, rejection, until } from './support.ts'

interface User {
  readonly name: string
  readonly roles: readonly string[]
}

const userKey = createKey<User>('user')
const userOf = ({ headers: { authorization = '' } }: IncomingMessage): User | false => {
  const [scheme, name = ''] = authorization.split(' ')
  return scheme === 'Bearer' ? { name, roles: ['reader'] } : false
}

interface Methods {
  who(ctx: Context): string | undefined
}

/** A busy machine may take long to connect again. */
const lease = { resume: 10_000 }

const methods = { who: (ctx: Context) => ctx.value(userKey)?.name }

/** A server that knows its users by name, and what it was asked. */
async function known(): Promise<Awaited<ReturnType<typeof local>> & { readonly asked: (string | undefined)[] }> {
  const asked: (string | undefined)[] = []
  const there = await local(methods, {
    authorize: (request) => {
      asked.push(request.headers.authorization)
      return userOf(request)
    },
    identity: userKey,
    lease,
  })
  return { ...there, asked }
}

let count = 0

const bearer = (name: string): Headers => ({ authorization: `Bearer ${name}` })

describe('who calls', () => {
  it('is what authorize gave, in each context that comes in over the connection', async () => {
    const { url, service } = await known()
    const names = ['ann', 'bob']
    const connections = await Promise.all(names.map((name) => connect(url, { headers: bearer(name) })))
    const said = await Promise.all(connections.map((connection) => wrap<Methods>(connection).who(background())))
    expect(said).toEqual(names)
    const handles = connections.map((connection) => connection.export(withValue(background(), createKey<number>('x'), 1)))
    const imports = [...service.connections].map((connection, i) => connection.import(handles[i]))
    expect(imports.map((ctx) => ctx.value(userKey)?.name)).toEqual(names)
    for (const connection of connections) connection.close()
    await idle(service)
  })

  it('cannot be set by the peer, and is not sent', async () => {
    const { url } = await known()
    const portable = createKey<User>('user', { portable: { encode: (user) => ({ ...user }), decode: (data) => data as User } })
    let back: unknown = 'not called'
    const connection = await connect(url, {
      headers: bearer('ann'),
      keys: [portable],
      serve: { tell: (ctx: Context) => (back = ctx.value(portable)) },
    })
    const forged = withValue(background(), portable, { name: 'root', roles: ['admin'] })
    expect(await wrap<Methods>(connection).who(forged)).toBe('ann')
    connection.close()
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
    onTestFinished(() => server.close())
    await once(server, 'listening')
    const service = serve(
      server,
      {
        async callBack(ctx: Context) {
          const [there] = service.connections
          if (there !== undefined) await wrap<{ tell(ctx: Context): void }>(there).tell(ctx)
        },
      },
      { authorize: userOf, identity: userKey },
    )
    const other = await connect(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, {
      headers: bearer('ann'),
      keys: [portable],
      serve: { tell: (ctx: Context) => void (back = ctx.value(portable)) },
    })
    await wrap<{ callBack(ctx: Context): void }>(other).callBack(background())
    expect(back).toBeUndefined()
    service.close()
    other.close()
  })
})

describe('headers', () => {
  it('go with the first request and with each by which a connection is replaced: of a function, new ones', async () => {
    const { url, server, service, asked } = await known()
    const fixed = await connect(url, { headers: bearer('ann') })
    let tokens = 0
    const fresh = await connect(url, { headers: async () => ({ authorization: `Bearer bob ${++tokens}` }) })
    await until(() => service.connections.size === 2)
    const before = [...service.connections]
    for (const socket of server.clients) socket.terminate()
    expect(await wrap<Methods>(fixed).who(background())).toBe('ann')
    expect(await wrap<Methods>(fresh).who(background())).toBe('bob')
    // The sessions went on, since users of the same content are the same.
    expect([...service.connections]).toEqual(before)
    expect(asked).toHaveLength(4)
    expect(new Set(asked)).toEqual(new Set(['Bearer ann', 'Bearer bob 1', 'Bearer bob 2']))
    fixed.close()
    fresh.close()
    await idle(service)
  })

  it('of somebody else do not go on with a session: the peer is told why', async () => {
    const { url, server, service } = await known()
    let name = 'ann'
    const connection = await connect(url, { headers: () => bearer(name) })
    name = 'eve'
    for (const socket of server.clients) socket.terminate()
    expect(await connection.closed).toMatchObject({ message: expect.stringContaining('4401') as string })
    const refused = await connect(url, { headers: () => (name === 'eve' ? bearer('ann') : {}) })
    name = 'nobody'
    for (const socket of server.clients) socket.terminate()
    expect(await refused.closed).toMatchObject({ cause: { code: 'ERR_REFUSED', status: 401 } })
    // Their sessions wait for them here.
    service.close()
    await idle(service)
  })

  it.each([
    ['an object of a class that is another each time', () => new (class {})(), false],
    ['another text', () => `${Math.random()}`, false],
    ['plain data with one member more', () => (count++ % 2 === 0 ? { a: 1 } : { a: 1, b: undefined }), false],
    ['lists of other lengths', () => (count++ % 2 === 0 ? [] : [1]), false],
    ['a list and an object', () => (count++ % 2 === 0 ? [] : {}), false],
    ['plain data of the same content', () => ({ a: { b: ['c', Number.NaN] } }), true],
  ])('whose session goes on for the same one alone: %s', async (_name, authorize, goesOn) => {
    const { url, server, service } = await local(methods, { authorize, lease })
    const connection = await connect(url)
    for (const socket of server.clients) socket.terminate()
    const remote = wrap<{ who(ctx: Context): string }>(connection)
    const outcome = await remote.who(background()).catch((error: Error) => error.message)
    expect(outcome).toEqual(goesOn ? undefined : expect.stringContaining('4401'))
    connection.close()
    // A session that did not go on waits for whom it belongs to.
    if (!goesOn) service.close()
    await idle(service)
  })

  it('that cannot be made reject, and so do those that are none; one that hangs ends with the context', async () => {
    const { url } = await known()
    const error = new Error('no token')
    expect(await rejection(connect(url, { headers: () => Promise.reject(error) }))).toBe(error)
    const thrown = (): never => {
      throw error
    }
    expect(await rejection(connect(url, { headers: thrown }))).toBe(error)
    await expect(connect(url, { headers: () => ({ a: 1 }) as never })).rejects.toThrow(TypeError)
    const context = withTimeout(background(), 20)
    expect(await rejection(connect(url, { context, headers: () => new Promise(() => {}) }))).toBe(context.err())
  })

  it('are beside an agent, by which the connection is made', async () => {
    const { url } = await known()
    let made = 0
    const agent = new (class extends Agent {
      override createConnection(...args: Parameters<Agent['createConnection']>): ReturnType<Agent['createConnection']> {
        made++
        return super.createConnection(...args)
      }
    })()
    const connection = await connect(url, { headers: bearer('ann'), agent })
    expect(await wrap<Methods>(connection).who(background())).toBe('ann')
    expect(made).toBe(1)
    connection.close()
  })
})
