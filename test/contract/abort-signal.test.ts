import { addAbortListener, EventEmitter, getEventListeners, on, once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { addAbortSignal, PassThrough, Readable } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import { setTimeout as delay, setInterval } from 'node:timers/promises'
import {
  afterFunc,
  background,
  cause,
  CanceledError,
  type Context,
  createRoot,
  DeadlineExceededError,
  isCanceled,
  isDeadlineExceeded,
  withCancel,
  withSignal,
  withTimeout,
} from 'ctxbridge'
import { createFakeClock } from 'ctxbridge/testing'
import { describe, expect, it, vi } from 'vitest'
import { collected, turn } from '../support/gc.ts'

/** A signal, and how many listeners it has at present. */
function counted(): { controller: AbortController; listeners: () => number } {
  const controller = new AbortController()
  return { controller, listeners: () => getEventListeners(controller.signal, 'abort').length }
}

describe('ctx.signal', () => {
  it('C55: is a real AbortSignal, whose reason is err()', () => {
    const [ctx, cancel] = withCancel(background())
    const { signal } = ctx
    expect(signal).toBeInstanceOf(AbortSignal)
    expect(Object.prototype.toString.call(signal)).toBe('[object AbortSignal]')
    expect([signal.aborted, signal.reason]).toEqual([false, undefined])
    signal.throwIfAborted()
    let events = 0
    signal.addEventListener('abort', (event) => {
      events++
      expect([event.type, event.target]).toEqual(['abort', signal])
    })
    let handled = 0
    signal.onabort = () => handled++
    cancel(new Error('why'))
    expect([events, handled, signal.aborted]).toEqual([1, 1, true])
    expect(signal.reason).toBe(ctx.err())
    expect(() => signal.throwIfAborted()).toThrow(ctx.err())
  })

  it('C55: of a context that is done is aborted, and dispatches nothing', async () => {
    const [ctx, cancel] = withCancel(background())
    cancel('early')
    ctx.signal.addEventListener('abort', () => expect.unreachable('it was aborted before'))
    expect(ctx.signal.aborted).toBe(true)
    await turn()
  })

  it('C55: works with fetch, which rejects with err()', async () => {
    const arrived: (() => void)[] = []
    const server = createServer(() => arrived.forEach((f) => f()))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    try {
      const [ctx, cancel] = withCancel(background())
      const request = new Promise<void>((resolve) => arrived.push(resolve))
      const response = fetch(url, { signal: ctx.signal })
      await request
      cancel(new Error('tab closed'))
      expect(await response.catch((error: unknown) => error)).toBe(ctx.err())
      expect(await fetch(url, { signal: ctx.signal }).catch((error: unknown) => error)).toBe(ctx.err())
      const timed = withTimeout(background(), 20)
      expect(await fetch(url, { signal: timed.signal }).catch((error: unknown) => error)).toBeInstanceOf(DeadlineExceededError)
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })

  it('C55: works with events.once, addAbortListener, timers/promises and streams', async () => {
    const [ctx, cancel] = withCancel(background())
    let told = 0
    addAbortListener(ctx.signal, () => told++)
    const outcomes = [
      once(new EventEmitter(), 'never', { signal: ctx.signal }),
      delay(1_000_000, undefined, { signal: ctx.signal, ref: false }),
      pipeline(new Readable({ read() {} }), new PassThrough(), { signal: ctx.signal }),
    ].map((promise) => promise.then(undefined, (error: unknown) => error as Error))
    cancel('stop')
    for (const outcome of outcomes) {
      const error = await outcome
      expect(error).toMatchObject({ name: 'AbortError' })
      // Each wraps the reason, or is it.
      expect([error, (error as Error).cause]).toContain(ctx.err())
    }
    expect(told).toBe(1)
  })

  it('C55: works with the iterators of events and timers, with web streams and with addAbortSignal', async () => {
    const [ctx, cancel] = withCancel(background())
    const { signal } = ctx
    const stream = addAbortSignal(signal, new PassThrough())
    const events = on(new EventEmitter(), 'never', { signal })
    const ticks = setInterval(1_000_000, undefined, { signal, ref: false })
    const outcomes = [
      finished(stream),
      events.next(),
      ticks[Symbol.asyncIterator]().next(),
      new ReadableStream().pipeTo(new WritableStream(), { signal }),
      delay(1_000_000, undefined, { signal, ref: false }),
    ].map((promise: Promise<unknown>) => promise.then(undefined, (error: unknown) => error as Error))
    cancel('stop')
    for (const outcome of outcomes) {
      const error = await outcome
      expect(error).toMatchObject({ name: 'AbortError' })
      expect([error, (error as Error).cause]).toContain(ctx.err())
    }
    expect(() => addAbortSignal(signal, new PassThrough()).on('error', () => {})).not.toThrow()
  })

  it('C55: a body that is being read by fetch, and a server that is answering, are stopped by it', async () => {
    const server = createServer((_request, response) => void response.write('beginning'))
    await once(server.listen(0, '127.0.0.1'), 'listening')
    try {
      const [ctx, cancel] = withCancel(background())
      const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, { signal: ctx.signal })
      const reader = (response.body as ReadableStream<Uint8Array>).getReader()
      expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe('beginning')
      const rest = reader.read().then(undefined, (error: unknown) => error)
      cancel('enough')
      expect(await rest).toBe(ctx.err())
    } finally {
      server.closeAllConnections()
      server.close()
    }
  })

  it('C55: a Request made with it, and a clone of that, follow it', () => {
    const [ctx, cancel] = withCancel(background())
    const request = new Request('http://127.0.0.1/', { signal: ctx.signal })
    const clone = request.clone()
    cancel('stop')
    for (const { signal } of [request, clone]) expect([signal.aborted, signal.reason]).toEqual([true, ctx.err()])
  })

  it('C55: a deadline aborts what was made of it by AbortSignal.any, and by a listener with once', () => {
    const clock = createFakeClock()
    const ctx = withTimeout(createRoot({ clock }), 10)
    const any = AbortSignal.any([ctx.signal, withCancel(background()).signal])
    let events = 0
    ctx.signal.addEventListener('abort', () => events++, { once: true })
    clock.advanceSync(10)
    expect([any.aborted, any.reason, events]).toEqual([true, ctx.err(), 1])
    expect(any.reason).toBeInstanceOf(DeadlineExceededError)
  })

  it('C55: works with AbortSignal.any, before and after', () => {
    const [ctx, cancel] = withCancel(background())
    const before = AbortSignal.any([new AbortController().signal, ctx.signal])
    expect(before.aborted).toBe(false)
    cancel()
    expect([before.aborted, before.reason === ctx.err()]).toEqual([true, true])
    const after = AbortSignal.any([ctx.signal])
    expect([after.aborted, after.reason === ctx.err()]).toEqual([true, true])
  })

  it('C55: can be polled in a loop that never yields, and sees the deadline', () => {
    const clock = createFakeClock()
    const { signal } = withTimeout(createRoot({ clock }), 10)
    clock.block(9)
    expect(signal.aborted).toBe(false)
    let events = 0
    signal.addEventListener('abort', () => events++)
    clock.block(1)
    expect([signal.aborted, events]).toEqual([true, 1])
  })
})

describe('withSignal', () => {
  it('C56: is done when the signal aborts, with its reason as the cause', async () => {
    for (const observed of [false, true]) {
      const { controller } = counted()
      const ctx = withSignal(background(), controller.signal)
      const child = withCancel(ctx)
      if (observed) expect(child.signal.aborted).toBe(false)
      expect(child.err()).toBeUndefined()
      const reason = new Error('pressed stop')
      controller.abort(reason)
      expect(ctx.err()).toBeInstanceOf(CanceledError)
      expect(cause(ctx)).toBe(reason)
      expect(child.err()).toBe(ctx.err())
      if (observed) expect(await child.done).toBe(ctx.err())
    }
  })

  it('C56: of the signal of another context ends as that has, by its deadline or by a cancel, with its error as the cause', async () => {
    const clock = createFakeClock()
    for (const observed of [false, true]) {
      const [late, left] = [withTimeout(createRoot({ clock }), 50, 'too late'), withCancel(background())]
      const [below, beside] = [late, left].map(({ signal }) => withSignal(background(), signal))
      if (observed) expect([below?.signal.aborted, beside?.signal.aborted]).toEqual([false, false])
      await clock.advance(50)
      left.cancel('not needed')
      expect([isDeadlineExceeded(below?.err()), isCanceled(below?.err())]).toEqual([true, false])
      expect([isDeadlineExceeded(beside?.err()), isCanceled(beside?.err())]).toEqual([false, true])
      expect([cause(below as Context), cause(beside as Context)]).toEqual([late.err(), left.err()])
      expect(below?.err()).toMatchObject({ cause: { cause: 'too late' } })
    }
  })

  it('C56: a reason that asks the context when it is looked at is a reason like any other', () => {
    const controller = new AbortController()
    const ctx = withSignal(background(), controller.signal)
    const reason = {
      get cause(): unknown {
        return ctx.err()
      },
    }
    controller.abort(reason)
    expect(isCanceled(ctx.err())).toBe(true)
    expect(cause(ctx)).toBe(reason)
  })

  it('C56: of a signal that is aborted is done on return', () => {
    const ctx = withSignal(background(), AbortSignal.abort('gone'))
    expect(cause(ctx)).toBe('gone')
    const plain = withSignal(background(), AbortSignal.abort())
    expect(cause(plain)).toMatchObject({ name: 'AbortError' })
  })

  it('C56: the parent was first, when both are done', () => {
    const [parent, cancel] = withCancel(background())
    cancel('parent')
    expect(withSignal(parent, AbortSignal.abort('signal')).err()).toBe(parent.err())
  })

  it('C56: its end removes the listener from the signal, whatever ended it, observed or not', () => {
    for (const observed of [false, true]) {
      for (const end of ['own cancel', 'parent', 'deadline', 'signal'] as const) {
        const clock = createFakeClock()
        const { controller, listeners } = counted()
        const parent = withTimeout(createRoot({ clock }), 10)
        const ctx = withSignal(parent, controller.signal)
        const child = withCancel(ctx)
        if (observed) afterFunc(child, () => {})
        expect(listeners()).toBe(1)
        if (end === 'own cancel') ctx.cancel()
        if (end === 'parent') parent.cancel()
        if (end === 'deadline') clock.advanceSync(10)
        if (end === 'signal') controller.abort()
        expect(child.err(), end).toBeDefined()
        expect(listeners(), end).toBe(0)
      }
    }
  })

  it('C56: under a root, which never ends, it listens only while it is observed', () => {
    const { controller, listeners } = counted()
    const ctx = withSignal(background(), controller.signal)
    expect(listeners()).toBe(0)
    const stop = afterFunc(withCancel(ctx), () => {})
    expect(listeners()).toBe(1)
    expect(stop()).toBe(true)
    expect(listeners()).toBe(0)
    controller.abort('why')
    expect(cause(ctx)).toBe('why')
  })

  it('C56: an abort before the end of the parent counts, and one after it does not, though nobody looked', () => {
    for (const first of ['signal', 'parent'] as const) {
      const { controller } = counted()
      const parent = withCancel(background())
      const ctx = withSignal(withCancel(parent), controller.signal)
      if (first === 'signal') controller.abort('signal')
      parent.cancel('parent')
      controller.abort('signal')
      expect([cause(ctx), cause(parent)]).toEqual([first, 'parent'])
    }
  })

  it('C56: however many contexts join one signal, it has one listener, and Node has nothing to warn of', async () => {
    const warnings: unknown[] = []
    const warn = (warning: unknown): number => warnings.push(warning)
    process.on('warning', warn)
    const { controller, listeners } = counted()
    const parent = withCancel(background())
    const contexts = Array.from({ length: 100 }, () => withSignal(parent, controller.signal))
    for (const ctx of contexts.slice(0, 50)) void ctx.signal
    expect(listeners()).toBe(1)
    contexts[0]?.cancel('own')
    controller.abort('signal')
    await turn()
    process.off('warning', warn)
    expect(warnings).toEqual([])
    expect(contexts.map((ctx) => cause(ctx))).toEqual(['own', ...Array.from({ length: 99 }, () => 'signal')])
  })

  it('C56: the order of an abort and a deadline below it is exact, though nobody looks', () => {
    const clock = createFakeClock()
    for (const first of ['abort', 'deadline'] as const) {
      const { controller, listeners } = counted()
      const ctx = withSignal(createRoot({ clock }), controller.signal)
      const child = withTimeout(ctx, 10)
      clock.block(first === 'abort' ? 9 : 11)
      controller.abort('stop')
      clock.block(20)
      expect(child.err()).toBeInstanceOf(first === 'abort' ? CanceledError : DeadlineExceededError)
      expect(ctx.err()).toBeInstanceOf(CanceledError)
      const other = withSignal(createRoot({ clock }), counted().controller.signal)
      withTimeout(other, 10)
      other.cancel()
      expect(listeners()).toBeLessThanOrEqual(1)
    }
  })

  it('C56: the listener that keeps the time for a deadline goes with the end, and does not hold the context', async () => {
    const { controller, listeners } = counted()
    const ctx = withSignal(background(), controller.signal)
    withTimeout(ctx, 1_000_000)
    expect(listeners()).toBe(1)
    ctx.cancel()
    expect(listeners()).toBe(0)
    const dropped = (() => {
      const forgotten = withSignal(background(), controller.signal)
      withTimeout(forgotten, 1_000_000)
      return new WeakRef(forgotten)
    })()
    expect(await collected(dropped)).toBe(true)
    expect(listeners()).toBe(1)
  })

  it('C56: a signal that lives long keeps little of the contexts that were dropped', async () => {
    const { controller, listeners } = counted()
    const kept: unknown[] = []
    for (let round = 0; round < 20; round++) {
      for (let i = 0; i < 1_000; i++) withTimeout(withSignal(background(), controller.signal), 1_000_000)
      kept.push(withTimeout(withSignal(background(), controller.signal), 1_000_000))
      await turn()
      gc?.()
    }
    // Each listener that is left asks for its scope.
    const asked = vi.spyOn(WeakRef.prototype, 'deref')
    controller.abort('stop')
    expect(asked.mock.calls.length).toBeGreaterThanOrEqual(kept.length)
    expect(asked.mock.calls.length).toBeLessThan(5_000)
    asked.mockRestore()
    expect(kept.map((ctx) => cause(ctx as Context))).toEqual(kept.map(() => 'stop'))
    expect(listeners()).toBe(0)
  })

  it('C56: signals of AbortSignal.any, which the platform keeps while they have a listener, are let go of when their contexts were dropped', async () => {
    const long = new AbortController()
    const parent = withCancel(background())
    const signals: WeakRef<AbortSignal>[] = []
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 200; i++) {
        const signal = AbortSignal.any([long.signal, new AbortController().signal])
        signals.push(new WeakRef(signal))
        withTimeout(withSignal(i % 2 === 0 ? background() : parent, signal), 1_000_000).cancel()
      }
      await turn()
      gc?.()
    }
    await turn()
    gc?.()
    // Those of the last rounds are still to be found.
    expect(signals.filter((signal) => signal.deref() !== undefined).length).toBeLessThan(600)
  })

  it('C56: nothing of a request waits for a finalizer, though only the innermost of its contexts was cancelled', () => {
    const registered = vi.spyOn(FinalizationRegistry.prototype, 'register')
    const joined = withSignal(background(), new AbortController().signal)
    const ctx = withTimeout(joined, 1_000_000)
    ctx.cancel()
    expect(registered).not.toHaveBeenCalled()
    registered.mockRestore()
    expect(joined.err()).toBeUndefined()
  })

  it('C57: its own cancel does not abort the controller', () => {
    const controller = new AbortController()
    const ctx = withSignal(background(), controller.signal)
    expect(ctx.signal).not.toBe(controller.signal)
    ctx.cancel('own')
    expect(controller.signal.aborted).toBe(false)
    controller.abort()
    expect(cause(ctx)).toBe('own')
  })

  it('C3: refuses what is no signal and what is no context', () => {
    expect(() => withSignal(background(), new AbortController() as never)).toThrow(
      /^withSignal\(\) needs an AbortSignal, but got an object of class AbortController\.$/,
    )
    expect(() => withSignal(null as never, new AbortController().signal)).toThrow(/^withSignal\(\) needs a context/)
  })
})
