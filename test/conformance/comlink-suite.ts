/** What a program that has Comlink already gets from `install`: in Node's threads and in Web Workers. */
import * as Comlink from 'comlink'
import { background, cause, CanceledError, type Context, isDeadlineExceeded, withCancel, withTimeout } from 'ctxbridge'
import { install, type InstallOptions } from 'ctxbridge/comlink'
import { link } from 'ctxbridge/worker'
import { afterEach, describe, expect, test } from 'vitest'
import { collect } from './collect.ts'
import type { PlainApi } from './plain-comlink.ts'

/** How many contexts this thread has sent that were not given back: also by the workers of other tests, of whose end not every platform tells. */
function slots(): number {
  const { port1 } = new MessageChannel()
  const mine = link(port1)
  const { slots } = mine.stats()
  mine[Symbol.dispose]()
  return slots
}

interface Started {
  readonly endpoint: Comlink.Endpoint
  terminate(): unknown
}

export function comlinkSuite(
  name: string,
  sharedMemory: boolean,
  start: () => Promise<Started>,
  options: InstallOptions = {},
): void {
  let running: Started[] = []
  afterEach(async () => {
    await Promise.all(running.map((worker) => worker.terminate()))
    running = []
  })

  async function begin(): Promise<Comlink.Remote<PlainApi>> {
    install(Comlink, options)
    const started = await start()
    running.push(started)
    return Comlink.wrap<PlainApi>(started.endpoint)
  }

  describe(`a program that speaks Comlink, ${name}`, () => {
    test('sends a context, which ends there with its cause', async () => {
      const remote = await begin()
      for (let i = 0; i < 5; i++) {
        const [ctx, cancel] = withCancel(background())
        const told = remote.wait(
          ctx,
          Comlink.proxy(() => cancel(new Error(`stop ${i}`))),
        )
        expect(await told).toBe(`stop ${i}`)
      }
    })

    test('sends an AbortSignal, which aborts there', async () => {
      const remote = await begin()
      const controller = new AbortController()
      expect(
        await remote.waitSignal(
          controller.signal,
          Comlink.proxy(() => controller.abort()),
        ),
      ).toMatch(/^AbortError: /)
    })

    test('sends an AbortSignal with its reason, whatever that is', async () => {
      const remote = await begin()
      const controller = new AbortController()
      const told = remote.waitSignal(
        controller.signal,
        Comlink.proxy(() => controller.abort(new RangeError('too far'))),
      )
      expect(await told).toBe('RangeError: too far')
      expect(
        await remote.waitSignal(
          AbortSignal.timeout(10),
          Comlink.proxy(() => undefined),
        ),
      ).toMatch(/^TimeoutError: /)
    })

    test('gets what a context ended, and what that caused, as what it is', async () => {
      install(Comlink)
      const remote = await begin()
      const error: unknown = await remote.throwEnd(withTimeout(background(), 10, 'the budget')).catch((error: unknown) => error)
      expect(isDeadlineExceeded(error)).toBe(true)
      expect(error).toMatchObject({ message: 'no time left', cause: { cause: 'the budget' } })
      expect(await remote.fail().catch((error: unknown) => error)).toMatchObject({ name: 'RangeError', message: 'as ever' })
    })

    test('sends what has ended, what never ends, and what has a deadline', async () => {
      const remote = await begin()
      const [ended, cancel] = withCancel(background())
      cancel('long ago')
      expect(await remote.look(ended, AbortSignal.abort())).toMatchObject({ err: 'AbortError', cause: 'long ago', aborted: true })
      expect(await remote.look(background(), new AbortController().signal)).toMatchObject({
        err: undefined,
        aborted: false,
        deadline: false,
      })
      expect(await remote.look(withTimeout(background(), 60_000), ended.signal)).toMatchObject({
        err: undefined,
        aborted: true,
        deadline: true,
      })
    })

    test('gets a context as a result, and in a callback', async () => {
      const remote = await begin()
      const ctx = await remote.make()
      expect(ctx.err()).toBe(undefined)
      const over = ctx.done
      await remote.end()
      expect(await over).toBeInstanceOf(CanceledError)
      expect(cause(ctx)).toBe('the worker says so')
      const told = await remote.callback(Comlink.proxy(async (theirs: Context) => String((await theirs.done).cause)))
      expect(told).toBe('called back')
    })

    test('gets an AbortSignal as a result', async () => {
      const remote = await begin()
      const signal = await remote.makeSignal()
      expect(signal).toBeInstanceOf(AbortSignal)
      expect(signal.aborted).toBe(false)
      const over = new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      await remote.abort()
      await over
      expect(String(signal.reason)).toBe('RangeError: the worker says so')
      expect(await remote.aborted()).toMatchObject({ aborted: true, reason: 'long ago' })
    })

    test('lets go of the AbortSignals of calls that are over, on both sides, when they are collected', async () => {
      const remote = await begin()
      const before = slots()
      for (let i = 0; i < 200; i++) await remote.see(new AbortController().signal)
      while (slots() > before || (await remote.held())[0] > 0) await collect()
      expect(await remote.held()).toEqual([0, 0])
    })

    test('sends a context once, however many calls it goes with: one there ends by itself, and all of them with it', async () => {
      const remote = await begin()
      const before = slots()
      const [ctx, cancel] = withCancel(background())
      for (let i = 0; i < 25; i++) await remote.keep(ctx)
      await Promise.all(Array.from({ length: 25 }, () => remote.keep(ctx)))
      while (slots() > before + 1) await collect()
      expect(await remote.kept()).toEqual(Array.from({ length: 50 }, () => 'live'))
      // What goes by the first of them is not that one's.
      await remote.cancelKept(0, 'by itself')
      const rest = Array.from({ length: 49 }, () => 'live')
      expect(await remote.kept()).toEqual(['by itself', ...rest])
      await remote.keep(ctx)
      while (slots() > before + 1) await collect()
      cancel('at last')
      while (slots() > before) await collect()
      expect(await remote.kept()).toEqual(['by itself', ...rest.map(() => 'at last'), 'at last'])
    })

    test('sends a context anew that was given back there', async () => {
      const remote = await begin()
      const before = slots()
      const [ctx, cancel] = withCancel(background())
      for (let i = 0; i < 3; i++) {
        await remote.keep(ctx)
        await remote.cancelKept(0, 'by itself')
        while (slots() > before) await collect()
        await remote.drop()
      }
      await remote.keep(ctx)
      await remote.keep(ctx)
      cancel('at last')
      while (slots() > before) await collect()
      expect(await remote.kept()).toEqual(['at last', 'at last'])
    })

    test('sends an AbortSignal once, however many calls it goes with', async () => {
      const remote = await begin()
      const before = slots()
      const controller = new AbortController()
      for (let i = 0; i < 50; i++) await remote.see(controller.signal)
      while (slots() > before + 1) await collect()
      expect(await remote.held()).toEqual([50, 1])
      controller.abort('at last')
      while (slots() > before) await collect()
      expect(await remote.look(background(), controller.signal)).toMatchObject({ aborted: true })
    })

    test('sends AbortSignals that nobody holds and that abort all the same, as those of a controller do, and of any() and timeout()', async () => {
      const remote = await begin()
      const controllers = Array.from({ length: 20 }, () => new AbortController())
      const makes: readonly (() => AbortSignal)[] = [
        ...controllers.map((controller) => () => controller.signal),
        ...controllers.map((controller) => () => AbortSignal.any([controller.signal])),
        () => AbortSignal.timeout(500),
      ]
      let started = 0
      const told = makes.map((make) =>
        remote.waitSignal(
          make(),
          Comlink.proxy(() => ++started),
        ),
      )
      while (started < makes.length) await collect()
      for (let i = 0; i < 10; i++) await collect()
      for (const controller of controllers) controller.abort(new RangeError('held'))
      expect(new Set(await Promise.all(told.slice(0, -1)))).toEqual(new Set(['RangeError: held']))
      expect(await told.at(-1)).toMatch(/^TimeoutError: /)
    })

    test.each(sharedMemory ? ['by shared memory'] : [])('ends a loop that never yields, %s', async () => {
      const remote = await begin()
      const [ctx, cancel] = withCancel(background())
      const word = new Int32Array(new SharedArrayBuffer(4))
      const told = remote.spin(ctx, word)
      while (Atomics.load(word, 0) === 0) await new Promise((resolve) => setTimeout(resolve))
      cancel('in the loop')
      expect(await told).toBe('AbortError: in the loop')
    })

    test('what is not Comlink is told', () => {
      for (const wrong of [undefined, null, {}, { transferHandlers: {} }]) {
        expect(() => install(wrong as never)).toThrow(/^install\(\) needs the module of Comlink/)
      }
      expect(() => install(Comlink, { keys: ['x' as never] })).toThrow(/^install\(\) needs 'keys'/)
    })
  })
}
