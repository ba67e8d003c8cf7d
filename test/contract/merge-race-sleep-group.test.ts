import {
  background,
  type CancelableContext,
  CanceledError,
  cause,
  type Context,
  createKey,
  createRoot,
  DeadlineExceededError,
  type Group,
  group,
  merge,
  race,
  sleep,
  withCancel,
  withSignal,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { assertNoLeaks, createFakeClock } from 'ctxbridge/testing'
import { describe, expect, it } from 'vitest'
import { run } from '../support/child-process.ts'
import { collected, heapInUse, turn } from '../support/gc.ts'

const key = createKey<string>('key')

/** How many elements of arrays are moved or gone through from now on, by those methods that may move or go through all. */
function countMoves(): { moves: () => number; stop: () => void } {
  let moves = 0
  const names = ['shift', 'unshift', 'splice', 'slice', 'reverse', 'toReversed', 'concat', 'filter', 'indexOf']
  const methods = Array.prototype as unknown as Record<string, (this: unknown[], ...args: unknown[]) => unknown>
  const originals = new Map(names.map((name) => [name, methods[name] as (typeof methods)[string]]))
  for (const [name, original] of originals) {
    methods[name] = function (...args) {
      moves += this.length
      return original.apply(this, args)
    }
  }
  const stop = (): void => {
    for (const [name, original] of originals) methods[name] = original
  }
  return { moves: () => moves, stop }
}

/** A promise to settle by hand. */
function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void
  let reject!: (error: unknown) => void
  const promise = new Promise<T>((yes, no) => ([resolve, reject] = [yes, no]))
  return { promise, resolve, reject }
}

