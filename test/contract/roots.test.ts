import {
  afterFunc,
  background,
  type Context,
  cause,
  createKey,
  createRoot,
  group,
  merge,
  race,
  sleep,
  todo,
  withCancel,
  withDeadline,
  withoutCancel,
  withSignal,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { createFakeClock } from 'ctxbridge/testing'
import { describe, expect, it, test } from 'vitest'
import { turn } from '../support/gc.ts'

const key = createKey<number>('number')
const roots: [string, () => Context][] = [
  ['background()', background],
  ['todo()', todo],
  ['createRoot()', () => createRoot()],
]

describe('roots', () => {
  it.each(roots)('C1: %s is never done, has no deadline and no values', (_name, root) => {
    const ctx = root()
    expect(ctx.err()).toBeUndefined()
    expect(cause(ctx)).toBeUndefined()
    expect(ctx.deadline).toBeUndefined()
    expect(ctx.remaining()).toBe(Infinity)
    expect(ctx.value(key)).toBeUndefined()
    expect(() => ctx.throwIfDone()).not.toThrow()
  })

  it.each(roots)(
    'C1: the done of %s stays pending, and its signal is never aborted, while contexts below it end',
    async (_name, root) => {
      const ctx = root()
      let settled = false
      void ctx.done.finally(() => (settled = true))
      const { signal } = ctx
      expect(signal).toBeInstanceOf(AbortSignal)

      const [child, cancel] = withCancel(ctx)
      const observed = child.signal
      cancel('why')
      await turn()

      expect(observed.aborted).toBe(true)
      expect(signal.aborted).toBe(false)
      expect(signal.reason).toBeUndefined()
      expect(settled).toBe(false)
      expect(ctx.err()).toBeUndefined()
      expect(ctx.done).toBe(ctx.done)
      expect(ctx.signal).toBe(signal)
    },
  )

  it('C1: a root is no cancelable context: nothing on it ends it', () => {
    for (const [, root] of roots) {
      const ctx = root()
      expect('cancel' in ctx).toBe(false)
      expect(Symbol.dispose in ctx).toBe(false)
      expect(Symbol.iterator in ctx).toBe(false)
    }
  })

  it('C2: the roots are named as in Go, and each is one object', () => {
    expect(String(background())).toBe('context.Background')
    expect(String(todo())).toBe('context.TODO')
    expect(background()).toBe(background())
    expect(todo()).toBe(todo())
    expect(background()).not.toBe(todo())
  })

  it('C2: background() and todo() differ in name only', () => {
    const members = (ctx: Context) => [ctx.err(), ctx.deadline, ctx.remaining(), ctx.value(key), ctx.signal.aborted]
    expect(members(todo())).toEqual(members(background()))
    expect(Object.getPrototypeOf(todo())).toBe(Object.getPrototypeOf(background()))
  })
})

describe('what is no context', () => {
  const signal = new AbortController().signal
  const functions: Record<string, (ctx: Context) => unknown> = {
    withCancel: (ctx) => withCancel(ctx),
    withDeadline: (ctx) => withDeadline(ctx, Date.now() + 1_000),
    withTimeout: (ctx) => withTimeout(ctx, 1_000),
    withValue: (ctx) => withValue(ctx, key, 1),
    withoutCancel: (ctx) => withoutCancel(ctx),
    withSignal: (ctx) => withSignal(ctx, signal),
    merge: (ctx) => merge(ctx, background()),
    'merge, as another,': (ctx) => merge(background(), background(), ctx),
    afterFunc: (ctx) => afterFunc(ctx, () => {}),
    sleep: (ctx) => sleep(ctx, 1),
    race: (ctx) => race(ctx, 1),
    group: (ctx) => group(ctx),
    cause: (ctx) => cause(ctx),
  }
  const { err, remaining, value, throwIfDone } = background()
  const wrong: [unknown, string][] = [
    [null, 'null'],
    [undefined, 'undefined'],
    [{}, 'an object'],
    [{ err, remaining, value, throwIfDone, deadline: undefined, signal }, 'an object'], // no done
    [{ err, remaining, value, throwIfDone, deadline: undefined, done: undefined }, 'an object'], // no signal
    [{ err, remaining, value, throwIfDone, signal, done: undefined }, 'an object'], // no deadline
    [{ err, remaining, value, deadline: undefined, signal, done: undefined }, 'an object'], // no throwIfDone
    [{ remaining, value, throwIfDone, deadline: undefined, signal, done: undefined }, 'an object'], // no err
    [signal, 'an object of class AbortSignal'],
    [new Date(), 'an object of class Date'],
    [[background(), () => {}], 'an array'],
    ['background', '"background"'],
    [7, '7'],
    [background, 'the function background'],
    [Object.create(null), 'an object'],
  ]

  it.each(Object.keys(functions))('C3: %s given what is no context throws a TypeError that says so', (name) => {
    for (const [given, shown] of wrong) {
      let thrown: unknown
      try {
        functions[name]?.(given as Context)
      } catch (error) {
        thrown = error
      }
      expect(thrown).toBeInstanceOf(TypeError)
      const { message } = thrown as TypeError
      expect(message).toContain(`${name.replace(/,.*/, '')}()`)
      expect(message).toContain(`got ${shown}.`)
    }
  })

  it('C3: a wrong argument beside the context is named in the same way', () => {
    const ctx = background()
    expect(() => afterFunc(ctx, undefined as never)).toThrow(
      new TypeError('afterFunc() needs a function to run, but got undefined.'),
    )
    expect(() => withSignal(ctx, {} as never)).toThrow(TypeError)
    expect(() => withSignal(ctx, null as never)).toThrow(/withSignal\(\).*null/)
    expect(() => sleep(ctx, '1' as never)).toThrow(/sleep\(\).*"1"/)
    expect(() => group(ctx, { limit: 0 })).toThrow(RangeError)
    expect(() => group(ctx, { limit: 1.5 })).toThrow(RangeError)
    expect(() => group(ctx, null as never)).toThrow(TypeError)
    expect(() => createRoot({ clock: {} as never })).toThrow(TypeError)
    expect(() => createRoot({ name: 1 as never })).toThrow(TypeError)
    expect(() => createRoot(null as never)).toThrow(TypeError)
  })

  it('C3: what throws when it is looked at is no context, and the sentence has what was thrown as its cause', () => {
    const thrown = new Error('a getter')
    const odd = {
      get err() {
        throw thrown
      },
    } as unknown as Context
    const error = caught(() => withCancel(odd))
    expect(error).toEqual(
      new TypeError('withCancel() needs a context, but got an object. Pass background() where there is none.'),
    )
    expect(error).toMatchObject({ cause: thrown })
    expect(() => cause(odd)).toThrow(/^cause\(\) needs a context/)
    const throws = (): never => {
      throw thrown
    }
    const proxy = new Proxy({}, { getPrototypeOf: throws }) as Context
    const { proxy: revoked, revoke } = Proxy.revocable({}, {})
    revoke()
    for (const wrong of [proxy, revoked as Context])
      expect(() => withCancel(wrong)).toThrow(/^withCancel\(\) needs a context, but got what throws when it is read\. /)
  })

  it('C3: contexts of two clocks cannot be merged, and this is said at once', () => {
    const [a, b] = [createRoot({ clock: createFakeClock() }), createRoot({ clock: createFakeClock() })]
    expect(() => merge(withCancel(a), withCancel(b))).toThrow(TypeError)
  })
})

function caught(f: () => unknown): unknown {
  try {
    f()
  } catch (error) {
    return error
  }
  throw new Error('Nothing was thrown.')
}

test.each<[string, (options: never) => unknown]>([
  ['createRoot', createRoot],
  ['createKey', (options) => createKey('x', options)],
  ['group', (options) => group(background(), options)],
  ['createFakeClock', createFakeClock],
])('options of %s that are no object, or that throw when they are read, are refused in a sentence', (name, call) => {
  for (const wrong of [null, 1, 'limit', [4], ['show'], () => 1]) {
    expect(() => call(wrong as never)).toThrow(new RegExp(`^${name}\\(\\) needs its options to be an object, but got `))
    expect(() => call(wrong as never)).toThrow(TypeError)
  }
  const boom = (): never => {
    throw new Error('boom')
  }
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  const members = { clock: boom, name: boom, portable: boom, show: boom, limit: boom, now: boom }
  const throwing = Object.defineProperties({}, Object.fromEntries(Object.entries(members).map(([key, get]) => [key, { get }])))
  for (const wrong of [proxy, new Proxy({}, { get: boom }), throwing]) {
    expect(() => call(wrong as never)).toThrow(`${name}() needs options that can be read, but got some that throw.`)
    expect(() => call(wrong as never)).toThrow(TypeError)
  }
})

test('a clock or a codec that throws when it is looked at is refused in a sentence', () => {
  const wrong = new Proxy(
    {},
    {
      get() {
        throw new Error('boom')
      },
    },
  )
  expect(() => createRoot({ clock: wrong as never })).toThrow(
    'createRoot() needs options that can be read, but got some that throw.',
  )
  expect(() => createKey('x', { portable: wrong as never })).toThrow(
    'createKey() needs options that can be read, but got some that throw.',
  )
})
