import { inspect } from 'node:util'
import {
  background,
  CanceledError,
  type Context,
  createKey,
  createRoot,
  group,
  LinkLostError,
  merge,
  RemoteError,
  withCancel,
  withDeadline,
  withoutCancel,
  withSignal,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { createFakeClock } from 'ctxbridge/testing'
import { describe, expect, it } from 'vitest'
import { Wrapper } from '../support/foreign.ts'

const secret = createKey<string>('secret')
const user = createKey<unknown>('user', { show: true })

describe('String(ctx)', () => {
  it('C65: tells the path', () => {
    const clock = createFakeClock({ wall: Date.UTC(2030, 0, 1) })
    const root = createRoot({ clock, name: 'root' })
    const ctx = withoutCancel(withCancel(withTimeout(withCancel(root), 90_500)))
    expect(String(ctx)).toBe('root.WithCancel.WithDeadline(2030-01-01T00:01:30.500Z [1m30.5s]).WithCancel.WithoutCancel')
    clock.advanceSync(90_000)
    expect(`${withCancel(ctx)}`).toBe(
      'root.WithCancel.WithDeadline(2030-01-01T00:01:30.500Z [500ms]).WithCancel.WithoutCancel.WithCancel',
    )
    clock.advanceSync(10_000)
    expect(String(ctx)).toContain('[0s]')
    expect(String(withSignal(background(), new AbortController().signal))).toBe('context.Background.WithSignal')
    expect(String(merge(withCancel(root), root, withCancel(root)))).toBe('root.WithCancel.Merge(root, root.WithCancel)')
  })

  it.each([
    [0.5, '0.5ms'],
    [1.5, '1.5ms'],
    [999, '999ms'],
    [1_000, '1s'],
    [59_999, '59.999s'],
    [60_000, '1m0s'],
    [3_599_000, '59m59s'],
    [3_600_000, '1h0m0s'],
    [90_061_001, '25h1m1.001s'],
    [-5, '0s'],
  ])('C65: shows %d ms that remain as %s', (ms, shown) => {
    const ctx = withTimeout(createRoot({ clock: createFakeClock() }), ms)
    const [, , remaining] = /WithDeadline\((\S+) \[(\S+)\]\)$/.exec(String(ctx)) ?? []
    expect(remaining).toBe(shown)
  })

  it('C65: shows the same instant for ever, also when the wall clock steps', () => {
    const clock = createFakeClock({ wall: Date.UTC(2030, 0, 1) })
    const ctx = withTimeout(createRoot({ clock, name: 'root' }), 1_000)
    expect(String(ctx)).toBe('root.WithDeadline(2030-01-01T00:00:01.000Z [1s])')
    clock.setWall(0)
    expect(String(ctx)).toBe('root.WithDeadline(2030-01-01T00:00:01.000Z [1s])')
  })

  it('C65: the parents of a merge are shown by their last parts, so that no path grows out of hand', () => {
    const clock = createFakeClock()
    const root = createRoot({ clock, name: 'root' })
    const deep = withCancel(withCancel(withCancel(withCancel(withCancel(root)))))
    expect(String(merge(root, deep))).toBe('root.Merge(….WithCancel.WithCancel.WithCancel.WithCancel)')
    expect(String(merge(root, merge(root, deep)))).toBe('root.Merge(root.Merge(…))')
    let doubled: Context = withCancel(root)
    for (let i = 0; i < 1_000; i++) doubled = merge(doubled, doubled)
    expect(String(doubled).length).toBeLessThan(100_000)
    const wide = merge(root, ...Array.from({ length: 10_000 }, () => withCancel(root)))
    expect(String(wide).length).toBeLessThan(500)
    expect(inspect(doubled).length + inspect(wide).length).toBeLessThan(1_500)
  })

  it('C65: shows the name of a key, and a value only where it is a string that its key allows to be shown', () => {
    expect(String(withValue(background(), secret, 'hunter2'))).toBe('context.Background.WithValue(secret, …)')
    expect(String(withValue(background(), user, 'ann'))).toBe('context.Background.WithValue(user, ann)')
    expect(String(withValue(background(), user, { name: 'ann' }))).toBe('context.Background.WithValue(user, …)')
    expect(inspect(withValue(background(), secret, 'hunter2'), { depth: 10, showHidden: true })).not.toContain('hunter2')
  })

  it('C65: is its path in JSON as well, which tells no value', () => {
    const ctx = withCancel(withValue(background(), createKey('token'), 'secret'))
    expect(JSON.stringify({ ctx })).toBe(`{"ctx":${JSON.stringify(String(ctx))}}`)
    expect(JSON.stringify({ ctx })).not.toContain('secret')
  })

  it('a group is told by its context, also in JSON', () => {
    const tasks = group(background())
    expect(String(tasks)).toBe('Group of context.Background.WithCancel')
    expect(JSON.stringify({ tasks })).toBe(JSON.stringify({ tasks: String(tasks) }))
  })

  it('C65: shows withCancel where the deadline given is not the nearest one', () => {
    const root = createRoot({ clock: createFakeClock(), name: 'root' })
    const parent = withTimeout(root, 10)
    expect(String(withTimeout(parent, 20))).toBe(`${parent}.WithCancel`)
    expect(String(withTimeout(parent, Infinity))).toBe(`${parent}.WithCancel`)
    expect(String(withDeadline(parent, parent.deadline as Date))).toMatch(
      /^root\.WithDeadline\([^)]*\)\.With(Deadline\([^)]*\)|Cancel)$/,
    )
  })

  it('C65: names a context of somebody else by its own toString, else by its class', () => {
    class Named extends Wrapper {
      override toString(): string {
        return 'request 7'
      }
    }
    expect(String(withCancel(new Wrapper(background())))).toBe('Wrapper.WithCancel')
    expect(String(withCancel(new Named(background())))).toBe('request 7.WithCancel')
  })

  it('C65: works 100,000 deep', () => {
    let ctx: Context = background()
    for (let i = 0; i < 100_000; i++) ctx = i % 2 === 0 ? withCancel(ctx) : withValue(ctx, user, 'x')
    expect(String(ctx)).toHaveLength(
      'context.Background'.length + 50_000 * '.WithCancel'.length + 50_000 * '.WithValue(user, x)'.length,
    )
  })
})

