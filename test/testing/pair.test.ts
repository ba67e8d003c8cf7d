/** Two linked sides of `ctxbridge/testing`: all of a WebSocket's behaviour in virtual time. */
import {
  background,
  type CancelableContext,
  cause,
  type Context,
  createRoot,
  LinkLostError,
  race,
  withCancel,
  withTimeout,
} from 'ctxbridge'
import { assertNoLeaks, createFakeClock, type LinkedPair, linkedPair, wrap } from 'ctxbridge/testing'
import { expect, onTestFinished, test } from 'vitest'

const contexts: Context[] = []
const methods = {
  double: (_ctx: Context, n: number) => 2 * n,
  async forever(ctx: Context) {
    contexts.push(ctx)
    await race(ctx, new Promise<never>(() => {}))
  },
}

async function joined(options: Partial<Parameters<typeof linkedPair>[0]> = {}): Promise<LinkedPair> {
  const pair = await linkedPair({ serve: methods, ...options })
  onTestFinished(async () => {
    await pair.close()
    assertNoLeaks(pair)
  })
  return pair
}

/** A call that is cancelled by hand, and what became of it. */
async function started(pair: LinkedPair): Promise<{ ctx: CancelableContext; outcome: Promise<unknown> }> {
  contexts.length = 0
  const ctx = withCancel(background())
  const outcome = wrap<typeof methods>(pair.client)
    .forever(ctx)
    .catch((error: unknown) => error)
  await pair.clock.advance(5)
  expect(contexts).toHaveLength(1)
  return { ctx, outcome }
}

test('a call takes the latency there and back, and nothing moves by itself', async () => {
  const pair = await joined({ latency: 20 })
  let result: number | undefined
  void wrap<typeof methods>(pair.client)
    .double(background(), 21)
    .then((n) => (result = n))
  await pair.clock.advance(39)
  expect(result).toBeUndefined()
  await pair.clock.advance(1)
  expect(result).toBe(42)
})

test('a cancel arrives with its cause', async () => {
  const pair = await joined()
  const { ctx, outcome } = await started(pair)
  ctx.cancel('enough')
  expect(contexts[0]?.err()).toBeUndefined()
  await pair.clock.advance(1)
  expect(cause(contexts[0] as Context)).toBe('enough')
  expect(await outcome).toBe(ctx.err())
})

test('a connection that breaks is replaced, and a cancel of that time is not lost', async () => {
  const pair = await joined()
  const { ctx } = await started(pair)
  pair.network.cut()
  ctx.cancel('while it was broken')
  expect(pair.network.connections).toBe(0)
  await pair.clock.advance(200)
  expect([cause(contexts[0] as Context), pair.network.connections]).toEqual(['while it was broken', 1])
})

test('a connection that is closed while the client connects again is not there again', async () => {
  const pair = await joined({ latency: 50 })
  pair.network.cut()
  // Half of the way there.
  await pair.clock.advance(75)
  pair.client.close()
  await pair.clock.advance(1_200)
  expect([pair.client.stats().state, pair.server.stats().state, pair.network.connections]).toEqual(['closed', 'closed', 0])
})

test('a connection that is stalled loses nothing', async () => {
  const pair = await joined()
  const { ctx } = await started(pair)
  pair.network.stall('toServer')
  ctx.cancel('late')
  await pair.clock.advance(1_000)
  expect(contexts[0]?.err()).toBeUndefined()
  pair.network.resume()
  await pair.clock.advance(0)
  expect(cause(contexts[0] as Context)).toBe('late')
})

test.for(['toServer', 'toClient', 'both'] as const)(
  'half open (%s): another connection is tried, and all goes on',
  async (direction) => {
    const pair = await joined()
    const { ctx } = await started(pair)
    pair.network.lose(direction)
    await pair.clock.advance(30_000)
    expect(contexts[0]?.err()).toBeUndefined()
    ctx.cancel('at last')
    await pair.clock.advance(10)
    expect(cause(contexts[0] as Context)).toBe('at last')
  },
)

test('a network that stays down ends both sides by their leases, the child first', async () => {
  const pair = await joined({ server: { lease: { resume: 60_000 } } })
  const { outcome } = await started(pair)
  let rejected: unknown
  void outcome.then((error) => (rejected = error))
  pair.network.down()
  await pair.clock.advance(25_500)
  expect([cause(contexts[0] as Context) instanceof LinkLostError, rejected]).toEqual([true, undefined])
  await pair.clock.advance(10_000)
  expect(rejected).toBeInstanceOf(LinkLostError)
})

test('a server that is gone ends the calls at once', async () => {
  const pair = await joined()
  const { outcome } = await started(pair)
  pair.network.down('refusing')
  await pair.clock.advance(200)
  expect(await outcome).toBeInstanceOf(LinkLostError)
})

test('each side may have a clock of its own: a remote deadline is not early by a slow clock, and not by a fast one', async () => {
  const clock = createFakeClock({ now: 0 })
  const fast = clock.another({ now: 7e6, rate: 1.0001 })
  contexts.length = 0
  const pair = await joined({ client: { clock }, server: { clock: fast } })
  void wrap<typeof methods>(pair.client)
    .forever(withTimeout(createRoot({ clock }), 10_000))
    .catch(() => undefined)
  await clock.advance(9_998)
  expect(contexts[0]?.err()).toBeUndefined()
  await clock.advance(3)
  expect(contexts[0]?.err()?.name).toBe('TimeoutError')
})

test('what is left is named', async () => {
  const pair = await linkedPair({ serve: methods })
  const { ctx } = await started(pair)
  expect(() => assertNoLeaks(pair)).toThrow(
    /^Left behind: 1 call of the connection with ""; 1 handler of the connection with ""; \d timers? of the clock; 1 connection of the network\.$/,
  )
  expect(() => assertNoLeaks(ctx)).toThrow('Left behind: 1 observer of context.Background.WithCancel.')
  ctx.cancel()
  await pair.clock.advance(5)
  assertNoLeaks(ctx, pair.client, pair.server)
  await pair.close()
  assertNoLeaks(pair, pair.clock)
})

test('misuse is told', async () => {
  await expect(linkedPair({ serve: {} })).rejects.toThrow(TypeError)
  await expect(linkedPair({ serve: methods, latency: -1 })).rejects.toThrow('needs a latency in milliseconds from 0')
  await expect(linkedPair({ serve: methods, clock: createFakeClock(), server: { clock: createFakeClock() } })).rejects.toThrow(
    'that of the server is of another time: make it by another()',
  )
})

test('what throws when it is asked for what it left is none of what can be asked', () => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const boom = (): never => {
    throw new Error('boom')
  }
  const traps = ['get', 'has', 'getPrototypeOf'] as const
  const around = traps.map((trap) => new Proxy({ network: {}, client: {} }, { [trap]: boom }))
  for (const wrong of [proxy, ...around, { network: {}, client: proxy }, { network: {}, client: {} }, null, undefined, 1]) {
    expect(() => assertNoLeaks(wrong as never)).toThrow(TypeError)
    expect(() => assertNoLeaks(wrong as never)).toThrow(/^assertNoLeaks\(\) needs fake clocks, .* but got .+\.$/)
  }
})