describe('merge', () => {
  it.each([0, 1, 2])("C58: is done with the first of its parents to be done, with that one's err: parent %i", (index) => {
    for (const observed of [false, true]) {
      const parents = [withCancel(background()), withCancel(background()), withCancel(background())] as const
      const merged = merge(...parents)
      const child = withCancel(merged)
      if (observed) expect(child.signal.aborted).toBe(false)
      expect(merged.err()).toBeUndefined()
      const first = parents[index] as CancelableContext
      first.cancel('first')
      for (const parent of parents) parent.cancel('later')
      expect(merged.err()).toBe(first.err())
      expect(child.err()).toBe(first.err())
      expect(cause(merged)).toBe('first')
    }
  })

  it('C58: the first to be done counts, also when nobody looked until all were', () => {
    const clock = createFakeClock()
    const root = createRoot({ clock })
    const a = withTimeout(root, 30)
    const b = withTimeout(root, 10)
    const c = withCancel(root)
    const merged = [merge(a, b, c), merge(c, b, a), merge(merge(a, c), b)]
    clock.block(20)
    c.cancel()
    clock.block(20)
    for (const m of merged) {
      expect(m.err()).toBeInstanceOf(DeadlineExceededError)
      expect(m.err()).toBe(b.err())
    }
  })

  it('C58: of two that end at one instant, the one that ended first counts, though nobody looked', () => {
    const root = createRoot({ clock: createFakeClock() })
    for (const observed of [false, true]) {
      const [a, b] = [withCancel(root), withCancel(root)]
      const merged = [merge(a, b), merge(b, a), merge(withCancel(root), withCancel(b), withCancel(a))]
      if (observed) for (const ctx of merged) expect(ctx.signal.aborted).toBe(false)
      a.cancel('a')
      b.cancel('b')
      expect(merged.map((ctx) => cause(ctx))).toEqual(['a', 'a', 'a'])
    }
  })

  it('C58: of two deadlines at one instant, and of a deadline and a cancel at it, each way round, the same one counts', () => {
    for (const observed of [false, true]) {
      const clock = createFakeClock()
      const root = createRoot({ clock })
      const [a, b] = [withTimeout(root, 10, 'a'), withTimeout(root, 10, 'b')]
      const canceled = withCancel(root)
      const merged = [merge(a, b), merge(b, a), merge(canceled, b), merge(b, canceled)]
      if (observed) for (const ctx of merged) expect(ctx.signal.aborted).toBe(false)
      clock.block(10)
      canceled.cancel('cancel')
      expect(merged.map((ctx) => cause(ctx))).toEqual(['a', 'a', 'b', 'b'])
    }
  })

  it('C58: of several that have ended already, the first one named counts, however they ended', () => {
    const clock = createFakeClock()
    const root = createRoot({ clock })
    const [canceled, timed, live] = [withCancel(root), withTimeout(root, 10, 'deadline'), withCancel(root)]
    const joined = withSignal(root, AbortSignal.abort('signal'))
    canceled.cancel('cancel')
    clock.block(20)
    const orders = [
      [timed, canceled],
      [canceled, timed],
      [live, joined, timed],
      [withCancel(timed), joined],
    ] as const
    expect(orders.map(([first, ...others]) => cause(merge(first, ...others)))).toEqual([
      'deadline',
      'cancel',
      'signal',
      'deadline',
    ])
    expect(merge(live, timed, canceled).err()).toBe(timed.err())
    expect(live.err()).toBeUndefined()
  })

  it('C58: has the earliest deadline, and the values of the first parent alone', () => {
    const root = createRoot({ clock: createFakeClock() })
    const a = withValue(withTimeout(root, 30), key, 'a')
    const b = withValue(withTimeout(root, 10), key, 'b')
    expect(merge(a, b, root).deadline).toEqual(b.deadline)
    expect(merge(a, b).remaining()).toBe(10)
    expect([merge(a, b).value(key), merge(b, a).value(key), merge(root, a).value(key)]).toEqual(['a', 'b', undefined])
  })

  it('C58: has an end of its own that touches no parent, and is done on return where a parent is', () => {
    const a = withCancel(background())
    const b = withCancel(background())
    const merged = merge(a, b)
    merged.cancel('own')
    expect([a.err(), b.err(), cause(merged)]).toEqual([undefined, undefined, 'own'])
    b.cancel('b')
    expect(merge(a, b).err()).toBe(b.err())
    expect(merge(a).err()).toBeUndefined()
  })

  it('C58: of one context twice, and of an ancestor and its descendant, works', () => {
    for (const pick of [
      (a: Context) => merge(a, a),
      (a: Context, b: Context) => merge(a, b),
      (a: Context, b: Context) => merge(b, a, b),
    ]) {
      const a = withCancel(background())
      const merged = pick(a, withCancel(a))
      let events = 0
      merged.signal.addEventListener('abort', () => events++)
      expect(merged.err()).toBeUndefined()
      a.cancel()
      expect([events, merged.err() === a.err()]).toEqual([1, true])
    }
  })

  it('C58, C18: nested 100,000 deep by either side, observed or not', () => {
    for (const side of ['first', 'other'] as const) {
      for (const observed of [false, true]) {
        const top = withCancel(background())
        const still = withCancel(background())
        let ctx: CancelableContext = top
        for (let i = 0; i < 100_000; i++) ctx = side === 'first' ? merge(ctx, still) : merge(still, ctx)
        if (observed) expect(ctx.signal.aborted).toBe(false)
        top.cancel('top')
        expect(ctx.err(), `${side} ${observed}`).toBe(top.err())
      }
    }
  })

  it('C58: refuses contexts of two clocks', () => {
    const a = withCancel(createRoot({ clock: createFakeClock() }))
    expect(() => merge(a, withCancel(background()))).toThrow(/^merge\(\) needs contexts that share a clock/)
    expect(() => merge(background(), 7 as never)).toThrow(/^merge\(\) needs a context, but got 7/)
  })

  it('C58: leaves nothing in the parent that did not end it', async () => {
    const long = withCancel(background())
    const ref = (() => {
      const short = withCancel(background())
      const merged = merge(long, short)
      merged.signal.addEventListener('abort', () => {})
      short.cancel()
      return new WeakRef(merged)
    })()
    expect(await collected(ref)).toBe(true)
    expect(long.err()).toBeUndefined()
  })
})

