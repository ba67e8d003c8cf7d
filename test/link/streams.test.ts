/** Streams: a served generator is an async iterable here, one window ahead at most. */
import { describe, expect, it, test } from 'vitest'
import { background, cause, type Context, withCancel, withTimeout } from '../../lib/context.ts'
import { DeadlineExceededError, LinkLostError } from '../../lib/errors.ts'
import { turn } from '../support/gc.ts'
import { callFrame, Held, hello, joined, type Pair, rejection, Side } from './support.ts'

/** A source that counts what was asked of it, and tells when its `finally` has run. */
class Source {
  made = 0
  finished = 0
  ctx: Context | undefined
  readonly serve = {
    count: this.#count.bind(this),
  }

  async *#count(ctx: Context, to: number): AsyncGenerator<number, string> {
    this.ctx = ctx
    try {
      for (let n = 1; n <= to; n++) {
        this.made++
        yield n
      }
      return 'all'
    } finally {
      this.finished++
    }
  }
}

async function open(pair: Pair, ctx: Context, to: number): Promise<AsyncGenerator<number, string>> {
  const answer = pair.client.link.call(ctx, 'count', [to])
  await pair.settle()
  return (await answer) as AsyncGenerator<number, string>
}

/** What a stream gives next, with all that has to move for it. */
async function next<T>(pair: Pair, stream: AsyncGenerator<T, unknown>): Promise<IteratorResult<T, unknown>> {
  const result = stream.next()
  await pair.settle()
  return result
}

