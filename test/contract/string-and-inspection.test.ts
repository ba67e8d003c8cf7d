import { inspect } from 'node:util'
import { background, type Context, createKey, createRoot, merge, withCancel, withDeadline, withoutCancel, withSignal, withTimeout, withValue } from 'ctxbridge'
import { describe, expect, it } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { Wrapper } from '../support/foreign.ts'

const secret = createKey<string>('secret')
const user = createKey<unknown>('user', { show: true })

describe('String(ctx)', () => {
  it('C65: tells the path', () => {
    const clock = new FakeClock({ wall: Date.UTC(2030, 0, 1) })
    const root = createRoot({ clock, name: 'root' })
    const ctx = withoutCancel(withCancel(withTimeout(withCancel(root), 90_500)))
    expect(String(ctx)).toBe('root.WithCancel.WithDeadline(2030-01-01T00:01:30.500Z [1m30.5s]).WithCancel.WithoutCancel')
    clock.advance(90_000)
    expect(`${withCancel(ctx)}`).toBe('root.WithCancel.WithDeadline(2030-01-01T00:01:30.500Z [500ms]).WithCancel.WithoutCancel.WithCancel')
    clock.advance(10_000)
    expect(String(ctx)).toContain('[0s]')
    expect(String(withSignal(background(), new AbortController().signal))).toBe('context.Background.WithSignal')
    expect(String(merge(withCancel(root), root, withCancel(root)))).toBe('root.WithCancel.Merge(root, root.WithCancel)')
  })

  it('C65: shows the name of a key, and a value only where it is a string that its key allows to be shown', () => {
    expect(String(withValue(background(), secret, 'hunter2'))).toBe('context.Background.WithValue(secret, …)')
    expect(String(withValue(background(), user, 'ann'))).toBe('context.Background.WithValue(user, ann)')
    expect(String(withValue(background(), user, { name: 'ann' }))).toBe('context.Background.WithValue(user, …)')
    expect(inspect(withValue(background(), secret, 'hunter2'), { depth: 10, showHidden: true })).not.toContain('hunter2')
  })

  it('C65: shows withCancel where the deadline given is not the nearest one', () => {
    const root = createRoot({ clock: new FakeClock(), name: 'root' })
    const parent = withTimeout(root, 10)
    expect(String(withTimeout(parent, 20))).toBe(`${parent}.WithCancel`)
    expect(String(withTimeout(parent, Infinity))).toBe(`${parent}.WithCancel`)
    expect(String(withDeadline(parent, parent.deadline as Date))).toMatch(/^root\.WithDeadline\([^)]*\)\.With(Deadline\([^)]*\)|Cancel)$/)
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
    expect(String(ctx)).toHaveLength('context.Background'.length + 50_000 * '.WithCancel'.length + 50_000 * '.WithValue(user, x)'.length)
  })
})

describe('util.inspect(ctx)', () => {
  it('C66: shows kind, state, remaining and cause on a line', () => {
    const clock = new FakeClock()
    const root = createRoot({ clock, name: 'root' })
    expect(inspect(withCancel(root))).toBe('root.WithCancel { live }')
    const [timed] = withTimeout(root, 2_500, new Error('slow'))
    expect(inspect(timed)).toMatch(/^root\.WithDeadline\(.* \[2\.5s\]\) \{ live, 2\.5s left \}$/)
    clock.advance(3_000)
    expect(inspect(timed)).toMatch(/ \{ deadline exceeded: Error: slow \}$/)
    const [canceled, cancel] = withCancel(root)
    cancel()
    expect(inspect(canceled)).toBe('root.WithCancel { canceled }')
    const [why, cancelWhy] = withCancel(root)
    cancelWhy({ code: 7 })
    expect(inspect(why)).toBe('root.WithCancel { canceled: { code: 7 } }')
    expect(inspect({ nested: why })).toBe('{ nested: root.WithCancel { canceled: { code: 7 } } }')
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
