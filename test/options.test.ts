/**
 * All functions that take options: each option is read once, wherever it is inherited from, what was checked is what is used, and a name that nobody knows is
 * refused. Of a pool's `run` the pool may know it: see test/pools/options.test.ts.
 */
import { once } from 'node:events'
import { Agent } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { background, type Context, createKey, createRoot, group } from 'ctxbridge'
import * as comlink from 'ctxbridge/comlink'
import * as port from 'ctxbridge/message-port'
import * as piscina from 'ctxbridge/piscina'
import { createFakeClock, linkedPair } from 'ctxbridge/testing'
import { expose, link, wrap } from 'ctxbridge/worker'
import { connect, serve, type ServeSettings } from 'ctxbridge/websocket'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocketServer } from 'ws'

type Options = Record<string, unknown>

interface Taker {
  /** May give a promise, or something that is open then. */
  readonly call: (options: never) => unknown
  /** All options, of values that are good. */
  readonly good: Options
}

const codec = { encode: (x: unknown) => x, decode: (x: unknown) => x }
const key = createKey('of all', { portable: codec })
const api = { f: () => 1 }
const clock = createFakeClock()
const settings = {
  keys: [key],
  name: 'a',
  limits: { maxCalls: 5 },
  lease: { stretch: 2 },
  maxTimeout: 1_000,
  stacks: true,
}
const side = { ...settings, serve: api, clock }

function here(): MessagePort {
  const { port1 } = new MessageChannel()
  onTestFinished(() => port1.close())
  return port1
}

function server(): WebSocketServer {
  const made = new WebSocketServer({ noServer: true })
  onTestFinished(() => made.close())
  return made
}

async function closed(): Promise<port.Connection> {
  const { port1, port2 } = new MessageChannel()
  const [connection] = await Promise.all([port.connect(port1), port.connect(port2)])
  onTestFinished(() => connection.close())
  return connection
}

/** What is of a good form comes to nothing later, as nobody is there. Misuse is thrown at once. */
function leave(promise: Promise<unknown>): void {
  promise.catch(() => undefined)
}

const nowhere = 'ws://127.0.0.1:1'
const takers: Record<string, Taker> = {
  createRoot: { call: createRoot, good: { clock, name: 'a' } },
  createKey: { call: (options) => createKey('k', options), good: { portable: codec, show: true } },
  group: { call: (options) => group(background(), options), good: { limit: 1 } },
  createFakeClock: { call: createFakeClock, good: { early: 1, late: 1, now: 1, wall: 1, rate: 1 } },
  another: { call: (options) => clock.another(options), good: { early: 1, late: 1, now: 1, wall: 1, rate: 1 } },
  'wrap of a worker': { call: (options) => wrap(here(), options), good: { grace: Infinity, keys: [key], sharedMemory: true } },
  link: { call: (options) => link(here(), options), good: { keys: [key], sharedMemory: true } },
  expose: { call: (options) => expose(api, here(), options), good: { keys: [key], sharedMemory: true } },
  install: {
    call: (options) => comlink.install({ transferHandlers: new Map<string, never>() }, options),
    good: { keys: [key], sharedMemory: true },
  },
  job: { call: (options) => piscina.job(() => 1, options), good: { keys: [key] } },
  connect: {
    call: (options) => leave(connect(nowhere, options)),
    good: { ...settings, context: background(), reconnect: true, serve: api, headers: { a: 'b' }, agent: new Agent() },
  },
  serve: {
    call: (options) => serve(server(), api, options),
    good: {
      ...settings,
      authorize: () => 'ann',
      identity: createKey('who'),
      allowedOrigins: ['https://example.com'],
      helloTimeout: 5,
      maxConnections: 5,
    },
  },
  'connect of a port': {
    call: (options) => leave(port.connect(here(), options)),
    good: { ...settings, context: background(), serve: api },
  },
  'close of a connection': { call: async (options) => (await closed()).close(options), good: { grace: 1 } },
  'close of a service': { call: (options) => serve(server(), api).close(options), good: { grace: 1 } },
  linkedPair: { call: linkedPair, good: { serve: api, clock, latency: 1, client: {}, server: {} } },
  'linkedPair, of its client': {
    call: (client) => linkedPair({ serve: api, client }),
    good: { ...side, reconnect: true },
  },
  'linkedPair, of its server': { call: (far) => linkedPair({ serve: api, clock, server: far }), good: { ...settings, clock } },
}

