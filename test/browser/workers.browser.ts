/** The conformance suite in Web Workers of a real browser. Whether its page is cross-origin isolated is up to who serves it. */
import * as Comlink from 'comlink'
import { background, cause, type Context, type LinkLostError, withCancel, withTimeout } from 'ctxbridge'
import { install } from 'ctxbridge/comlink'
import { connect } from 'ctxbridge/message-port'
import { type ContextHandle, expose, link, type Remote, wrap } from 'ctxbridge/worker'
import { describe, expect, onTestFinished, test } from 'vitest'
import { conformance } from '../conformance/suite.ts'
import type { LateSharedApi } from '../fixtures/late-shared-worker.ts'
import type { LateApi } from '../fixtures/late-worker.ts'
import type { MovedClock } from '../fixtures/moved-clock-worker.ts'
import type { SharedJobs } from '../fixtures/shared-worker.ts'
import type { Unmade } from '../fixtures/unmade-worker.ts'

/** Put in by vitest.browser.config.ts. */
declare const ISOLATED: boolean

const isolated = globalThis.crossOriginIsolated

test('the page is what it was asked to be', () => {
  expect(isolated).toBe(ISOLATED)
})

test('a window, whose other side may be anybody, is no endpoint of a connection', () => {
  const frame = document.createElement('iframe')
  const elsewhere = document.createElement('iframe')
  elsewhere.sandbox.value = 'allow-scripts'
  document.body.append(frame, elsewhere)
  onTestFinished(() => {
    frame.remove()
    elsewhere.remove()
  })
  for (const window of [self, frame.contentWindow, elsewhere.contentWindow, new BroadcastChannel('many')])
    expect(() => connect(window as never)).toThrow(/^connect\(\) needs an endpoint with one other side, but got a /)
})

test('something around a port or a worker, as frameworks make, is refused at once', () => {
  const worker = new Worker(new URL('../conformance/jobs.ts', import.meta.url), { type: 'module' })
  const takes: readonly ((endpoint: Worker | MessagePort) => unknown)[] = [
    (endpoint) => wrap(endpoint),
    (endpoint) => link(endpoint),
    (endpoint) => expose({ f: () => 1 }, endpoint),
  ]
  for (const around of [new Proxy(new MessageChannel().port1, {}), new Proxy(worker, {})])
    for (const take of takes)
      expect(() => take(around)).toThrow(
        /^\w+\(\) needs a Worker or a MessagePort itself, but got something around one, which throws\.$/,
      )
  worker.terminate()
})

conformance({
  name: isolated ? 'in shared memory' : 'by messages alone',
  sharedMemory: isolated,
  wholeInLoops: false,
  sharedClock: false,
  start: () => new Worker(new URL('../conformance/jobs.ts', import.meta.url), { type: 'module' }),
  listen: (worker, f) => {
    const listener = (event: MessageEvent): void => f(event.data)
    ;(worker as Worker).addEventListener('message', listener)
    return () => (worker as Worker).removeEventListener('message', listener)
  },
})

describe('a worker that serves late', () => {
  function late(): { worker: Worker; remote: Remote<LateApi> } {
    const worker = new Worker(new URL('../fixtures/late-worker.ts', import.meta.url), { type: 'module' })
    onTestFinished(() => worker.terminate())
    // It is meant to fail.
    worker.addEventListener('error', (event) => event.preventDefault())
    return { worker, remote: wrap<LateApi>(worker) }
  }

  test('gets the calls that nobody heard, with their contexts', async () => {
    const { worker, remote } = late()
    const ctx = withCancel(background())
    const call = remote.wait(ctx).catch((error: unknown) => error)
    const doubled = remote.double(21)
    worker.postMessage('serve')
    expect(await doubled).toBe(42)
    ctx.cancel('why')
    expect(await call).toBe(ctx.err())
    for (let seen; seen !== 'why'; ) seen = await remote.seen()
    expect(link(worker).stats()).toMatchObject({ exports: 0, calls: 0 })
  })

  test('is there, also where memory that it cannot be given comes before the attach that it belongs to is heard', async () => {
    const { port } = new SharedWorker(new URL('../fixtures/late-shared-worker.ts', import.meta.url), { type: 'module' })
    const remote = wrap<LateSharedApi>(port)
    expect(await remote.double(21)).toBe(42)
    remote[Symbol.dispose]()
  })

  test('is there again, though it was taken for one that could not be started', async () => {
    const { worker, remote } = late()
    const call = remote.double(1).catch((error: unknown) => error)
    worker.postMessage('fail')
    expect(await call).toMatchObject({ message: expect.stringContaining('could not be started') as string })
    worker.postMessage('serve')
    for (let doubled; doubled !== 4; doubled = await remote.double(2).catch(() => undefined))
      await new Promise((resolve) => setTimeout(resolve))
    expect(await remote.double(21)).toBe(42)
  })
})

