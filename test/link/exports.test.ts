/** Contexts that cross by a handle, and calls under a context that the peer knows. */
import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import {
  background,
  type CancelableContext,
  cause,
  type Context,
  withCancel,
  withDeadline,
  withoutCancel,
  withTimeout,
  withValue,
} from '../../lib/context.ts'
import { CanceledError, DeadlineExceededError, LinkLostError } from '../../lib/errors.ts'
import { createKey } from '../../lib/key.ts'
import type { Frame } from '../../lib/wire/frame.ts'
import { collected, turn } from '../support/gc.ts'
import { callFrame, framesOf, Held, hello, joined, noContext, Pair, rejection, Side } from './support.ts'

const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** The frames that a side has sent and nobody has taken. */
async function sent(side: Side): Promise<Frame[]> {
  await turn()
  return side.channel.waiting.flatMap((bytes) => framesOf(bytes))
}

describe('a handle', () => {
  it.each([
    ['JSON', json],
    ['structuredClone', structuredClone],
  ])('survives %s, and its context ends with the same kind and cause', async (_name, copy) => {
    const pair = await joined()
    const ctx = withCancel(pair.client.root)
    const imported = pair.server.link.import(copy(pair.client.link.export(ctx)))
    await pair.settle()
    expect(imported.err()).toBeUndefined()
    ctx.cancel('enough')
    await pair.settle()
    expect(imported.err()).toBeInstanceOf(CanceledError)
    expect(cause(imported)).toBe('enough')
    expect(pair.server.open && pair.client.open).toBe(true)
  })

  it.each([
    ['before', true],
    ['after', false],
  ])("may arrive %s the link's own frame", async (_name, first) => {
    const pair = await joined()
    const ctx = withTimeout(pair.client.root, 50, 'late')
    const handle = pair.client.link.export(ctx)
    if (!first) await pair.settle()
    const imported = pair.server.link.import(handle)
    expect(imported.remaining()).toBe(50)
    await pair.settle()
    expect(pair.server.link.stats().imports).toBe(1)
    pair.advance(50)
    expect(imported.err()).toBeInstanceOf(DeadlineExceededError)
    expect(cause(imported)).toBe('late')
    await pair.settle()
  })

  it('may even arrive before the greeting', async () => {
    const pair = new Pair()
    const ctx = withCancel(pair.client.root)
    const imported = pair.server.link.import(pair.client.link.export(ctx))
    await pair.settle()
    ctx.cancel()
    await pair.settle()
    expect(imported.err()).toBeInstanceOf(CanceledError)
    expect(pair.server.link.stats()).toMatchObject({ imports: 0, late: 0 })
  })

  it('of a context that has ended needs no link', async () => {
    const pair = await joined()
    const ctx = withCancel(pair.client.root)
    ctx.cancel({ why: 'gone' })
    const handle = pair.client.link.export(ctx)
    expect(await sent(pair.client)).toEqual([])
    const imported = pair.server.link.import(json(handle))
    expect(imported.err()).toBeInstanceOf(CanceledError)
    expect(cause(imported)).toEqual({ why: 'gone' })
    const expired = withDeadline(pair.client.root, 0)
    expect(pair.server.link.import(pair.client.link.export(expired)).err()).toBeInstanceOf(DeadlineExceededError)
  })

  it('carries the portable values of the very context that was exported', async () => {
    const text = { encode: (v: string) => v, decode: (v: unknown) => String(v) }
    const [user, secret, other] = [
      createKey<string>('user', { portable: text }),
      createKey<string>('secret'),
      createKey<string>('other', { portable: text }),
    ]
    const pair = await joined({ server: { keys: [user, other] } })
    const ctx = withCancel(withValue(pair.client.root, user, 'ann'))
    const inner = withValue(withValue(ctx, other, 'x'), secret, 's')
    const [outerHandle, innerHandle] = [pair.client.link.export(ctx), pair.client.link.export(inner)]
    expect(outerHandle.export?.[0]).toBe(innerHandle.export?.[0])
    for (const early of [true, false]) {
      if (!early) await pair.settle()
      const [a, b] = [pair.server.link.import(json(outerHandle)), pair.server.link.import(json(innerHandle))]
      expect([a.value(user), a.value(other), b.value(user), b.value(other), b.value(secret)]).toEqual([
        'ann',
        undefined,
        'ann',
        'x',
        undefined,
      ])
    }
    ctx.cancel()
    await pair.settle()
  })

  it('cannot end the context that it was made of', async () => {
    const pair = await joined()
    const ctx = withCancel(pair.client.root)
    const imported = pair.server.link.import(pair.client.link.export(ctx))
    await pair.settle()
    imported.cancel('mine')
    await pair.settle()
    expect(ctx.err()).toBeUndefined()
    // Given back, since it was the last one.
    expect([pair.client.link.stats().exports, pair.server.link.stats().imports]).toEqual([0, 0])
  })

  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['a text', 'handle'],
    ['another object', {}],
    ['of another version', { ctxbridge: 2, link: 'x', export: [1, 1] }],
    ['without a link', { ctxbridge: 1, export: [1, 1] }],
    ['of another link', { ctxbridge: 1, link: 'another', export: [1, 1] }],
    ['without an id', { ctxbridge: 1, link: 'end of a peer' }],
    ['with a bad id', { ctxbridge: 1, link: 'end of a peer', export: [0, 1] }],
    ['with a bad grant', { ctxbridge: 1, link: 'end of a peer', export: [1, 1.5] }],
    ['with a bad time left', { ctxbridge: 1, link: 'end of a peer', export: [9, 1], left: '5' }],
    ['with a bad cause', { ctxbridge: 1, link: 'end of a peer', export: [9, 1], left: 5, why: 'x' }],
    ['with bad values', { ctxbridge: 1, link: 'end of a peer', export: [9, 1], values: [['a', 1, 2]] }],
    ['with a bad end', { ctxbridge: 1, link: 'end of a peer', end: [2, null] }],
    ['of what is over', { ctxbridge: 1, link: 'end of a peer', export: [1, 1] }],
    [
      'that throws when it is read',
      {
        get ctxbridge() {
          throw new Error('trap')
        },
      },
    ],
  ])('%s gives a context that is done, and hurts nobody', async (_name, handle) => {
    const side = new Side({ serve: { f: () => 1 } })
    side.raw(hello, callFrame(1, 'f'))
    const ctx = side.link.import(handle)
    expect(ctx.err()).toBeInstanceOf(CanceledError)
    expect(cause(ctx)).toMatchObject({ code: 'ERR_HANDLE' })
    await turn()
    expect(side.open).toBe(true)
    expect(side.link.stats().imports).toBe(0)
  })

  it('is of no use on the side that made it', async () => {
    const pair = await joined()
    const ctx = withCancel(pair.client.root)
    expect(cause(pair.client.link.import(pair.client.link.export(ctx)))).toMatchObject({ code: 'ERR_HANDLE' })
    ctx.cancel()
    await pair.settle()
  })

  it('whose id the peer passes over is refused then', () => {
    const side = new Side({ serve: { f: () => 1 } })
    side.raw(hello)
    const ctx = side.link.import({ ctxbridge: 1, link: 'end of a peer', export: [5, 1] })
    side.raw(callFrame(4, 'f'))
    expect(ctx.err()).toBeUndefined()
    side.raw([6, 6, noContext])
    expect(cause(ctx)).toMatchObject({ code: 'ERR_HANDLE' })
    expect(side.link.stats().imports).toBe(1)
  })

  it('that was imported, given back and imported again is of no use', async () => {
    const pair = await joined()
    const ctx = withCancel(pair.client.root)
    const handle = pair.client.link.export(ctx)
    await pair.settle()
    pair.server.link.import(handle).cancel()
    const again = pair.server.link.import(handle)
    await pair.settle()
    expect(cause(again)).toMatchObject({ code: 'ERR_HANDLE' })
    expect(ctx.err()).toBeUndefined()
    expect(pair.client.link.stats().exports).toBe(0)
  })

  it('that was imported again after it was given back takes nothing with it that was exported below', async () => {
    const pair = await joined()
    const above = withCancel(pair.client.root)
    const ctx = withCancel(above)
    const handle = pair.client.link.export(above)
    const handleBelow = pair.client.link.export(ctx)
    await pair.settle()
    const below = pair.server.link.import(handleBelow)
    pair.server.link.import(handle).cancel()
    const again = pair.server.link.import(handle)
    await pair.settle()
    expect(cause(again)).toMatchObject({ code: 'ERR_HANDLE' })
    expect(below.err()).toBeUndefined()
    above.cancel('all')
    await pair.settle()
    expect(cause(below)).toBe('all')
  })
})

