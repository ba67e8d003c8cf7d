import { inspect } from 'node:util'
import { describe, expect, it, test, vi } from 'vitest'
import { background, type Context, withCancel } from '../../lib/context.ts'
import { BridgeError, CanceledError, RemoteError } from '../../lib/errors.ts'
import { causeLimits, causeSize } from '../../lib/wire/cause.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { turn } from '../support/gc.ts'
import { Held, hello, joined, Pair, rejection, Side } from './support.ts'

describe('a call', () => {
  it('gives the method its context and the arguments, and the caller what it returns', async () => {
    const add = vi.fn((_ctx: Context, a: number, b: { n: number }) => ({ sum: a + b.n, bytes: new Uint8Array([1, 2]) }))
    const pair = await joined({ server: { serve: { add } } })
    const result = pair.client.link.call(pair.client.root, 'add', [1, { n: 2 }])
    await pair.settle()
    expect(await result).toEqual({ sum: 3, bytes: new Uint8Array([1, 2]) })
    expect(add).toHaveBeenCalledOnce()
  })

  it.each([[undefined], [null], [0], [''], [false], [[]], [{}], [-1.5]])('carries the result %j as it is', async (value) => {
    const pair = await joined({ server: { serve: { get: () => value } } })
    const result = pair.client.link.call(pair.client.root, 'get', [])
    await pair.settle()
    expect(await result).toStrictEqual(value)
  })

  it('gives a promise that is as good as any: none is made for it where it is awaited, and none is seen to be special', async () => {
    const pair = await joined({ server: { serve: { get: () => 1 } } })
    const answer = pair.client.link.call(pair.client.root, 'get', [])
    const followed = answer.then((value) => value)
    await pair.settle()
    expect(answer).toBeInstanceOf(Promise)
    expect(Promise.resolve(answer)).toBe(answer)
    expect(Object.getPrototypeOf(followed)).toBe(Promise.prototype)
    expect([Reflect.ownKeys(answer), inspect(answer)]).toEqual([[], 'Promise { 1 }'])
    expect([await answer, await followed]).toEqual([1, 1])
  })

  it.each<[string, (then: (value: unknown) => void) => void]>([
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    [
      'calls back twice',
      (then) => {
        then(2)
        then(3)
      },
    ],
    ['never calls back', () => undefined],
  ])('is answered once by what a promise comes to, also where that has a then() of its own that %s', async (_what, then) => {
    const odd = (): Promise<number> => Object.assign(Promise.resolve(1), { then })
    const pair = await joined({ server: { serve: { odd, plain: () => 'plain' }, limits: { maxCalls: 2 } } })
    for (let i = 0; i < 3; i++) {
      const results = [pair.client.link.call(background(), 'odd', []), pair.client.link.call(background(), 'plain', [])]
      await pair.settle()
      expect(await Promise.all(results)).toEqual([1, 'plain'])
      expect(pair.server.link.stats().handlers).toBe(0)
    }
  })

  it('is made on the served object, so that methods can use each other', async () => {
    const served = {
      base: 40,
      add(_ctx: Context, n: number): number {
        return this.base + n
      },
    }
    const pair = await joined({ server: { serve: served } })
    const result = pair.client.link.call(pair.client.root, 'add', [2])
    await pair.settle()
    expect(await result).toBe(42)
  })

  it('copies its arguments before it returns', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const list = [1]
    const bytes = new Uint8Array([1])
    const result = pair.client.link.call(pair.client.root, 'held', [list, bytes])
    list.push(2)
    bytes[0] = 9
    await pair.settle()
    expect(held.args).toEqual([[[1], new Uint8Array([1])]])
    held.finishAll()
    await pair.settle()
    await result
  })

  it('goes in both directions at once, with ids of their own', async () => {
    const pair = await joined({
      client: { serve: { who: () => 'client' } },
      server: { serve: { who: () => 'server' } },
    })
    const results = [
      pair.client.link.call(background(), 'who', []),
      pair.server.link.call(background(), 'who', []),
      pair.client.link.call(background(), 'who', []),
    ]
    await pair.settle()
    expect(await Promise.all(results)).toEqual(['server', 'client', 'server'])
  })

  it('throws at once where it is misused', async () => {
    const pair = await joined({ server: { serve: { f: () => {} } } })
    const call = (ctx: unknown, name: unknown) => () => pair.client.link.call(ctx as Context, name as string, [])
    expect(call(null, 'f')).toThrow(TypeError)
    expect(call({}, 'f')).toThrow(TypeError)
    expect(call(background(), '')).toThrow(TypeError)
    expect(call(background(), 'x'.repeat(257))).toThrow(TypeError)
    expect(call(background(), 'lone \ud800')).toThrow(TypeError)
    expect(call(background(), 7)).toThrow(TypeError)
    expect(pair.client.link.stats().queued).toBe(0)
  })

  it.each([
    ['a function', () => {}],
    ['a class', new Map()],
    ['a bigint', 1n],
    [
      'what throws when it is read',
      {
        get x() {
          throw new Error('no')
        },
      },
    ],
  ])('rejects when an argument is %s, and sends nothing', async (_name, argument) => {
    const pair = await joined({ server: { serve: { f: () => {} } } })
    const error = await rejection(pair.client.link.call(background(), 'f', [argument]))
    expect(error).toBeInstanceOf(BridgeError)
    expect(error).toMatchObject({ code: 'ERR_UNSENDABLE' })
    expect(pair.client.link.stats()).toMatchObject({ calls: 0, queued: 0 })
  })

  it.each([
    [
      'a context',
      { ctx: withCancel(background()) },
      'a context at [0].ctx. A call has one context, its first argument: merge(ctx, other)',
    ],
    ['a root', background(), 'a context at [0]. A call has one context'],
    ['a signal', { signal: new AbortController().signal }, "an AbortSignal at [0].signal. Join it to the call's context: withS"],
  ])('rejects when %s stands among the arguments, and says what to do', async (_name, argument, message) => {
    const pair = await joined({ server: { serve: { f: () => {} } } })
    expect(await rejection(pair.client.link.call(background(), 'f', [argument]))).toMatchObject({
      code: 'ERR_UNSENDABLE',
      message: expect.stringContaining(`The arguments of f() cannot be sent because of ${message}`) as string,
    })
  })

  it('rejects when the result cannot be sent', async () => {
    const pair = await joined({ server: { serve: { f: () => new Map() } } })
    const result = rejection(pair.client.link.call(background(), 'f', []))
    await pair.settle()
    expect(await result).toMatchObject({
      code: 'ERR_UNSENDABLE',
      message: 'The result cannot be sent because of an object of class Map.',
    })
  })

  it('whose context is done is not sent', async () => {
    const pair = await joined({ server: { serve: { f: () => {} } } })
    const ctx = withCancel(pair.client.root)
    ctx.cancel('why')
    const { count } = pair.client.channel
    expect(await rejection(pair.client.link.call(ctx, 'f', []))).toBe(ctx.err())
    await turn()
    expect(pair.client.channel.count).toBe(count)
  })

  it('whose context ends while its arguments are read is not sent', async () => {
    const pair = await joined({ server: { serve: { f: () => {} } } })
    const ctx = withCancel(pair.client.root)
    const argument = {
      get x() {
        ctx.cancel()
        return 1
      },
    }
    expect(await rejection(pair.client.link.call(ctx, 'f', [argument]))).toBe(ctx.err())
    expect(pair.client.link.stats()).toMatchObject({ calls: 0, queued: 0 })
  })

  it('whose link ends while its arguments are read rejects', async () => {
    const pair = await joined({ server: { serve: { f: () => {} } } })
    const argument = {
      get x() {
        pair.client.link.close()
        return 1
      },
    }
    await expect(pair.client.link.call(background(), 'f', [argument])).rejects.toMatchObject({ code: 'ERR_LINK_LOST' })
    expect(pair.client.link.stats()).toMatchObject({ calls: 0, queued: 0 })
  })
})