const nested = new Set(['lease', 'limits', 'headers', 'client', 'server', 'portable'])

/** What a call throws or rejects with; undefined where it does not. */
async function outcome({ call }: Taker, options: object): Promise<unknown> {
  try {
    const made = await call(options as never)
    if (typeof made === 'object' && made !== null && 'close' in made) onTestFinished(() => (made as port.Connection).close())
    return undefined
  } catch (error) {
    return error
  }
}

const boom = (): never => {
  throw new Error('boom')
}

/** Has the members of `values` as a getter that counts. */
function counted(values: object, reads: Map<string, number>, path = ''): object {
  const properties = Object.entries(values).map(([name, value]) => {
    const at = path + name
    const given: unknown = nested.has(name) && path === '' ? counted(value as object, reads, `${name}.`) : value
    const get = (): unknown => {
      reads.set(at, (reads.get(at) ?? 0) + 1)
      return given
    }
    return [name, { get, enumerable: true }] as const
  })
  return Object.defineProperties({}, Object.fromEntries(properties))
}

const inherited = (value: object): object => Object.create(value) as object

test.each(Object.entries(takers))('%s reads each of its options once, also where it is inherited', async (_name, taker) => {
  for (const how of [(value: object) => value, inherited]) {
    const reads = new Map<string, number>()
    const all = counted(taker.good, reads)
    expect(await outcome(taker, how(all))).toBeUndefined()
    expect([...reads].filter(([, count]) => count !== 1)).toEqual([])
    expect([...reads.keys()]).toEqual(expect.arrayContaining(Object.keys(taker.good)))
  }
})

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

const traps = ['get', 'has', 'ownKeys', 'getPrototypeOf', 'getOwnPropertyDescriptor'] as const
const sentence = /^\w+\(\) .+[^.]\.( .+\.)?$/

/** The options `good` with another value or another getter in place of one of them. */
function changed(good: Options, name: string, property: PropertyDescriptor): object {
  return Object.defineProperty({ ...good }, name, { enumerable: true, configurable: true, ...property })
}

test.each(Object.entries(takers))('%s refuses in a sentence what throws when it is read', async (of, taker) => {
  const { good } = taker
  const all = new Proxy({}, Object.fromEntries(traps.map((trap) => [trap, boom])))
  const wrong: [string, object][] = [
    ['revoked', revoked()],
    ['throwing', all],
  ]
  for (const name of Object.keys(good)) {
    const getter = changed(good, name, { get: boom })
    wrong.push([`a getter of ${name}`, getter], [`an inherited getter of ${name}`, inherited(getter)])
    for (const [what, value] of [['revoked', revoked()] as const, ['throwing', all] as const])
      wrong.push([`${name}: ${what}`, changed(good, name, { value })])
  }
  for (const [what, options] of wrong) {
    const error = await outcome(taker, options)
    expect(error, what).toBeInstanceOf(of === 'group' && what.startsWith('limit') ? RangeError : TypeError)
    expect((error as Error).message, what).toMatch(sentence)
  }
})

test('what stands before the options is refused in a sentence, too, where it throws when it is read', () => {
  const wrong = new Proxy({}, Object.fromEntries(traps.map((trap) => [trap, boom])))
  for (const value of [wrong, revoked()] as never[]) {
    for (const call of [() => connect(value), () => serve(value, api), () => serve(server(), value), () => port.connect(value)])
      expect(call).toThrow(sentence)
  }
})

test.each(Object.entries(takers))('%s refuses a name that nobody knows, but not where it is inherited', async (_name, taker) => {
  const slip = { ...taker.good, nmae: 'a' }
  expect(await outcome(taker, slip)).toMatchObject({
    message: expect.stringContaining('knows no option of the name "nmae".') as string,
  })
  expect(await outcome(taker, inherited(slip))).toBeUndefined()
})