describe('race', () => {
  it('C59: gives the outcome of the promise', async () => {
    const ctx = withCancel(background())
    expect(await race(ctx, Promise.resolve(1))).toBe(1)
    expect(await race(ctx, 2)).toBe(2)
    await expect(race(ctx, Promise.reject(new Error('own')))).rejects.toThrow('own')
  })

  it('C59: rejects with err() when the context ends first, and when it had ended', async () => {
    const ctx = withCancel(background())
    const { promise, reject } = deferred<never>()
    const outcome = race(ctx, promise)
    ctx.cancel()
    await expect(outcome).rejects.toBe(ctx.err())
    await expect(race(ctx, deferred().promise)).rejects.toBe(ctx.err())
    reject(new Error('later: handled'))
    await turn()
  })

  it('C59: with what is no proper promise it rejects, and leaves nothing on the context', async () => {
    const ctx = withCancel(background())
    const odd = Object.defineProperty(Promise.resolve(1), 'constructor', {
      get() {
        throw new Error('odd')
      },
    })
    await expect(race(ctx, odd)).rejects.toThrow('odd')
    assertNoLeaks(ctx)
  })

  it('C59: 1,000,000 races against one long-lived context leave nothing on it', async () => {
    const ctx = withCancel(background())
    const payload = (() => {
      const object = { big: true }
      return { ref: new WeakRef(object), raced: race(ctx, Promise.resolve(object)).then(() => {}) }
    })()
    await payload.raced
    const before = await heapInUse()
    for (let i = 0; i < 1_000; i++) {
      const batch: Promise<number>[] = []
      for (let j = 0; j < 1_000; j++) batch.push(race(ctx, Promise.resolve(j)))
      await Promise.all(batch)
    }
    expect(await collected(payload.ref)).toBe(true)
    // A registration that stayed would be 100 bytes at least, so 100 MB in all.
    expect((await heapInUse()) - before).toBeLessThan(10_000_000)
    expect(ctx.err()).toBeUndefined()
  }, 120_000)
})

describe('race, and what it leaves', () => {
  it('C59: the promise wins, and the context wins, when each was first, though both have settled by the time that somebody looks', async () => {
    const [won, lost] = [withCancel(background()), withCancel(background())]
    const { promise, resolve } = deferred<string>()
    const outcomes = Promise.allSettled([race(won, promise), race(lost, promise)])
    lost.cancel('context')
    resolve('promise')
    await turn()
    won.cancel('late')
    expect(await outcomes).toEqual([
      { status: 'fulfilled', value: 'promise' },
      { status: 'rejected', reason: lost.err() },
    ])
  })

  it('C59: takes what can be awaited, and a thenable that throws is a rejection', async () => {
    const ctx = withTimeout(background(), 1_000_000)
    const thenable = { then: (resolve: (value: string) => void) => resolve('thenable') } as PromiseLike<string>
    expect(await race(ctx, thenable)).toBe('thenable')
    const throwing = {
      then(): never {
        throw new Error('from then')
      },
    } as PromiseLike<string>
    await expect(race(ctx, throwing)).rejects.toThrow('from then')
  })

  it('C59: whatever the outcome, nothing stays on a context with a fake clock: no timer and no linked parent', async () => {
    const clock = createFakeClock()
    const parent = withCancel(createRoot({ clock }))
    void parent.signal
    const refs = await Promise.all(
      [Promise.resolve(1), Promise.reject(new Error('own')), 2].map(async (promise) => {
        const ctx = withTimeout(parent, 1_000)
        const outcome = race<unknown>(ctx, promise)
        expect(clock.timers).toBe(1)
        await outcome.catch(() => {})
        return new WeakRef(ctx)
      }),
    )
    expect(clock.timers).toBe(0)
    expect(await collected(...refs)).toBe(true)
    expect(parent.err()).toBeUndefined()
  })
})