/** Imports one when the other side has announced itself, and its memory has not come; before that the others, which are given back at once. */
function imported(port: MessagePort, handle: unknown, others: readonly unknown[] = []): Promise<Context> {
  return new Promise((resolve) => {
    port.addEventListener('message', ({ data }: MessageEvent<{ ctxbridge?: string }>) => {
      if (data.ctxbridge !== 'attach') return
      for (const other of others) link(port).import(other).cancel()
      resolve(link(port).import(handle))
    })
  })
}

test('who closes its end of a port, before or after it has read anything, and opens it again, is there again for good', async () => {
  const { port1, port2 } = new MessageChannel()
  const api = { add: (a: number, b: number): number => a + b }
  const lost = (call: Promise<number>): Promise<unknown> => call.catch((error: LinkLostError) => error.message)
  expose(api, port1)
  expose(api, port2)
  const remote = wrap<typeof api>(port2)
  for (let round = 0; round < 5; round++) {
    // In each second round nothing of this end was read when the other one is closed.
    if (round % 2 === 1) expect(await remote.add(round, 1)).toBe(round + 1)
    const pending = lost(remote.add(1, 2))
    link(port1)[Symbol.dispose]()
    // At once, so that the new end reads what was sent to the closed one.
    expose(api, port1)
    const back = wrap<typeof api>(port1)
    expect(await pending).toBe('The other thread has closed the link.')
    // Long enough for whatever is left of the closed end to be told of: that is no end of the new one.
    for (let call = 0; call < 50; call++) expect(await back.add(call, 1)).toBe(call + 1)
    expect(await remote.add(2, 3)).toBe(5)
  }
  port1.close()
  port2.close()
})

test('what was sent to an end that was closed ends at the one that has come after it, which goes on', async () => {
  const { port1, port2 } = new MessageChannel()
  const api = { add: (a: number, b: number): number => a + b }
  expose(api, port2)
  const handle = link(port2).export(withCancel(background()))
  // The channel that was announced is read by the new end alone, and closed by who announced it.
  link(port1)[Symbol.dispose]()
  expose(api, port1)
  const there = await imported(port1, handle)
  // Where its memory comes after that, the slot is not there any more.
  expect(['ERR_LINK_LOST', 'ERR_HANDLE']).toContain(((await there.done).cause as LinkLostError).code)
  expect(await wrap<typeof api>(port1).add(1, 2)).toBe(3)
  expect(await wrap<typeof api>(port2).add(2, 3)).toBe(5)
  expect([String(link(port1)), String(link(port2))].filter((text) => text.includes('closed'))).toEqual([])
  port1.close()
  port2.close()
})

/** A page that is cross-origin isolated has memory to share, and a shared worker is in no position to take it: which no page can know before it has tried. */
function sharedWorker(): MessagePort {
  const url = new URL('../fixtures/shared-worker.ts', import.meta.url)
  const { port } = new SharedWorker(url, { type: 'module', name: crypto.randomUUID() })
  onTestFinished(() => port.close())
  return port
}

/** A port to one, which may be a service worker. */
async function unmade(kind: 'shared worker' | 'service worker'): Promise<MessagePort> {
  const url = new URL('../fixtures/unmade-worker.ts', import.meta.url)
  if (kind === 'shared worker') return new SharedWorker(url, { type: 'module' }).port
  const registration = await navigator.serviceWorker.register(url, { type: 'module' })
  onTestFinished(async () => void (await registration.unregister()))
  const { port1, port2 } = new MessageChannel()
  const { installing, waiting, active } = registration
  ;(installing ?? waiting ?? active)?.postMessage('a port', [port2])
  return port1
}

test.each(['shared worker', 'service worker'] as const)('a %s is told what it cannot do', async (kind) => {
  const remote = wrap<Unmade>(await unmade(kind))
  // A shared worker is not isolated, whatever its page is.
  const sleepless = isolated && kind === 'service worker' ? 'a worker thread that may block' : 'shared memory'
  expect(await remote.sleepSync()).toMatch(new RegExp(`^TypeError: sleepSync\\(\\) needs ${sleepless}, .+\\.$`))
  for (const error of await remote.withoutEndpoint())
    expect(error).toMatch(/^TypeError: \w+\(\) needs a Worker or a MessagePort here: .+ shared worker or service worker has\.$/)
  remote[Symbol.dispose]()
})

