/** What a peer may do with time: read slowly or never, say nothing, come and go. Beside it, somebody honest is served all the time. */
import { cause } from 'ctxbridge'
import { expect, onTestFinished, test, vi } from 'vitest'
import { attacked } from './attacked.ts'
import { call, frame, hello, message, opcode, RawClient } from './raw.ts'
import { until } from './support.ts'

const timeout = 60_000

/** Short, so that tests are; the relations are those of the defaults. */
const lease = { ping: 100, imports: 500, exports: 600, resume: 100 }

const big = (): string => 'x'.repeat(60_000)

test('51 a client that never reads is given up, and its handlers end', { timeout }, async () => {
  const target = await attacked({ limits: { maxBacklog: 1_048_576 } }, { big })
  const client = await RawClient.greeted(target.port)
  client.socket.pause()
  client.send(message(call(1, 'hold')))
  const ctx = await target.held.started()
  for (let id = 2; ctx.err() === undefined; id++) {
    client.send(message(call(id, 'big')))
    await until(() => client.socket.writableLength < 100_000 || ctx.err() !== undefined)
  }
  expect(cause(ctx)).toMatchObject({ name: 'LinkLostError', message: expect.stringContaining('does not read') as string })
  // Its socket is cut though it answers no close.
  await target.unharmed()
})

test('52 a client that reads a byte now and then, and talks all the time, is given up', { timeout }, async () => {
  const target = await attacked({ lease }, { big })
  const client = await RawClient.greeted(target.port)
  client.socket.removeAllListeners('data').pause()
  client.send(message(call(1, 'hold')))
  const ctx = await target.held.started()
  for (let id = 2; id < 200; id++) client.send(message(call(id, 'big')))
  const talk = setInterval(() => {
    client.send(message([9, 1]))
    client.socket.read(1)
  }, 20)
  onTestFinished(() => clearInterval(talk))
  await ctx.done
  expect(cause(ctx)).toMatchObject({ name: 'LinkLostError', message: expect.stringContaining('reads too slowly') as string })
  await target.unharmed()
})

test('53 a peer of whom nothing comes any more is given up, though its connection stands', { timeout }, async () => {
  const target = await attacked({ lease })
  const client = await RawClient.greeted(target.port)
  client.send(message(call(1, 'hold')))
  const ctx = await target.held.started()
  expect((await ctx.done).cause).toMatchObject({ name: 'LinkLostError' })
  client.socket.destroy()
  await target.unharmed()
})

test('54 a peer that answers pings of WebSocket, and hangs above them, is given up', { timeout }, async () => {
  const target = await attacked({ lease })
  const client = await RawClient.greeted(target.port)
  client.send(message([2, 1, 'hold', [400, null, []], []], call(2, 'hold')))
  const [short, ctx] = [await target.held.started(), await target.held.started()]
  const talk = setInterval(() => client.send(frame(opcode.pong)), 20)
  onTestFinished(() => clearInterval(talk))
  // Its deadlines hold meanwhile.
  expect((await short.done).name).toBe('TimeoutError')
  expect((await ctx.done).cause).toMatchObject({ name: 'LinkLostError' })
  expect(await client.closed()).toMatchObject({ code: 4408 })
  clearInterval(talk)
  client.socket.destroy()
  await target.unharmed()
})

test.each<[string, (client: RawClient) => void]>([
  ['a reset', (client) => client.socket.resetAndDestroy()],
  ['an end without a close frame', (client) => client.socket.end()],
])('55 %s ends the contexts of that peer, also while something is sent to it', { timeout }, async (_name, leave) => {
  const target = await attacked({}, { big })
  const client = await RawClient.greeted(target.port)
  client.send(message(call(1, 'hold'), call(2, 'big'), call(3, 'big')))
  const ctx = await target.held.started()
  leave(client)
  expect((await ctx.done).cause).toMatchObject({ name: 'LinkLostError' })
  client.socket.destroy()
  await target.unharmed()
})

test('56 a storm of peers that come, call and go leaves nothing', { timeout }, async () => {
  const target = await attacked({ maxConnections: 50 })
  for (let round = 0; round < 10; round++) {
    const clients = await Promise.all(Array.from({ length: 40 }, () => RawClient.greeted(target.port)))
    for (const [i, client] of clients.entries()) {
      client.send(message(call(1, 'hold')))
      if (i % 2 === 0) client.socket.resetAndDestroy()
      else client.socket.destroy()
    }
    await until(() => target.service.stats().connections === 1)
  }
  for (const ctx of target.held.contexts.slice(1)) expect(cause(ctx)).toMatchObject({ name: 'LinkLostError' })
  await target.unharmed()
})

test("60 nobody's clock is believed: a step of years ends nothing, and no deadline is earlier or later", {
  timeout,
}, async () => {
  const target = await attacked()
  const client = await RawClient.greeted(target.port)
  const start = performance.now()
  client.send(message([2, 1, 'hold', [200, null, []], []], [2, 2, 'hold', [3_600_000, null, []], []], call(3, 'hold')))
  const [short, long, endless] = [await target.held.started(), await target.held.started(), await target.held.started()]
  vi.useFakeTimers({ toFake: ['Date'] })
  onTestFinished(() => void vi.useRealTimers())
  for (const year of [1999, 2100, 1970]) {
    vi.setSystemTime(new Date(`${year}-01-01`))
    client.send(message([9, year]))
    await until(() => target.service.stats().handlers >= 3)
    expect([long.err(), endless.err()]).toEqual([undefined, undefined])
  }
  expect((await short.done).name).toBe('TimeoutError')
  expect(performance.now() - start).toBeGreaterThanOrEqual(200)
  expect([long.err(), endless.err()]).toEqual([undefined, undefined])
  expect(long.remaining()).toBeGreaterThan(3_000_000)
  client.socket.destroy()
  await target.unharmed()
})

test('62 a server that goes away answers calls of who knows that with that, and lets those that run end', {
  timeout,
}, async () => {
  const target = await attacked()
  const client = await RawClient.greeted(target.port)
  client.send(message(call(1, 'hold')))
  const ctx = await target.held.started()
  const there = [...target.service.connections].find(({ peerName }) => peerName === 'raw')
  const closed = there?.close({ grace: 10_000 })
  client.send(message([9, 0], call(2, 'echo'), [8, 1]))
  const isOver = (): boolean => client.frames().some(({ payload }) => payload.includes('ERR_GOING_AWAY'))
  await until(isOver)
  expect(ctx.err()).toBeUndefined()
  client.send(message([3, 1, 0, [0, 'then so']]))
  expect(await client.closed()).toEqual({ code: 1001, reason: 'going away' })
  await closed
  expect(cause(ctx)).toBe('then so')
  client.socket.destroy()
  await target.unharmed()
})

test('39 what a peer calls itself and its reasons can have no controls in them where they are shown', { timeout }, async () => {
  const target = await attacked()
  const client = await RawClient.open(target.port)
  const evil = 'a\u001b[31m\nred\u0000'
  client.send(message([...hello.slice(0, 3), evil, 'end']), message(call(1, 'hold')))
  const ctx = await target.held.started()
  expect(String(ctx)).toMatch(/^[^\p{Cc}]{1,256}$/u)
  client.send(message([3, 1, 0, [6, evil, evil, evil, null]]))
  // As text it is the peer's own; as a whole line in a log it is whoever logs it who escapes it.
  expect((await ctx.done).cause).toMatchObject({ name: evil, message: evil, code: evil })
  client.send(message([64], [99]))
  client.socket.end()
  await until(() => target.service.stats().connections === 1)
  client.socket.destroy()
  await target.unharmed()
})
