/**
 * What holds for contexts in workers wherever they run: in Node's threads and in Web Workers, with shared memory and by messages alone.
 * Whoever calls it says how a worker is made.
 */
import { background, createKey, isDeadlineExceeded, withCancel, withTimeout, withValue } from 'ctxbridge'
import { link, type Remote, wrap } from 'ctxbridge/worker'
import { afterEach, describe, expect, test } from 'vitest'
import type { ConformanceJobs, How } from './jobs.ts'

export interface Worker {
  postMessage(message: unknown, transfer?: never): void
  terminate(): unknown
}

export interface Platform {
  readonly name: string
  /** Whether a loop that never yields sees an end. */
  readonly sharedMemory: boolean
  /** Whether such a loop sees all of a cause that is too long for a slot: where a message can be taken without a turn. */
  readonly wholeInLoops: boolean
  /** Whether a deadline is the same instant in both threads. Where it is later over there, this thread's end may be heard of first: then some time is left by the clock over there. */
  readonly sharedClock: boolean
  /** What `wrap` and `link` need to know for it to be so. */
  readonly options?: { readonly sharedMemory: boolean }
  start(): Worker
  /** Calls `f` with each message of the worker's own; returns what stops that. */
  listen(worker: Worker, f: (message: unknown) => void): () => void
}

const tenant = createKey<string>('tenant', {
  portable: { encode: (value: string) => value, decode: (data: unknown) => String(data) },
})
const empty = { slots: 0, exports: 0, imports: 0, observers: 0, calls: 0 }

/** Lets the event loop turn. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(0)
  })
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => {
      throw new Error('The promise was fulfilled.')
    },
    (error: unknown) => error,
  )
}

/** Calls with a deadline that is so many ms away, and with one twice as far until `call` says that its method has run: it does not where the deadline passes before. */
async function inTime(ms: number, call: (ms: number) => Promise<boolean>): Promise<void> {
  while (!(await call(ms))) ms *= 2
}