describe('a stream', () => {
  it('gives all items in order, then what was returned, once', async () => {
    const source = new Source()
    const pair = await joined({ server: { serve: source.serve } })
    const stream = await open(pair, background(), 100)
    const items: number[] = []
    for (let r = await next(pair, stream); r.done !== true; r = await next(pair, stream)) items.push(r.value)
    expect(items).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
    expect(source.finished).toBe(1)
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    expect(pair.client.link.stats().calls).toBe(0)
  })

  it('tells what was returned', async () => {
    const pair = await joined({ server: { serve: new Source().serve } })
    const stream = await open(pair, background(), 1)
    expect([await stream.next(), await stream.next()]).toEqual([
      { done: false, value: 1 },
      { done: true, value: 'all' },
    ])
  })

  it('stops the writer while nobody reads: a window, and one ahead', async () => {
    const source = new Source()
    const pair = await joined({ server: { serve: source.serve }, client: { limits: { window: 4 } } })
    const stream = await open(pair, background(), 1_000)
    expect(source.made).toBe(5)
    await next(pair, stream)
    expect(source.made).toBe(5)
    await next(pair, stream)
    expect(source.made).toBe(7)
    await stream.return('')
    await pair.settle()
    expect([source.finished, pair.server.link.stats().handlers]).toEqual([1, 0])
  })

  it.each([
    ['break', (stream: AsyncGenerator<number, string>) => stream.return('')],
    ['throw', (stream: AsyncGenerator<number, string>) => stream.throw(new Error('x')).catch(() => undefined)],
    ['await using', (stream: AsyncGenerator<number, string>) => stream[Symbol.asyncDispose]()],
  ])('%s in the middle ends the context over there, and runs the finally', async (_name, leave) => {
    const source = new Source()
    const pair = await joined({ server: { serve: source.serve } })
    const stream = await open(pair, background(), 1_000)
    await next(pair, stream)
    await leave(stream)
    await pair.settle()
    expect(source.finished).toBe(1)
    expect(source.ctx?.err()?.code).toBe('ABORT_ERR')
    expect([pair.client.link.stats().calls, pair.server.link.stats().handlers]).toEqual([0, 0])
    expect(await stream.next()).toEqual({ done: true, value: undefined })
  })

  it('ends with its context on both sides, what waits is dropped', async () => {
    const source = new Source()
    const pair = await joined({ server: { serve: source.serve } })
    const ctx = withCancel(pair.client.root)
    const stream = await open(pair, ctx, 1_000)
    ctx.cancel('stop')
    expect(await rejection(stream.next())).toBe(ctx.err())
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    await pair.settle()
    expect([cause(source.ctx as Context), source.finished]).toEqual(['stop', 1])
  })

  it('whose reader waits is woken by the end of its context', async () => {
    const pair = await joined({
      server: {
        serve: {
          async *count(ctx: Context) {
            yield 1
            await ctx.done
          },
        },
      },
    })
    const ctx = withTimeout(pair.client.root, 50)
    const stream = await open(pair, ctx, 0)
    await stream.next()
    const waiting = rejection(stream.next())
    pair.advance(50)
    expect(await waiting).toBeInstanceOf(DeadlineExceededError)
    await pair.settle()
  })

  it('carries what was thrown in the middle, after the items before it', async () => {
    const pair = await joined({
      server: {
        serve: {
          async *count() {
            yield* [1, 2]
            await null
            throw new RangeError('no more')
          },
        },
      },
    })
    const stream = await open(pair, background(), 0)
    expect([(await stream.next()).value, (await stream.next()).value]).toEqual([1, 2])
    expect(await rejection(stream.next())).toMatchObject({ name: 'RangeError', message: 'no more' })
    expect(await stream.next()).toMatchObject({ done: true })
  })

  it('of an item that cannot be sent ends with that, and runs the finally', async () => {
    let finished = false
    const pair = await joined({
      server: {
        serve: {
          async *count() {
            try {
              yield await Promise.resolve(new Map())
            } finally {
              finished = true
            }
          },
        },
      },
    })
    const stream = await open(pair, background(), 0)
    expect(await rejection(stream.next())).toMatchObject({ code: 'ERR_UNSENDABLE' })
    expect(finished).toBe(true)
  })

  it('that the link is lost under gives what has come, then the loss', async () => {
    const source = new Source()
    const pair = await joined({ server: { serve: source.serve }, client: { limits: { window: 2 } } })
    const stream = await open(pair, background(), 10)
    pair.cut()
    expect([(await stream.next()).value, (await stream.next()).value]).toEqual([1, 2])
    expect(await rejection(stream.next())).toBeInstanceOf(LinkLostError)
    await turn()
    expect(source.finished).toBe(1)
  })

  it.each(['its call', 'the link'])('that comes when %s has ended does not begin, and nothing is sent of it', async (what) => {
    const held = new Held()
    const side = new Side({ serve: { held: held.method } })
    side.raw(hello, callFrame(1, 'held'))
    await turn()
    side.channel.waiting.length = 0
    if (what === 'its call') side.raw([3, 1, 0, null])
    else side.link.close()
    const source = new Source()
    const iterable = source.serve.count(held.ctx(), 3)
    held.finishAll(iterable)
    await turn()
    expect(side.channel.waiting).toEqual([])
    expect(source.made).toBe(0)
    expect(await iterable.next()).toEqual({ done: true, value: undefined })
    expect(side.link.stats().handlers).toBe(0)
  })

  it('of any async iterable works, not only of generators', async () => {
    const pair = await joined({
      server: {
        serve: {
          count: () => ({
            [Symbol.asyncIterator]: () => {
              let n = 0
              return { next: () => Promise.resolve(n++ < 2 ? { done: false, value: n } : { done: true, value: 'end' }) }
            },
          }),
        },
      },
    })
    const stream = await open(pair, background(), 0)
    expect([await next(pair, stream), await next(pair, stream), await next(pair, stream)]).toEqual([
      { done: false, value: 1 },
      { done: false, value: 2 },
      { done: true, value: 'end' },
    ])
  })

  it('under a context that the peer knows ends with its one frame', async () => {
    const source = new Source()
    const pair = await joined({ server: { serve: source.serve } })
    const ctx = withCancel(pair.client.root)
    pair.client.link.export(ctx)
    const stream = await open(pair, ctx, 1_000)
    ctx.cancel('stop')
    await turn()
    expect(pair.client.channel.frames().flat()).toMatchObject([{ type: 'cancel' }])
    expect(await rejection(stream.next())).toBe(ctx.err())
    await pair.settle()
    expect(source.finished).toBe(1)
  })
})

