/** What a page imports: its own WebSocket, for which that of ws stands in here, as it has the same interface. */
import { readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { background, cause, type Context, withCancel } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { connect, wrap } from '../../transports/websocket/browser.ts'
import { serve, type Service } from '../../transports/websocket/serve.ts'
import { turn } from '../support/gc.ts'
import { importsOf } from '../support/layout.ts'
import { rejection } from './support.ts'

const root = new URL('../../', import.meta.url)

beforeAll(() => void vi.stubGlobal('WebSocket', WebSocket))
afterAll(() => void vi.unstubAllGlobals())

test('a page loads no code of Node and no ws', () => {
  const seen = new Set<string>()
  const outside = new Set<string>()
  const visit = (path: string): void => {
    if (seen.has(path)) return
    seen.add(path)
    const text = readFileSync(new URL(path, root), 'utf8').replaceAll(/^import type [^;]*?$/gm, '')
    for (const { from } of importsOf(path, text)) {
      if (from.startsWith('.')) visit(posix.join(posix.dirname(path), from))
      else outside.add(from)
    }
  }
  visit('transports/websocket/browser.ts')
  expect([...outside]).toEqual(['msgpackr'])
  expect(seen.size).toBeGreaterThan(20)
  const { exports } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as {
    exports: Record<string, Record<string, unknown>>
  }
  // Before all other conditions, which would win.
  expect(Object.keys(exports['./websocket'] ?? {})[0]).toBe('browser')
})

async function local(methods: object): Promise<{ url: string; server: WebSocketServer; service: Service }> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: 1_048_576 })
  const service = serve(server, methods, { lease: { resume: 5_000 } })
  await once(server, 'listening')
  onTestFinished(() => {
    service.close()
    server.close()
    for (const socket of server.clients) socket.terminate()
  })
  return { url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, server, service }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

test('a page reads its options as all do', () => {
  const boom = (): never => {
    throw new Error('boom')
  }
  for (const name of ['headers', 'name'])
    expect(() => connect('ws://127.0.0.1:1', Object.create(Object.defineProperty({}, name, { get: boom })) as object)).toThrow(
      'connect() needs options that can be read, but got some that throw.',
    )
})

test('a page calls, cancels and reads streams', async () => {
  const ended: unknown[] = []
  const methods = {
    echo: (_ctx: Context, x: unknown) => x,
    hold: (ctx: Context) =>
      ctx.done.then((error) => {
        ended.push(error.cause)
        throw error
      }),
    async *count(_ctx: Context, to: number) {
      for (let n = 1; n <= to; n++) yield n
    },
  }
  const { url, service } = await local(methods)
  const connection = await connect(url, { name: 'page' })
  const remote = wrap<typeof methods>(connection)
  expect(await remote.echo(background(), new Uint8Array([1, 2]))).toEqual(new Uint8Array([1, 2]))
  const ctx = withCancel(background())
  const held = rejection(remote.hold(ctx))
  await until(() => service.stats().handlers === 1)
  ctx.cancel('stop')
  expect(await held).toBe(ctx.err())
  const items: number[] = []
  for await (const n of remote.count(background(), 50)) items.push(n)
  expect(items).toHaveLength(50)
  connection.close()
  expect(await connection.closed).toBeInstanceOf(LinkLostError)
  await until(() => service.stats().connections === 0)
  expect(ended).toEqual(['stop'])
})

test.each([
  ['breaks', (socket: WebSocket) => socket.terminate()],
  ['is closed without a code', (socket: WebSocket) => socket.close()],
])('a connection that %s goes on over another one', async (_name, lose) => {
  const contexts: Context[] = []
  const methods = {
    hold: (ctx: Context) => {
      contexts.push(ctx)
      return ctx.done.then((error) => Promise.reject(error))
    },
  }
  const { url, server, service } = await local(methods)
  const connection = await connect(url)
  const ctx = withCancel(background())
  const held = rejection(wrap<typeof methods>(connection).hold(ctx))
  await until(() => contexts.length === 1)
  for (const socket of server.clients) lose(socket)
  await until(() => connection.stats().state === 'suspended')
  await until(() => connection.stats().state === 'open')
  ctx.cancel('after')
  await held
  await until(() => service.stats().handlers === 0)
  expect(contexts.map((one) => cause(one))).toEqual(['after'])
  connection.close()
})

test('a server that is not there, or closes on purpose, is a loss', async () => {
  const { url, server, service } = await local({ f: () => 1 })
  const connection = await connect(url)
  service.close()
  expect((await connection.closed).message).toContain('code 1000')
  server.close()
  await expect(connect(url)).rejects.toMatchObject({ code: 'ERR_LINK_LOST', message: 'The WebSocket could not be opened.' })
})

test('a page sends no headers, and knows no agent', () => {
  expect(() => connect('ws://127.0.0.1:1', { headers: { a: 'b' } } as object)).toThrow(
    /^connect\(\) can send no headers from a page/,
  )
  expect(() => connect('ws://127.0.0.1:1', { agent: {} } as object)).toThrow('knows no option of the name "agent"')
})
