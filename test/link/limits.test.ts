import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import { background, type Context, withCancel, withTimeout, withValue } from '../../lib/context.ts'
import { CanceledError } from '../../lib/errors.ts'
import { createKey } from '../../lib/key.ts'
import { turn } from '../support/gc.ts'
import { callFrame, framesOf, Held, hello, joined, noContext, rejection, Side } from './support.ts'

describe('the number of calls', () => {
  it('is kept by the caller, once it knows the limit', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method }, limits: { maxCalls: 2 } } })
    const results = [1, 2].map(() => pair.client.link.call(background(), 'held', []))
    await expect(pair.client.link.call(background(), 'held', [])).rejects.toMatchObject({ code: 'ERR_LIMIT' })
    await pair.settle()
    held.finishAll()
    await pair.settle()
    await Promise.all(results)
    const again = pair.client.link.call(background(), 'held', [])
    await pair.settle()
    held.finishAll()
    await pair.settle()
    await again
  })

  it('counts a cancelled call until its handler has finished: another one waits for that', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method }, limits: { maxCalls: 1 } } })
    const ctx = withCancel(pair.client.root)
    const first = rejection(pair.client.link.call(ctx, 'held', []))
    await pair.settle()
    ctx.cancel()
    await first
    const second = pair.client.link.call(background(), 'held', [])
    await pair.settle()
    expect(held.contexts).toHaveLength(1)
    expect(pair.server.link.stats()).toMatchObject({ handlers: 1, waiting: 1 })
    held.finishAll()
    await pair.settle()
    expect(held.contexts).toHaveLength(2)
    expect(pair.server.link.stats()).toMatchObject({ handlers: 1, waiting: 0 })
    held.finishAll('second')
    await pair.settle()
    expect(await second).toBe('second')
  })

  it('refuses nobody who cancels and calls again, as often as he likes', async () => {
    const seen: unknown[] = []
    const serve = {
      async search(ctx: Context, text: string) {
        seen.push(text)
        // Three turns until it notices.
        for (let i = 0; i < 3; i++) await turn()
        ctx.throwIfDone()
        return text
      },
    }
    const pair = await joined({ server: { serve, limits: { maxCalls: 2 } } })
    for (let i = 0; i < 50; i++) {
      const [ctx, cancel] = withCancel(pair.client.root)
      const call = rejection(pair.client.link.call(ctx, 'search', [String(i)]))
      if (i % 3 === 0) await turn()
      cancel()
      expect(await call).toBe(ctx.err())
    }
    const answers: unknown[] = []
    void pair.client.link.call(background(), 'search', ['last']).then((value) => answers.push(value))
    while (answers.length === 0) await pair.settle()
    expect(answers).toEqual(['last'])
    await pair.settle()
    expect(seen.at(-1)).toBe('last')
    expect(pair.server.link.stats()).toMatchObject({ handlers: 0, waiting: 0 })
  })

  it('runs those that wait in order, one for each that finishes, and never those that were cancelled or have expired meanwhile', async () => {
    const held = new Held()
    const side = new Side({ serve: { held: held.method }, limits: { maxCalls: 2 } })
    side.raw(hello, callFrame(1, 'held'), callFrame(2, 'held'))
    await turn()
    side.channel.waiting.length = 0
    side.raw([3, 1, 0, null], [3, 2, 0, null], ...[3, 4, 5, 6, 7].map((id) => callFrame(id, 'held')))
    await turn()
    expect(side.link.stats()).toMatchObject({ handlers: 2, waiting: 2 })
    // One too many for each of three.
    expect(side.channel.frames().flat()).toMatchObject(
      [5, 6, 7].map((id) => ({ type: 'error', id, error: [6, 'BridgeError', {}, 'ERR_LIMIT', null] })),
    )
    side.raw([3, 3, 0, null])
    expect(side.link.stats()).toMatchObject({ handlers: 2, waiting: 1 })
    side.raw(callFrame(8, 'held'))
    await turn()
    expect(side.link.stats()).toMatchObject({ handlers: 2, waiting: 2 })
    held.finish[0]?.()
    await turn()
    expect(side.link.stats()).toMatchObject({ handlers: 2, waiting: 1 })
    expect(held.contexts).toHaveLength(3)
  })

  it('refuses nobody who ends all of his calls by one context and makes as many again, before any has finished', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method }, limits: { maxCalls: 3 } } })
    for (let i = 0; i < 5; i++) {
      const [ctx, cancel] = withCancel(pair.client.root)
      const calls = Array.from({ length: 3 }, () => rejection(pair.client.link.call(ctx, 'held', [])))
      await pair.settle()
      expect(pair.server.link.stats()).toMatchObject({ handlers: 3, waiting: i === 0 ? 0 : 3 })
      cancel()
      expect(new Set(await Promise.all(calls))).toEqual(new Set([ctx.err()]))
      await pair.settle()
      expect(pair.server.link.stats()).toMatchObject({ handlers: 3, waiting: 0 })
    }
    held.finishAll()
    await pair.settle()
    expect(held.contexts).toHaveLength(3)
    expect(pair.server.link.stats()).toMatchObject({ handlers: 0, waiting: 0 })
  })

  it('answers one whose deadline passes while it waits, at once, and never starts it', async () => {
    const held = new Held()
    const side = new Side({ serve: { held: held.method }, limits: { maxCalls: 1 } })
    side.raw(hello, callFrame(1, 'held'))
    await turn()
    side.raw(callFrame(2, 'held', [50, null, []]))
    await turn()
    expect(side.link.stats()).toMatchObject({ handlers: 1, waiting: 1 })
    side.channel.waiting.length = 0
    side.clock.advanceSync(51)
    await turn()
    expect(side.channel.frames().flat()).toMatchObject([{ type: 'error', id: 2 }])
    expect(side.link.stats()).toMatchObject({ handlers: 1, waiting: 0 })
    held.finishAll()
    await turn()
    expect(held.contexts).toHaveLength(1)
  })

  it('lets those that wait hold no more memory than may wait for the peer, and refuses what would be more', async () => {
    const held = new Held()
    const side = new Side({ serve: { held: held.method }, limits: { maxCalls: 3, maxBacklog: 65_536 } })
    const large = (id: number): unknown[] => callFrame(id, 'held', noContext, ['x'.repeat(40_000)])
    const refused = (): unknown[] =>
      side.channel
        .frames()
        .flat()
        .map((frame) => (frame.type === 'error' ? [frame.id, frame.error[3]] : frame))
    side.raw(hello, ...[1, 2, 3].map((id) => callFrame(id, 'held')))
    await turn()
    side.channel.waiting.length = 0
    side.raw(large(4), large(5), callFrame(6, 'held'))
    await turn()
    expect(side.link.stats()).toMatchObject({ handlers: 3, waiting: 2 })
    expect(refused()).toEqual([[5, 'ERR_LIMIT']])
    // One that leaves makes room, whether it was cancelled or has started.
    side.channel.waiting.length = 0
    side.raw([3, 4, 0, null], large(7))
    await turn()
    expect(side.link.stats()).toMatchObject({ handlers: 3, waiting: 2 })
    held.finishAll()
    await turn()
    expect(side.link.stats()).toMatchObject({ handlers: 2, waiting: 0 })
    side.raw(callFrame(8, 'held'), callFrame(9, 'held', noContext, ['x'.repeat(100_000)]))
    await turn()
    // One that waits alone may be larger.
    expect(side.link.stats()).toMatchObject({ handlers: 3, waiting: 1 })
    expect(
      side.channel
        .frames()
        .flat()
        .filter(({ type }) => type === 'error'),
    ).toEqual([])
    side.link.close()
    held.finishAll()
    await turn()
  })

  it('those that wait end with the link, and leave nothing', async () => {
    const held = new Held()
    const side = new Side({ serve: { held: held.method }, limits: { maxCalls: 1 } })
    side.raw(hello, callFrame(1, 'held'), callFrame(2, 'held'))
    await turn()
    expect(side.link.stats()).toMatchObject({ handlers: 1, waiting: 1 })
    side.link.close()
    expect(side.link.stats()).toMatchObject({ waiting: 0 })
    held.finishAll()
    await turn()
    expect(side.link.stats()).toMatchObject({ handlers: 0, waiting: 0 })
    expect(held.contexts).toHaveLength(1)
  })

  it('holds whatever the peer does: open and cancel in one message', async () => {
    const held = new Held()
    const side = new Side({ serve: { held: held.method }, limits: { maxCalls: 3 } })
    side.raw(hello)
    for (let round = 0; round < 5; round++) {
      const frames: unknown[] = []
      for (let id = round * 100 + 1; id <= round * 100 + 100; id++) frames.push(callFrame(id, 'held'), [3, id, 0, null])
      side.raw(...frames)
      expect(side.link.stats().handlers).toBeLessThanOrEqual(3)
      await turn()
    }
    expect(side.link.stats().handlers).toBe(0)
    expect(held.contexts).toEqual([])
    expect(side.open).toBe(true)
  })
})

