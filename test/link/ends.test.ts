/** How the end of a call's context reaches the other side, and what may cross it on the way. */
import { describe, expect, it, test, vi } from 'vitest'
import { afterFunc, background, type Context, cause, createRoot, withCancel, withTimeout } from '../../lib/context.ts'
import { CanceledError, DeadlineExceededError, LinkLostError, RemoteError } from '../../lib/errors.ts'
import { scopeOf } from '../../lib/foreign.ts'
import { takenEnd } from '../../lib/tree.ts'
import { Independent } from '../support/foreign.ts'
import { collected, turn } from '../support/gc.ts'
import type { Frame } from '../../lib/wire/frame.ts'
import { callFrame, Held, joined, noContext, rejection, Side, hello } from './support.ts'

async function started() {
  const held = new Held()
  const pair = await joined({ server: { serve: { held: held.method } } })
  const ctx = withCancel(pair.client.root)
  const result = rejection(pair.client.link.call(ctx, 'held', []))
  return { held, pair, ctx, result }
}

describe('a cancel', () => {
  it('ends the promise at once and the handler when it arrives, with kind and cause', async () => {
    const { held, pair, ctx, result } = await started()
    await pair.settle()
    ctx.cancel('enough')
    expect(await result).toBe(ctx.err())
    expect(held.ctx().err()).toBeUndefined()
    pair.toServer()
    expect(held.ctx().err()).toBeInstanceOf(CanceledError)
    expect(cause(held.ctx())).toBe('enough')
    held.finishAll('ignored')
    await pair.settle()
    expect(pair.client.link.stats().late).toBe(0)
  })

  it('rejects though the peer never answers', async () => {
    const { pair, ctx, result } = await started()
    ctx.cancel()
    expect(await result).toBe(ctx.err())
    expect(pair.client.link.stats().calls).toBe(0)
    pair.cut()
  })

  it('of many calls makes no error here before all of them are on their way: the other side can stop meanwhile', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const contexts = Array.from({ length: 40 }, () => withCancel(pair.client.root))
    const results = contexts.map((ctx) => rejection(pair.client.link.call(ctx, 'held', [])))
    await pair.settle()
    const made = (): number => contexts.filter((ctx) => takenEnd(scopeOf(ctx, 'test'))?.told === true).length
    for (const ctx of contexts) ctx.cancel()
    const before = made()
    const { channel } = pair.client
    const sentWith: number[] = []
    const send = channel.send.bind(channel)
    vi.spyOn(channel, 'send').mockImplementation((message) => {
      sentWith.push(made())
      send(message)
    })
    const errors = await Promise.all(results)
    // The first one was alone, and left at once.
    expect([before, sentWith]).toEqual([0, [0]])
    expect(errors).toEqual(contexts.map((ctx) => ctx.err()))
    await pair.settle()
    held.finishAll()
    await pair.settle()
  })

  it('in the same message as the call keeps the handler from starting', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const ctx = withCancel(pair.client.root)
    const result = rejection(pair.client.link.call(ctx, 'held', []))
    ctx.cancel('at once')
    expect(await result).toBe(ctx.err())
    await turn()
    expect(pair.client.channel.frames()).toMatchObject([[{ type: 'call' }, { type: 'cancel' }]])
    await pair.settle()
    expect(held.contexts).toEqual([])
    expect(pair.server.channel.count).toBe(1)
  })

  it('that crosses the result changes nothing on either side', async () => {
    const { held, pair, ctx, result } = await started()
    await pair.settle()
    held.finishAll('done')
    await turn()
    ctx.cancel('late')
    expect(await result).toBe(ctx.err())
    await pair.settle()
    expect(pair.client.link.stats().late).toBe(1)
    expect(pair.server.link.stats().late).toBe(1)
    // The handler's context ended with the handler, not by the cancel.
    expect(cause(held.ctx())).toBe(held.ctx().err())
  })

  it('does not reach the next call', async () => {
    const { held, pair, ctx, result } = await started()
    await pair.settle()
    const next = pair.client.link.call(pair.client.root, 'held', [])
    ctx.cancel()
    await result
    await pair.settle()
    expect(held.ctx(0).err()).toBeInstanceOf(CanceledError)
    expect(held.ctx(1).err()).toBeUndefined()
    held.finishAll(5)
    await pair.settle()
    expect(await next).toBe(5)
  })

  it('twice, and after an end, is ignored', async () => {
    const side = new Side({ serve: { held: () => new Promise(() => {}) } })
    side.raw(hello, callFrame(1, 'held'))
    await turn()
    side.raw([3, 1, 0, [0, 'first']], [3, 1, 0, [0, 'second']])
    side.raw([3, 1, 1, null])
    expect(side.open).toBe(true)
    expect(side.link.stats().handlers).toBe(1)
  })

  it('of several contexts in one turn keeps the cause of each', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const contexts = [1, 2, 3].map(() => withCancel(pair.client.root))
    const results = contexts.map((ctx) => rejection(pair.client.link.call(ctx, 'held', [])))
    await pair.settle()
    for (const [i, ctx] of contexts.entries()) ctx.cancel(`cause ${i}`)
    expect(await Promise.all(results)).toEqual(contexts.map((ctx) => ctx.err()))
    await pair.settle()
    expect(held.contexts.map(cause)).toEqual(['cause 0', 'cause 1', 'cause 2'])
    held.finishAll()
    await pair.settle()
  })

  it('of several, of which one was never opened, is that of those before it: none lives on without a link', async () => {
    const side = new Side()
    side.raw(hello, [6, 1, noContext])
    const imported = side.link.import({ ctxbridge: 1, link: 'end of a peer', export: [1, 1] })
    expect(imported.err()).toBeUndefined()
    side.raw([16, [1, 999], 0, null])
    expect(side.channel.closed).toMatchObject({ code: 4400, reason: 'cancels: of what was never opened' })
    expect(imported.err()).toBeInstanceOf(CanceledError)
    expect(imported.signal.aborted).toBe(true)
    expect(side.link.stats()).toMatchObject({ imports: 0, state: 'closed' })
  })

  it('leaves at once when it is the first thing of its turn, before the caller hears of it; those behind it share a frame', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const contexts = Array.from({ length: 6 }, () => withCancel(pair.client.root))
    const results = contexts.map((ctx) => rejection(pair.client.link.call(ctx, 'held', [])))
    await pair.settle()
    contexts[0]?.cancel()
    expect(pair.client.channel.frames()).toEqual([[{ type: 'cancel', id: 1, kind: 'canceled', cause: undefined }]])
    for (const [i, ctx] of contexts.entries()) if (i > 0) ctx.cancel(i < 3 ? undefined : i < 5 ? 'why' : 'other')
    await turn()
    const ends = { kind: 'canceled' }
    expect(pair.client.channel.frames().slice(1)).toEqual([
      [
        { ...ends, type: 'cancels', ids: [2, 3], cause: undefined },
        { ...ends, type: 'cancel', id: 4, cause: [0, 'why'] },
        { ...ends, type: 'cancel', id: 5, cause: [0, 'why'] },
        { ...ends, type: 'cancel', id: 6, cause: [0, 'other'] },
      ],
    ])
    await pair.settle()
    expect(held.contexts.map((ctx) => cause(ctx))).toEqual(
      [...contexts.map((ctx) => cause(ctx))].map((why, i) => (i < 3 ? held.ctx(i).err() : why)),
    )
    await Promise.all(results)
    held.finishAll()
    await pair.settle()
  })

  it.each([
    ['without a cause', undefined],
    ['with a short text as its cause', 'no more need'],
  ])('%s has left, once, before anything of it can be seen here', async (_name, why) => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const frames: Frame[][] = []
    const alone = withCancel(pair.client.root)
    const shared = withCancel(pair.client.root)
    const results = [rejection(pair.client.link.call(alone, 'held', []))]
    for (const ctx of [alone, shared]) {
      const sent = (): number => frames.push(...pair.client.channel.frames())
      ctx.signal.addEventListener('abort', sent)
    }
    pair.client.link.export(shared)
    results.push(...[shared, withCancel(shared)].map((ctx) => rejection(pair.client.link.call(ctx, 'held', []))))
    await pair.settle()
    for (const ctx of [alone, shared]) {
      ctx.cancel(why)
      expect(frames.splice(0)).toMatchObject([
        [{ type: 'cancel', kind: 'canceled', cause: why === undefined ? undefined : [0, why] }],
      ])
      await turn()
      expect(pair.client.channel.waiting).toHaveLength(1)
      await pair.settle()
    }
    expect(held.contexts.map((ctx) => [ctx.err()?.name, ctx.err()?.cause])).toEqual(
      Array.from({ length: 3 }, () => ['AbortError', why]),
    )
    expect(pair.server.link.stats().late).toBe(0)
    await Promise.all(results)
    held.finishAll()
    await pair.settle()
  })

  it('without a cause that others hear of first has left all the same', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const ctx = withCancel(pair.client.root)
    const stop = afterFunc(ctx, () => undefined)
    const result = rejection(pair.client.link.call(ctx, 'held', []))
    await pair.settle()
    ctx.cancel()
    expect(pair.client.channel.frames()).toMatchObject([[{ type: 'cancel' }]])
    expect(stop()).toBe(false)
    await pair.settle()
    expect(held.ctx(0).err()).toBeInstanceOf(CanceledError)
    await result
    held.finishAll()
    await pair.settle()
  })

  it('does not overtake the call that it ends', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const ctx = withCancel(pair.client.root)
    const result = rejection(pair.client.link.call(ctx, 'held', []))
    ctx.cancel()
    expect(pair.client.channel.waiting).toEqual([])
    await turn()
    expect(pair.client.channel.frames()).toMatchObject([[{ type: 'call' }, { type: 'cancel' }]])
    await pair.settle()
    expect(held.contexts).toEqual([])
    await result
  })

  it('of a thousand calls under one context is one message, beside that of the first call, which is older than the export', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const ctx = withCancel(pair.client.root)
    const results = Array.from({ length: 1_000 }, () => rejection(pair.client.link.call(ctx, 'held', [])))
    await pair.settle()
    const { count } = pair.client.channel
    ctx.cancel(new Error('all'))
    expect(new Set(await Promise.all(results))).toEqual(new Set([ctx.err()]))
    await turn()
    expect(pair.client.channel.count).toBe(count + 2)
    await pair.settle()
    expect(held.contexts.every((c) => (cause(c) as Error).message === 'all')).toBe(true)
    held.finishAll()
    await pair.settle()
  })

  it.each<[string, unknown, (got: unknown) => void]>([
    ['nothing', undefined, (got) => expect(got).toBeInstanceOf(CanceledError)],
    ['a text', 'why', (got) => expect(got).toBe('why')],
    ['null', null, (got) => expect(got).toBeNull()],
    ['data', { a: [1] }, (got) => expect(got).toEqual({ a: [1] })],
    ['NaN', Number.NaN, (got) => expect(got).toBeNaN()],
    [
      'an error with a code and a chain',
      Object.assign(new Error('outer', { cause: new TypeError('inner') }), { code: 'E' }),
      (got) => {
        expect(got).toBeInstanceOf(RemoteError)
        expect(got).toMatchObject({ name: 'Error', message: 'outer', code: 'E', cause: { name: 'TypeError', message: 'inner' } })
      },
    ],
    [
      'the end of another context',
      new DeadlineExceededError({ cause: 'slow' }),
      (got) => {
        expect(got).toBeInstanceOf(DeadlineExceededError)
        expect(got).toMatchObject({ cause: 'slow' })
      },
    ],
    ['a lost link', new LinkLostError('gone'), (got) => expect(got).toBeInstanceOf(LinkLostError)],
    ['a function', () => {}, (got) => expect(got).toContain('function')],
  ])('has as its cause %s', async (_name, why, check) => {
    const { held, pair, ctx, result } = await started()
    await pair.settle()
    ctx.cancel(why)
    await result
    await pair.settle()
    check(cause(held.ctx()))
    expect(held.ctx().err()).toBeInstanceOf(CanceledError)
    expect(held.ctx().err()).toBe(held.ctx().err())
    held.finishAll()
    await pair.settle()
  })

  it.each([
    ['that is undefined', [1, 'undefined'], true],
    ['that is none', null, false],
  ])('has a cause %s, as its peer says', async (_name, wire, has) => {
    const held = new Held()
    const side = new Side({ serve: { held: held.method } })
    side.raw(hello, callFrame(1, 'held'))
    await turn()
    side.raw([3, 1, 0, wire])
    const error = held.ctx().err()
    expect(error).toBeInstanceOf(CanceledError)
    expect([Object.hasOwn(error as Error, 'cause'), error?.cause]).toEqual([has, undefined])
  })

  it('of unknown calls: ignored where there was one, the end of the link where there was none', () => {
    const side = new Side({ serve: { f: () => {} } })
    side.raw(hello, callFrame(5, 'missing'), [3, 3, 0, null], [3, 5, 0, null])
    expect(side.open).toBe(true)
    expect(side.link.stats().late).toBe(2)
    side.raw([3, 6, 0, null])
    expect(side.channel.closed).toEqual({ code: 4400, reason: 'cancel: of what was never opened' })
  })
})

