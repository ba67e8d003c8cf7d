import { getEventListeners } from 'node:events'
import {
  afterFunc,
  background,
  type CancelableContext,
  cause,
  type Clock,
  type Context,
  createKey,
  createRoot,
  group,
  merge,
  race,
  sleep,
  withCancel,
  withDeadline,
  withoutCancel,
  withSignal,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { createFakeClock, type FakeClock } from 'ctxbridge/testing'
import { describe, expect, it } from 'vitest'
import { run } from '../support/child-process.ts'
import { Independent, Wrapper } from '../support/foreign.ts'
import { collected, heapInUse, turn } from '../support/gc.ts'

const key = createKey<object>('payload')

const derived: [string, (parent: Context) => CancelableContext][] = [
  ['withCancel', (parent) => withCancel(parent)],
  ['withTimeout', (parent) => withTimeout(parent, 1_000_000)],
  ['withDeadline', (parent) => withDeadline(parent, Date.UTC(2030, 0, 2))],
  ['withSignal', (parent) => withSignal(parent, new AbortController().signal)],
  ['merge, as the first,', (parent) => merge(parent, withCancel(withoutCancel(parent)))],
  ['merge, as another,', (parent) => merge(withCancel(withoutCancel(parent)), parent)],
  ['withCancel of a value context', (parent) => withCancel(withValue(parent, createKey('number'), 1))],
  ['withCancel of a wrapper', (parent) => withCancel(new Wrapper(parent))],
  ['withTimeout of withCancel of withTimeout', (parent) => withTimeout(withCancel(withTimeout(parent, 3_000)), 2_000)],
]

/** A cancelable parent under a clock of its own. */
function family(): { clock: FakeClock; parent: CancelableContext } {
  const clock = createFakeClock()
  const parent = withCancel(createRoot({ clock }))
  return { clock, parent }
}

const observers: [string, (ctx: Context) => unknown][] = [
  ['signal', (ctx) => ctx.signal.addEventListener('abort', () => {})],
  ['done', (ctx) => void ctx.done.then(() => {})],
  ['afterFunc', (ctx) => afterFunc(ctx, () => {})],
  ['race', (ctx) => void race(ctx, new Promise(() => {})).catch(() => {})],
]

describe('nothing left behind', () => {
  it.each(derived)('C19: after its cancel, nothing of an observed child by %s is left in its parent', async (_name, derive) => {
    const { clock, parent } = family()
    void parent.signal
    const refs = observers.map(([, observe]) => {
      const payload = {}
      const ctx = derive(withValue(parent, key, payload))
      observe(ctx)
      ctx.cancel(payload)
      return new WeakRef(payload)
    })
    expect(clock.timers).toBe(0)
    expect(await collected(...refs)).toBe(true)
    expect(parent.err()).toBeUndefined()
  })

  it('C19: after its deadline, nothing of an observed child is left in its parent', async () => {
    const { clock, parent } = family()
    void parent.signal
    const refs = observers.map(([, observe]) => {
      const payload = {}
      const ctx = withCancel(withTimeout(withValue(parent, key, payload), 10, payload))
      observe(ctx)
      return new WeakRef(payload)
    })
    expect(clock.timers).toBe(1)
    clock.advanceSync(10)
    expect(clock.timers).toBe(0)
    expect(await collected(...refs)).toBe(true)
    expect(parent.err()).toBeUndefined()
  })

  it('C19: a parent whose children come and go for long holds none of them', async () => {
    const { clock, parent } = family()
    void parent.signal
    const before = await heapInUse()
    for (let i = 0; i < 100_000; i++) {
      const [ctx, cancel] = withTimeout(parent, 1_000_000)
      afterFunc(ctx, () => {})
      cancel()
    }
    await turn()
    expect((await heapInUse()) - before).toBeLessThan(2_000_000)
    expect(clock.timers).toBe(0)
  })

  it('C19: after the end of its descendants, a parent that nobody else observes is ordinary garbage itself', async () => {
    const root = withCancel(background())
    void root.signal
    const [refs, below] = (() => {
      const parent = withCancel(root)
      const middle = withCancel(parent)
      const child = withCancel(middle)
      void child.signal
      child.cancel()
      return [[new WeakRef(parent), new WeakRef(middle)], new WeakRef(child)]
    })()
    expect(await collected(...refs, below)).toBe(true)
    expect(root.err()).toBeUndefined()
  })

  it('C20: the end of a parent with very many observed children costs no more for each than for one of few', () => {
    // Where each child searched a list of its siblings to unregister, this would take minutes.
    const { parent } = family()
    const children = Array.from({ length: 200_000 }, () => {
      const ctx = withCancel(parent)
      afterFunc(ctx, () => {})
      return ctx
    })
    parent.cancel()
    expect(children.every((ctx) => ctx.err() === parent.err())).toBe(true)
  })

  it('C20: children that end one by one, in any order, cost no more for each when there are many', () => {
    for (const order of ['forth', 'back'] as const) {
      const { parent } = family()
      const children = Array.from({ length: 100_000 }, () => {
        const ctx = withCancel(parent)
        afterFunc(ctx, () => {})
        return ctx
      })
      for (const ctx of order === 'back' ? children.toReversed() : children) ctx.cancel()
      expect(children.every((ctx) => ctx.err() !== undefined)).toBe(true)
      expect(parent.err()).toBeUndefined()
    }
  })

  it('C20: an end from above drops the list of children as a whole, and holds none of them', async () => {
    const { parent } = family()
    const refs = Array.from({ length: 100 }, () => {
      const payload = {}
      const ctx = withCancel(withValue(parent, key, payload))
      void ctx.signal
      afterFunc(ctx, () => {})
      return new WeakRef(payload)
    })
    parent.cancel()
    expect(await collected(...refs)).toBe(true)
    expect(parent.err()).toBeDefined()
  })

  it.each(derived)('C21: a child by %s that nobody observes arms no timer, whatever else is done with it', (_name, derive) => {
    const { clock, parent } = family()
    const ctx = derive(withTimeout(parent, 500_000))
    ctx.err()
    ctx.remaining()
    void ctx.deadline
    String(ctx)
    ctx.throwIfDone()
    withValue(ctx, key, {})
    withoutCancel(ctx)
    expect(clock.count).toBe(0)
    ctx.cancel()
    expect(clock.count).toBe(0)
  })

  it.each(observers)(
    'C21: a deadline is armed by the first observer, by %s, and disarmed when its context ends',
    (_name, observe) => {
      for (const end of ['cancel', 'above', 'deadline'] as const) {
        const { clock, parent } = family()
        const ctx = withTimeout(parent, 10)
        const child = withCancel(withValue(ctx, key, {}))
        expect(clock.timers).toBe(0)
        observe(child)
        expect(clock.timers).toBe(1)
        if (end === 'cancel') ctx.cancel()
        else if (end === 'above') parent.cancel()
        else clock.advanceSync(10)
        expect(clock.timers).toBe(0)
        expect(child.err()).toBeDefined()
        // Nothing armed it again.
        clock.advanceSync(100)
        expect(clock.count).toBe(1)
      }
    },
  )

  it('C21: a context without a deadline that nobody observes costs no look at the clock, while the deadlines of others are armed', () => {
    const clock = createFakeClock()
    let reads = 0
    const counted: Clock = {
      now: () => (reads++, clock.now()),
      wall: () => clock.wall(),
      setTimer: (f, ms, keepAlive) => clock.setTimer(f, ms, keepAlive),
      clearTimer: (timer) => clock.clearTimer(timer),
    }
    const root = createRoot({ clock: counted })
    void withTimeout(root, 1_000_000).signal
    const parent = withCancel(root)
    expect(clock.timers).toBe(1)
    reads = 0
    const [ctx, cancel] = withCancel(parent)
    const child = withCancel(ctx)
    expect(child.err()).toBeUndefined()
    cancel('why')
    expect(cause(child)).toBe('why')
    expect(reads).toBe(0)
  })

  it('C21: a timer goes when the last observer goes, and comes back with the next', () => {
    const { clock, parent } = family()
    const ctx = withTimeout(parent, 10)
    const [a, b] = [afterFunc(ctx, () => {}), afterFunc(withCancel(ctx), () => {})]
    expect(clock.timers).toBe(1)
    a()
    expect(clock.timers).toBe(1)
    b()
    expect(clock.timers).toBe(0)
    const { signal } = ctx
    expect(clock.timers).toBe(1)
    clock.advanceSync(10)
    expect(signal.aborted).toBe(true)
    expect(clock.timers).toBe(0)
  })

  it('C21: a child whose end leaves its ancestors unobserved disarms their deadlines, too', () => {
    const { clock, parent } = family()
    const child = withCancel(withCancel(withTimeout(parent, 10)))
    void child.signal
    expect(clock.timers).toBe(1)
    child.cancel()
    expect(clock.timers).toBe(0)
  })

  it('C21: a context that is done on return arms no timer, also when it is observed', () => {
    const { clock, parent } = family()
    const live = withTimeout(parent, 1_000)
    parent.cancel()
    for (const ctx of [
      withTimeout(parent, 10),
      withTimeout(live, 10),
      withTimeout(createRoot({ clock }), 0),
      withTimeout(createRoot({ clock }), -1),
    ]) {
      expect(ctx.err()).toBeDefined()
      for (const [, observe] of observers) observe(ctx)
    }
    expect(clock.count).toBe(0)
  })

  it('C21: all deadlines of a clock share one timer of the host, which keeps no process alive', () => {
    const { clock, parent } = family()
    const heard: number[] = []
    for (const ms of [50, 20, 40, 10, 30, 10]) withTimeout(parent, ms).signal.addEventListener('abort', () => heard.push(ms))
    expect(clock.timers).toBe(1)
    expect(clock.armed).toEqual([{ ms: 10, keepAlive: false }])
    clock.advanceSync(30)
    expect(heard).toEqual([10, 10, 20, 30])
    expect(clock.armed).toEqual([{ ms: 10, keepAlive: false }])
    clock.advanceSync(20)
    expect(heard).toEqual([10, 10, 20, 30, 40, 50])
    expect(clock.timers).toBe(0)
  })

  it('C21: no timer is left behind by sleep, race and group when the context ends or the work does', async () => {
    const { clock, parent } = family()
    const ctx = withTimeout(parent, 1_000)
    const slept = sleep(ctx, 500).catch(() => {})
    const raced = race(ctx, 1)
    const work = group(ctx)
    work.go(() => 1)
    await work.wait()
    await raced
    expect(clock.timers).toBe(2)
    ctx.cancel()
    await slept
    expect(clock.timers).toBe(0)
  })

  it.each(derived)(
    'C22: a child by %s that was dropped without cancel, unobserved, is collected though its parent lives',
    async (_name, derive) => {
      const { clock, parent } = family()
      void parent.signal
      const refs = [0, 1, 2].map((use) => {
        const ctx = derive(parent)
        // Asking is not observing.
        if (use > 0) ctx.err()
        if (use > 1) [ctx.remaining(), ctx.deadline, String(ctx), ctx.value(key), withCancel(ctx).err()].length = 0
        return new WeakRef(ctx)
      })
      expect(await collected(...refs)).toBe(true)
      expect(parent.err()).toBeUndefined()
      expect(clock.timers).toBe(0)
    },
  )

  it('C22: a dropped child of a signal, or of a foreign context, whose instant a deadline below needs, is collected, and all that is left of it is the one listener of the signal', async () => {
    const controller = new AbortController()
    const foreign = new Independent()
    const refs = [0, 1, 2].map(() => {
      const joined = withTimeout(withSignal(background(), controller.signal), 1_000_000)
      const derived = withTimeout(foreign, 1_000_000)
      return [new WeakRef(joined), new WeakRef(derived)]
    })
    expect(await collected(...refs.flat())).toBe(true)
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(1)
    // When as many others have come, to whichever signal, that is found.
    const { signal } = new AbortController()
    const others = Array.from({ length: 1_000 }, () => withSignal(background(), signal))
    for (const other of others) withTimeout(other, 1_000_000)
    for (const other of others) other.cancel()
    for (const each of [signal, controller.signal]) expect(getEventListeners(each, 'abort')).toHaveLength(0)
  })

  it('C22: a group, and a group under a limit, that was dropped is collected', async () => {
    const { parent } = family()
    void parent.signal
    const refs = [group(parent), group(parent, { limit: 1 })].map((work) => new WeakRef(work.context))
    expect(await collected(...refs)).toBe(true)
    expect(parent.err()).toBeUndefined()
  })

  it.each(derived)(
    'C23: a child by %s that was observed by afterFunc and then stopped is collected, with the function, though its parent lives',
    async (_name, derive) => {
      const { clock, parent } = family()
      void parent.signal
      const refs = [0, 1].flatMap((below) => {
        const ctx = derive(parent)
        const f = (): void => void ctx.err()
        const stop = afterFunc(below === 0 ? ctx : withCancel(withValue(ctx, key, {})), f)
        expect(stop()).toBe(true)
        return [new WeakRef<WeakKey>(ctx), new WeakRef<WeakKey>(f)]
      })
      expect(clock.timers).toBe(0)
      expect(await collected(...refs)).toBe(true)
      expect(parent.err()).toBeUndefined()
    },
  )

  it('C23: stopping unlinks all that was linked for it and nothing else', async () => {
    const { parent } = family()
    const middle = withCancel(parent)
    const kept = withCancel(middle)
    let ran = false
    afterFunc(kept, () => (ran = true))
    const ref = (() => {
      const child = withCancel(withCancel(middle))
      const stops = [afterFunc(child, () => {}), afterFunc(child, () => {})]
      for (const stop of stops) stop()
      return new WeakRef(child)
    })()
    expect(await collected(ref)).toBe(true)
    parent.cancel()
    await turn()
    expect(ran).toBe(true)
  })

  it('C23: a race and a sleep that are over leave their context to the collector', async () => {
    const { clock, parent } = family()
    void parent.signal
    const refs = await Promise.all(
      [race, (ctx: Context) => sleep(ctx, 10)].map(async (use) => {
        const ctx = withTimeout(parent, 1_000)
        const over = use(ctx, Promise.resolve())
        clock.advanceSync(10)
        await over
        return new WeakRef(ctx)
      }),
    )
    expect(clock.timers).toBe(0)
    expect(await collected(...refs)).toBe(true)
    expect(parent.err()).toBeUndefined()
  })

  it('C23: a signal that was joined has no listener once the observer has stopped', () => {
    const { signal } = new AbortController()
    const ctx = withSignal(background(), signal)
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
    const stop = afterFunc(withCancel(ctx), () => {})
    expect(getEventListeners(signal, 'abort')).toHaveLength(1)
    stop()
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })

  const hour = `
    import { afterFunc, background, group, merge, race, sleep, withCancel, withSignal, withTimeout, withValue, createKey } from 'ctxbridge'
    const ctx = withTimeout(background(), 3_600_000)
    process.on('exit', (code) => console.log(code, ctx.err()))
  `
  const uses: [string, string][] = [
    ['nobody', 'ctx.err(); ctx.remaining()'],
    ['its signal', `ctx.signal.addEventListener('abort', () => console.log('aborted'))`],
    ['its done', 'ctx.done.then(console.log)'],
    ['an afterFunc', `afterFunc(ctx, () => console.log('ran'))`],
    ['a race', 'race(ctx, new Promise(() => {})).catch(console.log)'],
    ['a group', 'const work = group(ctx); work.go(() => new Promise(() => {})); work.wait().catch(console.log)'],
    ['a child', `withCancel(withValue(ctx, createKey('k'), 1)).signal.addEventListener('abort', console.log)`],
    ['a merge', `merge(withCancel(background()), ctx).signal.addEventListener('abort', console.log)`],
    ['a joined signal', `withSignal(background(), ctx.signal).signal.addEventListener('abort', console.log)`],
    ['AbortSignal.any', `const any = AbortSignal.any([ctx.signal]); any.addEventListener('abort', console.log)`],
    ['an ended sleep', `const [short, cancel] = withCancel(ctx); sleep(short, 3_600_000).catch(() => {}); cancel()`],
  ]

  it.concurrent.each(uses)(
    'C24: a process in which only a one-hour timeout is pending exits by itself, observed by %s',
    async (_name, use) => {
      expect(await run(hour + use)).toEqual({ code: 0, stdout: '0 undefined\n', stderr: '', hung: false })
    },
    60_000,
  )

  it('C24: a sleep keeps the process alive until it is over, as a timer does', async () => {
    const outcome = await run(`${hour}; sleep(ctx, 20).then(() => console.log('slept'))`)
    expect(outcome).toEqual({ code: 0, stdout: 'slept\n0 undefined\n', stderr: '', hung: false })
  }, 60_000)
})