describe('the size of a message', () => {
  it('that comes in over the limit ends the link', () => {
    const side = new Side({ limits: { maxMessage: 2_048 } })
    side.link.receive(new Uint8Array(2_049))
    expect(side.channel.closed).toMatchObject({ code: 1009 })
    expect(side.link.stats().state).toBe('closed')
  })

  it('bounds arguments and results, with an error for the caller alone', async () => {
    const pair = await joined({
      client: { limits: { maxMessage: 2_048 } },
      server: {
        serve: { f: (_ctx: Context, n: number | string) => (typeof n === 'number' ? 'x'.repeat(n) : 'ok') },
        limits: { maxMessage: 4_096 },
      },
    })
    const calls = [
      pair.client.link.call(background(), 'f', ['x'.repeat(4_000)]),
      pair.client.link.call(background(), 'f', [1_990]),
    ]
    const refused = [
      rejection(pair.client.link.call(background(), 'f', ['x'.repeat(4_090)])),
      rejection(pair.client.link.call(background(), 'f', [2_040])),
    ]
    await pair.settle()
    expect(await Promise.all(calls)).toEqual(['ok', 'x'.repeat(1_990)])
    for (const error of await Promise.all(refused)) expect(error).toMatchObject({ code: 'ERR_LIMIT' })
    expect([pair.client.open, pair.server.open]).toEqual([true, true])
  })

  it('never keeps an end or an error from the peer: their causes are shortened', async () => {
    const held = new Held()
    const long = new Error('m'.repeat(1_000), { cause: Array.from({ length: 400 }, (_, i) => i + 0.5) })
    const limits = { maxMessage: 1_024 }
    const pair = await joined({
      client: { limits },
      server: {
        serve: {
          held: held.method,
          throws: () => {
            throw long
          },
        },
        limits,
      },
    })
    const ctx = withCancel(pair.client.root)
    const results = [
      rejection(pair.client.link.call(ctx, 'held', [])),
      rejection(pair.client.link.call(background(), 'throws', [])),
    ]
    const timed = pair.client.link.call(withTimeout(pair.client.root, 1e6, long), 'held', [])
    await pair.settle()
    ctx.cancel(long)
    await pair.settle()
    expect(held.ctx().err()).toMatchObject({ name: 'AbortError', cause: { message: expect.stringMatching(/^m+…$/) as string } })
    const [, error] = await Promise.all(results)
    expect(error).toMatchObject({ name: 'Error', message: expect.stringMatching(/^m+…$/) as string })
    held.finishAll()
    await pair.settle()
    await timed
    expect([pair.client.open, pair.server.open]).toEqual([true, true])
    expect(Math.max(pair.client.channel.longest, pair.server.channel.longest)).toBeLessThanOrEqual(1_024)
  })
})