describe('util.inspect(ctx)', () => {
  it('C66: shows kind, state, remaining and cause on a line', () => {
    const clock = createFakeClock()
    const root = createRoot({ clock, name: 'root' })
    expect(inspect(withCancel(root))).toBe('root.WithCancel { live }')
    const [timed] = withTimeout(root, 2_500, new Error('slow'))
    expect(inspect(timed)).toMatch(/^root\.WithDeadline\(.* \[2\.5s\]\) \{ live, 2\.5s left \}$/)
    clock.advanceSync(3_000)
    expect(inspect(timed)).toMatch(/ \{ deadline exceeded: Error: slow \}$/)
    const [canceled, cancel] = withCancel(root)
    cancel()
    expect(inspect(canceled)).toBe('root.WithCancel { canceled }')
    const [why, cancelWhy] = withCancel(root)
    cancelWhy({ code: 7 })
    expect(inspect(why)).toBe('root.WithCancel { canceled: { code: 7 } }')
    const [coded, cancelCoded] = withCancel(root)
    cancelCoded(Object.assign(new RangeError('too far'), { code: 'E_FAR', at: { deep: 1 } }))
    expect(inspect(coded)).toBe('root.WithCancel { canceled: RangeError: too far }')
    // As some editors do: a line of its own to them, and none to a terminal.
    const separated = withCancel(root)
    separated.cancel('first\u2028second')
    expect(inspect(separated)).toBe("root.WithCancel { canceled: 'first\u2028second' }")
    // One without a stack, as those from elsewhere are, is shown with what it has; and what throws when it is looked at, as inspect shows it.
    const error = Object.assign(new RangeError('too far'), { code: 'E_FAR' })
    delete error.stack
    const { proxy, revoke } = Proxy.revocable({}, {})
    revoke()
    const shown = [error, proxy].map((why) => {
      const [ctx, cancelIt] = withCancel(root)
      cancelIt(why)
      return inspect(ctx)
    })
    expect(shown).toEqual([
      "root.WithCancel { canceled: { [RangeError: too far] code: 'E_FAR' } }",
      'root.WithCancel { canceled: <Revoked Proxy> }',
    ])
    expect(inspect({ nested: why })).toBe('{ nested: root.WithCancel { canceled: { code: 7 } } }')
  })

  it('C66: shows what is known of a large cause on the same line, and no more than its beginning', () => {
    const [ctx, cancel] = withCancel(background())
    cancel({
      code: 7,
      reason: 'the peer has closed the connection',
      deep: { er: { still: { more: 1 } } },
      list: Array.from({ length: 1_000 }, (_, i) => i),
    })
    const shown = inspect(ctx)
    expect(shown).toMatch(
      /^context\.Background\.WithCancel \{ canceled: \{ code: 7, reason: 'the peer has closed the connection', deep: /,
    )
    expect(shown.split('\n')).toHaveLength(1)
    expect(shown.length).toBeLessThan(300)
  })

  it('C66: stays on a line whatever names and values are shown in its path', () => {
    const lines = createKey<string>('key\nwith lines', { show: true })
    const shown = inspect(withValue(withCancel(background()), lines, 'a value\r\n\r\nwith\nlines'))
    expect(shown).toBe('context.Background.WithCancel.WithValue(key with lines, a value with lines) { live }')
  })

  it('C66: is the same inside of other things, and for roots, merges, wrappers and joined signals', () => {
    const root = createRoot({ name: 'root' })
    const [ctx, cancel] = withSignal(root, new AbortController().signal)
    expect(inspect([root, ctx, withoutCancel(ctx)], { breakLength: Infinity })).toBe(
      '[ root { live }, root.WithSignal { live }, root.WithSignal.WithoutCancel { live } ]',
    )
    cancel(new TypeError('no'))
    expect(inspect(new Map([['ctx', merge(ctx, root)]]), { breakLength: Infinity })).toBe(
      "Map(1) { 'ctx' => root.WithSignal.Merge(root) { canceled: TypeError: no } }",
    )
    expect(inspect(withCancel(new Wrapper(ctx)))).toBe('Wrapper.WithCancel { canceled: TypeError: no }')
  })

  it('C66: asking does not observe: no timer is armed, and nothing ends that has not', () => {
    const clock = createFakeClock()
    const ctx = withTimeout(createRoot({ clock, name: 'root' }), 10)
    for (let i = 0; i < 3; i++) inspect(ctx)
    expect([clock.count, ctx.err()]).toEqual([0, undefined])
  })

  it('C66: never shows the whole graph', () => {
    const parent = withCancel(background())
    for (let i = 0; i < 100; i++) withCancel(parent).signal.addEventListener('abort', () => {})
    let ctx: Context = parent
    for (let i = 0; i < 100_000; i++) ctx = withCancel(ctx)
    for (const shown of [inspect(parent, { depth: 10 }), inspect(ctx, { depth: 10 })]) {
      expect(shown.split('\n').length).toBeLessThanOrEqual(2)
      expect(shown.length).toBeLessThan(500)
    }
    parent.cancel(new Error(`${'long '.repeat(1_000)}\nand with lines`))
    expect(inspect(ctx).split('\n').length).toBeLessThanOrEqual(2)
    expect(inspect(ctx).length).toBeLessThan(1_000)
  })
})

it('C65: a key shows its name, by itself and inside of something', () => {
  expect(String(user)).toBe('Key(user)')
  expect(inspect({ user })).toBe('{ user: Key(user) }')
})

describe('JSON.stringify(error)', () => {
  const told = (error: unknown): unknown => JSON.parse(JSON.stringify(error))

  it('tells name, message, code and cause', () => {
    const ctx = withTimeout(background(), 0, { budget: [1, 'two'] })
    expect(told({ error: ctx.err() })).toEqual({
      error: { name: 'TimeoutError', message: 'context deadline exceeded', code: 'ETIMEDOUT', cause: { budget: [1, 'two'] } },
    })
    expect(told(new CanceledError())).toEqual({ name: 'AbortError', message: 'context canceled', code: 'ABORT_ERR' })
    const lost = new LinkLostError('gone', { cause: new RangeError('inner') })
    expect(told(lost)).toEqual({ name: 'LinkLostError', message: 'gone', code: 'ERR_LINK_LOST', cause: 'RangeError: inner' })
    expect(told(new CanceledError({ cause: lost }))).toMatchObject({ cause: 'LinkLostError: gone' })
    expect(told(new RemoteError('Odd', 'there', 7))).toEqual({ name: 'Odd', message: 'there', code: 7 })
    expect(told(new RemoteError('Odd', 'there'))).toEqual({ name: 'Odd', message: 'there' })
  })

  const cyclic: unknown[] = []
  cyclic.push(cyclic)
  const thrower = {
    toJSON: () => {
      throw new Error('no')
    },
    toString: () => {
      throw new Error('no')
    },
  }

  it.each<[string, unknown, unknown]>([
    ['a number', 7, 7],
    ['null', null, null],
    ['a bigint', 7n, '7'],
    ['a symbol', Symbol('why'), 'Symbol(why)'],
    ['what is long', { text: 'x'.repeat(2_000) }, '[object Object]'],
    ['a long text', 'x'.repeat(2_000), 'x'.repeat(1_000)],
    ['a context', background(), 'context.Background'],
    ['a cycle', cyclic, ''],
    ['what throws', thrower, 'what cannot be told'],
    ['a proxy that is revoked', revoked(), 'what cannot be told'],
  ])('never throws and stays short, when the cause is %s', (_name, why, expected) => {
    expect(told(new CanceledError({ cause: why }))).toMatchObject({ cause: expected })
  })

  it('takes no time that doubles with each error that is in the cause of another one twice', () => {
    let looks = 0
    let why: unknown = { toJSON: () => looks++ }
    for (let n = 0; n < 12; n++) {
      const error = new CanceledError({ cause: why })
      why = { error, again: error }
    }
    expect(told(new CanceledError({ cause: why }))).toMatchObject({ cause: { error: { message: 'context canceled' } } })
    expect(looks).toBeLessThan(13)
  })
})

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
