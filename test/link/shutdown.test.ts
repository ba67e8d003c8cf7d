/** The end of a link in peace; and what a peer may open and abandon. */
import { describe, expect, it } from 'vitest'
import { background, cause, type Context, withCancel, withTimeout } from '../../lib/context.ts'
import { turn } from '../support/gc.ts'
import { callFrame, Held, hello, joined, noContext, rejection, Side } from './support.ts'

describe('an end with grace', () => {
  it('takes no more calls, lets the running ones end, then closes', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const running = pair.client.link.call(background(), 'held', [])
    const crossing = pair.client.link.call(background(), 'held', [])
    await pair.settle()
    const over = pair.server.link.shutdown(1_000)
    const late = pair.client.link.call(background(), 'held', [])
    await pair.settle()
    expect(held.contexts).toHaveLength(3)
    await expect(pair.client.link.call(background(), 'held', [])).rejects.toMatchObject({ code: 'ERR_GOING_AWAY' })
    expect(pair.server.open).toBe(true)
    held.finishAll('done')
    await pair.settle()
    await over
    expect(await Promise.all([running, crossing, late])).toEqual(['done', 'done', 'done'])
    expect(pair.server.channel.closed).toMatchObject({ code: 1001, reason: 'going away' })
    expect(pair.server.clock.timers).toBe(0)
    pair.cut()
  })

  it('cancels the rest with a cause, and lets them answer', async () => {
    const pair = await joined({
      server: { serve: { hold: (ctx: { done: Promise<Error> }) => ctx.done.then((e) => `ended: ${String(e.cause)}`) } },
    })
    const result = pair.client.link.call(background(), 'hold', [])
    await pair.settle()
    const over = pair.server.link.shutdown(1_000)
    await pair.settle()
    pair.advance(1_000)
    await pair.settle()
    expect(await result).toBe('ended: BridgeError: The other side goes away.')
    await over
    pair.cut()
  })

  it('waits no longer for a call that was cancelled here, or a stream that was left here', async () => {
    const pair = await joined({
      server: {
        serve: {
          hold: (ctx: Context) => ctx.done.then((error) => Promise.reject(error)),
          async *count(ctx: Context) {
            yield 1
            await ctx.done
          },
        },
      },
    })
    const ctx = withCancel(pair.client.root)
    const call = rejection(pair.client.link.call(ctx, 'hold', []))
    const answer = pair.client.link.call(background(), 'count', [])
    await pair.settle()
    const stream = (await answer) as AsyncGenerator<number>
    let isOver = false
    const over = pair.client.link.shutdown(60_000).then(() => (isOver = true))
    await pair.settle()
    ctx.cancel()
    await call
    await pair.settle()
    expect(isOver).toBe(false)
    await stream.return(undefined)
    await turn()
    expect(isOver).toBe(true)
    await over
    pair.cut()
    await turn()
  })

  it('takes the answer to another question, which was asked before, for none to its own', async () => {
    const pair = await joined({ server: { serve: { f: () => 'ran' } } })
    const ctx = withCancel(pair.client.root)
    const handle = pair.client.link.export(ctx)
    await pair.settle()
    const invented = pair.server.link.import({ ...handle, export: [999, 1] })
    await turn()
    pair.toClient()
    await turn()
    const over = pair.server.link.shutdown(1_000)
    const crossing = pair.client.link.call(background(), 'f', [])
    await turn()
    pair.toServer()
    await turn()
    expect(cause(invented)).toMatchObject({ code: 'ERR_HANDLE' })
    await pair.settle()
    expect(await crossing).toBe('ran')
    ctx.cancel()
    await pair.settle()
    await over
    pair.cut()
    await turn()
  })

  it('does not wait for a handler that is deaf', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const result = rejection(pair.client.link.call(background(), 'held', []))
    await pair.settle()
    const over = pair.server.link.shutdown(1_000)
    await pair.settle()
    pair.advance(1_000)
    await pair.settle()
    expect(cause(held.ctx())).toMatchObject({ code: 'ERR_GOING_AWAY' })
    pair.advance(100)
    await over
    expect(pair.server.channel.closed).toMatchObject({ code: 1001 })
    pair.cut()
    expect(await result).toMatchObject({ code: 'ERR_LINK_LOST' })
    held.finishAll()
    await turn()
  })

  it('waits for calls of its own, too, and is over at once where nothing runs', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const result = pair.client.link.call(background(), 'held', [])
    await pair.settle()
    const over = pair.client.link.shutdown(1_000)
    await pair.settle()
    expect(pair.client.open).toBe(true)
    held.finishAll('done')
    await pair.settle()
    await over
    expect(await result).toBe('done')
    expect(pair.client.channel.closed).toMatchObject({ code: 1001 })
    // Who is told nothing any more waits for the grace; and nobody twice.
    const second = [pair.server.link.shutdown(1_000), pair.server.link.shutdown(2_000)]
    await turn()
    expect(pair.server.open).toBe(true)
    pair.advance(1_000)
    await Promise.all(second)
    await pair.server.link.shutdown(1_000)
    expect(pair.server.channel.closed).toMatchObject({ code: 1001 })
  })

  it('waits until the peer has heard of it, though nothing runs: a call that crosses it runs', async () => {
    const pair = await joined({ server: { serve: { f: () => 'ran' } } })
    const over = pair.server.link.shutdown(1_000)
    await turn()
    expect(pair.server.open).toBe(true)
    const crossing = pair.client.link.call(background(), 'f', [])
    await pair.settle()
    expect(await crossing).toBe('ran')
    await over
    expect(pair.server.channel.closed).toMatchObject({ code: 1001, reason: 'going away' })
    pair.cut()
  })

  it('waits 2 seconds for a peer that answers nothing, and longer only where something runs', async () => {
    const [idle, busy] = [new Side(), new Side({ serve: { hold: (ctx: Context) => ctx.done } })]
    for (const side of [idle, busy]) side.raw(hello)
    busy.raw(callFrame(1, 'hold'))
    await turn()
    const over = [idle, busy].map((side) => side.link.shutdown(60_000))
    await turn()
    for (const side of [idle, busy]) side.clock.advanceSync(1_999)
    await turn()
    expect([idle.open, busy.open]).toEqual([true, true])
    for (const side of [idle, busy]) side.clock.advanceSync(1)
    await over[0]
    expect(idle.channel.closed).toMatchObject({ code: 1001 })
    expect(idle.clock.timers).toBe(0)
    busy.raw(callFrame(2, 'hold'))
    await turn()
    expect(busy.channel.frames().flat().at(-1)).toMatchObject({
      id: 2,
      error: expect.arrayContaining(['ERR_GOING_AWAY']) as unknown,
    })
    expect(busy.open).toBe(true)
    busy.raw([3, 1, 0, null])
    await over[1]
    expect(busy.clock.timers).toBe(0)
  })

  it('waits until the peer has read the answers, and not beyond the grace', async () => {
    for (const reads of [true, false]) {
      const held = new Held()
      const pair = await joined({ server: { serve: { held: held.method } } })
      const call = pair.client.link.call(background(), 'held', [])
      const result = reads ? call : rejection(call)
      await pair.settle()
      const over = pair.server.link.shutdown(60_000)
      await pair.settle()
      held.finishAll('done')
      await turn()
      pair.server.clock.advanceSync(59_999)
      await turn()
      expect(pair.server.open).toBe(true)
      if (reads) await pair.settle()
      else pair.server.clock.advanceSync(1)
      await turn()
      pair.server.clock.advanceSync(100)
      await over
      expect(pair.server.channel.closed).toMatchObject({ code: 1001 })
      if (!reads) pair.cut()
      expect(await result).toEqual(reads ? 'done' : expect.objectContaining({ code: 'ERR_LINK_LOST' }))
      pair.cut()
    }
  })

  it('waits for who reads slowly what was said before, though nothing runs', async () => {
    const side = new Side()
    side.raw(hello)
    side.channel.backlog = 1
    const over = side.link.shutdown(60_000)
    await turn()
    side.clock.advanceSync(10_000)
    await turn()
    expect(side.open).toBe(true)
    side.raw([9, 0])
    await over
    expect(side.channel.closed).toMatchObject({ code: 1001 })
  })

  it('refuses calls of a peer that has heard of it, and not those before', async () => {
    const side = new Side({ serve: { hold: (ctx: Context) => ctx.done } })
    side.raw(hello)
    side.raw(callFrame(1, 'hold'), [9, 0])
    const over = side.link.shutdown(1_000)
    await turn()
    // A pong of an earlier time says nothing.
    side.raw([9, 1], callFrame(2, 'hold'))
    await turn()
    expect(side.link.stats().handlers).toBe(2)
    side.raw([9, 0], callFrame(3, 'hold'))
    await turn()
    expect(side.channel.frames().flat().at(-1)).toMatchObject({
      id: 3,
      error: [6, 'BridgeError', expect.any(String), 'ERR_GOING_AWAY', null],
    })
    side.raw([3, 1, 0, null], [3, 2, 0, null])
    await over
    expect(side.channel.closed).toMatchObject({ code: 1001 })
  })

  it('has no time where the grace is 0', async () => {
    const pair = await joined()
    await pair.server.link.shutdown(0)
    expect(pair.server.channel.closed).toMatchObject({ code: 1001 })
    pair.cut()
  })

  it('is over when the link is lost meanwhile', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const result = rejection(pair.client.link.call(background(), 'held', []))
    await pair.settle()
    const over = pair.server.link.shutdown(Infinity)
    pair.cut()
    await over
    await result
    held.finishAll()
    await turn()
    expect(pair.server.clock.timers).toBe(0)
  })
})