describe('what is not allowed', () => {
  async function caller(): Promise<Side> {
    const side = new Side({ limits: { window: 2 } })
    side.raw([...hello.slice(0, 2), [1_048_576, 10, 0, 1, 0], 'peer', 'x'])
    void side.link.call(background(), 'f', []).catch(() => undefined)
    await turn()
    return side
  }

  it.each<[string, unknown[][], number]>([
    ['an item before a stream', [[13, 1, 'x']], 4400],
    [
      'a stream twice',
      [
        [12, 1],
        [12, 1],
      ],
      4400,
    ],
    [
      'more than the window',
      [
        [12, 1],
        [13, 1],
        [13, 1],
        [13, 1],
      ],
      4429,
    ],
    ['an item of what was never called', [[13, 9, 'x']], 4400],
    ['a stream of what was never called', [[12, 9]], 4400],
  ])('%s', async (_name, frames, code) => {
    const side = await caller()
    side.raw(...frames)
    expect(side.channel.closed).toMatchObject({ code })
  })

  it('credit without end, and for what was never called', async () => {
    for (const [frames, open] of [
      [[callFrame(1, 'f'), [14, 1, Number.MAX_SAFE_INTEGER], [14, 1, 1]], false],
      [[[14, 5, 1]], false],
      [[callFrame(1, 'none'), [14, 1, 1]], true],
    ] as const) {
      const side = new Side({ serve: { f: () => new Promise(() => {}) } })
      side.raw(hello, ...frames)
      expect(side.open).toBe(open)
    }
  })
})

describe('a window without end', () => {
  const endless = [...hello.slice(0, 2), [1_048_576, 10, 0, Number.MAX_SAFE_INTEGER, 0], 'peer', 'x']

  it('does not keep the loop: a stream waits for its next turn after some items, together with all others', async () => {
    const turns: (() => void)[] = []
    const source = new Source()
    const side = new Side({ serve: source.serve, afterReading: (f) => turns.push(f) })
    side.raw(endless, ...[1, 2, 3].map((id) => callFrame(id, 'count', undefined, [1e9])))
    await turn()
    await turn()
    // One more of each was made, and waits.
    expect(source.made).toBe(256 + 3)
    for (let i = 2; i < 5; i++) {
      turns.shift()?.()
      await turn()
      expect(source.made).toBe(i * 256 + 3)
    }
    expect(turns).toHaveLength(1)
    side.link.close()
    await turn()
    expect(source.finished).toBe(3)
  })

  it('does not fill the memory: a stream waits while what was sent is not acknowledged', async () => {
    const source = new Source()
    const side = new Side({
      serve: source.serve,
      session: { accept: () => 'token' },
      limits: { maxBacklog: 65_536 },
      afterReading: (f) => void setImmediate(f),
    })
    side.raw([...endless, ['', 0]])
    side.raw(callFrame(1, 'count', undefined, [1e9]))
    let before = -1
    while (source.made > before || source.made === 0) {
      before = source.made
      for (let i = 0; i < 5; i++) await turn()
    }
    expect(side.open).toBe(true)
    // All that was sent is kept, with what it costs beside its bytes.
    const sent = side.channel.count
    expect(sent * 256).toBeLessThan(3 * 65_536)
    side.raw([15, sent - 1])
    for (let i = 0; i < 5; i++) await turn()
    expect(side.channel.count).toBeGreaterThan(sent)
    side.link.close()
    await turn()
  })

  it('takes no item that alone is more than may wait', async () => {
    const pair = await joined({
      server: {
        serve: {
          async *large() {
            yield 'x'.repeat(70_000)
          },
        },
        limits: { maxBacklog: 65_536 },
      },
    })
    const answer = pair.client.link.call(background(), 'large', [])
    await pair.settle()
    const first = rejection(((await answer) as AsyncGenerator<string>).next())
    await pair.settle()
    expect(await first).toMatchObject({ code: 'ERR_LIMIT' })
  })
})

test('a window of 1 works', async () => {
  const pair = await joined({ server: { serve: new Source().serve }, client: { limits: { window: 1 } } })
  const stream = await open(pair, background(), 3)
  const values = [await next(pair, stream), await next(pair, stream), await next(pair, stream), await next(pair, stream)]
  expect(values.map(({ value }) => value)).toEqual([1, 2, 3, 'all'])
})