describe('a message', () => {
  it('holds all frames of one turn', async () => {
    const pair = await joined({ server: { serve: { f: () => 1 } } })
    const { count } = pair.client.channel
    const calls = Array.from({ length: 100 }, () => pair.client.link.call(background(), 'f', []))
    expect(pair.client.link.stats().queued).toBe(100)
    await turn()
    expect(pair.client.channel.count).toBe(count + 1)
    pair.toServer()
    await turn()
    expect(pair.server.channel.frames().map(({ length }) => length)).toEqual([100])
    await pair.settle()
    await Promise.all(calls)
  })

  const floats = Array.from({ length: 440 }, (_, i) => i + 0.5)
  it.each<[string, number, unknown]>([
    ['no cause', 10_000, undefined],
    ['a text', 10_000, 'why'],
    ['floats, which take nine bytes each', 2_000, floats],
    [
      'a long chain',
      2_000,
      Array.from({ length: 8 }).reduce<unknown>((inner) => new Error('m'.repeat(300), { cause: inner }), 'end'),
    ],
    ['an object of many members', 2_000, Object.fromEntries(floats.slice(0, 200).map((x, i) => [`k${i}`, x]))],
  ])('of many calls and their cancels is refused by no peer of the same limits: %s', async (_name, calls, why) => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method }, limits: { maxCalls: calls, maxMessage: 65_536 } } })
    const ctx = withCancel(pair.client.root)
    const results = Array.from({ length: calls }, () => rejection(pair.client.link.call(ctx, 'held', [])))
    await pair.settle()
    expect(held.contexts).toHaveLength(calls)
    const { count } = pair.client.channel
    ctx.cancel(why)
    await turn()
    // As few messages as the limits allow, with some slack for the estimate.
    const sizes = pair.client.channel.waiting.map(({ length }) => length)
    const atLeast = Math.max(calls / 1_024, sizes.reduce((a, b) => a + b) / 65_536, (calls * (4 + elementsOf(why))) / 20_000)
    expect(pair.client.channel.count - count).toBeLessThanOrEqual(Math.ceil(2 * atLeast) + 1)
    await pair.settle()
    expect([pair.client.open, pair.server.open]).toEqual([true, true])
    expect(held.contexts.every((c) => c.err() !== undefined)).toBe(true)
    await Promise.all(results)
    held.finishAll()
    await pair.settle()
  })

  it('is within the limits whatever is called, ended and answered', async () => {
    const key = createKey<unknown>('k'.repeat(200), { portable: { encode: (x) => x, decode: (x) => x } })
    const data = fc.jsonValue({ maxDepth: 6 }).filter((x) => !JSON.stringify(x).includes('__proto__') && isWellFormed(x))
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(1_024, 1_500, 4_096, 65_536),
        fc.array(
          fc.record({
            args: fc.array(data),
            value: fc.option(data, { nil: undefined }),
            why: fc.oneof(
              data,
              fc.string().map((m) => new Error(m)),
            ),
            times: fc.integer({ min: 1, max: 40 }),
          }),
          { minLength: 1, maxLength: 8 },
        ),
        async (maxMessage, calls) => {
          const limits = { maxMessage }
          const pair = await joined({
            client: { limits },
            server: {
              limits,
              keys: [key],
              serve: {
                f: (_c: Context, x: unknown, y: unknown) => {
                  if (x === null) throw y
                  return y
                },
              },
            },
          })
          const results: Promise<unknown>[] = []
          const end = withCancel(pair.client.root)
          for (const { args, value, why, times } of calls) {
            for (let i = 0; i < times; i++) {
              const ctx = withTimeout(withValue(end, key, value), 1e9, why)
              results.push(pair.client.link.call(ctx, 'f', args).catch(() => {}))
            }
          }
          if (calls.length % 2 === 0) end.cancel(calls[0]?.why)
          await pair.settle()
          await Promise.all(results)
          expect([pair.client.channel.closes, pair.server.channel.closes]).toEqual([[], []])
          expect(Math.max(pair.client.channel.longest, pair.server.channel.longest)).toBeLessThanOrEqual(maxMessage)
        },
      ),
      { numRuns: 60 },
    )
  }, 60_000)

  it('that is lost to nobody: pongs for a thousand pings leave in one', async () => {
    const side = new Side()
    side.raw(hello)
    await turn()
    side.channel.waiting.length = 0
    side.raw(...Array.from({ length: 1_000 }, (_, n) => [8, n]))
    await turn()
    expect(side.channel.waiting).toHaveLength(1)
    expect(framesOf(side.channel.waiting[0] as Uint8Array)).toEqual(
      Array.from({ length: 1_000 }, (_, n) => ({ type: 'pong', n })),
    )
  })
})

