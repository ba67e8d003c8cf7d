/** Over the page's own WebSocket, to a server in Node. */
import { background, type Context, createKey, withCancel, withTimeout, withValue } from 'ctxbridge'
import { connect, type Connection, wrap } from 'ctxbridge/websocket'
import { expect, inject, test } from 'vitest'

interface Served {
  echo(ctx: Context, x: unknown): unknown
  user(ctx: Context): string | null
  hold(ctx: Context, tag: string): Promise<never>
  begun(ctx: Context, tag: string): boolean
  ended(ctx: Context, tag: string): string | null
  count(ctx: Context, tag: string): AsyncGenerator<number, void>
  cut(ctx: Context): void
}

const user = createKey<string>('user', { portable: { encode: (name) => name, decode: String } })

async function open() {
  const connection: Connection = await connect(inject('url'), { name: 'page' })
  return { connection, remote: wrap<Served>(connection) }
}

/** Asks the server until it tells how something ended there. */
async function endOf(remote: Awaited<ReturnType<typeof open>>['remote'], tag: string): Promise<string> {
  for (;;) {
    const end = await remote.ended(background(), tag)
    if (end !== null) return end
  }
}

test('a page calls, and its values cross', async () => {
  const { connection, remote } = await open()
  expect(await remote.echo(background(), { text: 'ü 😀', bytes: new Uint8Array([0, 255]) })).toEqual({
    text: 'ü 😀',
    bytes: new Uint8Array([0, 255]),
  })
  expect(await remote.user(withValue(background(), user, 'ann'))).toBe('ann')
  connection.close()
})

test('a stop button and a deadline stop the work over there', async () => {
  const { connection, remote } = await open()
  const tag = `stop ${Math.random()}`
  const ctx = withCancel(background())
  const stopped = remote.hold(ctx, tag).catch((error: unknown) => error)
  await remote.echo(background(), 1)
  ctx.cancel('by hand')
  expect(await stopped).toBe(ctx.err())
  expect(await endOf(remote, tag)).toBe('AbortError: by hand')
  // Of a call whose deadline passes on the way the method does not run: then the next one has more time.
  for (let ms = 30; !(await remote.begun(background(), `${tag} late`)); ms *= 2) {
    const late = withTimeout(background(), ms, 'late')
    expect(await remote.hold(late, `${tag} late`).catch((error: unknown) => error)).toBe(late.err())
  }
  expect(await endOf(remote, `${tag} late`)).toBe('TimeoutError: late')
  connection.close()
})

test('leaving the loop of a stream runs its finally over there', async () => {
  const { connection, remote } = await open()
  const tag = `stream ${Math.random()}`
  for await (const n of remote.count(background(), tag)) if (n === 100) break
  expect(await endOf(remote, tag)).toBe('finally')
  connection.close()
})

test('a connection that breaks is replaced, and the call goes on', async () => {
  const { connection, remote } = await open()
  const tag = `break ${Math.random()}`
  const ctx = withCancel(background())
  const held = remote.hold(ctx, tag).catch((error: unknown) => error)
  await remote.cut(background())
  expect(await remote.echo(background(), 'there')).toBe('there')
  expect(connection.stats()).toMatchObject({ state: 'open', calls: 1 })
  ctx.cancel('after')
  await held
  expect(await endOf(remote, tag)).toBe('AbortError: after')
  connection.close()
})

test('a page that goes away stops its work', async () => {
  const { connection, remote } = await open()
  const tag = `frame ${Math.random()}`
  const frame = document.createElement('iframe')
  document.body.append(frame)
  const inner = frame.contentWindow as (Window & typeof globalThis) | null
  if (inner === null) throw new Error('no frame')
  // A link over a socket of the frame's: it goes with the frame.
  const own = globalThis.WebSocket
  globalThis.WebSocket = inner.WebSocket
  const there = await connect(inject('url')).finally(() => (globalThis.WebSocket = own))
  void wrap<Served>(there)
    .hold(background(), tag)
    .catch(() => undefined)
  await wrap<Served>(there).echo(background(), 1)
  frame.remove()
  expect(await endOf(remote, tag)).toContain('LinkLostError')
  connection.close()
})