describe('an error', () => {
  async function thrown(f: () => unknown): Promise<unknown> {
    const pair = await joined({ server: { serve: { f } } })
    const result = pair.client.link.call(background(), 'f', [])
    const error = rejection(result)
    await pair.settle()
    return error
  }

  it('crosses with its name, message, code and causes, and without a stack', async () => {
    const error = await thrown(() => {
      const inner = Object.assign(new RangeError('inner'), { code: 'E_INNER' })
      throw Object.assign(new TypeError('outer', { cause: inner }), { code: 42, secret: 'secret' })
    })
    expect(error).toBeInstanceOf(RemoteError)
    expect(error).not.toBeInstanceOf(TypeError)
    expect(error).toMatchObject({ name: 'TypeError', message: 'outer', code: 42 })
    expect(error).not.toHaveProperty('secret')
    expect((error as Error).cause).toMatchObject({ name: 'RangeError', message: 'inner', code: 'E_INNER' })
    for (const e of [error, (error as Error).cause] as Error[]) expect(e.stack).not.toMatch(/\.ts|node:/)
  })

  it('that was thrown with a path in its stack is sent without it', async () => {
    const pair = await joined({
      server: {
        serve: {
          f: () => {
            throw new Error('x')
          },
        },
      },
    })
    const result = rejection(pair.client.link.call(background(), 'f', []))
    await turn()
    pair.toServer()
    await turn()
    const [bytes] = pair.server.channel.waiting
    expect(Buffer.from(bytes as Uint8Array).toString('latin1')).not.toMatch(/calls\.test|\.ts/)
    await pair.settle()
    await result
  })

  it('crosses with the stack of each error where the side that throws is told to send them', async () => {
    const throws = (): never => {
      throw new TypeError('outer', { cause: new RangeError('inner') })
    }
    const pair = await joined({ server: { stacks: true, serve: { throws } } })
    const error = rejection(pair.client.link.call(background(), 'throws', []))
    await pair.settle()
    const outer = (await error) as Error
    const inner = outer.cause as Error
    expect(outer.stack).toMatch(/^TypeError: outer\n {4}at .*throws .*calls\.test\.ts/)
    expect(inner.stack).toMatch(/^RangeError: inner\n {4}at .*throws /)
    expect(Object.keys(outer)).not.toContain('stack')
    // Passed on to others: as that side is told.
    expect(JSON.stringify(describeCause(outer))).not.toContain('.ts')
    expect(JSON.stringify(describeCause(outer, causeLimits, true))).toContain('calls.test.ts')
  })

  it('loses its stacks first where it is too large', () => {
    const error = Object.assign(new Error('m', { cause: new Error('inner') }), { stack: `Error: m\n${'    at x\n'.repeat(500)}` })
    const whole = describeCause(error, causeLimits, true)
    expect(whole.slice(0, 4)).toEqual([7, 'Error', 'm', null])
    expect(causeSize(whole)).toBeLessThanOrEqual(4_096)
    expect(Buffer.byteLength(String(whole[4]))).toBeLessThanOrEqual(2_048)
    const inner = [6, 'Error', 'inner', null, null]
    expect(describeCause(error, { ...causeLimits, maxSize: 200 }, true)).toEqual([6, 'Error', 'm', null, inner])
  })

  it.each([['text'], [null], [undefined], [0], [Number.NaN]])('%j that is none crosses as it is', async (value) => {
    expect(
      await thrown(() => {
        throw value
      }),
    ).toStrictEqual(value)
  })

  it('of a context of the method itself keeps its kind', async () => {
    const error = await thrown(() => {
      throw new CanceledError({ cause: 'own' })
    })
    expect(error).toBeInstanceOf(CanceledError)
    expect(error).toMatchObject({ cause: 'own' })
  })

  it.each<[string, () => unknown]>([
    [
      'thrown synchronously',
      () => {
        throw new Error('x')
      },
    ],
    ['of a rejected promise', () => Promise.reject(new Error('x'))],
    [
      'of a thenable that throws',
      () => ({
        then() {
          throw new Error('x')
        },
      }),
    ],
    [
      'of a getter named then',
      () => ({
        get then() {
          throw new Error('x')
        },
      }),
    ],
    [
      'of a thenable that rejects',
      () => ({
        then(_: unknown, reject: (e: unknown) => void) {
          reject(new Error('x'))
        },
      }),
    ],
    [
      'of an async function',
      async () => {
        await null
        throw new Error('x')
      },
    ],
  ])('%s is the rejection', async (_name, f) => {
    expect(await thrown(f)).toMatchObject({ name: 'Error', message: 'x' })
  })

  it('that cannot be described is one all the same', async () => {
    const wild = new Proxy(
      {},
      {
        get() {
          throw new Error('trap')
        },
        getPrototypeOf() {
          throw new Error('trap')
        },
      },
    )
    expect(
      await thrown(() => {
        throw wild
      }),
    ).toEqual(expect.any(String))
  })
})