test('a peer that does not read is given up by a cancel, too, when that has ended here', async () => {
  const held = new Held()
  const pair = await joined({ client: { limits: { maxBacklog: 65_536 } }, server: { serve: { held: held.method } } })
  const [ctx, other] = [withCancel(background()), withCancel(background())]
  const results = [ctx, other].map((one) => rejection(pair.client.link.call(one, 'held', [])))
  await pair.settle()
  pair.client.channel.backlog = 2 * 65_536 + 1
  ctx.cancel()
  expect(ctx.err()).toBeInstanceOf(CanceledError)
  expect(pair.client.open).toBe(true)
  await turn()
  expect(pair.client.channel.closed).toMatchObject({ code: 1013, reason: 'backlog: the peer does not read' })
  expect(await Promise.all(results)).toEqual([ctx.err(), pair.client.ends[0]])
  held.finishAll()
  pair.cut()
  await turn()
})

test('cancels that pile up unread are counted with what they cost beside their bytes, each alone as well', async () => {
  const held = new Held()
  const pair = await joined({ client: { limits: { maxBacklog: 65_536 } }, server: { serve: { held: held.method } } })
  const contexts = Array.from({ length: 512 }, () => withCancel(background()))
  const results = contexts.map((one) => rejection(pair.client.link.call(one, 'held', [])))
  await pair.settle()
  pair.client.channel.backlog = 65_537
  for (const ctx of contexts) {
    ctx.cancel()
    await turn()
    if (!pair.client.open) break
  }
  expect(pair.client.channel.closes).toEqual([{ code: 1013, reason: 'backlog: the peer does not read' }])
  expect(pair.client.channel.waiting.length).toBeGreaterThan(200)
  await Promise.all(results)
  pair.cut()
  held.finishAll()
  await turn()
})

test('a peer that does not read is given up', async () => {
  const pair = await joined({ server: { serve: { f: () => 1 } } })
  const result = rejection(pair.client.link.call(background(), 'f', []))
  pair.client.channel.backlog = 2 * 16 * 1_048_576 + 1
  await turn()
  expect(await result).toMatchObject({ code: 'ERR_LINK_LOST', cause: { code: 'ERR_PROTOCOL' } })
  expect(pair.client.channel.closed).toMatchObject({ code: 1013 })
  pair.cut()
})

function elementsOf(why: unknown): number {
  if (typeof why !== 'object' || why === null) return 3
  const inner = why instanceof Error ? [why.cause, 1, 1, 1, 1] : Array.isArray(why) ? why : Object.entries(why).flat()
  return inner.reduce<number>((sum, x) => sum + elementsOf(x) - 2, 3)
}

function isWellFormed(x: unknown): boolean {
  return !/\\ud[89a-f]/i.test(JSON.stringify(x))
}