describe('sleep', () => {
  it.each([0, 1])('C60: resolves no sooner than its time, by a clock whose timers fire %i ms early', async (early) => {
    const clock = createFakeClock({ early })
    let awake = false
    const sleeping = sleep(createRoot({ clock }), 10).then(() => (awake = true))
    clock.advanceSync(9.99)
    await turn()
    expect(awake).toBe(false)
    clock.advanceSync(0.01 + early)
    await sleeping
    expect(clock.timers).toBe(0)
  })

  it('C60: by the real clock, too', async () => {
    for (let i = 0; i < 30; i++) {
      const start = performance.now()
      await sleep(background(), 3.3)
      expect(performance.now() - start).toBeGreaterThanOrEqual(3.3)
    }
  })

  it('C60: rejects with err() on the end, and clears its timer', async () => {
    const clock = createFakeClock()
    const ctx = withTimeout(createRoot({ clock }), 10, 'why')
    const sleeping = sleep(ctx, 1_000)
    expect(clock.timers).toBe(2)
    clock.advanceSync(10)
    await expect(sleeping).rejects.toBe(ctx.err())
    expect(clock.timers).toBe(0)
    await expect(sleep(ctx, 1)).rejects.toBe(ctx.err())
    expect(clock.timers).toBe(0)
  })

  it('C60: that ends with the deadline of its context rejects: a deadline comes before what is due later', async () => {
    const clock = createFakeClock()
    const ctx = withTimeout(createRoot({ clock }), 10)
    const sleeping = sleep(ctx, 20)
    clock.block(30)
    clock.advanceSync(0)
    await expect(sleeping).rejects.toBeInstanceOf(DeadlineExceededError)
  })

  it('C60: keeps the process alive, as a timer does, also beyond what a timer of the host takes', async () => {
    const { code, stdout } = await run(`
      import { background, sleep } from 'ctxbridge'
      await sleep(background(), 50)
      console.log('slept')
    `)
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'slept\n' })
    const clock = createFakeClock()
    let awake = false
    void sleep(createRoot({ clock }), 2 ** 33).then(() => (awake = true))
    expect(clock.armed.map(({ keepAlive }) => keepAlive)).toEqual([true])
    clock.advanceSync(2 ** 33 - 1)
    await turn()
    expect(awake).toBe(false)
    clock.advanceSync(1)
    await turn()
    expect(awake).toBe(true)
  })

  it('C60: refuses at once what is no span', () => {
    expect(() => sleep(background(), '10' as never)).toThrow(TypeError)
    expect(() => sleep(background(), Number.NaN)).toThrow(RangeError)
    expect(() => sleep(undefined as never, 1)).toThrow(/^sleep\(\) needs a context/)
    expect(() => race(undefined as never, 1)).toThrow(/^race\(\) needs a context/)
  })
})

