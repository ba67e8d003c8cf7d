/** A channel that is full: what waits for it in the link, and what goes past. */
import { linkedPair } from 'ctxbridge/testing'
import { wrap } from 'ctxbridge/websocket'
import { describe, expect, it, test } from 'vitest'
import { background, cause, type Context, withCancel } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import type { Frame } from '../../lib/wire/frame.ts'
import { turn } from '../support/gc.ts'
import { callFrame, Held, hello, joined, rejection, Side } from './support.ts'

const big = 'x'.repeat(500_000)

/** From now on the channel of a side is full, as it sees when it sends something. */
async function fill(side: Side): Promise<void> {
  side.channel.backlog = 100_000
  side.raw([8, 1])
  await turn()
  side.channel.waiting.pop()
}

function empty({ channel }: Side): void {
  channel.backlog = 0
  channel.drain()
}

const framesOf = ({ channel }: Side): Frame[] => channel.frames().flat()
const typesOf = (side: Side): string[] => framesOf(side).map(({ type }) => type)

describe('a cancel', () => {
  it('goes past 10 MB of results and items that were said before it', async () => {
    const held = new Held()
    let open!: () => void
    const gate = new Promise<void>((resolve) => (open = resolve))
    const pair = await joined({
      client: { serve: { hold: held.method } },
      server: {
        serve: {
          big: () => big,
          async *items() {
            await gate
            for (let i = 0; i < 8; i++) yield `${i}${big}`
          },
        },
      },
    })
    const ctx = withCancel(background())
    const own = rejection(pair.server.link.call(ctx, 'hold', []))
    const stream = (await Promise.all([pair.client.link.call(background(), 'items', []), pair.settle()]))[0]
    pair.server.channel.fills = true
    const results = Array.from({ length: 12 }, () => pair.client.link.call(background(), 'big', []))
    const items: unknown[] = []
    const reading = (async () => {
      for await (const item of stream as AsyncIterable<string>) items.push(item[0])
    })()
    await turn()
    pair.toServer()
    open()
    await turn()
    ctx.cancel('stop')
    await own
    // No more than was in the channel before is before it.
    const before = framesOf(pair.server)
    expect(before.at(-1)).toMatchObject({ type: 'cancel' })
    expect(before.length).toBeLessThanOrEqual(3)
    pair.toClient()
    expect(cause(held.ctx())).toBe('stop')
    held.finishAll()
    await pair.settle()
    expect(await Promise.all(results)).toEqual(results.map(() => big))
    await reading
    expect(items).toEqual(['0', '1', '2', '3', '4', '5', '6', '7'])
  })

  it('that is the first thing of its turn goes at once, and so do those behind it', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { hold: held.method, echo: (_ctx: Context, x: unknown) => x } } })
    const contexts = [1, 2, 3].map(() => withCancel(background()))
    const calls = contexts.map((ctx) => rejection(pair.client.link.call(ctx, 'hold', [])))
    await pair.settle()
    await fill(pair.client)
    const echo = pair.client.link.call(background(), 'echo', [1])
    await turn()
    expect(pair.client.link.stats().queued).toBe(1)
    for (const ctx of contexts) ctx.cancel()
    expect(typesOf(pair.client)).toEqual(['cancel'])
    await turn()
    expect(typesOf(pair.client)).toEqual(['cancel', 'cancels'])
    pair.toServer()
    expect(held.contexts.map((ctx) => ctx.err()?.name)).toEqual(['AbortError', 'AbortError', 'AbortError'])
    empty(pair.client)
    await pair.settle()
    expect(await echo).toBe(1)
    held.finishAll()
    await Promise.all(calls)
    await pair.settle()
  })

  it('of a call that waits takes it out: neither is sent, and what comes after it is', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { hold: held.method, echo: (_ctx: Context, x: unknown) => x } } })
    await fill(pair.client)
    const contexts = [1, 2, 3].map(() => withCancel(background()))
    const calls = contexts.map((ctx) => rejection(pair.client.link.call(ctx, 'hold', [])))
    await turn()
    const echo = pair.client.link.call(background(), 'echo', [1])
    await turn()
    for (const ctx of contexts) ctx.cancel('stop')
    await turn()
    await Promise.all(calls)
    expect(framesOf(pair.client)).toEqual([])
    empty(pair.client)
    expect(framesOf(pair.client)).toMatchObject([{ type: 'call', id: 4 }])
    await pair.settle()
    expect(await echo).toBe(1)
    expect(held.contexts).toEqual([])
    expect(pair.server.open).toBe(true)
  })

  it('of an exported context goes past the calls under it that wait, and none of them is sent', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { hold: held.method, echo: (_ctx: Context, x: unknown) => x } } })
    const ctx = withCancel(background())
    const handle = pair.client.link.export(ctx)
    await pair.settle()
    const remote = pair.server.link.import(handle)
    await fill(pair.client)
    const calls = [1, 2].map(() => rejection(pair.client.link.call(withCancel(ctx), 'hold', [])))
    // One more export below it, and a call under that.
    const below = withCancel(ctx)
    const other = pair.client.link.export(below)
    const remoteBelow = pair.server.link.import(other)
    calls.push(rejection(pair.client.link.call(below, 'hold', [])))
    const echo = pair.client.link.call(background(), 'echo', [1])
    await turn()
    ctx.cancel('stop')
    expect(framesOf(pair.client)).toMatchObject([{ type: 'cancel', cause: [0, 'stop'] }])
    pair.toServer()
    expect(cause(remote)).toBe('stop')
    await Promise.all(calls)
    empty(pair.client)
    // Of the other one there is a handle: its end is told, behind it.
    expect(typesOf(pair.client)).toEqual(['export', 'call', 'cancel'])
    await pair.settle()
    expect(await echo).toBe(1)
    expect(cause(remoteBelow)).toBe('stop')
    expect(held.contexts).toEqual([])
    expect(pair.server.open).toBe(true)
  })

  it('of the peer takes out the answers that wait for it', async () => {
    const pair = await joined({
      server: {
        serve: {
          big: () => big,
          async *items() {
            for (;;) yield big
          },
        },
      },
    })
    const ctx = withCancel(background())
    const stream = (await Promise.all([pair.client.link.call(ctx, 'items', []), pair.settle()]))[0] as AsyncGenerator
    const first = stream.next()
    await pair.settle()
    await first
    await fill(pair.server)
    const call = withCancel(background())
    const result = rejection(pair.client.link.call(call, 'big', []))
    void stream.next().catch(() => undefined)
    for (let i = 0; i < 12; i++) void stream.next().catch(() => undefined)
    await turn()
    pair.toServer()
    await turn()
    // Of the stream one: it waits itself while something does.
    expect(pair.server.link.stats().queued).toBeGreaterThan(0)
    ctx.cancel('stop')
    call.cancel('stop')
    await result
    await turn()
    pair.toServer()
    await turn()
    empty(pair.server)
    expect(framesOf(pair.server)).toEqual([])
    expect(pair.server.link.stats()).toMatchObject({ queued: 0, handlers: 0 })
    await pair.settle()
  })
})

