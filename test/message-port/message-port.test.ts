import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { background, type Context, LinkLostError, withCancel, withTimeout } from 'ctxbridge'
import { connect, wrap } from 'ctxbridge/message-port'
import { describe, expect, test } from 'vitest'
import type { PortService } from '../fixtures/port-service.ts'
import { compiled } from '../support/compiled.ts'

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error('The promise was fulfilled.')
    },
    (error: unknown) => error,
  )
}

describe('a worker behind its port', () => {
  test('is called and calls back; a cancel reaches it with its cause; streams flow; its exit is a loss', async () => {
    const worker = new Worker(compiled('test/fixtures/port-service.ts'))
    using connection = await connect(worker, { serve: { name: (_ctx: Context) => 'the main thread' } })
    expect(connection.peerName).toBe('the worker')
    const remote = wrap<PortService>(connection)
    const ctx = withCancel(background())
    expect(await remote.add(ctx, 1, 2)).toBe(3)
    expect(await remote.back(ctx)).toBe('the main thread')
    const numbers: number[] = []
    for await (const n of remote.count(ctx, 40)) numbers.push(n)
    expect(numbers).toEqual(Array.from({ length: 40 }, (_, i) => i))

    const call = rejection(remote.wait(ctx))
    await remote.add(background(), 0, 0)
    ctx.cancel(new Error('stop'))
    expect(await call).toBe(ctx.err())
    while (connection.stats().calls > 0) await remote.add(background(), 0, 0)
    expect(await wrap<{ last(ctx: Context): string }>(connection).last(background())).toBe('AbortError: stop')

    const late = withTimeout(background(), 20)
    expect(await rejection(remote.wait(late))).toBe(late.err())

    const lost = rejection(remote.exit(background()))
    expect(await lost).toBeInstanceOf(LinkLostError)
    expect(await connection.closed).toBeInstanceOf(LinkLostError)
    expect(connection.stats()).toMatchObject({ state: 'closed', calls: 0, handlers: 0, exports: 0, imports: 0 })
  })
})

describe('over a MessageChannel', () => {
  const pair = async () => {
    const { port1, port2 } = new MessageChannel()
    const service = { wait: (ctx: Context) => ctx.done.then((error) => error.name) }
    const [a, b] = await Promise.all([connect(port1), connect(port2, { serve: service })])
    return { a, b, port1, port2, remote: wrap<typeof service>(a) }
  }

  test('no memory of this process goes along with a message', async () => {
    const { port1, port2 } = new MessageChannel()
    const spare: number[] = []
    port2.addEventListener('message', ({ data }: MessageEvent<{ bytes?: Uint8Array }>) => {
      if (data.bytes !== undefined) spare.push(data.bytes.buffer.byteLength - data.bytes.byteLength)
    })
    const [a] = await Promise.all([connect(port1), connect(port2, { serve: { echo: (_ctx: Context, n: number) => n } })])
    const remote = wrap<{ echo(ctx: Context, n: number): number }>(a)
    for (let n = 0; n < 10; n++) expect(await remote.echo(background(), n)).toBe(n)
    expect(spare.length).toBeGreaterThan(10)
    expect(new Set(spare)).toEqual(new Set([0]))
    a.close()
  })

  test('other messages pass by, and closing one side ends the other', async () => {
    const { a, b, port1, port2, remote } = await pair()
    const heard = once(port2 as never, 'message')
    port1.postMessage({ somebody: 'else' })
    port1.postMessage(null)
    await heard
    const call = rejection(remote.wait(background()))
    b.close()
    expect(await call).toBeInstanceOf(LinkLostError)
    expect((await a.closed).message).toContain('1000')
    expect([a.stats().state, b.stats().state]).toEqual(['closed', 'closed'])
    port1.close()
  })

  test.each([
    ['no bytes', { bytes: 'x' }, 1003],
    ['bytes that are no message', { bytes: new Uint8Array([0xc1, 1, 2]) }, 4400],
    ['more than the limit', { bytes: new Uint8Array(5_000) }, 1009],
  ])('%s end the connection with a code', async (_name, message, code) => {
    const { port1, port2 } = new MessageChannel()
    const [a, b] = await Promise.all([connect(port1), connect(port2, { limits: { maxMessage: 4_096 } })])
    port1.postMessage({ ctxbridge: 'link', ...message })
    expect((await a.closed).message).toContain(String(code))
    await b.closed
    port1.close()
  })

  test('a wait for the greeting is bounded by a context', async () => {
    const { port1 } = new MessageChannel()
    const ctx = withTimeout(background(), 10)
    expect(await rejection(connect(port1, { context: ctx }))).toBe(ctx.err())
    port1.close()
  })

  test('what cannot be used is told', () => {
    for (const wrong of [undefined, null, {}, 1, { postMessage: () => undefined }]) {
      expect(() => connect(wrong as never)).toThrow(/^connect\(\) needs a MessagePort/)
    }
    const { port1 } = new MessageChannel()
    expect(() => connect(port1, { serve: class {} })).toThrow(TypeError)
    expect(() => connect(port1, { context: {} as never })).toThrow(/'context'/)
    expect(() => connect(port1, 1 as never)).toThrow(/options/)
    port1.close()
  })
})