describe('a deadline', () => {
  async function withDeadline(ms: number, why?: unknown) {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    // Clocks agree on nothing but how long a millisecond is.
    pair.server.clock.advanceSync(123_456)
    const ctx = withTimeout(pair.client.root, ms, why)
    const result = rejection(pair.client.link.call(ctx, 'held', []))
    return { held, pair, ctx, result }
  }

  it('travels as time left, and is never early on the far side', async () => {
    const { held, pair, ctx, result } = await withDeadline(100, 'too slow')
    await turn()
    pair.advance(30)
    await pair.settle()
    expect(held.ctx().remaining()).toBe(100)
    void held.ctx().signal
    pair.advance(69)
    expect(held.ctx().err()).toBeUndefined()
    pair.advance(1)
    expect(await result).toBe(ctx.err())
    expect(held.ctx().err()).toBeUndefined()
    // Without a word from the caller.
    pair.advance(30)
    expect(held.ctx().err()).toBeInstanceOf(DeadlineExceededError)
    expect(cause(held.ctx())).toBe('too slow')
    held.finishAll()
    await pair.settle()
  })

  it('counts what runs between the call and its message', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const ctx = withTimeout(pair.client.root, 100)
    const result = rejection(pair.client.link.call(ctx, 'held', []))
    pair.client.clock.block(40)
    await pair.settle()
    expect(held.ctx().remaining()).toBe(60)
    ctx.cancel()
    await result
    held.finishAll()
    await pair.settle()
  })

  it("ends the handler with the caller's verdict, if that arrives first", async () => {
    const { held, pair, ctx, result } = await withDeadline(100, 'why')
    await pair.settle()
    pair.client.clock.advanceSync(100)
    expect(await result).toBe(ctx.err())
    await pair.settle()
    expect(held.ctx().err()).toBeInstanceOf(DeadlineExceededError)
    expect(cause(held.ctx())).toBe('why')
    held.finishAll()
    await pair.settle()
  })

  it('is first where a result arrives after it, though no timer has fired', async () => {
    const { held, pair, ctx, result } = await withDeadline(100)
    await pair.settle()
    held.finishAll('late')
    await turn()
    pair.client.clock.block(100)
    pair.toClient()
    const error = await result
    expect(error).toBeInstanceOf(DeadlineExceededError)
    expect(error).toBe(ctx.err())
    await pair.settle()
    expect(pair.client.link.stats().calls).toBe(0)
  })

  it.each([0, -5, -1e308, -0])('that has passed on arrival (%d ms left) never starts a handler', async (left) => {
    const f = vi.fn()
    const side = new Side({ serve: { f } })
    side.raw(hello, callFrame(1, 'f', [left, [0, 'why'], []]))
    await turn()
    expect(f).not.toHaveBeenCalled()
    expect(side.channel.frames().flat()).toMatchObject([{ type: 'hello' }, { type: 'error', id: 1, error: [4, [0, 'why']] }])
    expect(side.link.stats().handlers).toBe(0)
  })

  it.each([2 ** 31 - 1, 2 ** 31, 2 ** 32, 1e12, 8.64e15, 2 ** 53, 1e308])(
    '%d ms ahead does not end anything at once',
    async (left) => {
      const held = new Held()
      const side = new Side({ serve: { held: held.method } })
      side.raw(hello, callFrame(1, 'held', [left, null, []]))
      await turn()
      const ctx = held.ctx()
      void ctx.signal
      side.clock.advanceSync(2 ** 31 - 2)
      expect(ctx.err()).toBeUndefined()
      // Not even where it is beyond all dates.
      expect(() => String(ctx)).not.toThrow()
      expect(ctx.deadline?.getTime()).not.toBeNaN()
      held.finishAll()
      await turn()
      expect(side.clock.timers).toBe(0)
    },
  )

  it('of a foreign context that counts wrongly does not break the link', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const ctx = new Independent({ deadline: new Date(Date.UTC(2040, 1, 1)), now: () => Number.NaN, at: 0 })
    const result = pair.client.link.call(ctx, 'held', [])
    await pair.settle()
    held.finishAll(1)
    await pair.settle()
    expect(await result).toBe(1)
  })
})