it('the cancel of an exported context takes out the items that wait for calls under it', async () => {
  const pair = await joined({
    server: {
      serve: {
        async *items() {
          for (;;) yield 'item'
        },
      },
    },
  })
  const ctx = withCancel(background())
  const calls = [1, 2].map(() => pair.client.link.call(ctx, 'items', []))
  // The second one with this context has made it one that the server knows.
  expect(pair.client.link.stats().exports).toBe(1)
  await turn()
  await fill(pair.server)
  pair.toServer()
  await turn()
  // That there are streams; and their items wait with them.
  expect(pair.server.link.stats().queued).toBe(2)
  ctx.cancel('stop')
  await Promise.all(calls.map((call) => rejection(call)))
  pair.toServer()
  await turn()
  empty(pair.server)
  const left = framesOf(pair.server)
  // Of the first call, which is not under it, and of the second.
  expect(left).toEqual([])
  await pair.settle()
})

describe('what waits', () => {
  it('keeps its order: what stands under an export comes before that is retracted', async () => {
    const pair = await joined()
    const ctx = withCancel(background())
    const handle = pair.client.link.export(ctx)
    await pair.settle()
    const remote = pair.server.link.import(handle)
    await fill(pair.client)
    const below = withCancel(ctx)
    const remoteBelow = pair.server.link.import(pair.client.link.export(below))
    await turn()
    remote.cancel()
    await turn()
    pair.toClient()
    await turn()
    expect(framesOf(pair.client)).toEqual([])
    empty(pair.client)
    expect(typesOf(pair.client)).toEqual(['export', 'pong', 'retract'])
    await pair.settle()
    expect(pair.server.open).toBe(true)
    expect(remoteBelow.err()).toBeUndefined()
    ctx.cancel('stop')
    await pair.settle()
    expect(cause(remoteBelow)).toBe('stop')
  })

  it('keeps the answer to who has an early handle behind the export that it is of', async () => {
    const pair = await joined()
    await fill(pair.client)
    const ctx = withCancel(background())
    const early = pair.server.link.import(pair.client.link.export(ctx))
    await turn()
    pair.toClient()
    await turn()
    expect(framesOf(pair.client)).toEqual([])
    empty(pair.client)
    expect(typesOf(pair.client)).toEqual(['export', 'pong'])
    await pair.settle()
    expect(early.err()).toBeUndefined()
    ctx.cancel('at last')
    await pair.settle()
    expect(cause(early)).toBe('at last')
  })

  it('lets pings, pongs, credits, releases and acknowledgements pass', async () => {
    const pair = await joined({ server: { serve: { f: () => 1 } } })
    const ctx = withCancel(background())
    const handle = pair.client.link.export(ctx)
    await pair.settle()
    const remote = pair.server.link.import(handle)
    await fill(pair.server)
    const calls = [1, 2].map(() => pair.client.link.call(background(), 'f', []))
    await turn()
    pair.toServer()
    await turn()
    expect(framesOf(pair.server)).toEqual([])
    pair.server.raw([8, 7])
    remote.cancel()
    await turn()
    expect(typesOf(pair.server).toSorted()).toEqual(['pong', 'release'])
    empty(pair.server)
    await pair.settle()
    expect(await Promise.all(calls)).toEqual([1, 1])
    ctx.cancel()
    await pair.settle()
  })

  it('asks for no word where nothing does', async () => {
    const pair = await joined({ server: { serve: { f: () => 1 } } })
    const call = pair.client.link.call(background(), 'f', [])
    await pair.settle()
    await call
    expect([pair.client.channel.onDrain, pair.server.channel.onDrain]).toEqual([undefined, undefined])
  })

  it('goes on when something arrives, though the channel says nothing', async () => {
    const pair = await joined({ server: { serve: { f: () => 1 } } })
    await fill(pair.client)
    const call = pair.client.link.call(background(), 'f', [])
    await turn()
    expect(framesOf(pair.client)).toEqual([])
    pair.client.channel.backlog = 0
    pair.client.raw([8, 7])
    expect(typesOf(pair.client)).toEqual(['call'])
    await pair.settle()
    expect(await call).toBe(1)
  })

  it('is sent before a close, all of it', async () => {
    const pair = await joined({ server: { serve: { big: () => big } } })
    pair.server.channel.fills = true
    const results = [1, 2, 3].map(() => pair.client.link.call(background(), 'big', []))
    await turn()
    pair.toServer()
    await turn()
    expect(pair.server.link.stats().queued).toBeGreaterThan(0)
    pair.server.link.close()
    expect(typesOf(pair.server)).toEqual(['result', 'result', 'result'])
    expect(pair.server.channel.closed).toMatchObject({ code: 1000 })
    pair.toClient()
    expect(await Promise.all(results)).toEqual([big, big, big])
    pair.cut()
  })

  it('counts against what may wait: a result beyond it is refused, and the link goes on', async () => {
    const pair = await joined({ server: { serve: { big: () => big }, limits: { maxBacklog: 1_200_000 } } })
    await fill(pair.server)
    const results = [1, 2, 3].map(() => pair.client.link.call(background(), 'big', []))
    const refused = rejection(results[2] as Promise<unknown>)
    await turn()
    pair.toServer()
    await turn()
    empty(pair.server)
    await pair.settle()
    expect(await Promise.all(results.slice(0, 2))).toEqual([big, big])
    expect(await refused).toMatchObject({ code: 'ERR_LIMIT', message: expect.stringContaining('1200000 bytes wait') as string })
    const again = pair.client.link.call(background(), 'big', [])
    await pair.settle()
    expect(await again).toBe(big)
  })

  it('counts against what may wait: a call beyond it is refused, and the link goes on', async () => {
    const pair = await joined({
      client: { limits: { maxBacklog: 1_200_000 } },
      server: { serve: { length: (_ctx: Context, text: string) => text.length } },
    })
    const calls = [1, 2].map(() => pair.client.link.call(background(), 'length', [big]))
    const refused = pair.client.link.call(background(), 'length', [big])
    expect(await rejection(refused)).toMatchObject({ code: 'ERR_LIMIT' })
    await pair.settle()
    const again = pair.client.link.call(background(), 'length', [big])
    await pair.settle()
    expect(await Promise.all([...calls, again])).toEqual([500_000, 500_000, 500_000])
  })

  it('counts against what may wait also when it was said in turns before', async () => {
    const pair = await joined({
      client: { limits: { maxBacklog: 1_200_000 } },
      server: { serve: { length: (_ctx: Context, text: string) => text.length } },
    })
    await fill(pair.client)
    const first = pair.client.link.call(background(), 'length', [big])
    await turn()
    const second = pair.client.link.call(background(), 'length', [big])
    await turn()
    expect(await rejection(pair.client.link.call(background(), 'length', [big]))).toMatchObject({ code: 'ERR_LIMIT' })
    empty(pair.client)
    await pair.settle()
    expect(await Promise.all([first, second])).toEqual([500_000, 500_000])
  })

  it('and cannot be refused counts, too: who does not read is given up at twice as much', async () => {
    const side = new Side({ limits: { maxBacklog: 65_536 } })
    side.raw(hello)
    await fill(side)
    for (let id = 1; id < 2_000 && side.open; id++) {
      side.raw(callFrame(id, 'none'))
      await turn()
    }
    expect(side.channel.closed).toMatchObject({ code: 1013, reason: 'backlog: the peer does not read' })
    expect(side.link.stats()).toMatchObject({ state: 'closed', queued: 0 })
  })

  it('counts by messages, too: answers to pings of somebody who reads none are small, and many', async () => {
    const side = new Side({ limits: { maxBacklog: 65_536 } })
    side.raw(hello)
    await fill(side)
    for (let n = 1; n < 1_000 && side.open; n++) {
      side.raw([8, n])
      await turn()
    }
    expect(side.channel.closed).toMatchObject({ code: 1013, reason: 'backlog: the peer does not read' })
    expect(side.channel.count).toBeLessThan(200)
  })

  it('of a stream is one item: the others wait with it', async () => {
    let made = 0
    const pair = await joined({
      client: { limits: { window: 1_000_000 } },
      server: {
        serve: {
          async *count() {
            for (;;) yield made++
          },
        },
      },
    })
    await fill(pair.server)
    const ctx = withCancel(background())
    const call = pair.client.link.call(ctx, 'count', [])
    await turn()
    pair.toServer()
    for (let i = 0; i < 10; i++) await turn()
    expect(made).toBeLessThan(10)
    empty(pair.server)
    await pair.settle()
    expect(made).toBeGreaterThan(10)
    ctx.cancel()
    await Promise.all([call, pair.settle()])
    pair.server.clock.advanceSync(1)
    await pair.settle()
  })

  it('does not keep a peer that reads nothing, though it talks', async () => {
    const pair = await joined({ server: { serve: { big: () => big }, lease: {} } })
    await fill(pair.server)
    const result = rejection(pair.client.link.call(background(), 'big', []))
    await turn()
    pair.toServer()
    for (let i = 0; i < 20 && pair.server.open; i++) {
      await turn()
      pair.server.raw([8, i])
      pair.server.clock.advanceSync(5_000)
    }
    expect(pair.server.channel.closed).toMatchObject({ code: 1013, reason: 'backlog: the peer reads too slowly' })
    pair.cut()
    await result
  })
})