describe('group', () => {
  it('C61: waits for all, and gives results in the order of go', async () => {
    const tasks: Group<string> = group(background())
    const [a, b] = [deferred<string>(), deferred<string>()]
    tasks.go(() => a.promise)
    tasks.go(() => b.promise)
    tasks.go(() => 'sync')
    const waiting = tasks.wait()
    b.resolve('b')
    await turn()
    a.resolve('a')
    expect(await waiting).toEqual(['a', 'b', 'sync'])
    expect(tasks.context.err(), 'its context ends with it').toBeInstanceOf(CanceledError)
    expect(await group(background()).wait()).toEqual([])
  })

  it.each(['rejects', 'throws'])(
    'C61: the first failure cancels the others with that error as cause: a task that %s',
    async (how) => {
      const tasks = group(background())
      const first = new Error('first')
      const seen: unknown[] = []
      tasks.go(async (ctx) => {
        await ctx.done
        seen.push(cause(ctx))
        throw new Error('second')
      })
      tasks.go(() => {
        if (how === 'throws') throw first
        return Promise.reject(first)
      })
      await expect(tasks.wait()).rejects.toBe(first)
      expect(seen).toEqual([first])
      expect(cause(tasks.context)).toBe(first)
    },
  )

  it('C61: wait() waits for the others also after a failure', async () => {
    const tasks = group(background())
    const slow = deferred<void>()
    let settled = false
    tasks.go(() => slow.promise)
    tasks.go(() => Promise.reject(new Error('fast')))
    const waiting = tasks.wait().catch(() => (settled = true))
    await turn()
    expect(settled).toBe(false)
    slow.resolve()
    await waiting
    expect(settled).toBe(true)
  })

  it('C61: wait() waits also for what is started while it waits, in the very moment in which the last task ends', async () => {
    const outcomes: boolean[] = []
    for (let steps = 0; steps < 8; steps++) {
      const tasks = group<string>(background())
      const [first, second] = [deferred<string>(), deferred<string>()]
      tasks.go(() => first.promise)
      let started = false
      // Some microtasks after the first task has ended, as a continuation of its work would.
      const later = first.promise.then(async () => {
        for (let i = 0; i < steps; i++) await undefined
        const task = (): Promise<string> => {
          started = true
          return second.promise
        }
        // Started and waited for, or refused since wait() has settled: nothing between.
        try {
          tasks.go(task)
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError)
        }
      })
      const waiting = tasks.wait().then((results) => results.join())
      first.resolve('first')
      await later
      await turn()
      second.resolve('second')
      expect(await waiting).toBe(started ? 'first,second' : 'first')
      outcomes.push(started)
    }
    expect(outcomes[0]).toBe(true)
    expect(outcomes.at(-1)).toBe(false)
  })

  it('C61: a task may start others of its group, under a limit, too', async () => {
    for (const limit of [1, 2, Infinity]) {
      const tasks = group<number>(background(), { limit })
      const visit = (n: number) => (): number => {
        if (n > 1) for (const next of [n - 1, n - 2]) tasks.go(visit(next))
        return n
      }
      tasks.go(visit(6))
      const results = await tasks.wait()
      expect(results).toHaveLength(25)
      expect(results.filter((n) => n <= 1)).toHaveLength(13)
    }
  })

  it('C61: the tasks are given the group’s context, which inherits values and deadline, and ends with the parent', async () => {
    const clock = createFakeClock()
    const parent = withTimeout(withValue(createRoot({ clock }), key, 'kept'), 10, 'slow')
    const tasks = group(parent)
    tasks.go(async (ctx) => {
      expect(ctx).toBe(tasks.context)
      expect([ctx.value(key), ctx.remaining(), 'cancel' in ctx && ctx === parent]).toEqual(['kept', 10, false])
      await ctx.done
      return cause(ctx)
    })
    const waiting = tasks.wait()
    clock.advanceSync(10)
    expect(await waiting).toEqual(['slow'])
    expect(parent.err()).toBeInstanceOf(DeadlineExceededError)
  })

  it('C61: a failure touches neither the parent nor a sibling group', async () => {
    const parent = withCancel(background())
    const [failing, other] = [group(parent), group(parent)]
    failing.go(() => Promise.reject(new Error('own')))
    await expect(failing.wait()).rejects.toThrow('own')
    expect([parent.err(), other.context.err()]).toEqual([undefined, undefined])
    expect(await other.wait()).toEqual([])
  })

  it('C61: of several failures the first counts, also where it is undefined', async () => {
    const tasks = group(background())
    tasks.go(() => Promise.reject(undefined))
    tasks.go(async (ctx) => {
      await ctx.done
      throw new Error('second')
    })
    const outcome = await tasks.wait().then(
      () => 'fulfilled',
      (error: unknown) => ({ error }),
    )
    expect(outcome).toEqual({ error: undefined })
    expect(tasks.context.err()).toBeInstanceOf(CanceledError)
  })

  it('C61: wait() may be called twice, and leaving the block of a group cancels it', async () => {
    const tasks = group<number>(background())
    tasks.go(() => 1)
    expect(await Promise.all([tasks.wait(), tasks.wait()])).toEqual([[1], [1]])
    let ctx: Context
    {
      using work = group(background())
      ctx = work.context
      expect(ctx.err()).toBeUndefined()
    }
    expect(ctx.err()).toBeInstanceOf(CanceledError)
  })

  it('C61: the limit bounds how many run at once', async () => {
    const tasks = group<number>(background(), { limit: 3 })
    let [running, most] = [0, 0]
    for (let i = 0; i < 20; i++) {
      tasks.go(async () => {
        most = Math.max(most, ++running)
        await turn()
        running--
        return i
      })
    }
    expect(running).toBe(3)
    expect(await tasks.wait()).toEqual([...Array(20).keys()])
    expect(most).toBe(3)
  })

  it('C61: a queue of any length gives each its turn in a few moves, in the order of go()', async () => {
    const counts: number[] = []
    for (const n of [1_000, 4_000]) {
      const tasks = group<number>(background(), { limit: 2 })
      const order: number[] = []
      for (let i = 0; i < n; i++) tasks.go(() => Promise.resolve(order.push(i)))
      const done = tasks.wait()
      const { moves, stop } = countMoves()
      await done.finally(stop)
      expect(order).toEqual([...Array(n).keys()])
      counts.push(moves())
      // What comes while others wait has its turn behind them, and moves nobody either.
      const chained = group<number>(background(), { limit: 1 })
      let left = n
      const next = (): number => {
        if (left-- > 0) chained.go(next)
        return left
      }
      for (let i = 0; i < n; i++) chained.go(next)
      const counted = countMoves()
      await chained.wait().finally(counted.stop)
      counts.push(counted.moves())
    }
    const [few, fewChained, many, manyChained] = counts as [number, number, number, number]
    expect(few).toBeGreaterThan(0)
    expect([many < 5 * few, manyChained < 5 * fewChained], String(counts)).toEqual([true, true])
  })

  it('C61: go() after the end starts nothing, nor does what was queued; wait() rejects, since work is missing', async () => {
    for (const limit of [1, Infinity]) {
      const [parent, cancel] = withCancel(background())
      const tasks = group(parent, { limit })
      let started = 0
      tasks.go(async (ctx) => {
        started++
        await ctx.done
      })
      if (limit === 1) tasks.go(() => started++)
      cancel('stop')
      tasks.go(() => started++)
      await expect(tasks.wait()).rejects.toBe(parent.err())
      expect(started).toBe(1)
    }
  })

  it('C61: a parent that ends without a failing task is no failure by itself', async () => {
    const [parent, cancel] = withCancel(background())
    const tasks = group(parent)
    tasks.go(async (ctx) => {
      await ctx.done
      return 'wound up'
    })
    cancel()
    expect(await tasks.wait()).toEqual(['wound up'])
  })

  it('C61: says what is misuse', async () => {
    for (const limit of [0, -1, 1.5, Number.NaN]) expect(() => group(background(), { limit })).toThrow(RangeError)
    expect(() => group(null as never)).toThrow(/^group\(\) needs a context/)
    const tasks = group(background())
    expect(() => tasks.go(1 as never)).toThrow(/^go\(\) needs a function to run, but got 1\.$/)
    await tasks.wait()
    expect(() => tasks.go(() => 1)).toThrow(/wait\(\) has settled/)
  })
})