describe('an exported context', () => {
  it('costs one id, however often it is exported, and is held until the last handle is given back', async () => {
    const pair = await joined()
    const ctx = withCancel(pair.client.root)
    const handles = Array.from({ length: 3 }, () => pair.client.link.export(ctx))
    expect(handles.map((handle) => handle.export)).toEqual([
      [1, 1],
      [1, 2],
      [1, 3],
    ])
    expect(await sent(pair.client)).toHaveLength(1)
    await pair.settle()
    pair.server.link.import(handles[0]).cancel()
    await pair.settle()
    // Two handles more may be on their way.
    expect(pair.client.link.stats().exports).toBe(1)
    const last = pair.server.link.import(handles[2])
    ctx.cancel('all')
    await pair.settle()
    expect(cause(last)).toBe('all')
    expect([pair.client.link.stats().exports, pair.server.link.stats().imports]).toEqual([0, 0])
  })

  it('is given back when its import is dropped', async () => {
    const registry = new FinalizationRegistry<() => void>((f) => f())
    const pair = await joined({ server: { onDropped: (target, f) => registry.register(target, f) } })
    const ctx = withCancel(pair.client.root)
    await (async () => {
      const ref = (() => new WeakRef(pair.server.link.import(pair.client.link.export(ctx))))()
      await pair.settle()
      expect(await collected(ref)).toBe(true)
    })()
    for (let round = 0; pair.client.link.stats().exports > 0 && round < 50; round++) await pair.settle()
    expect([pair.client.link.stats().exports, pair.server.link.stats().imports]).toEqual([0, 0])
  })

  it('whose handle is given back before its frame has come is given back then', async () => {
    const pair = await joined()
    const ctx = withCancel(pair.client.root)
    pair.server.link.import(pair.client.link.export(ctx)).cancel()
    expect(pair.server.link.stats().imports).toBe(1)
    await pair.settle()
    expect([pair.client.link.stats().exports, pair.server.link.stats().imports]).toEqual([0, 0])
  })

  it('that nobody has made gives a context which ends when the peer has answered that there is none, and holds no place of others', async () => {
    const pair = await joined({ server: { limits: { maxContexts: 3 } } })
    const ctx = withCancel(pair.client.root)
    const real = pair.client.link.export(ctx)
    const early = pair.server.link.import(real)
    const forged = [999, 1_000].map((id) => pair.server.link.import({ ...real, export: [id, 1] }))
    forged[1]?.cancel('not needed')
    expect([early, ...forged].map((ctx) => ctx.err()?.cause)).toEqual([undefined, undefined, 'not needed'])
    expect(pair.server.link.import({ ...real, export: [1_001, 1] }).err()).toMatchObject({ cause: { code: 'ERR_LIMIT' } })
    await pair.settle()
    expect(early.err()).toBeUndefined()
    const message = 'The handle cannot be imported: no context was ever exported by it.'
    expect(forged[0]?.err()).toMatchObject({ cause: { code: 'ERR_HANDLE', message } })
    expect(pair.server.link.stats().imports).toBe(1)
    // Those that come while the peer is asked are asked for after that.
    const more = [2_000, 2_001].map((id) => pair.server.link.import({ ...real, export: [id, 1] }))
    await turn()
    pair.toClient()
    const lateToo = pair.server.link.import(pair.client.link.export(withCancel(ctx)))
    await pair.settle()
    const invented = expect.objectContaining({ cause: expect.objectContaining({ code: 'ERR_HANDLE' }) as unknown }) as unknown
    expect([...more, early, lateToo].map((ctx) => ctx.err())).toEqual([invented, invented, undefined, undefined])
    expect([pair.server.open, pair.client.open]).toEqual([true, true])
    ctx.cancel('all')
    await pair.settle()
    expect([early, lateToo].map(cause)).toEqual(['all', 'all'])
  })

  it('that is made, and whose handle comes by a quicker way, after the peer was asked for a guess at it, is not taken for a guess', async () => {
    const pair = await joined()
    const before = withCancel(background())
    const first = pair.client.link.export(before)
    await pair.settle()
    const [id] = first.export ?? [0]
    const guess = { ...first, export: [id + 1, 1] }
    const guessed = pair.server.link.import(guess)
    await turn()
    pair.toClient()
    // The peer has answered by now, which has not come.
    await turn()
    const [ctx, cancel] = withCancel(background())
    const handle = pair.client.link.export(ctx)
    expect(handle).toMatchObject({ export: guess.export })
    const imported = pair.server.link.import(handle)
    pair.toServer()
    await turn()
    expect([guessed.err(), imported.err()]).toEqual([undefined, undefined])
    await pair.settle()
    expect(imported.err()).toBeUndefined()
    cancel('at last')
    before.cancel()
    await pair.settle()
    expect(cause(imported)).toBe('at last')
  })

  it('that nobody has made is asked for again where its handle comes again while the peer is asked', async () => {
    const pair = await joined()
    const ctx = withCancel(background())
    const guess = { ...pair.client.link.export(ctx), export: [999, 1] }
    await pair.settle()
    const first = pair.server.link.import(guess)
    await turn()
    const second = pair.server.link.import(guess)
    await pair.settle()
    expect([cause(first), cause(second)]).toMatchObject([{ code: 'ERR_HANDLE' }, { code: 'ERR_HANDLE' }])
    ctx.cancel()
    await pair.settle()
  })

  it('whose handle is given back while calls are under it stays until they are over', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const ctx = withCancel(pair.client.root)
    const handle = pair.client.link.export(ctx)
    const result = rejection(pair.client.link.call(ctx, 'held', []))
    await pair.settle()
    pair.server.link.import(handle).cancel()
    await pair.settle()
    expect(pair.client.link.stats().exports).toBe(1)
    ctx.cancel('stop')
    await pair.settle()
    expect(await result).toBe(ctx.err())
    expect(cause(held.ctx())).toBe('stop')
    held.finishAll()
    await pair.settle()
  })

  it('whose end overtakes the import is over there, too', async () => {
    const pair = await joined()
    const ctx = withCancel(pair.client.root)
    const handle = pair.client.link.export(ctx)
    ctx.cancel()
    await pair.settle()
    expect(pair.server.link.import(handle).err()).toBeInstanceOf(CanceledError)
  })

  it('ends over there when the link is lost, with that as the cause', async () => {
    const pair = await joined()
    const ctx = withCancel(pair.client.root)
    const imported = pair.server.link.import(pair.client.link.export(ctx))
    await pair.settle()
    pair.cut()
    expect(imported.err()).toBeInstanceOf(CanceledError)
    expect(cause(imported)).toBeInstanceOf(LinkLostError)
    expect(ctx.err()).toBeUndefined()
    expect(() => pair.client.link.export(ctx)).toThrow(LinkLostError)
    expect(cause(pair.server.link.import({ ctxbridge: 1, link: 'x', export: [9, 1] }))).toBeInstanceOf(LinkLostError)
  })

  it('is refused over the limit of the peer; one who does not ask is closed', async () => {
    const pair = await joined({ server: { limits: { maxContexts: 2 } } })
    const contexts = Array.from({ length: 3 }, () => withCancel(pair.client.root))
    pair.client.link.export(contexts[0] as Context)
    pair.client.link.export(contexts[1] as Context)
    expect(() => pair.client.link.export(contexts[2] as Context)).toThrow(expect.objectContaining({ code: 'ERR_LIMIT' }) as Error)
    for (const ctx of contexts) ctx.cancel()
    await pair.settle()
    const side = new Side({ limits: { maxContexts: 2 } })
    side.raw(hello, [6, 1, noContext], [6, 2, noContext], [3, 1, 0, null], [6, 3, noContext])
    expect(side.open).toBe(true)
    side.raw([6, 4, noContext])
    expect(side.channel.closed).toEqual({ code: 4429, reason: 'export: more contexts than 2' })
  })

  it('may be released twice or late, and not by a grant that was never made', async () => {
    const side = new Side()
    side.raw(hello)
    const ctx = withCancel(side.root)
    side.link.export(ctx)
    side.raw([7, 1, 1], [7, 1, 1])
    expect(side.link.stats()).toMatchObject({ exports: 0, late: 1 })
    side.link.export(ctx)
    side.raw([7, 2, 2])
    expect(side.channel.closed).toMatchObject({ code: 4400, reason: 'release: of a handle that was never made' })
  })

  it('throws what is no context at once', async () => {
    const pair = await joined()
    expect(() => pair.client.link.export(null as unknown as Context)).toThrow(TypeError)
  })
})