it('a connection that breaks while much waits is gone on with: every answer comes once, a cancel of meanwhile comes first', async () => {
  const ended: unknown[] = []
  let runs = 0
  await using pair = await linkedPair({
    serve: {
      big: (_ctx: Context, n: number) => {
        runs++
        return `${n}${big}`
      },
    },
    client: {
      serve: {
        hold: (ctx: Context) =>
          ctx.done.then((error) => {
            ended.push(error.cause)
            return Promise.reject(error)
          }),
      },
    },
  })
  const { client, server, clock, network } = pair
  const ctx = withCancel(background())
  const held = rejection(wrap<{ hold(ctx: Context): Promise<never> }>(server).hold(ctx))
  await clock.advance(5)
  const order: unknown[] = []
  const remote = wrap<{ big(ctx: Context, n: number): string }>(client)
  const results = Array.from({ length: 20 }, (_, n) => remote.big(background(), n).then((value) => order.push(value[0])))
  network.stall('toClient')
  await clock.advance(5)
  expect(server.stats().queued).toBeGreaterThan(10)
  network.cut()
  ctx.cancel('stop')
  network.resume()
  await clock.advance(2_000)
  await Promise.all([...results, held])
  expect(ended).toEqual(['stop'])
  expect(order).toHaveLength(20)
  expect(runs).toBe(20)
})

