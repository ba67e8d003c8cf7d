/** Real processes, and a network that loses things between them. */
import { background, cause, type Context, withCancel } from 'ctxbridge'
import { connect, type Connection, type LinkLease, wrap } from 'ctxbridge/websocket'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Methods } from '../fixtures/websocket-shared.ts'
import { turn } from '../support/gc.ts'
import { Proxy } from './proxy.ts'
import { holding, idle, local, Process, rejection, until } from './support.ts'

/** For a machine that is busy: bounds a failure, and is no expectation. */
const timeout = 60_000

/** By the clock that all processes of a machine share. */
const now = (): bigint => process.hrtime.bigint()

/** Short, so that tests are; the relations are those of the defaults. */
const lease: Partial<LinkLease> = { ping: 300, imports: 1_500, exports: 2_500, resume: 2_000 }

async function throughProxy(): Promise<{
  process: Process
  proxy: Proxy
  connection: Connection
  methods: ReturnType<typeof wrap<Methods>>
}> {
  const process = new Process({ role: 'service', lease })
  const proxy = await Proxy.to(await process.url())
  const connection = await connect(proxy.url, { name: 'test', lease })
  onTestFinished(() => connection.close())
  return { process, proxy, connection, methods: wrap<Methods>(connection) }
}

describe('a connection that is lost on the way', { timeout }, () => {
  it.each<[string, (proxy: Proxy) => void]>([
    ['cut', (proxy) => proxy.last.cut()],
    ['reset', (proxy) => proxy.last.reset()],
    ['half open: nothing comes from the client', (proxy) => proxy.last.set('up', 'drop')],
    ['half open: nothing comes from the server', (proxy) => proxy.last.set('down', 'drop')],
    ['stalled: nothing is read of the client', (proxy) => proxy.last.set('up', 'stall')],
    ['stalled: nothing is read of the server', (proxy) => proxy.last.set('down', 'stall')],
    ['silent in both directions', (proxy) => (['up', 'down'] as const).map((direction) => proxy.last.set(direction, 'drop'))],
  ])('%s, is replaced: the call goes on, runs once, and is cancelled as any other', async (_name, lose) => {
    const { process, proxy, connection, methods } = await throughProxy()
    const ctx = withCancel(background())
    const result = rejection(methods.hold(ctx, 'a'))
    await process.next('started')
    lose(proxy)
    await until(() => proxy.passages.length > 1 && connection.stats().state === 'open')
    expect(await methods.echo(background(), 'there')).toBe('there')
    await process.statsAre({ connections: 1, handlers: 1 })
    ctx.cancel('enough')
    expect(await result).toBe(ctx.err())
    expect(await process.next('ended')).toMatchObject({ tag: 'a', name: 'AbortError', cause: 'enough' })
    await process.statsAre({ connections: 1, handlers: 0, contexts: 0 })
  })

  it('with a cancel on it loses no cancel', async () => {
    const { process, proxy, connection, methods } = await throughProxy()
    const contexts = Array.from({ length: 100 }, () => withCancel(background()))
    const results = contexts.map((ctx, i) => rejection(methods.hold(ctx, String(i))))
    for (const _ of contexts) await process.next('started')
    // What is sent from here on never arrives.
    proxy.last.set('up', 'drop')
    for (const ctx of contexts.slice(0, 50)) ctx.cancel('on the way')
    await Promise.all(results.slice(0, 50))
    proxy.last.cut()
    for (const ctx of contexts.slice(50)) ctx.cancel('while it was gone')
    const causes = new Set<unknown>()
    for (const _ of contexts) causes.add((await process.next('ended')).cause)
    expect(causes).toEqual(new Set(['on the way', 'while it was gone']))
    await until(() => connection.stats().state === 'open')
    await process.statsAre({ connections: 1, handlers: 0, contexts: 0 })
    await Promise.all(results)
  })

  it('again and again, is replaced each time', async () => {
    const { process, proxy, connection, methods } = await throughProxy()
    const result = methods.echo(background(), 0)
    for (let round = 1; round <= 5; round++) {
      proxy.last.cut()
      await until(() => proxy.passages.length > round && connection.stats().state === 'open')
      expect(await methods.echo(background(), round)).toBe(round)
    }
    expect(await result).toBe(0)
    await process.statsAre({ connections: 1, handlers: 0 })
  })

  it('and cannot be replaced: the child stops, then the parent gives it up', async () => {
    const { process, proxy, connection, methods } = await throughProxy()
    const ctx = withCancel(background())
    const result = rejection(methods.hold(ctx, 'a'))
    await process.next('started')
    proxy.partition()
    const ended = await process.next('ended')
    expect(ended).toMatchObject({ name: 'AbortError', cause: expect.stringMatching(/^LinkLostError: /) as string })
    expect(await result).toMatchObject({ name: 'LinkLostError', code: 'ERR_LINK_LOST' })
    expect(now() > BigInt(ended.at ?? 0)).toBe(true)
    expect(ctx.err()).toBeUndefined()
    expect(connection.stats()).toMatchObject({ state: 'closed', calls: 0 })
    await process.statsAre({ connections: 0, calls: 0, handlers: 0, contexts: 0 })
  })

  it('is not replaced where that is not wanted', async () => {
    const process = new Process({ role: 'service', lease: { ...lease, resume: 100 } })
    const proxy = await Proxy.to(await process.url())
    const connection = await connect(proxy.url, { lease, reconnect: false })
    const result = rejection(wrap<Methods>(connection).hold(background(), 'a'))
    await process.next('started')
    proxy.last.cut()
    expect(await result).toMatchObject({ code: 'ERR_LINK_LOST' })
    expect(await process.next('ended')).toMatchObject({ name: 'AbortError' })
    expect(proxy.passages).toHaveLength(1)
  })
})

