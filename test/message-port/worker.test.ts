import { Worker } from 'node:worker_threads'
import { background, type Context, LinkLostError, withCancel, withTimeout } from 'ctxbridge'
import { connect, wrap } from 'ctxbridge/message-port'
import { expect, test } from 'vitest'
import type { PortService } from '../fixtures/port-service.ts'
import { compiled } from '../support/compiled.ts'
import { rejection } from '../websocket/support.ts'

test('a worker behind its port is called and calls back; a cancel reaches it with its cause; streams flow; its exit is a loss', async () => {
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