test.each(Object.entries(takers))('%s does not mind what a library has put on Object.prototype', async (_name, taker) => {
  const polluted = Object.prototype as { helper?: unknown }
  polluted.helper = () => 1
  onTestFinished(() => void delete polluted.helper)
  expect(await outcome(taker, taker.good)).toBeUndefined()
})

async function listening(settings: ServeSettings): Promise<string> {
  const front = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  const service = serve(front, methods, settings)
  onTestFinished(() => {
    service.close()
    front.close()
    for (const socket of front.clients) socket.terminate()
  })
  await once(front, 'listening')
  return `ws://127.0.0.1:${(front.address() as AddressInfo).port}`
}

const methods = { left: (ctx: Context) => ctx.remaining(), hold: (ctx: Context) => ctx.done }

class Defaults {
  get name(): string {
    return 'inherited'
  }
  get maxTimeout(): number {
    return 60_000
  }
  get limits(): object {
    return inherited({ maxCalls: 1 })
  }
  get maxConnections(): number {
    return 1
  }
}

test('what is inherited is used: by a service, a connection, a port and a pair', async () => {
  const authorize: ServeSettings['authorize'] = ({ headers }) => headers['x-who'] !== 'eve'
  const url = await listening(Object.assign(new Defaults(), { authorize }))
  const connection = await connect(url, inherited({ headers: { 'x-who': 'ann' }, reconnect: false }))
  await expect(connect(url, inherited({ headers: { 'x-who': 'eve' } }))).rejects.toMatchObject({ status: 401 })
  await expect(connect(url, inherited({ headers: { 'x-who': 'bob' } }))).rejects.toThrow('1013')
  const { port1, port2 } = new MessageChannel()
  const { name, maxTimeout, limits } = new Defaults()
  const far = inherited({ name, maxTimeout, limits, serve: methods })
  const [near] = await Promise.all([port.connect(port1), port.connect(port2, far)])
  for (const one of [connection, near]) {
    expect(one.peerName).toBe('inherited')
    const remote = port.wrap<typeof methods>(one)
    expect(await remote.left(background())).toBeLessThanOrEqual(60_000)
    const held = remote.hold(background())
    await expect(remote.left(background())).rejects.toMatchObject({ code: 'ERR_LIMIT' })
    one.close()
    await expect(held).rejects.toMatchObject({ code: 'ERR_LINK_LOST' })
  }
  const pair = await linkedPair({ serve: methods, server: inherited({ name }), client: inherited({ name: 'child' }) })
  expect([pair.client.peerName, pair.server.peerName]).toEqual(['inherited', 'child'])
  await pair.close()
})

test('who is let in is what was checked, whatever is done with the options later', async () => {
  const origins = ['https://example.com']
  const settings: { authorize?: ServeSettings['authorize']; allowedOrigins?: string[] } = {
    authorize: ({ headers }) => headers['x-who'] === 'ann',
    allowedOrigins: origins,
  }
  const url = await listening(settings as ServeSettings)
  delete settings.authorize
  delete settings.allowedOrigins
  origins.push('https://evil.example')
  const from = (origin: string, who: string): Promise<unknown> =>
    connect(url, { headers: { origin, 'x-who': who } }).then((connection) => connection.close())
  await expect(from('https://example.com', 'eve')).rejects.toMatchObject({ status: 401 })
  await expect(from('https://evil.example', 'ann')).rejects.toMatchObject({ status: 403 })
  expect(await from('https://example.com', 'ann')).toBeUndefined()
})

test('headers are those that were checked, also of a connection that replaces another one', async () => {
  const seen: unknown[] = []
  const sockets: Socket[] = []
  const url = await listening({
    lease: { resume: 10_000 },
    maxTimeout: 60_000,
    authorize: ({ headers, socket }) => {
      sockets.push(socket)
      return seen.push(headers['x-who']) > 0
    },
  })
  const headers: Record<string, string> = { 'x-who': 'ann' }
  const connection = await connect(url, { headers })
  headers['x-who'] = 'a\r\nb: c'
  sockets[0]?.destroy()
  expect(await port.wrap<typeof methods>(connection).left(background())).toBeLessThanOrEqual(60_000)
  expect(seen).toEqual(['ann', 'ann'])
  connection.close()
})