describe('a process that stands still', { timeout }, () => {
  it('for less than the lease is waited for', async () => {
    const { process, methods } = await throughProxy()
    const ctx = withCancel(background())
    const result = rejection(methods.hold(ctx, 'a'))
    await process.next('started')
    process.child.kill('SIGSTOP')
    const echo = methods.echo(background(), 'later')
    process.child.kill('SIGCONT')
    expect(await echo).toBe('later')
    ctx.cancel('enough')
    expect(await process.next('ended')).toMatchObject({ cause: 'enough' })
    await result
  })

  it('reads what has come meanwhile before it judges who sent it', async () => {
    // Without a session, so that neither side connects again; and the client is patient.
    const process = new Process({ role: 'service', lease: { ping: 100, imports: 400, exports: 600, stretch: 1 } })
    const url = await process.url()
    const connection = await connect(url, { lease: { ping: 100, imports: 20_000, exports: 30_000 }, reconnect: false })
    const methods = wrap<Methods>(connection)
    const ctx = withCancel(background())
    const held = rejection(methods.hold(ctx, 'a'))
    await process.next('started')
    // Twice as long as it would wait for anybody. What it hears of all that time comes behind its timers.
    expect(await methods.block(background(), 1_200)).toBe('awake')
    expect(await methods.echo(background(), 'there')).toBe('there')
    ctx.cancel('enough')
    expect(await held).toBe(ctx.err())
    expect(await process.next('ended')).toMatchObject({ tag: 'a', cause: 'enough' })
    connection.close()
    await process.statsAre({ connections: 0, handlers: 0 })
  })

  it('for longer is given up; when it wakes, it stops what it ran', async () => {
    const { process, connection, methods } = await throughProxy()
    const result = rejection(methods.hold(background(), 'a'))
    await process.next('started')
    process.child.kill('SIGSTOP')
    expect(await result).toMatchObject({ code: 'ERR_LINK_LOST' })
    expect(await connection.closed).toMatchObject({ code: 'ERR_LINK_LOST' })
    process.child.kill('SIGCONT')
    expect(await process.next('ended')).toMatchObject({ name: 'AbortError', cause: expect.stringMatching(/^LinkLost/) as string })
    await process.statsAre({ connections: 0, calls: 0, handlers: 0 })
  })

  it('and is a client: what it has here ends', async () => {
    const { hold, started } = holding()
    const { url, service } = await local({ hold }, { lease })
    const client = new Process({ role: 'client', url, method: 'hold', lease })
    const ctx = await started()
    client.child.kill('SIGSTOP')
    const error = await ctx.done
    expect(error.name).toBe('AbortError')
    expect(cause(ctx)).toMatchObject({ name: 'LinkLostError' })
    await idle(service)
    client.child.kill('SIGCONT')
    const { name, cause: why } = await client.next('rejected')
    // What the handler answered may still be in the socket: then that is the outcome.
    expect(`${name ?? ''}, ${why ?? ''}`).toContain('LinkLostError: ')
  })

  it('and is killed while it does: likewise', async () => {
    const { process, methods } = await throughProxy()
    const result = rejection(methods.hold(background(), 'a'))
    await process.next('started')
    process.child.kill('SIGSTOP')
    process.child.kill('SIGKILL')
    expect(await result).toMatchObject({ code: 'ERR_LINK_LOST' })
  })
})

