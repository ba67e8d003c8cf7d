import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import * as here from 'ctxbridge'
import {
  afterFunc,
  background,
  type CancelableContext,
  CanceledError,
  cause,
  type Context,
  type ContextError,
  createKey,
  createRoot,
  DeadlineExceededError,
  isCanceled,
  isDeadlineExceeded,
  merge,
  race,
  sleep,
  withCancel,
  withoutCancel,
  withSignal,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { createFakeClock } from 'ctxbridge/testing'
import { expose, wrap } from 'ctxbridge/worker'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { EndWrapper, Independent, ValueWrapper, Wrapper } from '../support/foreign.ts'
import { collected, turn } from '../support/gc.ts'

const key = createKey<string>('key')

/** Looks at a context below it when it is asked for the given time after its end, says another error from then on than before, and keeps what that look has seen. */
function contradicting(
  turn: number,
  below: () => Context,
): { parent: Independent; first: ContextError; seen(): ContextError | undefined } {
  const first = new CanceledError({ cause: 'first' })
  let asked = 0
  let seen: ContextError | undefined
  const parent = new (class extends Independent {
    override err(): ContextError | undefined {
      if (super.err() === undefined || ++asked > turn) return super.err() && first
      if (asked === turn) seen = below().err()
      return super.err()
    }
  })()
  return { parent, first, seen: () => seen }
}

describe('an object with the members of a Context', () => {
  it('C63: says null where it has nothing to say, as some do: that is no end', () => {
    class Nullish extends Independent {
      override err(): ContextError | undefined {
        return super.err() ?? (null as unknown as undefined)
      }
    }
    const parent = new Nullish()
    const child = withCancel(parent)
    expect(child.err()).toBeUndefined()
    parent.end('stop')
    expect(cause(child)).toBe('stop')
  })

  it('C63: one that cancels what asks it, and says nothing itself, is not asked twice for that to be seen', () => {
    for (const observed of [false, true]) {
      const asks: CancelableContext[] = []
      const parent = new (class extends Independent {
        override err(): ContextError | undefined {
          asks[0]?.cancel('while it was asked')
          return undefined
        }
      })()
      const made = withCancel(parent)
      if (observed) afterFunc(made, () => undefined)
      asks.push(made)
      expect(cause(made)).toBe('while it was asked')
    }
  })

  it('C63: one whose err() throws says nothing, and does not stop a cancel below it', () => {
    let broken = false
    class Broken extends Independent {
      override err(): ContextError | undefined {
        if (broken) throw new Error('broken')
        return super.err()
      }
    }
    const child = withCancel(new Broken())
    let ran = 0
    child.signal.addEventListener('abort', () => ran++)
    broken = true
    expect(child.err()).toBeUndefined()
    child.cancel('stop')
    expect([cause(child), ran]).toEqual(['stop', 1])
  })

  it('C65: without a prototype it is shown by the name of what it is', () => {
    const { deadline, done, signal } = background()
    const { err, remaining, value, throwIfDone } = background()
    const bare = Object.assign(Object.create(null) as object, { deadline, done, signal, err, remaining, value, throwIfDone })
    Object.assign(bare, { err: () => undefined, remaining: () => Infinity, value: () => undefined })
    expect(String(withCancel(bare as Context))).toBe('Object.WithCancel')
  })

  it.each([1, 2, 3, 4])(
    'C6: one that ends what is being looked at when it is asked for the %s. time, and itself after that, does not change the end',
    (turn) => {
      let [asked, seen] = [-Infinity, undefined as ContextError | undefined]
      const parent = new (class extends Independent {
        override err(): ContextError | undefined {
          if (++asked === turn) {
            child.cancel('own')
            seen = child.err()
            this.end('late')
          }
          return super.err()
        }
      })()
      const child = withCancel(parent)
      asked = 0
      for (let i = 0; i < turn; i++) child.err()
      expect(seen).toBeDefined()
      expect(child.err()).toBe(seen)
      expect(cause(child)).toBe('own')
    },
  )

  it.each([
    ['observed', (ctx: Context) => void afterFunc(ctx, () => undefined)],
    ['whose instant is kept', (ctx: Context) => merge(withTimeout(ctx, 1e6), withTimeout(background(), 1e6))],
  ])(
    'C6: one, %s, that looks at what is below it while it says how it ended, and then says something else, has the first end',
    (_name, prepare) => {
      const first = new CanceledError({ cause: 'first' })
      const parent = new (class extends Independent {
        override err(): ContextError | undefined {
          const error = super.err()
          if (error === undefined || asked++ > 0) return error === undefined ? undefined : first
          child.err()
          return error
        }
      })()
      let asked = 0
      const child = withCancel(parent)
      const kept = prepare(child)
      parent.end('second')
      expect(asked).toBeGreaterThan(1)
      expect(child.err()).toBe(first)
      expect(withCancel(parent).err()).toBe(first)
      void kept
    },
  )

  it.each([
    ['observed', (ctx: Context) => void afterFunc(ctx, () => undefined)],
    ['whose instant is kept', (ctx: Context) => merge(withTimeout(ctx, 1e6), withTimeout(background(), 1e6))],
  ])(
    'C6: one, %s, that says one thing and another, and ends while it is asked, has ended then for all below it',
    (_name, prepare) => {
      const outcomes = [1, 2, 3].map((turn) => {
        let [asked, seen] = [-Infinity, undefined as ContextError | undefined]
        const parent = new (class extends Independent {
          override err(): ContextError | undefined {
            if (++asked === turn) {
              this.end('own')
              seen = child.err()
              return undefined
            }
            const doubtful = asked > 0 && (asked < turn || seen !== undefined)
            return doubtful ? new CanceledError({ cause: 'another' }) : super.err()
          }
        })()
        const child = withCancel(parent)
        const kept = prepare(child)
        asked = 0
        for (let i = 0; i < turn; i++) child.err()
        return [seen, child.err(), withCancel(parent).err(), kept] as const
      })
      for (const [seen, own, later] of outcomes) {
        expect(seen?.cause).toBe('own')
        expect(own).toBe(seen)
        expect(later).toBe(seen)
      }
    },
  )

  it.each([1, 2, 3])(
    'C6: one that looks at what is below it when it is asked for the %s. time, and then says something else, does not change the end there',
    (turn) => {
      const { parent, first, seen } = contradicting(turn, () => child)
      const child = withCancel(parent)
      parent.end('second')
      expect(child.err()).toBe(first)
      expect(seen()).toBe(first)
    },
  )

  it.each([1, 2, 3].flatMap((turn) => [false, true].map((looked) => [turn, looked] as const)))(
    'C6: one that looks at its own value context when it is asked for the %s. time, and then says something else, does not change the end there (looked at before: %s)',
    (turn, looked) => {
      const { parent, first, seen } = contradicting(turn, () => below)
      const below = withValue(parent, createKey('test'), 1)
      if (looked) expect(below.err()).toBe(undefined)
      parent.end('second')
      const found = below.err()
      expect(below.err()).toBe(found)
      if (turn === 1) expect(seen()).toBe(first)
      if (seen() !== undefined) expect(found).toBe(seen())
    },
  )

  it('C6: a signal that ends what asks it has ended that, whatever it says then', () => {
    // A look asks more than once: whichever it is that ends it.
    const cases = [true, false].flatMap((answer) => [1, 2].map((nth) => ({ answer, nth })))
    for (const { answer, nth } of cases) {
      const { signal } = new AbortController()
      const [outcomes, asks] = [[] as unknown[], { left: 0 }]
      Object.defineProperty(signal, 'aborted', {
        get() {
          if (asks.left === 0) return false
          if (--asks.left > 0) return true
          ctx.cancel('first')
          outcomes.push(ctx.err())
          return answer
        },
      })
      const ctx = withSignal(background(), signal)
      asks.left = nth
      outcomes.push(ctx.err(), ctx.err())
      expect(outcomes.map((error) => (error as ContextError | undefined)?.cause)).toEqual(['first', 'first', 'first'])
      expect(new Set(outcomes).size).toBe(1)
    }
  })

  const kinds: [string, () => { ctx: Context; end: (cause: unknown) => void }][] = [
    [
      'a wrapper that adds nothing',
      () => {
        const [inner, end] = withCancel(background())
        return { ctx: new Wrapper(inner), end }
      },
    ],
    [
      'a wrapper of a wrapper',
      () => {
        const [inner, end] = withCancel(background())
        return { ctx: new Wrapper(new Wrapper(inner)), end }
      },
    ],
    [
      'a wrapper of a value context',
      () => {
        const [inner, end] = withCancel(background())
        return { ctx: new Wrapper(withValue(inner, key, 'v')), end }
      },
    ],
    [
      'one with an end of its own, ended by itself',
      () => {
        const ctx = new EndWrapper(withCancel(background()))
        return { ctx, end: (why) => ctx.end(why) }
      },
    ],
    [
      'one with an end of its own, ended from inside',
      () => {
        const [inner, end] = withCancel(background())
        return { ctx: new EndWrapper(inner), end }
      },
    ],
    [
      'one with an end of its own, around background',
      () => {
        const ctx = new EndWrapper(background())
        return { ctx, end: (why) => ctx.end(why) }
      },
    ],
    [
      'one that is not ours at all',
      () => {
        const ctx = new Independent()
        return { ctx, end: (why) => ctx.end(why) }
      },
    ],
  ]

  it.each(kinds)('C63: is a parent like any other, observed or not: %s', async (_name, make) => {
    for (const observed of [false, true]) {
      const { ctx, end } = make()
      const child = withCancel(withTimeout(withValue(ctx, createKey('other'), 1), 1_000_000))
      const merged = merge(background(), ctx)
      let events = 0
      if (observed) for (const one of [child, merged]) one.signal.addEventListener('abort', () => events++)
      expect([child.err(), merged.err(), ctx.err()]).toEqual([undefined, undefined, undefined])
      end('why')
      expect(ctx.err()).toBeInstanceOf(CanceledError)
      expect([child.err(), merged.err()].every((error) => error === ctx.err())).toBe(true)
      expect([cause(ctx), cause(child)]).toEqual(['why', 'why'])
      expect(events).toBe(observed ? 2 : 0)
      expect(await child.done).toBe(ctx.err())
      expect(withCancel(ctx).err(), 'derived after the end').toBe(ctx.err())
    }
  })

  it.each(kinds)('C63: can be waited for: %s', async (_name, make) => {
    const { ctx, end } = make()
    let ran = 0
    afterFunc(ctx, () => ran++)
    const outcomes = [race(ctx, new Promise(() => {})), sleep(ctx, 1_000_000)].map((promise) =>
      promise.catch((error: unknown) => error),
    )
    end('why')
    for (const outcome of outcomes) expect(await outcome).toBe(ctx.err())
    await turn()
    expect(ran).toBe(1)
  })

  it.each(kinds)('C63: a child that is cancelled, or dropped, leaves nothing there: %s', async (_name, make) => {
    const { ctx } = make()
    const refs = [false, true].map((observed) => {
      const child = withCancel(ctx)
      if (observed) expect(afterFunc(child, () => {})()).toBe(true)
      return new WeakRef(child)
    })
    refs.push(
      (() => {
        const child = withCancel(ctx)
        child.signal.addEventListener('abort', () => {})
        child.cancel()
        return new WeakRef(child)
      })(),
    )
    expect(await collected(...refs)).toBe(true)
    expect(ctx.err()).toBeUndefined()
  })

  it('C63: a wrapper that adds nothing costs nothing: its signal is never made, and no listener is registered', () => {
    const inner = withCancel(background())
    const wrapper = new Wrapper(inner)
    const children = Array.from({ length: 100 }, () => withCancel(wrapper))
    for (const child of children) child.signal.addEventListener('abort', () => {})
    expect(wrapper.asked.has('signal')).toBe(false)
    inner.cancel()
    expect(children.every((child) => child.signal.aborted && child.err() === inner.err())).toBe(true)
  })

  it('C63: a wrapper that adds nothing costs nothing: what it wraps is observed only while a descendant is', async () => {
    const clock = createFakeClock()
    const parent = withCancel(createRoot({ clock }))
    void parent.signal
    const refs = [0, 1, 2].map((use) => {
      const inner = withTimeout(parent, 1_000)
      const wrapper = use === 2 ? new Wrapper(new Wrapper(inner)) : new Wrapper(inner)
      // A deadline below it, and a merge, need to know when it ends, and find out without observing it.
      const child = use === 0 ? withTimeout(wrapper, 500) : merge(wrapper, withCancel(parent))
      expect(child.err()).toBeUndefined()
      expect(clock.timers).toBe(0)
      const stop = afterFunc(child, () => {})
      expect(clock.timers).toBe(1)
      expect(stop()).toBe(true)
      expect(clock.timers).toBe(0)
      expect([wrapper.asked.has('signal'), inner.err()]).toEqual([false, undefined])
      return new WeakRef(inner)
    })
    expect(await collected(...refs)).toBe(true)
    expect(parent.err()).toBeUndefined()
  })

  it('C63: a wrapper that keeps the done it was given once, or hands on one made of it, is told of the end all the same', async () => {
    class Keeping extends Wrapper {
      #done: Promise<ContextError> | undefined
      override get done(): Promise<ContextError> {
        return (this.#done ??= super.done)
      }
    }
    class Adding extends Wrapper {
      #done: Promise<ContextError> | undefined
      override get done(): Promise<ContextError> {
        return (this.#done ??= super.done.then((error) => error))
      }
    }
    for (const Kind of [Keeping, Adding]) {
      const inner = withCancel(background())
      const wrapper = new Kind(inner)
      // Asks, and must not spoil what the wrapper keeps.
      const child = withTimeout(wrapper, 1_000_000)
      const heard = [wrapper.done, child.done, inner.done]
      inner.cancel('why')
      expect(await Promise.all(heard)).toEqual([inner.err(), inner.err(), inner.err()])
      expect(cause(child)).toBe('why')
    }
  })

  it('C63: a key that is none is refused below it, too', () => {
    for (const ctx of [withCancel(new Wrapper(background())), withValue(new Independent(), key, 'v')]) {
      for (const none of [undefined, null, 'key', {}]) expect(() => ctx.value(none as never)).toThrow(TypeError)
    }
  })

  it('C63: a value context of it has its very signal and done', async () => {
    for (const ctx of [new Wrapper(withCancel(background())), new EndWrapper(background()), new Independent()]) {
      const value = withValue(withValue(ctx, key, 'v'), key, 'w')
      expect(value.signal).toBe(ctx.signal)
      expect(value.done).toBe(ctx.done)
    }
  })

  it('C63: one that is not ours has a listener only while something below is observed', () => {
    const ctx = new Independent()
    const child = withCancel(ctx)
    expect(ctx.listeners).toBe(0)
    const stops = [afterFunc(child, () => {}), afterFunc(withCancel(ctx), () => {})]
    expect(ctx.listeners).toBe(1)
    for (const stop of stops) stop()
    expect(ctx.listeners).toBe(0)
  })

  it('C63: its values, deadline and clock are inherited', () => {
    const clock = createFakeClock()
    const inner = withTimeout(withValue(createRoot({ clock }), key, 'inner'), 100)
    const wrapper = new ValueWrapper(inner, createKey<number>('own'), 7)
    const child = withCancel(wrapper)
    expect([child.value(key), child.remaining(), child.deadline]).toEqual(['inner', 100, inner.deadline])
    const shorter = withTimeout(wrapper, 50)
    expect(shorter.remaining()).toBe(50)
    clock.block(60)
    expect([shorter.err() instanceof DeadlineExceededError, child.err()]).toEqual([true, undefined])
    expect(withTimeout(wrapper, 1_000).remaining()).toBe(40)
    clock.block(40)
    expect(child.err()).toBe(inner.err())
    expect(withoutCancel(wrapper).value(key)).toBe('inner')
    const overriding = withCancel(new ValueWrapper(inner, key, 'outer'))
    expect([overriding.value(key), withValue(overriding, key, 'mine').value(key)]).toEqual(['outer', 'mine'])
  })

  it('C63: the order of its end and of a deadline below it is exact, though nobody looks', () => {
    const clock = createFakeClock()
    for (const first of ['end', 'deadline'] as const) {
      const inner = withCancel(createRoot({ clock }))
      const child = withTimeout(new Wrapper(inner), 10)
      const own = new EndWrapper(withCancel(createRoot({ clock })))
      const other = withTimeout(own, 10)
      clock.block(first === 'end' ? 9 : 11)
      inner.cancel()
      own.end()
      clock.block(20)
      for (const ctx of [child, other]) expect(ctx.err()).toBeInstanceOf(first === 'end' ? CanceledError : DeadlineExceededError)
    }
  })

  it('C3: what lacks a member is none', () => {
    for (const thing of [
      {},
      [],
      'ctx',
      7,
      Symbol('s'),
      new AbortController().signal,
      { err() {}, value() {}, remaining() {}, throwIfDone() {} },
    ]) {
      expect(() => withCancel(thing as never)).toThrow(
        /^withCancel\(\) needs a context, but got .+\. Pass background\(\) where there is none\.$/,
      )
    }
  })
})

describe('two copies of the package', () => {
  let folder: string
  let there: typeof here

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ctxbridge-'))
    await cp(new URL('../../dist', import.meta.url), join(folder, 'dist'), { recursive: true })
    await cp(new URL('../../package.json', import.meta.url), join(folder, 'package.json'))
    there = (await import(pathToFileURL(join(folder, 'dist/lib/index.js')).href)) as typeof here
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it("C64: understand each other's contexts, both ways", async () => {
    expect(there.withCancel).not.toBe(here.withCancel)
    for (const [a, b] of [
      [here, there],
      [there, here],
    ] as const) {
      for (const observed of [false, true]) {
        const parent = a.withCancel(a.background())
        const child = b.withTimeout(b.withCancel(parent), 1_000_000)
        const grandchild = a.withCancel(child)
        if (observed) expect(grandchild.signal.aborted).toBe(false)
        expect([child.err(), grandchild.err()]).toEqual([undefined, undefined])
        parent.cancel('why')
        expect([child.err(), grandchild.err()].every((error) => error === parent.err())).toBe(true)
        expect([a.cause(grandchild), b.cause(child), await grandchild.done]).toEqual(['why', 'why', parent.err()])
        expect(b.merge(b.background(), parent).err()).toBe(parent.err())
      }
    }
  })

  it('C64: a LinkLostError of the other copy, thrown by a method or as the cause of what is, is one at the caller', async () => {
    const { port1, port2 } = new MessageChannel()
    const lost = new there.LinkLostError('gone', { cause: 'why' })
    const throws = (error: unknown) => (): never => {
      throw error
    }
    expose({ lost: throws(lost), caused: throws(new there.CanceledError({ cause: lost })) }, port2)
    const remote = wrap<Record<'lost' | 'caused', () => never>>(port1)
    const error: unknown = await remote.lost().catch((error: unknown) => error)
    expect(error).toBeInstanceOf(here.LinkLostError)
    expect(error).toMatchObject({ code: 'ERR_LINK_LOST', message: 'gone', cause: 'why' })
    const { cause } = await remote.caused().catch((error: unknown) => error as Error)
    expect(cause).toBeInstanceOf(here.LinkLostError)
    port1.close()
  })

  it('C64: every way to derive and to wait takes a context of the other copy', async () => {
    for (const [a, b] of [
      [here, there],
      [there, here],
    ] as const) {
      const parent = a.withTimeout(a.withValue(a.background(), key, 'kept'), 1_000_000)
      const tasks = b.group(parent)
      tasks.go((ctx) => ctx.done)
      let ran = 0
      b.afterFunc(parent, () => ran++)
      const waiting = [b.race(parent, new Promise(() => {})), b.sleep(parent, 1_000_000)].map((promise) =>
        promise.catch((error: unknown) => error),
      )
      const derived = [
        b.withCancel(parent),
        b.withTimeout(parent, 2_000_000),
        b.withDeadline(parent, Date.now() + 500_000),
        b.withValue(parent, a.createKey('other'), 1),
        b.withSignal(parent, new AbortController().signal),
        b.merge(parent, b.withCancel(b.background())),
        tasks.context,
        b.merge(b.withCancel(b.background()), parent),
        b.withSignal(b.background(), parent.signal),
      ]
      const free = b.withoutCancel(parent)
      expect(derived.map((ctx) => ctx.err())).toEqual(derived.map(() => undefined))
      expect([...derived, free].map((ctx) => ctx.value(key) === 'kept')).toEqual([
        ...Array.from({ length: 7 }, () => true),
        false,
        false,
        true,
      ])
      for (const ctx of derived) if (a === here) expect(ctx.signal.aborted).toBe(false)
      parent.cancel('why')
      const joined = derived.at(-1) as Context
      expect(derived.filter((ctx) => ctx.err() !== parent.err())).toEqual([joined])
      expect(cause(joined)).toBe(parent.err())
      for (const ctx of derived) {
        expect([a.isCanceled(ctx.err()), b.isCanceled(ctx.err())]).toEqual([true, true])
        expect(ctx.signal.reason).toBe(ctx.err())
      }
      for (const outcome of waiting) expect(await outcome).toBe(parent.err())
      expect(await tasks.wait()).toEqual([parent.err()])
      expect([ran, free.err()]).toEqual([1, undefined])
    }
  })

  it('C64: the order of an end there and a deadline here is exact, though nobody looks, and a deadline there is one here', () => {
    onTestFinished(() => void vi.restoreAllMocks())
    for (const [a, b] of [
      [here, there],
      [there, here],
    ] as const) {
      for (const first of ['end', 'deadline'] as const) {
        const now = vi.spyOn(performance, 'now').mockReturnValue(performance.now())
        const parent = a.withCancel(a.background())
        const child = b.withTimeout(parent, 20, 'deadline')
        if (first === 'end') parent.cancel('end')
        now.mockReturnValue(performance.now() + 20.5)
        parent.cancel('late')
        expect(cause(child)).toBe(first)
        now.mockRestore()
      }
      const timed = a.withTimeout(a.background(), 3, 'why')
      const below = b.withTimeout(timed, 1_000)
      expect(below.deadline).toEqual(timed.deadline)
      while (timed.remaining() > 0);
      expect(below.err()).toBe(timed.err())
      expect(b.cause(below)).toBe('why')
    }
  })

  it('C64: what the other copy derived and dropped is collected, and what it observed and stopped', async () => {
    for (const [a, b] of [
      [here, there],
      [there, here],
    ] as const) {
      const parent = a.withCancel(a.background())
      void parent.signal
      const refs = [false, true].map((observed) => {
        const ctx = b.withCancel(b.withValue(parent, key, 'v'))
        if (observed) expect(b.afterFunc(ctx, () => {})()).toBe(true)
        return new WeakRef(ctx)
      })
      expect(await collected(...refs)).toBe(true)
      expect(parent.err()).toBeUndefined()
    }
  })

  it('C64: a path goes on through the other copy', () => {
    expect(String(there.withCancel(withValue(background(), key, 'v')))).toBe('context.Background.WithValue(key, …).WithCancel')
  })

  it("C64: understand each other's keys and errors", () => {
    const key2 = there.createKey<number>('two')
    const ctx = withValue(there.withValue(withValue(there.background(), key2, 2), key, 'one'), key2, undefined as never)
    expect([ctx.value(key), ctx.value(key2)]).toEqual(['one', undefined])
    expect(there.withCancel(withValue(background(), key2, 2)).value(key2)).toBe(2)
    const canceled = new there.CanceledError()
    const expired = new Error('wrapped', { cause: new there.DeadlineExceededError() })
    expect([isCanceled(canceled), isDeadlineExceeded(canceled), isCanceled(expired), isDeadlineExceeded(expired)]).toEqual([
      true,
      false,
      false,
      true,
    ])
    expect(canceled).not.toBeInstanceOf(CanceledError)
  })
})