describe('nobody listens', () => {
  it('C62: there is no unhandled rejection from any of this', async () => {
    const { code, stdout, stderr } = await run(`
      import { background, group, merge, race, sleep, withCancel, withSignal, withTimeout } from 'ctxbridge'
      const reject = () => new Promise((_, no) => setTimeout(() => no(new Error('late')), 5))
      // Contexts that end in every way, whose done and signal nobody listens to.
      for (const end of [(ctx) => ctx.cancel(new Error('cause')), (ctx) => {}]) {
        const ctx = withTimeout(background(), 2, new Error('slow')); ctx.done; withCancel(ctx).done; withCancel(ctx).signal; end(ctx)
      }
      withCancel(background()).done.then(() => {}); withTimeout(background(), 0).done
      const failed = group(background()); failed.go(reject); failed.wait().catch(() => {}); failed.wait().catch(() => {})
      const stopped = withCancel(background()); group(stopped).go(async (ctx) => ctx.done); stopped.cancel()
      const ctx = withCancel(background())
      ctx.done; ctx.signal; merge(ctx, withTimeout(ctx, 1)).done; withSignal(ctx, AbortSignal.timeout(1)).done
      const tasks = group(ctx); tasks.go(reject); tasks.go(() => { throw new Error('now') })
      race(ctx, reject()).catch(() => {}); sleep(ctx, 1_000).catch(() => {})
      ctx.cancel()
      race(ctx, reject()).catch(() => {})
      setTimeout(() => console.log('fine'), 20)
    `)
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'fine\n', stderr: '' })
  })
})