describe('a method that can be called', () => {
  class Base {
    inherited(): string {
      return 'inherited'
    }
  }
  const symbol = Symbol('hidden')
  const calls = vi.fn()
  const served: object = Object.assign(new Base(), {
    own: () => 'own',
    then: calls,
    constructor: calls,
    __private: calls,
    [symbol]: calls,
    notFunction: 7,
  })
  Object.defineProperty(served, 'getter', {
    get: () => {
      calls()
      return calls
    },
    enumerable: true,
  })
  Object.defineProperty(served, 'hidden', { value: () => 'not enumerable, but own' })
  Object.defineProperty(served, '__proto__', { value: calls })

  it.each(['own', 'hidden'])('is an own one: %s', async (name) => {
    const pair = await joined({ server: { serve: served } })
    const result = pair.client.link.call(background(), name, [])
    await pair.settle()
    expect(await result).toContain('own')
  })

  it.each([
    'inherited',
    'toString',
    'hasOwnProperty',
    'valueOf',
    '__proto__',
    '__defineGetter__',
    '__private',
    'constructor',
    'then',
    'getter',
    'notFunction',
    'Symbol(hidden)',
    'missing',
    ' ',
    '\u0000',
  ])('is not %j', async (name) => {
    const pair = await joined({ server: { serve: served } })
    const result = rejection(pair.client.link.call(background(), name, []))
    await pair.settle()
    expect(await result).toMatchObject({ code: 'ERR_NO_METHOD' })
    expect(calls).not.toHaveBeenCalled()
    expect(pair.server.open).toBe(true)
  })

  it('is none on a side that serves nothing, and its peer knows that before it sends', async () => {
    const pair = await joined({ server: { serve: served } })
    await expect(pair.server.link.call(background(), 'own', [])).rejects.toMatchObject({ code: 'ERR_LIMIT' })
    pair.client.raw([2, 1, 'own', [null, null, []], []])
    await turn()
    expect(pair.client.channel.frames()).toMatchObject([[{ type: 'error', id: 1 }]])
    pair.client.channel.waiting.length = 0
  })

  it('is none of a proxy whose traps throw', async () => {
    const serve = new Proxy(
      {},
      {
        getOwnPropertyDescriptor() {
          throw new Error('trap')
        },
      },
    )
    const pair = await joined({ server: { serve } })
    const result = rejection(pair.client.link.call(background(), 'x', []))
    await pair.settle()
    expect(await result).toMatchObject({ code: 'ERR_NO_METHOD' })
  })
})