describe("the handler's context", () => {
  it('ends when the handler returns, so that what it left running stops', async () => {
    let inner: Context | undefined
    const pair = await joined({
      server: {
        serve: {
          f: (ctx: Context) => {
            inner = ctx
            return 1
          },
        },
      },
    })
    const result = pair.client.link.call(background(), 'f', [])
    await pair.settle()
    expect(await result).toBe(1)
    expect(inner?.err()).toBeInstanceOf(CanceledError)
  })

  it('has the parent that the transport gave', async () => {
    let path = ''
    const pair = await joined({
      server: {
        root: (name) => createRoot({ name: `Link(${name})` }),
        serve: { f: (ctx: Context) => void (path = String(ctx)) },
      },
    })
    const result = pair.client.link.call(background(), 'f', [])
    await pair.settle()
    await result
    expect(path).toBe('Link(client).WithCancel')
  })

  it('runs its listeners in the turn in which the cancel arrives, and what they throw breaks no link', async () => {
    const { held, pair, ctx, result } = await started()
    await pair.settle()
    const seen: unknown[] = []
    held.ctx().signal.addEventListener('abort', () => seen.push(held.ctx().err()))
    ctx.cancel()
    await result
    pair.toServer()
    expect(seen).toEqual([held.ctx().err()])
    held.finishAll()
    await pair.settle()
  })

  it('may close the link in a listener', async () => {
    const { held, pair, ctx, result } = await started()
    await pair.settle()
    afterFunc(held.ctx(), () => {})
    held.ctx().signal.addEventListener('abort', () => pair.server.link.close())
    ctx.cancel()
    await result
    await turn()
    expect(() => pair.toServer()).not.toThrow()
    expect(pair.server.channel.closes).toEqual([{ code: 1000, reason: 'closed' }])
    held.finishAll()
    await turn()
    pair.cut()
  })
})

