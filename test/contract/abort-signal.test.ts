import { addAbortListener, EventEmitter, once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { afterFunc, background, cause, CanceledError, createRoot, DeadlineExceededError, withCancel, withSignal, withTimeout } from 'ctxbridge'
import { describe, expect, it } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'
import { collected, turn } from '../support/gc.ts'

/** A signal that counts its listeners. */
function counted(): { controller: AbortController; listeners: () => number } {
  const controller = new AbortController()
  const { signal } = controller
  const listeners = new Set<unknown>()
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = (type: string, listener: never, options?: never) => {
    listeners.add(listener)
    add(type, listener, options)
  }
  signal.removeEventListener = (type: string, listener: never, options?: never) => {
    listeners.delete(listener)
    remove(type, listener, options)
  }
  return { controller, listeners: () => listeners.size }
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
    const clock = new FakeClock()
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

  it('C56: listens only while it is observed, and its end removes the listener', () => {
    for (const end of ['own cancel', 'parent', 'signal', 'stop'] as const) {
      const { controller, listeners } = counted()
      const [parent, cancelParent] = withCancel(background())
      const ctx = withSignal(parent, controller.signal)
      expect(listeners(), 'nobody observes').toBe(0)
      const child = withCancel(ctx)
      const stop = afterFunc(child, () => {})
      expect(listeners(), 'somebody observes').toBe(1)
      if (end === 'own cancel') ctx.cancel()
      if (end === 'parent') cancelParent()
      if (end === 'signal') controller.abort()
      if (end === 'stop') expect(stop()).toBe(true)
      expect(child.err() === undefined, end).toBe(end === 'stop')
      // The platform took back what had run, being registered for once.
      if (end !== 'signal') expect(listeners(), end).toBe(0)
    }
  })

  it('C56: the order of an abort and a deadline below it is exact, though nobody looks', () => {
    const clock = new FakeClock()
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
    for (let round = 0; round < 20 && listeners() > 0; round++) await turn()
    expect(listeners()).toBe(0)
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
    expect(() => withSignal(background(), new AbortController() as never)).toThrow(/^withSignal\(\) needs an AbortSignal, but got an object of class AbortController\.$/)
    expect(() => withSignal(null as never, new AbortController().signal)).toThrow(/^withSignal\(\) needs a context/)
  })
})
