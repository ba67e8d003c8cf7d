/** Real processes and real sockets: what reaches whom, and what a kill leaves behind. */
import { background, CanceledError, withCancel, withTimeout, withValue } from 'ctxbridge'
import { connect, wrap } from 'ctxbridge/websocket'
import { describe, expect, it } from 'vitest'
import { type Methods, user } from '../fixtures/websocket-shared.ts'
import { holding, idle, local, Process, rejection } from './support.ts'

/** By the clock that all processes of a machine share. */
const now = (): bigint => process.hrtime.bigint()

/** Calls with a deadline that is so many ms away, and with one twice as far until `call` says that its method has begun: it does not where the deadline passes on the way. */
async function inTime(ms: number, call: (ms: number) => Promise<boolean>): Promise<void> {
  while (!(await call(ms))) ms *= 2
}

/** For a machine that is busy: bounds a failure, and is no expectation. */
const timeout = 30_000

async function service() {
  const process = new Process({ role: 'service' })
  const url = await process.url()
  const connection = await connect(url, { name: 'test' })
  return { process, url, connection, methods: wrap<Methods>(connection) }
}

async function chain() {
  const service = new Process({ role: 'service' })
  const gateway = new Process({ role: 'gateway', upstream: await service.url() })
  const connection = await connect(await gateway.url(), { name: 'test' })
  return { service, gateway, connection, methods: wrap<Methods>(connection) }
}

const zero = { calls: 0, handlers: 0 }

describe('a service in another process', { timeout }, () => {
  it('is cancelled, with the cause', async () => {
    const { process, methods, connection } = await service()
    const ctx = withCancel(background())
    const result = rejection(methods.hold(ctx, 'a'))
    await process.next('started')
    ctx.cancel(new TypeError('enough'))
    expect(await result).toBe(ctx.err())
    expect(await process.next('ended')).toMatchObject({ tag: 'a', name: 'AbortError', cause: 'TypeError: enough' })
    await process.statsAre({ ...zero, connections: 1 })
    connection.close()
    await process.statsAre({ ...zero, connections: 0 })
  })

  it('keeps the deadline, with its cause', async () => {
    const { process, methods, connection } = await service()
    await inTime(200, async (ms) => {
      const before = now()
      const ctx = withTimeout(background(), ms, 'too slow')
      expect(await rejection(methods.hold(ctx, 'a'))).toBe(ctx.err())
      // By then the call has come there, or never will.
      await methods.echo(background(), 0)
      if (!(await process.has('started'))) return false
      const ended = await process.next('ended')
      expect(ended).toMatchObject({ name: 'TimeoutError', cause: 'too slow' })
      expect(Number(BigInt(ended.at ?? 0) - before)).toBeGreaterThanOrEqual(ms * 1e6)
      return true
    })
    const left = await methods.remaining(withTimeout(background(), 3_600_000))
    expect(left).toBeLessThanOrEqual(3_600_000)
    expect(left).toBeGreaterThan(3_500_000)
    connection.close()
  })

  it('is given values', async () => {
    const { methods, connection } = await service()
    expect(await methods.user(withValue(background(), user, 'ann'))).toBe('ann')
    expect(await methods.user(background())).toBeNull()
    connection.close()
  })

  it('need not answer: the caller rejects at once', async () => {
    const { process, methods, connection } = await service()
    const ctx = withCancel(background())
    const result = rejection(methods.deaf(ctx, 'a'))
    await process.next('started')
    // Stopped, it could not even read.
    process.child.kill('SIGSTOP')
    ctx.cancel('enough')
    expect(await result).toBe(ctx.err())
    process.child.kill('SIGCONT')
    expect(await process.next('ended')).toMatchObject({ cause: 'enough' })
    await process.statsAre({ handlers: 1 })
    connection.close()
  })

  it('that is killed is a link lost', async () => {
    const { process, methods, connection } = await service()
    const ctx = withTimeout(background(), 3_600_000)
    const results = [rejection(methods.hold(ctx, 'a')), rejection(methods.hold(background(), 'b'))]
    await process.next('started')
    await process.next('started')
    process.child.kill('SIGKILL')
    for (const error of await Promise.all(results)) {
      expect(error).toMatchObject({
        name: 'LinkLostError',
        code: 'ERR_LINK_LOST',
        message: 'The connection broke without a close.',
      })
    }
    expect(ctx.err()).toBeUndefined()
    expect(await connection.closed).toBe(await results[0])
    expect(connection.stats()).toMatchObject({ ...zero, state: 'closed' })
    await expect(methods.echo(ctx, 1)).rejects.toMatchObject({ code: 'ERR_LINK_LOST' })
    ctx.cancel()
  })

  it('that closes is a link lost, says why, and exits by itself', async () => {
    const { process, methods, connection } = await service()
    const result = rejection(methods.hold(background(), 'a'))
    await process.next('started')
    process.child.send('close')
    const told = await process.next('ended')
    expect(told).toMatchObject({ name: 'AbortError', cause: 'LinkLostError: The link was closed on this side.' })
    expect(await result).toMatchObject({
      code: 'ERR_LINK_LOST',
      message: 'The peer closed the connection with code 1000 and the reason "closed".',
    })
    expect(connection.stats()).toMatchObject(zero)
    expect(await process.exit).toEqual({ code: 0, signal: null, stderr: '' })
  })
})

