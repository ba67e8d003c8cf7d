import { performance } from 'node:perf_hooks'
import {
  afterFunc,
  background,
  CanceledError,
  type CancelableContext,
  type Context,
  cause,
  createKey,
  createRoot,
  DeadlineExceededError,
  merge,
  withCancel,
  withDeadline,
  withoutCancel,
  withSignal,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { createFakeClock, type FakeClock, type FakeClockOptions } from 'ctxbridge/testing'
import { describe, expect, it } from 'vitest'
import { EndWrapper, Independent, ValueWrapper, Wrapper } from '../support/foreign.ts'
import { turn } from '../support/gc.ts'

const key = createKey<number>('number')

function setting(options?: FakeClockOptions): { clock: FakeClock; root: Context } {
  const clock = createFakeClock(options)
  return { clock, root: createRoot({ clock }) }
}

/** Ways to hang something between a parent and a child that must not change when and how the child ends. */
const between: [string, (parent: Context) => Context][] = [
  ['nothing', (parent) => parent],
  ['withCancel', (parent) => withCancel(parent)],
  ['a value context', (parent) => withValue(parent, key, 1)],
  ['a far deadline', (parent) => withTimeout(parent, 1_000_000)],
  ['withSignal', (parent) => withSignal(parent, new AbortController().signal)],
  ['a wrapper', (parent) => new Wrapper(parent)],
  ['a wrapper with values', (parent) => new ValueWrapper(parent, key, 1)],
  ['a wrapper with an end of its own', (parent) => new EndWrapper(parent)],
  ['a merge, as the first,', (parent) => merge(parent, withCancel(withoutCancel(parent)))],
  ['a merge, as another,', (parent) => merge(withCancel(withoutCancel(parent)), parent)],
  ['a merge of wrappers', (parent) => merge(withCancel(new Wrapper(withoutCancel(parent))), new Wrapper(parent))],
  [
    'several of these',
    (parent) => withSignal(merge(new Wrapper(withCancel(parent)), withValue(parent, key, 1)), new AbortController().signal),
  ],
]

describe('deadlines', () => {
  it('C25: the effective deadline is the earlier of the parent’s and the given one, and can only shrink', () => {
    const { clock, root } = setting()
    const at = (ctx: Context): number => (ctx.deadline?.getTime() ?? Infinity) - clock.wall()
    const a = withTimeout(root, 1_000)
    const b = withTimeout(a, 5_000)
    const c = withTimeout(withCancel(withValue(b, key, 1)), 400)
    const d = withDeadline(c, clock.wall() + 700)
    const e = withDeadline(d, new Date(clock.wall() + 300))
    expect([a, b, c, d, e].map(at)).toEqual([1_000, 1_000, 400, 400, 300])
    expect([a, b, c, d, e].map((ctx) => ctx.remaining())).toEqual([1_000, 1_000, 400, 400, 300])
    const done = (): string[] => Object.entries({ a, b, c, d, e }).flatMap(([name, ctx]) => (ctx.err() === undefined ? [] : name))
    const seen = [299.5, 0.5, 99.5, 0.5, 599.5, 0.5].map((ms) => (clock.advanceSync(ms), done()))
    expect(seen).toEqual([[], ['e'], ['e'], ['c', 'd', 'e'], ['c', 'd', 'e'], ['a', 'b', 'c', 'd', 'e']])
  })

  it.each(between)('C25: a deadline reaches through %s, and a nearer one below counts', (_name, hang) => {
    const { clock, root } = setting()
    const parent = hang(withTimeout(root, 1_000))
    expect(withCancel(parent).remaining()).toBe(1_000)
    expect(withCancel(parent).deadline).toEqual(new Date(clock.wall() + 1_000))
    expect(withTimeout(parent, 2_000).remaining()).toBe(1_000)
    expect(withTimeout(parent, 500).remaining()).toBe(500)
  })

  it('C25: withoutCancel lets go of the deadline, and a longer one can follow', () => {
    const { root } = setting()
    const free = withoutCancel(withTimeout(root, 1_000))
    expect(free.deadline).toBeUndefined()
    expect(free.remaining()).toBe(Infinity)
    expect(withTimeout(free, 5_000).remaining()).toBe(5_000)
  })

  it('C25: a deadline is shown by the wall clock: a Date is given back as it was given', () => {
    const { clock, root } = setting()
    const at = new Date(clock.wall() + 12_345)
    expect(withDeadline(root, at).deadline).toEqual(at)
    expect(withDeadline(root, at.getTime()).deadline).toEqual(at)
    at.setTime(0)
    expect(withDeadline(root, clock.wall() + 12_345).remaining()).toBe(12_345)
  })

  it('C25: nobody can move a deadline by the Date that it gives', () => {
    const { root } = setting()
    const ctx = withTimeout(root, 1_000)
    const before = Number(ctx.deadline)
    ctx.deadline?.setTime(0)
    expect(Number(ctx.deadline)).toBe(before)
    expect(ctx.remaining()).toBe(1_000)
  })

  it('C26: with a parent whose deadline is strictly before, it is as withCancel: the cause is discarded', () => {
    for (const observed of [false, true]) {
      const { clock, root } = setting()
      const parent = withTimeout(root, 10, 'parent')
      const ctx = withTimeout(parent, 11, 'own')
      const dated = withDeadline(parent, clock.wall() + 10.5, 'own')
      if (observed) for (const each of [ctx, dated]) void each.signal
      expect(String(ctx)).toBe(`${String(parent)}.WithCancel`)
      expect(String(dated)).toBe(`${String(parent)}.WithCancel`)
      expect(clock.timers).toBe(observed ? 1 : 0)
      clock.advanceSync(20)
      expect(ctx.err()).toBe(parent.err())
      expect(dated.err()).toBe(parent.err())
      expect(cause(ctx)).toBe('parent')
    }
  })

  it('C26: with a parent whose deadline is the same, or later, it has a deadline of its own', () => {
    const { clock, root } = setting()
    const parent = withTimeout(root, 10)
    const same = withTimeout(parent, 10)
    const sooner = withTimeout(parent, 9, 'own')
    expect(String(same)).toMatch(/\.WithDeadline\(.*\)\.WithDeadline\(.*\)$/)
    expect(String(sooner)).toMatch(/\.WithDeadline\(.*\)\.WithDeadline\(.*\)$/)
    clock.advanceSync(9)
    expect([cause(sooner), same.err()]).toEqual(['own', undefined])
    clock.advanceSync(1)
    expect(same.err()).toBe(parent.err())
  })

  it('C26: the same Date given twice is the same deadline, though the wall clock tells whole milliseconds only', () => {
    const { clock, root } = setting({ wall: 1_000_000, now: 0.2 })
    const coarse = createRoot({
      clock: {
        now: () => clock.now(),
        wall: () => Math.floor(clock.wall()),
        setTimer: (f, ms, keepAlive) => clock.setTimer(f, ms, keepAlive),
        clearTimer: (timer) => clock.clearTimer(timer),
      },
    })
    for (const step of [0.3, 0.9]) {
      const at = new Date(1_000_100)
      const parent = withDeadline(coarse, at)
      clock.advanceSync(step)
      const child = withDeadline(parent, at)
      expect(String(child)).toContain('.WithDeadline(1970-01-01T00:16:40.100Z')
      expect(String(child)).toMatch(/\)\.WithDeadline\(/)
      expect(child.deadline).toEqual(at)
      expect(child.remaining()).toBe(parent.remaining())
    }
    expect(root.err()).toBeUndefined()
  })

  const past: [string, (parent: Context, clock: FakeClock) => CancelableContext][] = [
    ['a negative timeout', (parent) => withTimeout(parent, -1, 'why')],
    ['a timeout of zero', (parent) => withTimeout(parent, 0, 'why')],
    ['a timeout of -Infinity', (parent) => withTimeout(parent, -Infinity, 'why')],
    ['the most negative timeout', (parent) => withTimeout(parent, -Number.MAX_VALUE, 'why')],
    ['a deadline of this instant', (parent, clock) => withDeadline(parent, clock.wall(), 'why')],
    ['a deadline long ago', (parent) => withDeadline(parent, new Date(0), 'why')],
    ['a deadline in the days of -Infinity', (parent) => withDeadline(parent, -Infinity, 'why')],
  ]

  it.each(past)(
    'C27: with %s it is done on return, with the cause given, and a later cancel changes nothing',
    async (_name, derive) => {
      for (const parent of [setting(), { clock: setting().clock, root: undefined }]) {
        const { clock } = parent
        const ctx = derive(parent.root ?? withCancel(createRoot({ clock })), clock)
        const error = ctx.err()
        expect(error).toBeInstanceOf(DeadlineExceededError)
        expect(error?.cause).toBe('why')
        expect(cause(ctx)).toBe('why')
        expect(ctx.remaining()).toBe(0)
        ctx.cancel('late')
        expect(ctx.err()).toBe(error)
        expect(ctx.signal.aborted).toBe(true)
        expect(await ctx.done).toBe(error)
        expect(ctx.deadline?.getTime()).toBeLessThanOrEqual(clock.wall())
        expect(String(ctx)).toMatch(/\.WithDeadline\(\S+Z \[0s\]\)$/)
        expect(clock.count).toBe(0)
        expect(withCancel(ctx).err()).toBe(error)
      }
    },
  )

  it.each(past)('C28: with a parent that is done already and %s, the parent’s error wins', (_name, derive) => {
    const { clock, root } = setting()
    const [canceled, cancel] = withCancel(root)
    cancel('parent')
    for (const parent of [canceled, withTimeout(root, -5, 'parent'), withValue(canceled, key, 1), new Wrapper(canceled)]) {
      const ctx = derive(parent, clock)
      expect(ctx.err()).toBe(parent.err())
      expect(cause(ctx)).toBe('parent')
    }
  })

  it.each(between)('C29: deadline and remaining still answer after the end, and are inherited through %s', (_name, hang) => {
    for (const how of ['cancel', 'deadline'] as const) {
      const { clock, root } = setting()
      const at = clock.wall() + 1_000
      const top = withTimeout(root, 1_000)
      const ctx = withCancel(hang(top))
      const value = withValue(ctx, key, 1)
      if (how === 'cancel') top.cancel()
      else clock.advanceSync(1_000)
      expect(value.err()).toBeDefined()
      for (const each of [top, ctx, value, withCancel(value)]) {
        expect(each.deadline).toEqual(new Date(at))
        expect(each.remaining()).toBe(how === 'cancel' ? 1_000 : 0)
      }
    }
  })

  it('C30: expiry first is DeadlineExceededError for ever, cancel first is CanceledError for ever', () => {
    for (const observed of [false, true]) {
      const { clock, root } = setting()
      const [expired, canceled] = [withTimeout(root, 10, 'why'), withTimeout(root, 10, 'why')]
      if (observed) for (const ctx of [expired, canceled]) void ctx.signal
      clock.advanceSync(9)
      canceled.cancel()
      clock.advanceSync(1)
      expired.cancel('late')
      clock.advanceSync(100)
      canceled.cancel('late')
      expect(expired.err()).toBeInstanceOf(DeadlineExceededError)
      expect(canceled.err()).toBeInstanceOf(CanceledError)
      expect([cause(expired), cause(canceled)]).toEqual(['why', canceled.err()])
    }
  })

  it('C30: a context that is disposed of, and that nobody had looked at, ended as its deadline or its parent had', () => {
    for (const what of ['deadline', 'parent', 'neither'] as const) {
      const { clock, root } = setting()
      const parent = withCancel(root)
      const ctx = withTimeout(parent, 10, 'why')
      if (what === 'deadline') clock.block(10)
      if (what === 'parent') parent.cancel('before')
      ctx[Symbol.dispose]()
      clock.block(10)
      expect(cause(ctx)).toBe(what === 'deadline' ? 'why' : what === 'parent' ? 'before' : ctx.err())
      expect(ctx.err()).toBeInstanceOf(what === 'deadline' ? DeadlineExceededError : CanceledError)
    }
  })

  it.each(between)(
    'C30: a deadline that has passed wins over a later cancel, though no timer has fired yet, through %s',
    (_name, hang) => {
      for (const observed of [false, true]) {
        for (const what of ['own', 'disposed', 'parent', 'top'] as const) {
          const { clock, root } = setting()
          const top = withCancel(root)
          const parent = withTimeout(top, 10, 'why')
          const ctx = withCancel(hang(parent))
          if (observed) void ctx.signal
          clock.block(10)
          if (what === 'own') ctx.cancel('late')
          else if (what === 'disposed') ctx[Symbol.dispose]()
          else (what === 'parent' ? parent : top).cancel('late')
          expect(ctx.err()).toBeInstanceOf(DeadlineExceededError)
          expect(cause(ctx)).toBe('why')
          if (observed) expect(ctx.signal.reason).toBe(ctx.err())
          clock.advanceSync(100)
          expect(cause(ctx)).toBe('why')
          expect(cause(top)).toBe(what === 'top' ? 'late' : undefined)
        }
      }
    },
  )

  it('C30: a real deadline that passes in a loop that never yields wins over the cancel that follows', () => {
    for (const observed of [false, true]) {
      const [ctx, cancel] = withTimeout(background(), 5, 'why')
      const child = withCancel(ctx)
      const { signal } = observed ? child : { signal: undefined }
      const until = performance.now() + 6
      while (performance.now() < until);
      cancel('late')
      expect(cause(child)).toBe('why')
      expect(child.err()).toBeInstanceOf(DeadlineExceededError)
      expect(signal?.aborted ?? true).toBe(true)
    }
  })

  it.each(between)(
    'C30: what nobody looked at for long is judged as it happened: the cancel came before the deadline, through %s',
    (_name, hang) => {
      for (const observed of [false, true]) {
        const { clock, root } = setting()
        const [parent, cancel] = withCancel(root)
        const ctx = withTimeout(hang(parent), 10, 'deadline')
        const grandchild = withValue(withCancel(ctx), key, 1)
        if (observed) void grandchild.signal
        clock.block(5)
        cancel('cancel')
        clock.block(15)
        for (const each of [grandchild, ctx]) {
          expect(each.err()).toBeInstanceOf(CanceledError)
          expect(each.err()).toBe(parent.err())
          expect(cause(each)).toBe('cancel')
        }
      }
    },
  )

  it.each(between)(
    'C30: what nobody looked at for long is judged as it happened: the deadline passed before the cancel, through %s',
    (_name, hang) => {
      for (const observed of [false, true]) {
        const { clock, root } = setting()
        const [parent, cancel] = withCancel(root)
        const ctx = withTimeout(hang(parent), 10, 'deadline')
        const grandchild = withValue(withCancel(ctx), key, 1)
        if (observed) void grandchild.signal
        clock.block(15)
        cancel('cancel')
        clock.block(5)
        for (const each of [grandchild, ctx]) {
          expect(each.err()).toBeInstanceOf(DeadlineExceededError)
          expect(cause(each)).toBe('deadline')
        }
        expect(cause(parent)).toBe('cancel')
      }
    },
  )

  it('C30: a signal that aborted before the deadline counts, and one that aborted after it does not, though nobody looked', () => {
    for (const [abortAt, expected] of [
      [5, 'signal'],
      [15, 'deadline'],
    ] as const) {
      const { clock, root } = setting()
      const controller = new AbortController()
      const joined = withSignal(root, controller.signal)
      const below = withTimeout(withCancel(joined), 10, 'deadline')
      const above = withSignal(withTimeout(root, 10, 'deadline'), controller.signal)
      clock.block(abortAt)
      controller.abort('signal')
      clock.block(20 - abortAt)
      expect(cause(below)).toBe(expected)
      expect(cause(above)).toBe(expected)
      expect(cause(joined)).toBe('signal')
    }
  })

  it('C30: an abort that somebody saw inside the dispatch, before our listener ran, is judged by its instant all the same', () => {
    const { clock, root } = setting()
    const controller = new AbortController()
    const contexts: Context[] = []
    const seen: unknown[] = []
    controller.signal.addEventListener('abort', () => seen.push(...contexts.map((each) => each.err())))
    const joined = withSignal(root, controller.signal)
    contexts.push(joined)
    const ctx = withTimeout(joined, 10, 'deadline')
    clock.block(5)
    controller.abort('signal')
    clock.block(15)
    expect(seen).toEqual([joined.err()])
    expect(cause(ctx)).toBe('signal')
    expect(ctx.err()).toBe(joined.err())
  })

  it('C30: an abort that somebody saw inside the dispatch does not beat a deadline below that had passed, and is observed', () => {
    const { clock, root } = setting()
    const controller = new AbortController()
    const contexts: Context[] = []
    controller.signal.addEventListener('abort', () => contexts.map((each) => each.err()))
    const joined = withSignal(root, controller.signal)
    contexts.push(joined)
    const ctx = withTimeout(joined, 10, 'deadline')
    void ctx.signal
    clock.block(15)
    controller.abort('signal')
    expect([cause(joined), cause(ctx)]).toEqual(['signal', 'deadline'])
  })

  it('C30: the end of a foreign context counts by its instant, though nobody looked', () => {
    for (const [endAt, expected] of [
      [5, 'foreign'],
      [15, 'deadline'],
    ] as const) {
      const { clock, root } = setting()
      const wrapper = new EndWrapper(withCancel(root))
      const ctx = withTimeout(withCancel(wrapper), 10, 'deadline')
      clock.block(endAt)
      wrapper.end('foreign')
      clock.block(20 - endAt)
      expect(cause(ctx)).toBe(expected)
      expect(cause(wrapper)).toBe('foreign')
    }
  })

  it('C30: at one instant the deadline of a foreign context is reached before a cancel, though that was seen first', () => {
    for (const kind of [Wrapper, EndWrapper]) {
      const { clock, root } = setting()
      const foreign = new kind(withTimeout(root, 10, 'deadline'))
      const canceled = withCancel(root)
      const both = [merge(canceled, withCancel(foreign)), merge(withCancel(foreign), canceled)]
      clock.block(10)
      canceled.cancel('cancel')
      expect(both.map((ctx) => cause(ctx))).toEqual(['deadline', 'deadline'])
    }
  })

  it('C30: the first end of a merge counts by its instant, though nobody looked', () => {
    for (const [cancelAt, expected] of [
      [5, 'cancel'],
      [15, 'deadline'],
    ] as const) {
      const { clock, root } = setting()
      const canceled = withCancel(root)
      const timed = withTimeout(root, 10, 'deadline')
      const both = [
        merge(canceled, timed),
        merge(timed, canceled),
        merge(withCancel(root), withCancel(timed), withCancel(canceled)),
      ]
      clock.block(cancelAt)
      canceled.cancel('cancel')
      clock.block(20 - cancelAt)
      expect(both.map((ctx) => cause(ctx))).toEqual([expected, expected, expected])
    }
  })

  it('C30: two deadlines that passed while nobody looked: the earlier one counts', () => {
    for (const observed of [false, true]) {
      const { clock, root } = setting()
      const outer = withTimeout(root, 20, 'outer')
      const inner = withTimeout(withCancel(outer), 10, 'inner')
      const ctx = withCancel(inner)
      if (observed) void ctx.signal
      clock.block(50)
      expect(cause(ctx)).toBe('inner')
      expect(ctx.err()).toBe(inner.err())
      expect(cause(outer)).toBe('outer')
    }
  })

  it('C30: two things at one instant: a deadline is reached before what is done at that instant', () => {
    const { clock, root } = setting()
    const [parent, cancel] = withCancel(root)
    const ctx = withTimeout(parent, 10, 'deadline')
    clock.block(10)
    cancel('cancel')
    expect([cause(parent), cause(ctx)]).toEqual(['cancel', 'deadline'])
  })

  it('C30: the timers of several deadlines that fire in one late tick end each by its own', () => {
    const { clock, root } = setting()
    const heard: unknown[] = []
    const contexts = [30, 10, 20].map((ms) => withTimeout(root, ms, ms))
    for (const ctx of contexts)
      ctx.signal.addEventListener('abort', () =>
        heard.push(
          cause(ctx),
          contexts.every((each) => each.err() !== undefined),
        ),
      )
    clock.block(100)
    clock.advanceSync(0)
    expect(heard).toEqual([10, true, 20, true, 30, true])
  })

  it.each(between)('C31: a child of an expired parent has the parent’s very err, through %s', (_name, hang) => {
    for (const observed of [false, true]) {
      const { clock, root } = setting()
      const parent = withTimeout(root, 10, 'why')
      const children = [withCancel(hang(parent)), withTimeout(hang(parent), 10, 'own'), withTimeout(hang(parent), 20, 'own')]
      if (observed) for (const ctx of children) void ctx.signal
      clock.advanceSync(10)
      const error = children[2]?.err()
      expect(error).toBe(parent.err())
      for (const ctx of [...children, withCancel(hang(parent))]) expect(ctx.err()).toBe(error)
      expect(error?.cause).toBe('why')
    }
  })

  it('C32: a real timeout is never early by the monotonic clock, for any of many small ones', async () => {
    const early: number[] = []
    let [ended, missed] = [0, 0]
    const waits: Promise<unknown>[] = []
    for (let round = 0; round < 40; round++) {
      for (const ms of [0.1, 0.5, 0.9, 1, 1.1, 1.5, 2, 2.999, 3.3, 5]) {
        const start = performance.now()
        const ctx = withTimeout(background(), ms)
        const check = (): void => {
          const passed = performance.now() - start
          ended++
          if (passed < ms || ctx.remaining() !== 0 || !(ctx.err() instanceof DeadlineExceededError)) early.push(passed - ms)
        }
        // A short one may have passed by now, and then tells nobody.
        const { signal } = ctx
        if (signal.aborted) missed++
        else signal.addEventListener('abort', check)
        waits.push(ctx.done.then(check))
        afterFunc(ctx, check)
      }
      await turn()
    }
    await Promise.all(waits)
    await turn()
    expect(early).toEqual([])
    expect(ended).toBe(3 * waits.length - missed)
  })

  it('C32: a poll never says that a real deadline has passed before it has', () => {
    for (let i = 0; i < 20; i++) {
      const start = performance.now()
      const ctx = withTimeout(background(), 0.7)
      while (ctx.err() === undefined);
      expect(performance.now() - start).toBeGreaterThanOrEqual(0.7)
    }
  })

  it('C32: a host that fires its timers early by up to a millisecond does not end a context early', () => {
    for (const early of [0.001, 0.3, 0.905, 1]) {
      const { clock, root } = setting({ early })
      const heard: [number, number][] = []
      for (let ms = 0.5; ms < 20; ms += 0.75) {
        const ctx = withTimeout(root, ms)
        const due = clock.now() + ms
        ctx.signal.addEventListener('abort', () => heard.push([clock.now(), due]))
      }
      clock.advanceSync(25)
      expect(heard).toHaveLength(26)
      expect(heard.filter(([now, due]) => now < due)).toEqual([])
      expect(clock.timers).toBe(0)
    }
  })

  it('C32: a host that fires its timers late ends a context at the first look, and its listeners when the timer fires', () => {
    const { clock, root } = setting({ late: 7 })
    const ctx = withTimeout(root, 10)
    let heard: number | undefined
    ctx.signal.addEventListener('abort', () => (heard = clock.now()))
    const start = clock.now()
    clock.advanceSync(16)
    expect(heard).toBeUndefined()
    clock.advanceSync(1)
    expect((heard ?? 0) - start).toBe(17)
    expect(ctx.err()).toBeInstanceOf(DeadlineExceededError)
  })

  it('C32: a step of the wall clock, to either side, changes nothing that is already running', () => {
    for (const day of [-86_400_000, 86_400_000]) {
      const { clock, root } = setting()
      const contexts = [
        withTimeout(root, 1_000),
        withDeadline(root, clock.wall() + 1_000),
        withCancel(withDeadline(root, new Date(clock.wall() + 1_000))),
      ]
      const observed = withTimeout(root, 1_000)
      let heard = 0
      observed.signal.addEventListener('abort', () => heard++)
      const shown = contexts.map((ctx) => ctx.deadline)
      clock.advanceSync(500)
      clock.setWall(clock.wall() + day)
      for (const ctx of contexts) expect([ctx.err(), ctx.remaining()]).toEqual([undefined, 500])
      expect(contexts.map((ctx) => ctx.deadline)).toEqual(shown)
      expect(withTimeout(contexts[0] as Context, 400).remaining()).toBe(400)
      clock.advanceSync(499)
      expect([heard, contexts.some((ctx) => ctx.err() !== undefined)]).toEqual([0, false])
      clock.advanceSync(1)
      expect([heard, contexts.every((ctx) => ctx.err() instanceof DeadlineExceededError)]).toEqual([1, true])
    }
  })

  it('C33: a timeout beyond 2^31-1 ms ends when it is due, in waits that a host can take', () => {
    for (const ms of [2 ** 31 - 1, 2 ** 31, 2 ** 31 + 5, 2 ** 32, 2 ** 33 + 0.5, 366 * 86_400_000]) {
      const { clock, root } = setting({ early: 0.5 })
      const [observed, polled] = [withTimeout(root, ms), withTimeout(root, ms)]
      let heard: number | undefined
      const start = clock.now()
      observed.signal.addEventListener('abort', () => (heard = clock.now() - start))
      clock.advanceSync(ms - 0.25)
      expect([heard, polled.err()]).toEqual([undefined, undefined])
      clock.advanceSync(0.25)
      expect(heard).toBe(ms)
      expect(polled.err()).toBeInstanceOf(DeadlineExceededError)
      expect(clock.timers).toBe(0)
    }
  })

  it('C33: with the real clock, a timeout beyond 2^31-1 ms does not end at once, and says nothing on stderr', async () => {
    const warnings: unknown[] = []
    const listener = (warning: unknown): number => warnings.push(warning)
    process.on('warning', listener)
    const contexts = [2 ** 31, 2 ** 32 + 7, 1e15, Number.MAX_SAFE_INTEGER, Infinity].map((ms) => withTimeout(background(), ms))
    for (const ctx of contexts) void ctx.signal
    await new Promise((resolve) => setTimeout(resolve, 5))
    process.off('warning', listener)
    expect(contexts.map((ctx) => ctx.err())).toEqual(contexts.map(() => undefined))
    expect(warnings).toEqual([])
    for (const ctx of contexts) ctx.cancel()
  })

  it('C33: Infinity is no deadline, and a parent’s still counts', () => {
    const { clock, root } = setting()
    for (const ctx of [
      withTimeout(root, Infinity),
      withDeadline(root, Infinity),
      withTimeout(root, Number.MAX_VALUE),
      withDeadline(root, 9e15),
    ]) {
      void ctx.signal
      expect([ctx.deadline, ctx.remaining(), ctx.err()]).toEqual([undefined, Infinity, undefined])
      ctx.cancel('why')
      expect(cause(ctx)).toBe('why')
    }
    expect(clock.count).toBe(0)
    expect(withTimeout(withTimeout(root, 10), Infinity).remaining()).toBe(10)
  })

  it('C33: whatever finite timeout is taken, the deadline that is shown is a valid Date', () => {
    const { root } = setting()
    for (const ms of [8.64e15, 8.64e15 - 1, 8.63e15, 1e15, -8.64e15, -1e300]) {
      const ctx = withTimeout(root, ms)
      expect(ctx.deadline?.getTime()).not.toBeNaN()
      expect(String(ctx)).toContain('WithDeadline(')
    }
  })

  it('C33: NaN, a string, an invalid Date and other nonsense are refused, and nothing is made', () => {
    const { clock, root } = setting()
    const invalid = new Date(Number.NaN)
    expect(() => withTimeout(root, Number.NaN)).toThrow(RangeError)
    expect(() => withDeadline(root, Number.NaN)).toThrow(RangeError)
    expect(() => withDeadline(root, invalid)).toThrow(RangeError)
    for (const wrong of ['10', undefined, null, {}, 10n, [10], new Date(), Symbol('ten'), true]) {
      expect(() => withTimeout(root, wrong as never)).toThrow(TypeError)
      if (!(wrong instanceof Date)) expect(() => withDeadline(root, wrong as never)).toThrow(TypeError)
    }
    expect(() => withTimeout(root, '10' as never)).toThrow(/withTimeout\(\).*"10"/)
    expect(() => withDeadline(root, '2030-01-01' as never)).toThrow(/withDeadline\(\).*"2030-01-01"/)
    expect(clock.count).toBe(0)
  })

  it.each(between)('C34: remaining() never grows, and is 0 exactly when the deadline has passed, through %s', (_name, hang) => {
    const { clock, root } = setting()
    const ctx = withValue(withCancel(hang(withTimeout(root, 10))), key, 1)
    let before = Infinity
    for (let i = 0; i < 60; i++) {
      const left = ctx.remaining()
      expect(left).toBeLessThanOrEqual(before)
      expect(left).toBeGreaterThanOrEqual(0)
      expect(left === 0).toBe(ctx.err() !== undefined)
      before = left
      if (i === 20) clock.setWall(0)
      clock.block(0.25)
    }
    expect(Object.is(before, 0)).toBe(true)
  })

  it('C34: by the real clock, remaining() never grows, and is 0 no sooner than err() is set', () => {
    const ctx = withTimeout(background(), 3)
    let before = 3
    for (let left = ctx.remaining(); left > 0; left = ctx.remaining()) {
      expect(left).toBeLessThanOrEqual(before)
      before = left
    }
    expect(ctx.err()).toBeInstanceOf(DeadlineExceededError)
    expect(ctx.remaining()).toBe(0)
  })

  it('C34: remaining() goes on to count after a cancel, and is Infinity without a deadline', () => {
    const { clock, root } = setting()
    const ctx = withTimeout(root, 10)
    ctx.cancel()
    clock.advanceSync(4)
    expect(ctx.remaining()).toBe(6)
    clock.advanceSync(6)
    expect(ctx.remaining()).toBe(0)
    expect(ctx.err()).toBeInstanceOf(CanceledError)
    expect(withCancel(root).remaining()).toBe(Infinity)
  })

  it('C34: a foreign context’s deadline counts down for its descendants by the clock', () => {
    const now = performance.now()
    const foreign = new Independent({ deadline: new Date(Date.now() + 50_000), now: () => performance.now(), at: now + 50_000 })
    const ctx = withCancel(foreign)
    expect(ctx.remaining()).toBeLessThanOrEqual(50_000)
    expect(ctx.remaining()).toBeGreaterThan(0)
    expect(ctx.deadline).toEqual(foreign.deadline)
    expect(withTimeout(ctx, 100_000).deadline).toEqual(foreign.deadline)
  })
})