describe('calls under a context that the peer knows', () => {
  /** Starts calls, each with a context of its own choice, and lets them begin on the other side. */
  async function start(pair: Pair, contexts: readonly Context[]): Promise<Promise<unknown>[]> {
    const results = contexts.map((ctx) => rejection(pair.client.link.call(ctx, 'held', [])))
    await pair.settle()
    return results
  }

  it('10,000 of them, below one exported context, end with one cancel frame', async () => {
    const held = new Held()
    const limits = { maxCalls: 10_000 }
    const pair = await joined({ server: { serve: { held: held.method }, limits } })
    const request = withCancel(pair.client.root)
    const handle = pair.client.link.export(request)
    const children = Array.from({ length: 10_000 }, (_, i) => (i % 2 === 0 ? request : withTimeout(request, 1_000_000)))
    const results = await start(pair, children)
    expect(held.contexts).toHaveLength(10_000)
    request.cancel('stop')
    // At once, before all the promises here have heard of it.
    expect(pair.client.channel.waiting).toHaveLength(1)
    expect(await sent(pair.client)).toEqual([{ type: 'cancel', id: handle.export?.[0], kind: 'canceled', cause: [0, 'stop'] }])
    await pair.settle()
    expect(new Set(held.contexts.map((ctx) => cause(ctx)))).toEqual(new Set(['stop']))
    expect(new Set(await Promise.all(results))).toEqual(new Set([request.err()]))
    held.finishAll()
    await pair.settle()
    expect(pair.server.channel.frames()).toEqual([])
  })

  it('the second call with a context, or with one beside it, makes it known by itself', async () => {
    for (const contextsOf of [
      (parent: Context) => [parent, parent, parent],
      (parent: Context) => [withCancel(parent), withTimeout(parent, 500), withCancel(parent)],
    ]) {
      const held = new Held()
      const pair = await joined({ server: { serve: { held: held.method } } })
      const parent = withCancel(pair.client.root)
      const results = await start(pair, contextsOf(parent))
      expect(pair.client.link.stats().exports).toBe(1)
      parent.cancel('stop')
      // One for what they share, one for the first call.
      expect(await sent(pair.client)).toMatchObject([{ type: 'cancel' }, { type: 'cancel' }])
      await pair.settle()
      expect(held.contexts.map((ctx) => cause(ctx))).toEqual(['stop', 'stop', 'stop'])
      await Promise.all(results)
      held.finishAll()
      await pair.settle()
    }
  })

  it('what calls made known is taken back with the last of them', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const parent = withCancel(pair.client.root)
    const results = Array.from({ length: 3 }, () => pair.client.link.call(parent, 'held', []))
    await pair.settle()
    expect([pair.client.link.stats().exports, pair.server.link.stats().imports]).toEqual([1, 1])
    held.finishAll('done')
    await pair.settle()
    expect(await Promise.all(results)).toEqual(['done', 'done', 'done'])
    expect([pair.client.link.stats().exports, pair.server.link.stats().imports]).toEqual([0, 0])
    parent.cancel()
    expect(await sent(pair.client)).toEqual([])
  })

  it('each can end alone, by its own cancel or deadline', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const parent = withCancel(pair.client.root)
    pair.client.link.export(parent)
    const [a, b] = [withCancel(parent), withTimeout(parent, 20)]
    const results = await start(pair, [a, b, parent])
    a.cancel('a')
    await pair.settle()
    expect(held.contexts.map((ctx) => cause(ctx))).toEqual(['a', undefined, undefined])
    pair.advance(20)
    await pair.settle()
    expect(held.ctx(1).err()).toBeInstanceOf(DeadlineExceededError)
    expect(held.ctx(2).err()).toBeUndefined()
    parent.cancel('parent')
    await pair.settle()
    expect(held.contexts.map((ctx) => cause(ctx))).toEqual(['a', held.ctx(1).err(), 'parent'])
    await Promise.all(results)
    held.finishAll()
    await pair.settle()
  })

  it('have its deadline and its values, unless they have their own, and miss what they hide', async () => {
    const text = { encode: (v: string) => v, decode: (v: unknown) => String(v) }
    const [user, role] = [createKey<string>('user', { portable: text }), createKey<string>('role', { portable: text })]
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method }, keys: [user, role] } })
    const parent = withTimeout(withValue(withValue(pair.client.root, user, 'ann'), role, 'admin'), 100, 'why')
    pair.client.link.export(parent)
    const contexts = [
      withCancel(parent),
      withValue(parent, role, 'guest'),
      withValue(withTimeout(parent, 40), user, undefined as unknown as string),
      withoutCancel(parent),
    ]
    const results = contexts.map((ctx) => pair.client.link.call(ctx, 'held', []).then(String, String))
    // What is the same is not sent again.
    const first = (await sent(pair.client)).find((frame) => frame.type === 'call')
    expect(first?.context).toEqual({ left: undefined, why: undefined, values: [], under: 1 })
    await pair.settle()
    expect(held.contexts.map((ctx) => [ctx.value(user), ctx.value(role), ctx.remaining()])).toEqual([
      ['ann', 'admin', 100],
      ['ann', 'guest', 100],
      [undefined, 'admin', 40],
      ['ann', 'admin', Infinity],
    ])
    pair.advance(100)
    await pair.settle()
    expect(held.contexts.map((ctx) => cause(ctx))).toEqual(['why', 'why', held.ctx(2).err(), undefined])
    held.finishAll()
    await pair.settle()
    const late = 'TimeoutError: context deadline exceeded'
    expect(await Promise.all(results)).toEqual([late, late, late, 'undefined'])
  })

  it('are not started when it ends in the same message', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const parent = withCancel(pair.client.root)
    pair.client.link.export(parent)
    const results = [parent, withCancel(parent)].map((ctx) => rejection(pair.client.link.call(ctx, 'held', [])))
    parent.cancel()
    await Promise.all(results)
    await pair.settle()
    expect(held.contexts).toEqual([])
  })

  it('are ordinary calls when the peer takes no contexts', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method }, limits: { maxContexts: 0 } } })
    const parent = withCancel(pair.client.root)
    const results = await start(pair, [parent, parent])
    expect(pair.client.link.stats().exports).toBe(0)
    parent.cancel()
    await pair.settle()
    expect(held.contexts.every((ctx) => ctx.err() !== undefined)).toBe(true)
    await Promise.all(results)
    held.finishAll()
    await pair.settle()
  })

  it('reject when the link is lost', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const parent = withCancel(pair.client.root)
    const results = await start(pair, [parent, parent, withCancel(parent)])
    pair.cut()
    for (const error of await Promise.all(results)) expect(error).toBeInstanceOf(LinkLostError)
    held.finishAll()
    await turn()
  })
})