describe('a client in another process', { timeout }, () => {
  it('that is killed ends the contexts of its calls', async () => {
    const { hold, started } = holding()
    const { url, service: server } = await local({ hold })
    const client = new Process({ role: 'client', url, method: 'hold' })
    const ctx = await started()
    client.child.kill('SIGKILL')
    const error = await ctx.done
    expect(error).toBeInstanceOf(CanceledError)
    expect(error.cause).toMatchObject({ name: 'LinkLostError', message: 'The connection broke without a close.' })
    await idle(server)
  })

  it('exits by itself once it has closed its connection', async () => {
    const { url, service: server } = await local({ echo: () => 1 })
    const client = new Process({ role: 'client', url, method: 'echo', thenClose: true })
    await client.next('resolved')
    expect(await client.exit).toEqual({ code: 0, signal: null, stderr: '' })
    await idle(server)
  })

  it('exits by itself though a deadline is an hour away and the server never answers a call', async () => {
    const { hold } = holding()
    const { url } = await local({ hold })
    const client = new Process({ role: 'client', url, method: 'hold', ms: 50, thenClose: true })
    expect(await client.next('rejected')).toMatchObject({ name: 'TimeoutError: context deadline exceeded' })
    expect(await client.exit).toMatchObject({ code: 0, stderr: '' })
  })
})

describe('a gateway that passes the context on to a service', { timeout }, () => {
  it('carries a cancel through both hops, with its cause', async () => {
    const { service, gateway, methods, connection } = await chain()
    const ctx = withCancel(background())
    const result = rejection(methods.hold(ctx, 'a'))
    await service.next('started')
    ctx.cancel(new RangeError('stop'))
    expect(await result).toBe(ctx.err())
    for (const hop of [gateway, service]) {
      expect(await hop.next('ended')).toMatchObject({ tag: 'a', name: 'AbortError', cause: 'RangeError: stop' })
    }
    for (const hop of [gateway, service]) await hop.statsAre(zero)
    connection.close()
  })

  it('carries a deadline through both hops, with its cause', async () => {
    const { service, gateway, methods, connection } = await chain()
    await inTime(200, async (ms) => {
      const result = rejection(methods.hold(withTimeout(background(), ms, 'too slow'), 'a'))
      expect(await result).toMatchObject({ name: 'TimeoutError', cause: 'too slow' })
      // By then the call has come to both, or never will.
      await methods.echo(background(), 0)
      const begun = [await gateway.has('started'), await service.has('started')]
      for (const [i, hop] of [gateway, service].entries()) {
        if (begun[i] === true) expect(await hop.next('ended')).toMatchObject({ name: 'TimeoutError', cause: 'too slow' })
      }
      return begun.every(Boolean)
    })
    for (const hop of [gateway, service]) await hop.statsAre(zero)
    connection.close()
  })

  it('carries values through both hops where it has registered their keys', async () => {
    const { methods, connection } = await chain()
    expect(await methods.user(withValue(background(), user, 'ann'))).toBe('ann')
    connection.close()
  })

  it('is told when its client is killed, and so is the service', async () => {
    const service = new Process({ role: 'service' })
    const gateway = new Process({ role: 'gateway', upstream: await service.url() })
    const client = new Process({ role: 'client', url: await gateway.url(), method: 'hold' })
    await service.next('started')
    client.child.kill('SIGKILL')
    for (const hop of [gateway, service]) {
      expect(await hop.next('ended')).toMatchObject({
        name: 'AbortError',
        cause: 'LinkLostError: The connection broke without a close.',
      })
    }
    for (const hop of [gateway, service]) await hop.statsAre(zero)
  })

  it('that is killed is a link lost on both of its sides', async () => {
    const { service, gateway, methods } = await chain()
    const ctx = withTimeout(background(), 3_600_000)
    const result = rejection(methods.hold(ctx, 'a'))
    await service.next('started')
    gateway.child.kill('SIGKILL')
    expect(await result).toMatchObject({ code: 'ERR_LINK_LOST' })
    expect(await service.next('ended')).toMatchObject({
      name: 'AbortError',
      cause: 'LinkLostError: The connection broke without a close.',
    })
    expect(ctx.err()).toBeUndefined()
    await service.statsAre({ ...zero, connections: 0 })
    ctx.cancel()
  })

  it('gives its caller the loss of the service as an error of the call', async () => {
    const { service, gateway, methods, connection } = await chain()
    const result = rejection(methods.hold(background(), 'a'))
    await service.next('started')
    service.child.kill('SIGKILL')
    expect(await result).toMatchObject({ name: 'LinkLostError', message: 'The connection broke without a close.' })
    expect(connection.stats().state).toBe('open')
    await gateway.statsAre(zero)
    connection.close()
  })
})