test('a port that a frame of the page has made is one like any other', async () => {
  const frame = document.body.appendChild(document.createElement('iframe'))
  onTestFinished(() => frame.remove())
  const { MessageChannel: Channel, MessagePort: Port } = frame.contentWindow as Window & typeof globalThis
  const { port1, port2 } = new Channel()
  expect([port1 instanceof MessagePort, port1 instanceof Port]).toEqual([false, true])
  const seen: unknown[] = []
  expose(
    {
      async wait(ctx: Context): Promise<void> {
        await ctx.done
        seen.push(cause(ctx))
      },
      echo: (value: unknown): unknown => value,
    },
    port2,
  )
  const remote = wrap<{ wait(ctx: Context): Promise<void>; echo(value: unknown): unknown }>(port1)
  const ctx = withCancel(background())
  const call = remote.wait(ctx).catch((error: unknown) => error)
  expect(await remote.echo({ list: [1, 'text'] })).toEqual({ list: [1, 'text'] })
  ctx.cancel(new Error('of the page'))
  expect(await call).toBe(ctx.err())
  await nothingLeft(port1)
  expect(seen).toMatchObject([{ message: 'of the page' }])
  expect(() => wrap(port1, { grace: 1 })).toThrow(/only give a 'grace' to a Worker/)
  port1.close()
})

test('an AbortSignal that a frame of the page has made is one like any other', async () => {
  install(Comlink)
  const frame = document.body.appendChild(document.createElement('iframe'))
  onTestFinished(() => frame.remove())
  const { AbortController: Controller } = frame.contentWindow as Window & typeof globalThis
  const came: AbortSignal[] = []
  const api = {
    async wait(signal: AbortSignal, options: { signal?: AbortSignal }): Promise<void> {
      const signals = options.signal === undefined ? [signal] : [signal, options.signal]
      came.push(...signals)
      await Promise.all(signals.map((each) => new Promise((resolve) => each.addEventListener('abort', resolve))))
    },
  }
  const [own, plain] = [new MessageChannel(), new MessageChannel()]
  expose(api, own.port1)
  Comlink.expose(api, plain.port1)
  const calls = [wrap<typeof api>(own.port2).wait, Comlink.wrap<typeof api>(plain.port2).wait]
  for (const [i, wait] of calls.entries()) {
    const controller = new Controller()
    expect(controller.signal).not.toBeInstanceOf(AbortSignal)
    const call = wait(controller.signal, i === 0 ? { signal: controller.signal } : {}).catch((error: unknown) => error)
    while (came.length < 2 + i) await new Promise((resolve) => setTimeout(resolve))
    controller.abort('enough')
    await call
    while (!came.every(({ aborted }) => aborted)) await new Promise((resolve) => setTimeout(resolve))
  }
  expect(came).toMatchObject([1, 2, 3].map(() => ({ aborted: true, reason: 'enough' })))
  for (const { port1 } of [own, plain]) port1.close()
})

/** What is given back comes by another port than an answer. */
async function nothingLeft(port: MessagePort): Promise<void> {
  const left = (): number => {
    const { slots, exports, calls } = link(port).stats()
    return slots + exports + calls
  }
  while (left() > 0) await new Promise((resolve) => setTimeout(resolve))
}

test('a shared worker, which no memory can be shared with, hears of each end from the first call on', async () => {
  const port = sharedWorker()
  const remote = wrap<SharedJobs>(port)
  const [long, soon, byHand, later] = Array.from({ length: 4 }, () => withCancel(background()))
  const calls = [long, soon].map((ctx) => remote.wait(ctx as Context).catch((error: Error) => error))
  const handle = link(port).export(byHand as Context)
  // Before the other side can have said anything.
  const text = 'a cause that is longer than what a slot has room for, '.repeat(5)
  soon?.cancel(new Error(text))
  byHand?.cancel('by hand')
  await remote.hear(background(), handle)
  expect(await remote.ended(background(), 'by hand')).toEqual(['AbortError'])
  long?.cancel('a while later')
  calls.push(remote.wait(later as Context).catch((error: Error) => error))
  later?.cancel('when it is known')
  expect(await Promise.all(calls)).toEqual([long?.err(), soon?.err(), later?.err()])
  expect(await remote.add(withCancel(background()), 1, 2)).toBe(3)
  expect(await remote.ended(background(), 'a while later')).toEqual(['AbortError'])
  await nothingLeft(port)
})

test('a shared worker hears of an end that came while its call was on its way, with a long cause', async () => {
  const port = sharedWorker()
  const remote = wrap<SharedJobs>(port)
  const ctx = withCancel(background())
  const handles = [link(port).export(ctx), link(port).export(ctx)]
  const text = 'a cause that is longer than what a slot has room for, '.repeat(5)
  ctx.cancel(new Error(text))
  for (const handle of handles) await remote.hear(background(), handle)
  expect(await remote.ended(background(), text, 2)).toEqual(['AbortError', 'AbortError'])
  await nothingLeft(port)
})