describe('what is opened and abandoned', () => {
  it('costs, and comes back with time; calls over the limit are refused, and after as many again the link ends', async () => {
    const limits = { maxAbandoned: 10, abandonedPerSecond: 5 }
    let started = 0
    const side = new Side({ serve: { f: () => started++, hold: () => new Promise(() => {}) }, limits })
    side.raw(hello)
    let id = 0
    const flood = (count: number): void => {
      for (let i = 0; i < count; i++) side.raw(callFrame(++id, 'hold'), [3, id, 0, null])
    }
    const ask = async (): Promise<unknown> => {
      await turn()
      side.channel.waiting.length = 0
      side.raw(callFrame(++id, 'f'))
      await turn()
      return side.channel.frames().flat().at(-1)
    }
    flood(9)
    expect(await ask()).toMatchObject({ type: 'result', value: 0 })
    flood(1)
    expect(await ask()).toMatchObject({ type: 'error', error: [6, 'BridgeError', expect.any(String), 'ERR_LIMIT', null] })
    side.clock.advanceSync(400)
    expect(await ask()).toMatchObject({ type: 'result', value: 1 })
    flood(1)
    expect(await ask()).toMatchObject({ type: 'error' })
    expect(started).toBe(2)
    flood(9)
    expect(side.open).toBe(true)
    flood(1)
    expect(side.channel.closed).toEqual({ code: 4429, reason: 'call: too many were opened and abandoned' })
  })

  it('is never more at once than the limit, however long nothing was opened before; and who opens slowly is refused nothing', async () => {
    const limits = { maxAbandoned: 10, abandonedPerSecond: 5 }
    const side = new Side({ serve: { f: () => 1, hold: () => new Promise(() => {}) }, limits })
    side.raw(hello, callFrame(1, 'f'))
    await turn()
    let id = 1
    const refused = async (count: number): Promise<number> => {
      side.channel.waiting.length = 0
      for (let i = 0; i < count; i++) side.raw(callFrame(++id, 'hold'), [3, id, 0, null])
      await turn()
      return side.channel.frames().flat().length
    }
    side.clock.advanceSync(3_600_000)
    expect(await refused(15)).toBe(5)
    side.clock.advanceSync(3_600_000)
    for (let i = 0; i < 100; i++) {
      side.clock.advanceSync(1_000)
      expect(await refused(4)).toBe(0)
    }
    side.clock.advanceSync(3_600_000)
    // What was taken when the clock was last read counts as taken now: one of 10.
    expect(await refused(18)).toBe(9)
    expect(side.open).toBe(true)
    await refused(2)
    expect(side.open).toBe(false)
  })

  it('may be many times the calls that may be open: six times 10,000 that are ended at once cost nobody the connection', async () => {
    const many = 10_000
    const ended = (ctx: Context): Promise<unknown> => ctx.done
    const pair = await joined({ server: { serve: { ended, f: () => 1 }, limits: { maxCalls: 2 * many } } })
    for (let strike = 0; strike < 6; strike++) {
      const contexts = Array.from({ length: many }, () => withCancel(pair.client.root))
      const results = contexts.map((ctx) => rejection(pair.client.link.call(ctx, 'ended', [])))
      await pair.settle()
      expect(pair.server.link.stats().handlers).toBe(many)
      for (const ctx of contexts) ctx.cancel()
      await pair.settle()
      for (const error of await Promise.all(results)) expect(error).toHaveProperty('code', 'ABORT_ERR')
    }
    const after = pair.client.link.call(background(), 'f', [])
    await pair.settle()
    expect(await after).toBe(1)
  })

  it('is no call that was answered, and no export that was retracted', async () => {
    const side = new Side({ serve: { f: () => 1 }, limits: { maxAbandoned: 2, abandonedPerSecond: 0 } })
    side.raw(hello)
    for (let id = 1; id < 200; id += 2) {
      side.raw(callFrame(id, 'f'), [6, id + 1, noContext], [11, id + 1])
      await turn()
    }
    expect(side.open).toBe(true)
  })

  it('is no export that was of use before it ended', async () => {
    const side = new Side({ serve: { f: () => 1 }, limits: { maxAbandoned: 2, abandonedPerSecond: 0 } })
    side.raw(hello)
    for (let id = 1; id < 200; id += 3) {
      side.raw([6, id, noContext], callFrame(id + 1, 'f', [...noContext, id]), [6, id + 2, noContext])
      await turn()
      const imported = side.link.import({ ctxbridge: 1, link: 'end of a peer', export: [id + 2, 1] })
      side.raw([3, id, 0, null], [3, id + 2, 0, null])
      expect(imported.err()).toBeDefined()
      await turn()
    }
    expect(side.open).toBe(true)
    for (let id = 300; id < 310 && side.open; id++) side.raw([6, id, noContext], [3, id, 0, null])
    expect(side.channel.closed).toMatchObject({ code: 4429 })
  })

  it('is no call that was refused, but one that was cancelled in the message that it came in', async () => {
    const side = new Side({
      serve: { f: () => 1, hold: () => new Promise(() => {}) },
      limits: { maxAbandoned: 4, abandonedPerSecond: 0, maxCalls: 1 },
    })
    side.raw(hello, callFrame(1, 'hold'))
    for (let id = 2; id < 200; id++) {
      side.raw(callFrame(id, id % 2 === 0 ? 'none' : 'hold'))
      await turn()
    }
    expect(side.open).toBe(true)
    for (let id = 200; id < 220 && side.open; id++) {
      side.raw(callFrame(id, 'none'), [3, id, 0, null])
      await turn()
    }
    expect(side.channel.closed).toMatchObject({ code: 4429 })
  })

  it('is no cancel: 10,000 of them in one turn leave as few messages, and leave another call alone', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method }, limits: { maxCalls: 20_000 } } })
    const other = pair.client.link.call(background(), 'held', ['other'])
    const contexts = Array.from({ length: 10_000 }, () => withCancel(pair.client.root))
    const results = contexts.map((ctx) => rejection(pair.client.link.call(ctx, 'held', [])))
    await pair.settle()
    const { count } = pair.client.channel
    for (const ctx of contexts) ctx.cancel()
    await turn()
    // The first one leaves at once, the others by the thousand.
    expect(pair.client.channel.count - count).toBe(1 + Math.ceil(9_999 / 1_024))
    await pair.settle()
    await Promise.all(results)
    expect(held.contexts.filter((ctx) => ctx.err() === undefined)).toHaveLength(1)
    expect(pair.server.open).toBe(true)
    held.finishAll('well')
    await pair.settle()
    expect(await other).toBe('well')
  })
})

describe('the longest time of a context', () => {
  it('is clamped by the side that runs it', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method }, maxTimeout: 100 } })
    const contexts = [background(), withTimeout(pair.client.root, 50, 'mine'), withTimeout(pair.client.root, 500, 'too long')]
    const results = contexts.map((ctx) => rejection(pair.client.link.call(ctx, 'held', [])))
    const imported = pair.server.link.import(pair.client.link.export(contexts[2] as (typeof contexts)[0]))
    await pair.settle()
    expect(held.contexts.map((ctx) => ctx.remaining())).toEqual([100, 50, 100])
    expect(imported.remaining()).toBe(100)
    pair.advance(50)
    expect(cause(held.ctx(1))).toBe('mine')
    pair.advance(50)
    expect(held.contexts.map((ctx) => ctx.err()?.code)).toEqual(['ETIMEDOUT', 'ETIMEDOUT', 'ETIMEDOUT'])
    const why = "the server's maxTimeout of 100 ms"
    expect([...held.contexts, imported].map((ctx) => cause(ctx))).toEqual([why, 'mine', why, why])
    held.finishAll()
    pair.cut()
    await Promise.all(results)
    await turn()
  })
})
