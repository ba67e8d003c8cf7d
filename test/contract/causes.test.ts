import {
  background,
  type CancelableContext,
  CanceledError,
  cause,
  type Context,
  createKey,
  createRoot,
  DeadlineExceededError,
  merge,
  withCancel,
  withDeadline,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { createFakeClock } from 'ctxbridge/testing'
import { describe, expect, it } from 'vitest'

describe('causes', () => {
  it('C35: undefined while live; afterwards the very value that was given, else err()', () => {
    const why = { reason: 'left' }
    const [given, cancelGiven] = withCancel(background())
    const [plain, cancelPlain] = withCancel(background())
    expect([cause(given), cause(plain), cause(background())]).toEqual([undefined, undefined, undefined])
    cancelGiven(why)
    cancelPlain()
    expect(cause(given)).toBe(why)
    expect(cause(plain)).toBe(plain.err())
    expect(cause(plain)).toBeInstanceOf(CanceledError)
  })

  it.each([null, 0, '', false, Number.NaN, 0n, Symbol('why'), () => {}])('C36: any value but undefined is a cause: %s', (why) => {
    const [ctx, cancel] = withCancel(background())
    cancel(why)
    expect(cause(withCancel(ctx))).toBe(why)
    expect(Object.hasOwn(ctx.err() as Error, 'cause')).toBe(true)
  })

  it('C40: an end has its error and its cause also where the host lets nobody set how long stacks are', () => {
    const limit = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit') as PropertyDescriptor
    Object.defineProperty(Error, 'stackTraceLimit', { ...limit, writable: false })
    try {
      const [ctx, cancel] = withCancel(background())
      cancel('why')
      expect(ctx.err()).toBeInstanceOf(CanceledError)
      expect(cause(ctx)).toBe('why')
    } finally {
      Object.defineProperty(Error, 'stackTraceLimit', limit)
    }
  })

  it('C36: cancel(undefined) is cancel()', () => {
    for (const args of [[], [undefined]] as [unknown?][]) {
      const [ctx, cancel] = withCancel(background())
      cancel(...args)
      expect(cause(ctx)).toBe(ctx.err())
      expect(Object.hasOwn(ctx.err() as Error, 'cause')).toBe(false)
    }
  })

  it('C37: the cause given with a deadline is used when the deadline ends it, and only then', () => {
    const clock = createFakeClock()
    const root = createRoot({ clock })
    const derivations: ((parent: Context) => CancelableContext)[] = [
      (parent) => withTimeout(parent, 10, 'slow'),
      (parent) => withDeadline(parent, clock.wall() + 10, 'slow'),
      (parent) => withDeadline(parent, new Date(clock.wall() + 10), 'slow'),
    ]
    for (const derive of derivations) {
      for (const observed of [false, true]) {
        const [expired, canceled, plain] = [derive(root), derive(root), withTimeout(root, 10)]
        if (observed) for (const ctx of [expired, canceled]) expect(ctx.signal.aborted).toBe(false)
        canceled.cancel()
        clock.advanceSync(10)
        expect(expired.err()).toBeInstanceOf(DeadlineExceededError)
        expect([cause(expired), cause(plain) === plain.err()]).toEqual(['slow', true])
        expect(canceled.err()).toBeInstanceOf(CanceledError)
        expect(cause(canceled)).toBe(canceled.err())
      }
    }
    expect(cause(withTimeout(root, 0, 'past'))).toBe('past')
  })

  // Of a parent and a child, which is cancelled first and with a cause or without: what each has in the end.
  it.each([
    [
      'parent plain, then child with a cause',
      (parent: CancelableContext, child: CancelableContext) => {
        parent.cancel()
        child.cancel('child')
      },
      'err',
      'parent',
    ],
    [
      'parent with a cause, then child plain',
      (parent: CancelableContext, child: CancelableContext) => {
        parent.cancel('parent')
        child.cancel()
      },
      'parent',
      'parent',
    ],
    [
      'child plain, then parent with a cause',
      (parent: CancelableContext, child: CancelableContext) => {
        child.cancel()
        parent.cancel('parent')
      },
      'parent',
      'err',
    ],
    [
      'child with a cause, then parent with one',
      (parent: CancelableContext, child: CancelableContext) => {
        child.cancel('child')
        parent.cancel('parent')
      },
      'parent',
      'child',
    ],
  ] as const)('C38: the first one wins: %s', (name, act, ofParent, ofChild) => {
    for (const observed of [false, true]) {
      const parent = withCancel(background())
      const child = withCancel(parent)
      if (observed) expect(child.signal.aborted).toBe(false)
      act(parent, child)
      expect(cause(parent)).toBe(ofParent === 'err' ? parent.err() : ofParent)
      const expected = { err: child.err(), parent: cause(parent), child: 'child' }[ofChild]
      expect(cause(child), name).toBe(expected)
    }
  })

  it('C39: through value contexts and merges the cause is that of the cancel that came', () => {
    const [a, cancelA] = withCancel(background())
    const [b, cancelB] = withCancel(background())
    const ctx = withValue(merge(withValue(a, createKey('x'), 1), b), createKey('y'), 2)
    cancelB('b')
    cancelA('a')
    expect([cause(ctx), cause(withCancel(ctx)), cause(b)]).toEqual(['b', 'b', 'b'])
  })

  it('C40: err().cause is the cause given, and absent where none was', () => {
    const [given, cancelGiven] = withCancel(background())
    const [plain, cancelPlain] = withCancel(background())
    const why = new Error('why')
    cancelGiven(why)
    cancelPlain()
    expect(given.err()?.cause).toBe(why)
    expect('cause' in (plain.err() as Error)).toBe(false)
    expect(() => given.throwIfDone()).toThrow(given.err())
    expect(given.signal.reason).toBe(given.err())
  })

  it('C3: cause() refuses what is no context', () => {
    expect(() => cause({} as never)).toThrow(/^cause\(\) needs a context, but got an object\.$/)
  })
})