it('waits with the answer to a goaway, behind which no call comes', async () => {
  const pair = await joined({ server: { serve: { echo: (_ctx: Context, x: unknown) => x } } })
  await fill(pair.client)
  const crossing = pair.client.link.call(background(), 'echo', ['crossing'])
  const over = pair.server.link.shutdown(1_000)
  await turn()
  pair.toClient()
  await turn()
  expect(framesOf(pair.client)).toEqual([])
  expect(pair.server.open).toBe(true)
  empty(pair.client)
  await pair.settle()
  expect(await crossing).toBe('crossing')
  await over
  pair.cut()
})

it('what either side says while there is no connection goes out on the next one, at once', async () => {
  const said: string[] = []
  const hear = (_ctx: Context, what: string): void => void said.push(what)
  await using pair = await linkedPair({ serve: { hear }, client: { serve: { hear } } })
  const { client, server, clock, network } = pair
  const sides = [client, server].map((side) => wrap<{ hear: typeof hear }>(side))
  await Promise.all([...sides.map((side) => side.hear(background(), 'before')), clock.advance(10)])
  network.cut()
  await clock.advance(10)
  expect([client, server].map((side) => side.stats().state)).toEqual(['suspended', 'suspended'])
  const calls = sides.map((side, i) => side.hear(background(), `side ${i}`))
  const ctx = withCancel(background())
  calls.push(...sides.map((side) => side.hear(ctx, 'not any more').catch(() => undefined)))
  await clock.advance(10)
  ctx.cancel()
  // Long before anybody asks whether the other side is there.
  await clock.advance(1_000)
  await Promise.all(calls)
  expect(said.toSorted()).toEqual(['before', 'before', 'side 0', 'side 1'])
})

test('whatever comes asks whether there is room again, a cancel that comes alone as well', async () => {
  const held = new Held()
  const side = new Side({ serve: { held: held.method, quick: () => 1 } })
  side.raw(hello)
  side.raw(callFrame(1, 'held'))
  await turn()
  await fill(side)
  side.raw(callFrame(2, 'quick'))
  await turn()
  side.channel.waiting.length = 0
  side.channel.backlog = 0
  side.raw([3, 1, 0, null])
  expect(framesOf(side)).toEqual([{ type: 'result', id: 2, value: 1 }])
  held.finishAll()
  await turn()
  side.link.lost(new LinkLostError('over'))
})