test('what is imported, or given back, before the memory has come is no different then', async () => {
  const { port1, port2 } = new MessageChannel()
  const [ctx, other] = [withCancel(background()), withCancel(background())]
  link(port2)
  const [first, ...more] = [ctx, other, other].map((each) => link(port1).export(each))
  const there = await imported(port2, first, more)
  ctx.cancel('all the same')
  expect(await there.done).toMatchObject({ cause: 'all the same' })
  other.cancel()
  await nothingLeft(port1)
  port1.close()
  port2.close()
})

test('a handle with a deadline says when it was sent, and so does what comes before the first one', async () => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  const attach = new Promise<unknown>((resolve) => {
    port2.addEventListener('message', ({ data }: MessageEvent<{ ctxbridge?: string }>) => {
      if (data.ctxbridge === 'attach') resolve(data)
    })
    port2.start()
  })
  const before = performance.now()
  const { sent } = link(port1).export(withTimeout(background(), 1_000))
  const { now } = (await attach) as { now: number }
  for (const said of [sent, now]) {
    expect(said).toBeGreaterThanOrEqual(before)
    expect(said).toBeLessThanOrEqual(performance.now())
  }
  expect(link(port1).export(withCancel(background()))).not.toHaveProperty('sent')
})

/** What four readings are off by, in ms: what is left of a deadline in another thread is more by no more than that than what was left when it was sent. */
const rounding = 5

describe.each([60_000, 100, -60_000])('a worker that started when the wall clock had been moved by %s ms', (moved) => {
  const start = (): Worker => {
    const url = new URL('../fixtures/moved-clock-worker.ts', import.meta.url)
    const worker = new Worker(url, { type: 'module', name: String(moved) })
    onTestFinished(() => worker.terminate())
    return worker
  }

  /** By how much a deadline of this thread is later over there, at the least and at the most. */
  const lateness = async (remaining: (ctx: Context) => Promise<number>, cause?: string): Promise<[number, number]> => {
    const ctx = withTimeout(background(), 600_000, cause)
    const before = ctx.remaining()
    const there = await remaining(ctx)
    return [there - before, there - ctx.remaining()]
  }

  test('keeps the deadlines that it is sent, never early', async () => {
    const worker = start()
    const remote = wrap<MovedClock>(worker)
    // The first one before it is known whether there is memory, the last one in a form of its own.
    for (const cause of [undefined, undefined, 'of a budget']) {
      const [least, most] = await lateness((ctx) => remote.remaining(ctx), cause)
      expect(least).toBeLessThanOrEqual(rounding)
      expect(most).toBeGreaterThanOrEqual(0)
    }
  })

  test('keeps those that come by plain Comlink', async () => {
    install(Comlink)
    const remote = Comlink.wrap<MovedClock>(start())
    for (let call = 0; call < 2; call++) {
      const [least, most] = await lateness((ctx) => remote.remaining(ctx))
      expect(least).toBeLessThanOrEqual(rounding)
      expect(most).toBeGreaterThanOrEqual(0)
    }
  })

  test('sends such as are kept here', async () => {
    const worker = start()
    const remote = wrap<MovedClock>(worker)
    const ctx = link(worker).import(await remote.send())
    const here = ctx.remaining()
    expect(here).toBeGreaterThanOrEqual(await remote.left())
    expect(here).toBeLessThanOrEqual(600_000 + rounding)
    link(worker)[Symbol.dispose]()
  })
})

test('who forges when a handle was sent hurts no context of another link', async () => {
  const links = [new MessageChannel(), new MessageChannel()] as const
  const ctx = withTimeout(background(), 600_000)
  const exported = ({ port1, port2 }: MessageChannel): Promise<ContextHandle> => {
    onTestFinished(() => port1.close())
    link(port2)
    return new Promise((resolve) => {
      const handle = link(port1).export(ctx)
      port2.addEventListener('message', ({ data }: MessageEvent<{ ctxbridge?: string }>) => {
        if (data.ctxbridge === 'attach') resolve(handle)
      })
    })
  }
  const [forged, honest] = await Promise.all([exported(links[0]), exported(links[1])])
  for (const sent of [Number.MAX_VALUE, -Number.MAX_VALUE, Number.NaN, 'x' as never]) {
    link(links[0].port2)
      .import({ ...forged, sent })
      .cancel()
    const there = link(links[1].port2).import(honest)
    expect(there.err()).toBeUndefined()
    expect(there.remaining()).toBeGreaterThanOrEqual(ctx.remaining())
    expect(there.remaining()).toBeLessThanOrEqual(600_000 + rounding)
  }
})