test('whatever is exported, called, ended and given back, in whatever order: both sides agree, and nothing is left', async () => {
  const step = fc.oneof(
    fc.record({ op: fc.constant('derive' as const), of: fc.nat(), ms: fc.option(fc.integer({ min: 1, max: 50 })) }),
    fc.record({ op: fc.constant('export' as const), of: fc.nat() }),
    fc.record({ op: fc.constant('import' as const), of: fc.nat() }),
    fc.record({ op: fc.constant('give back' as const), of: fc.nat() }),
    fc.record({ op: fc.constant('call' as const), of: fc.nat() }),
    fc.record({ op: fc.constant('finish' as const) }),
    fc.record({ op: fc.constant('cancel' as const), of: fc.nat() }),
    fc.record({ op: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 20 }) }),
    fc.record({ op: fc.constant('to server' as const) }),
    fc.record({ op: fc.constant('to client' as const) }),
    fc.record({ op: fc.constant('turn' as const) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const held = new Held()
      const pair = new Pair({ server: { serve: { held: held.method } } })
      await pair.settle()
      const contexts: CancelableContext[] = [withCancel(pair.client.root)]
      const handles: { handle: unknown; ctx: Context }[] = []
      const imports: { imported: CancelableContext; ctx: Context; own: boolean }[] = []
      const calls: Promise<unknown>[] = []
      const pick = <T>(list: readonly T[], n: number): T | undefined => list[n % Math.max(1, list.length)]
      for (const s of steps) {
        if (s.op === 'derive') {
          const parent = pick(contexts, s.of) as Context
          contexts.push(s.ms === null ? withCancel(parent) : withTimeout(parent, s.ms))
        } else if (s.op === 'export') {
          const ctx = pick(contexts, s.of) as Context
          handles.push({ handle: json(pair.client.link.export(ctx)), ctx })
        } else if (s.op === 'import') {
          // Each handle once, as is promised.
          const [one] = handles.splice(s.of % Math.max(1, handles.length), 1)
          if (one !== undefined) imports.push({ imported: pair.server.link.import(one.handle), ctx: one.ctx, own: false })
        } else if (s.op === 'give back') {
          const one = pick(imports, s.of)
          if (one !== undefined) {
            one.own ||= one.imported.err() === undefined
            one.imported.cancel()
          }
        } else if (s.op === 'call') {
          calls.push(pair.client.link.call(pick(contexts, s.of) as Context, 'held', []).catch((error: unknown) => error))
        } else if (s.op === 'finish') held.finishAll()
        else if (s.op === 'cancel') pick(contexts, s.of)?.cancel(`cancel ${s.of}`)
        else if (s.op === 'advance') pair.advance(s.ms)
        else if (s.op === 'to server') pair.toServer(1)
        else if (s.op === 'to client') pair.toClient(1)
        else await turn()
      }
      await pair.settle()
      expect([pair.client.channel.closed, pair.server.channel.closed]).toEqual([undefined, undefined])
      for (const { imported, ctx, own } of imports) {
        if (own) continue
        expect(imported.err()?.code).toBe(ctx.err()?.code)
        const why = cause(ctx)
        if (typeof why === 'string' && !String(cause(imported)).includes('its context is gone')) expect(cause(imported)).toBe(why)
      }
      contexts[0]?.cancel()
      for (let round = 0; round < 3; round++) {
        await pair.settle()
        held.finishAll()
      }
      await Promise.all(calls)
      for (const { link } of [pair.client, pair.server]) {
        const { exports, imports: left, calls: open, handlers, queued } = link.stats()
        expect({ exports, left, open, handlers, queued }).toEqual({ exports: 0, left: 0, open: 0, handlers: 0, queued: 0 })
      }
    }),
    { numRuns: 300 },
  )
})