describe('an error that the peer makes itself', () => {
  const answered = async (...error: unknown[]): Promise<unknown> => {
    const side = new Side()
    side.raw(hello)
    const result = rejection(side.link.call(background(), 'f', []))
    await turn()
    side.raw([5, 1, error])
    return result
  }

  it.each(['ERR_NO_METHOD', 'ERR_LIMIT', 'ERR_UNSENDABLE', 'ERR_GOING_AWAY'])('is a BridgeError of the code %s', async (code) => {
    const error = (await answered(6, 'BridgeError', 'why', code, [0, 'more'])) as BridgeError
    expect(error).toBeInstanceOf(BridgeError)
    expect(error).toMatchObject({ name: 'BridgeError', message: 'why', code, cause: 'more' })
    expect(error.stack).not.toContain('at ')
    expect(await answered(7, 'BridgeError', 'why', code, 'BridgeError: why at home', null)).toMatchObject({
      code,
      stack: 'BridgeError: why at home',
    })
  })

  it.each([
    ['BridgeError', 'ERR_LINK_LOST'],
    ['BridgeError', 'ERR_CONTEXT_IGNORED'],
    ['BridgeError', 'constructor'],
    ['BridgeError', null],
    ['LinkLostError', 'ERR_LIMIT'],
  ])('is none of this side where it says %s and %s', async (name, code) => {
    const error = (await answered(6, name, 'why', code, null)) as RemoteError
    expect(error).toBeInstanceOf(RemoteError)
    expect(error).toMatchObject({ name, message: 'why' })
    expect(error.code).toBe(code ?? undefined)
  })

  it('is one as an answer alone: in a cause it is what somebody said', async () => {
    const error = (await answered(6, 'Error', 'why', null, [6, 'BridgeError', 'inner', 'ERR_LIMIT', null])) as RemoteError
    expect(error.cause).toBeInstanceOf(RemoteError)
  })
})

test('a call before the peer has greeted goes out behind our own greeting', async () => {
  const pair = new Pair({ server: { serve: { f: () => 1 } } })
  const result = pair.client.link.call(background(), 'f', [])
  await pair.settle()
  expect(await result).toBe(1)
})

test('the greeting says the limits and the name', async () => {
  const side = new Side({ serve: { f: () => {} }, name: 'me', limits: { maxCalls: 7, maxMessage: 2_048 } })
  await turn()
  expect(side.channel.frames()).toMatchObject([
    [{ type: 'hello', version: 1, limits: { maxMessage: 2_048, maxCalls: 7, maxContexts: 1_000 }, name: 'me' }],
  ])
})