export function conformance(platform: Platform): void {
  const { sharedMemory, wholeInLoops, sharedClock, options } = platform
  const passed = { left: 0 }
  let running: Worker[] = []

  afterEach(async () => {
    // A browser tells of a worker's end by and by: nothing is to be left for the next test.
    for (const worker of running) link(worker)[Symbol.dispose]()
    await Promise.all(running.map((worker) => worker.terminate()))
    running = []
  })

  function start(): { worker: Worker; jobs: Remote<ConformanceJobs> } {
    const worker = platform.start()
    running.push(worker)
    return { worker, jobs: wrap<ConformanceJobs>(worker, { ...options, keys: [tenant] }) }
  }

  /** The next message of the worker's own that has the field. */
  function heard(worker: Worker, field: 'started' | 'told'): Promise<Record<string, unknown>> {
    return new Promise((resolve) => {
      const stop = platform.listen(worker, (message) => {
        if (typeof message !== 'object' || message === null || !(field in message)) return
        stop()
        resolve(message as Record<string, unknown>)
      })
    })
  }

  async function quiet(worker: Worker): Promise<void> {
    while (link(worker).stats().calls > 0) await turn()
  }

  /** Until nothing is left: what is given back by message takes a while. */
  async function nothingLeft(worker: Worker): Promise<void> {
    while (link(worker).stats().slots > 0) await turn()
    expect(link(worker).stats()).toMatchObject(empty)
  }

  describe(`contexts in workers, ${platform.name}`, () => {
    test('a call without a context, and one that fails', async () => {
      const { worker, jobs } = start()
      expect(await jobs.add(1, 2)).toBe(3)
      expect(await rejection(jobs.fail())).toMatchObject({ name: 'RangeError', message: 'out of range', code: 'E_RANGE' })
      await nothingLeft(worker)
    })

    test('goes through shared memory where it may, and only there', async () => {
      const { worker, jobs } = start()
      expect(await jobs.add(0, 0)).toBe(0)
      const { slot } = link(worker).export(withCancel(background()))
      expect(slot !== undefined && slot >= 0).toBe(sharedMemory)
    })

    test.each(['done', 'signal', 'sleep', 'afterFunc'] satisfies How[])(
      'a cancel wakes a worker that waits by %s',
      async (how) => {
        const { worker, jobs } = start()
        const ctx = withCancel(background())
        const started = heard(worker, 'started')
        const call = rejection(jobs.idle(ctx, how))
        await started
        expect(link(worker).stats()).toMatchObject({ exports: 1, slots: 1, calls: 1 })
        ctx.cancel(new TypeError('wake up'))
        expect(await call).toBe(ctx.err())
        await quiet(worker)
        expect(await jobs.last()).toMatchObject({ name: 'AbortError', cause: 'TypeError', message: 'wake up' })
        await nothingLeft(worker)
        expect(await jobs.stats()).toMatchObject({ imports: 0, observers: 0 })
      },
    )

    test.each(['done', 'signal', 'sleep', 'afterFunc'] satisfies How[])(
      'a deadline wakes one that waits by %s, never early',
      async (how) => {
        const { worker, jobs } = start()
        await jobs.add(0, 0)
        await inTime(300, async (ms) => {
          const ctx = withTimeout(background(), ms, 'the budget')
          const error = await rejection(jobs.idle(ctx, how))
          expect(error).toBe(ctx.err())
          expect(ctx.remaining()).toBe(0)
          await quiet(worker)
          await nothingLeft(worker)
          const seen = await jobs.last()
          if (seen === undefined) return false
          expect(seen).toMatchObject({ ...(sharedClock && passed), name: 'TimeoutError', code: 'ETIMEDOUT', cause: 'the budget' })
          return true
        })
      },
    )

    test(`a loop that never yields sees a cancel ${sharedMemory ? 'with its cause' : 'when it yields: the documented loss'}`, async () => {
      const { worker, jobs } = start()
      const ctx = withCancel(background())
      const started = heard(worker, 'started')
      const call = rejection(sharedMemory ? jobs.spin(ctx) : jobs.deaf(ctx, 50))
      await started
      ctx.cancel('stop')
      expect(await call).toBe(ctx.err())
      await quiet(worker)
      await nothingLeft(worker)
      expect(await jobs.last()).toMatchObject({ name: 'AbortError', cause: 'stop', turned: !sharedMemory })
    })

    test('a loop that never yields sees a deadline, by its own clock', async () => {
      const { worker, jobs } = start()
      await jobs.add(0, 0)
      await inTime(300, async (ms) => {
        const ctx = withTimeout(background(), ms)
        expect(await rejection(jobs.spin(ctx))).toBe(ctx.err())
        await quiet(worker)
        await nothingLeft(worker)
        const seen = await jobs.last()
        if (seen === undefined) return false
        expect(seen).toMatchObject({ ...((sharedClock || !sharedMemory) && passed), name: 'TimeoutError', turned: false })
        return true
      })
    })

    test.each([
      ['nothing', undefined, { cause: 'itself' }],
      ['a string', 'stop', { cause: 'stop' }],
      ['null', null, { cause: null }],
      [
        'a long error',
        new Error(`long ${'x'.repeat(3_000)}`),
        { cause: 'Error', message: expect.stringContaining('long x') as string },
      ],
      ['what cannot be cloned', () => 1, { cause: expect.stringContaining('function') as string }],
    ])('%s as the cause', async (_name, given, seen) => {
      const { worker, jobs } = start()
      const ctx = withCancel(background())
      const started = heard(worker, 'started')
      const call = rejection(jobs.idle(ctx, 'done'))
      await started
      ctx.cancel(given)
      expect(await call).toBe(ctx.err())
      await quiet(worker)
      expect(await jobs.last()).toMatchObject({ name: 'AbortError', ...seen })
      await nothingLeft(worker)
    })

    test('all of a long cause reaches who waits, though the worker was busy when it came', async () => {
      const { worker, jobs } = start()
      for (let i = 0; i < 10; i++) {
        const [ctx, other] = [withCancel(background()), withCancel(background())]
        const waits = heard(worker, 'started')
        const call = rejection(jobs.idle(ctx, 'done'))
        await waits
        const works = heard(worker, 'started')
        const work = rejection(jobs.deaf(other, 30))
        await works
        ctx.cancel(new Error('y'.repeat(600)))
        expect(await call).toBe(ctx.err())
        while (link(worker).stats().calls > 1) await turn()
        expect(await jobs.last()).toMatchObject({ message: 'y'.repeat(600) })
        other.cancel()
        await work
      }
      await quiet(worker)
      await nothingLeft(worker)
    })

    test.each(sharedMemory ? ['a loop'] : [])(
      'a long cause can be read at once by %s that never yields, shortened or not',
      async () => {
        const { worker, jobs } = start()
        const ctx = withCancel(background())
        const started = heard(worker, 'started')
        const call = rejection(jobs.spin(ctx))
        await started
        ctx.cancel(new RangeError('z'.repeat(600)))
        expect(await call).toBe(ctx.err())
        await quiet(worker)
        const message = wholeInLoops ? 'z'.repeat(600) : (expect.stringMatching(/^z{30,90}…$/) as string)
        expect(await jobs.last()).toMatchObject({ name: 'AbortError', cause: 'RangeError', message, turned: false })
        await nothingLeft(worker)
      },
    )

    test.each(sharedMemory ? (['cancel', 'deadline'] as const) : [])(
      'a worker that blocks in sleepSync is woken by a %s',
      async (end) => {
        const { worker, jobs } = start()
        await jobs.add(0, 0)
        await inTime(300, async (ms) => {
          const ctx = end === 'cancel' ? withCancel(background()) : withTimeout(background(), ms, 'wake up')
          const started = heard(worker, 'started')
          const call = rejection(jobs.block(ctx))
          if (end === 'cancel') {
            await started
            ctx.cancel('wake up')
          }
          expect(await call).toBe(ctx.err())
          await quiet(worker)
          await nothingLeft(worker)
          const seen = await jobs.last()
          if (seen === undefined) return false
          expect(seen).toMatchObject({ name: ctx.err()?.name, cause: 'wake up', turned: false })
          return true
        })
      },
    )

    test('two contexts of one call, of which the second ends first', async () => {
      const { worker, jobs } = start()
      const [a, b] = [withCancel(background()), withCancel(background())]
      const started = heard(worker, 'started')
      const call = rejection(jobs.either(a, 'between', b))
      await started
      expect(link(worker).stats()).toMatchObject({ exports: 2, slots: 2 })
      b.cancel('the second')
      expect(await call).toBe(b.err())
      await quiet(worker)
      expect(await jobs.last()).toMatchObject({ cause: 'the second' })
      a.cancel()
      await nothingLeft(worker)
    })

    test.each(['ctx', 'signal'] as const)('options with a context and a signal, of which the %s ends first', async (which) => {
      const { worker, jobs } = start()
      const ctx = withCancel(background())
      const controller = new AbortController()
      const started = heard(worker, 'started')
      const call = rejection(jobs.options({ ctx, signal: controller.signal, text: 'beside' }))
      await started
      if (which === 'ctx') ctx.cancel('stop')
      else controller.abort(new RangeError('too far'))
      expect(await call).toBe(which === 'ctx' ? ctx.err() : controller.signal.reason)
      await quiet(worker)
      expect(await jobs.last()).toMatchObject(
        which === 'ctx'
          ? { name: 'AbortError', cause: 'stop', message: ['beside', 'live'] }
          : { name: undefined, message: ['beside', 'RangeError: too far'] },
      )
      await nothingLeft(worker)
    })

    test('a thousand contexts below one that was sent cost one slot, and end with it', async () => {
      const { worker, jobs } = start()
      const parent = withCancel(background())
      const started = heard(worker, 'started')
      const call = rejection(jobs.family(parent))
      await started
      expect(link(worker).stats()).toMatchObject({ exports: 1, slots: 1 })
      expect(await jobs.stats()).toMatchObject({ imports: 1, observers: 1 })
      parent.cancel()
      expect(await call).toBe(parent.err())
      await quiet(worker)
      await nothingLeft(worker)
    })

    test('five hundred calls that are cancelled in one turn all end, and the next one is served', async () => {
      const { worker, jobs } = start()
      const contexts = Array.from({ length: 500 }, () => withCancel(background()))
      const calls = contexts.map((ctx) => rejection(jobs.idle(ctx, 'done')))
      await jobs.add(0, 0)
      for (const [i, ctx] of contexts.entries()) ctx.cancel(i)
      expect(await Promise.all(calls)).toEqual(contexts.map((ctx) => ctx.err()))
      await quiet(worker)
      expect(await jobs.add(2, 2)).toBe(4)
      await nothingLeft(worker)
      expect(await jobs.stats()).toMatchObject({ imports: 0, observers: 0 })
    })

    test('a context that has ended is not sent, and one that never ends costs nothing', async () => {
      const { worker, jobs } = start()
      const ended = withTimeout(background(), 0)
      expect(isDeadlineExceeded(await rejection(jobs.state(ended)))).toBe(true)
      expect(await jobs.state(background())).toEqual({ err: undefined, deadline: false })
      expect(await jobs.value(withValue(background(), tenant, 'acme'))).toBe('acme')
      await nothingLeft(worker)
    })

    test('a handle goes over in a message of the program, and comes back', async () => {
      const { worker, jobs } = start()
      const mine = link(worker)
      const ctx = withCancel(withValue(background(), tenant, 'acme'))
      expect(await jobs.hold(mine.export(ctx))).toMatchObject({ err: undefined, tenant: 'acme' })
      const told = heard(worker, 'told')
      await jobs.watchHeld()
      ctx.cancel('by hand')
      expect(await told).toMatchObject({ told: 'AbortError', cause: 'by hand' })
      await jobs.release()
      await nothingLeft(worker)

      const theirs = mine.import(await jobs.make())
      expect(theirs.err()).toBe(undefined)
      expect(theirs.remaining()).toBeGreaterThan(50_000)
      const over = theirs.done
      await jobs.end()
      expect((await over).cause).toBe('the worker says so')
      while ((await jobs.stats()).slots > 0) await turn()
    })

    test('a handle whose context has ended on the way gives a context that is done', async () => {
      const { worker, jobs } = start()
      const ctx = withCancel(background())
      const handle = link(worker).export(ctx)
      ctx.cancel('too late')
      const held = await jobs.hold(handle)
      if (held.err === undefined) {
        const told = heard(worker, 'told')
        await jobs.watchHeld()
        expect(await told).toMatchObject({ told: 'AbortError', cause: 'too late' })
      } else {
        expect(held).toMatchObject({ err: 'AbortError', cause: 'too late' })
      }
      await jobs.release()
      await nothingLeft(worker)
    })

    test('what is imported can be given back, and the context lives on', async () => {
      const { worker, jobs } = start()
      const ctx = withCancel(background())
      await jobs.hold(link(worker).export(ctx))
      await jobs.hold(link(worker).export(ctx))
      expect(link(worker).stats()).toMatchObject({ exports: 1, slots: 1 })
      await jobs.release()
      await nothingLeft(worker)
      expect(ctx.err()).toBe(undefined)
    })

    test('a handle that is of another table, or imported twice, ends nothing of somebody else', async () => {
      const { worker, jobs } = start()
      const ctx = withCancel(background())
      const handle = link(worker).export(ctx)
      expect(await jobs.hold({ ...handle, table: handle.table + 1 })).toMatchObject({ err: 'AbortError', cause: 'BridgeError' })
      expect(await jobs.hold({ ...handle, link: handle.link + 1 })).toMatchObject({ err: 'AbortError', cause: 'BridgeError' })
      expect(await jobs.hold({ ...handle, slot: 'x' })).toMatchObject({ err: 'AbortError', cause: 'BridgeError' })
      expect(await jobs.hold(handle)).toMatchObject({ err: undefined })
      expect(await jobs.hold(handle)).toMatchObject({ err: undefined })
      await jobs.release()
      await nothingLeft(worker)
      expect(ctx.err()).toBe(undefined)
    })

    test('a worker that is gone rejects what is pending', async () => {
      const { worker, jobs } = start()
      const ctx = withCancel(background())
      const started = heard(worker, 'started')
      const call = rejection(jobs.hang(ctx))
      await started
      void worker.terminate()
      expect(await call).toMatchObject({ code: 'ERR_LINK_LOST' })
      expect(ctx.err()).toBe(undefined)
      expect(link(worker).stats()).toMatchObject({ slots: 0, exports: 0, calls: 0 })
      expect(await rejection(jobs.add(1, 1))).toMatchObject({ code: 'ERR_LINK_LOST' })
    })
  })
}