test('what is under nothing that ends is not made known', async () => {
  const pair = await joined({ server: { serve: { f: () => 1 } } })
  const results = Array.from({ length: 3 }, () => pair.client.link.call(background(), 'f', []))
  expect(pair.client.link.stats().exports).toBe(0)
  await pair.settle()
  expect(await Promise.all(results)).toEqual([1, 1, 1])
})

it('is no fault of the peer when handles come before what makes room for them', async () => {
  const pair = await joined({ server: { limits: { maxContexts: 1 } } })
  const first = withCancel(pair.client.root)
  pair.server.link.import(pair.client.link.export(first))
  await pair.settle()
  first.cancel()
  const second = withCancel(pair.client.root)
  const third = withCancel(pair.client.root)
  pair.client.link.export(second)
  second.cancel()
  // It comes before the beginning and the end of the second one do.
  const imported = pair.server.link.import(pair.client.link.export(third))
  await pair.settle()
  expect([pair.server.open, pair.client.open, imported.err()]).toEqual([true, true, undefined])
  third.cancel('enough')
  await pair.settle()
  expect(cause(imported)).toBe('enough')
})

test('contexts that are exported however deep below each other end with what is above them; the deepest have a frame of their own', async () => {
  const pair = await joined()
  const contexts = [withCancel(pair.client.root)]
  while (contexts.length < 20) contexts.push(withCancel(contexts.at(-1) as Context))
  const imports = contexts.map((ctx) => pair.server.link.import(pair.client.link.export(ctx)))
  await pair.settle()
  expect(pair.server.link.stats()).toMatchObject({ state: 'open', imports: 20 })
  contexts[10]?.cancel('deep')
  await pair.settle()
  expect(imports.map((ctx) => cause(ctx))).toEqual([...Array.from({ length: 10 }), ...Array.from({ length: 10 }, () => 'deep')])
  contexts[0]?.cancel('all')
  await pair.settle()
  expect(imports.slice(0, 10).map((ctx) => cause(ctx))).toEqual(Array.from({ length: 10 }, () => 'all'))
})