describe('nothing is left', () => {
  test('on a foreign context that lives long', async () => {
    const pair = await joined({
      server: {
        serve: {
          f: () => 1,
          throws: () => {
            throw new Error('x')
          },
        },
      },
    })
    const ctx = new Independent()
    for (let i = 0; i < 10; i++) {
      const results = [pair.client.link.call(ctx, 'f', []), rejection(pair.client.link.call(ctx, 'throws', []))]
      await pair.settle()
      await Promise.all(results)
    }
    expect(ctx.listeners).toBe(0)
    const open = rejection(pair.client.link.call(ctx, 'f', []))
    expect(ctx.listeners).toBe(1)
    pair.cut()
    await open
    expect(ctx.listeners).toBe(0)
  })

  test('on a parent that lives long, of contexts, arguments and results', async () => {
    const pair = await joined({ server: { serve: { f: (_ctx: Context, x: object) => x } } })
    const parent = withCancel(pair.client.root)
    const refs: WeakRef<object>[] = []
    await (async () => {
      for (let i = 0; i < 5; i++) {
        const ctx = withTimeout(parent, 1_000)
        const argument = { i }
        const result = pair.client.link.call(ctx, 'f', [argument])
        refs.push(new WeakRef(ctx), new WeakRef(argument))
        await pair.settle()
        refs.push(new WeakRef((await result) as object))
      }
    })()
    expect(pair.client.clock.timers).toBe(0)
    expect(await collected(...refs)).toBe(true)
    expect(parent.err()).toBeUndefined()
  })

  test('of a cancel and its cause', async () => {
    const { pair, refs } = await (async () => {
      const { held, pair, ctx, result } = await started()
      await pair.settle()
      const why = new Error('why')
      const refs = [new WeakRef(ctx), new WeakRef(why), new WeakRef(held.ctx())]
      ctx.cancel(why)
      await result
      await pair.settle()
      held.finishAll()
      held.contexts.length = 0
      await pair.settle()
      return { pair, refs }
    })()
    expect(await collected(...refs)).toBe(true)
    expect(pair.client.link.stats()).toMatchObject({ state: 'open', calls: 0 })
  })
})

test('a context without a deadline is sent as nothing', async () => {
  const pair = await joined({ server: { serve: { f: () => {} } } })
  const result = pair.client.link.call(background(), 'f', [])
  await turn()
  expect(pair.client.channel.frames()[0]).toEqual([
    {
      type: 'call',
      id: 1,
      method: 'f',
      context: { left: undefined, why: undefined, values: noContext[2], under: undefined },
      args: [],
    },
  ])
  await pair.settle()
  await result
})