describe('a reader that is slow', { timeout }, () => {
  it('is given up when what waits for it has waited for its lease, though it talks, and no other feels it', async () => {
    const { service, url } = await local(
      { big: () => 'x'.repeat(500_000), echo: (_ctx: Context, x: unknown) => x },
      { lease: { ping: 200, imports: 800, exports: 1_000, stretch: 1 }, limits: { maxBacklog: 1e9 } },
    )
    const proxy = await Proxy.to(url)
    // It hears nothing, so it pings all the time.
    const slow = await connect(proxy.url, { lease: { ping: 100, imports: 4_000, exports: 5_000 }, reconnect: false })
    const well = await connect(url)
    await until(() => service.connections.size === 2)
    const [there] = [...service.connections]
    const methods = wrap<{ big(ctx: Context): string }>(slow)
    proxy.last.set('down', 'stall')
    // More than all buffers on the way hold.
    const results = Array.from({ length: 60 }, () => rejection(methods.big(background())))
    expect((await (there as Connection).closed).message).toContain('reads too slowly')
    expect(await wrap<Methods>(well).echo(background(), 'well')).toBe('well')
    await until(() => service.stats().connections === 1)
    for (const result of results) expect(await result).toMatchObject({ code: 'ERR_LINK_LOST' })
    well.close()
    await idle(service)
  })
})

describe('a connection on which megabytes wait', { timeout }, () => {
  it('lets a cancel go first: it arrives before all that had not left when it was said', async () => {
    const process = new Process({ role: 'service' })
    const proxy = await Proxy.to(await process.url())
    const connection = await connect(proxy.url, { limits: { maxBacklog: 1e9 } })
    onTestFinished(() => connection.close())
    const methods = wrap<Methods>(connection)
    const ctx = withCancel(background())
    const held = rejection(methods.hold(ctx, 'a'))
    await process.next('started')
    proxy.last.set('up', 'stall')
    // More than all buffers on the way hold.
    const bulk = Array.from({ length: 60 }, (_, i) => methods.take(background(), new Uint8Array(500_000), String(i)))
    // Until the system takes no more.
    let waiting: number
    do {
      waiting = connection.stats().queued
      for (let i = 0; i < 50; i++) await turn()
    } while (connection.stats().queued !== waiting)
    expect(waiting).toBeGreaterThan(20)
    ctx.cancel('stop')
    expect(await held).toBe(ctx.err())
    expect(connection.stats().queued).toBe(waiting)
    proxy.last.set('up', 'pass')
    expect(await Promise.all(bulk)).toEqual(bulk.map(() => 500_000))
    await until(() => process.told.length === bulk.length + 1)
    const order = process.told.map(({ event }) => event)
    expect(order.indexOf('ended')).toBeLessThanOrEqual(bulk.length - waiting)
    expect(process.told.filter(({ event }) => event === 'taken').map(({ tag }) => tag)).toEqual(bulk.map((_, i) => String(i)))
    await process.statsAre({ connections: 1, handlers: 0 })
  })
})
