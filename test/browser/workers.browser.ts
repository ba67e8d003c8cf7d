/** The conformance suite in Web Workers of a real browser. Whether its page is cross-origin isolated is up to who serves it. */
import { background, type Context, type LinkLostError, withCancel } from 'ctxbridge'
import { expose, link, wrap } from 'ctxbridge/worker'
import { expect, onTestFinished, test } from 'vitest'
import { conformance } from '../conformance/suite.ts'
import type { SharedJobs } from '../fixtures/shared-worker.ts'

/** Put in by vitest.browser.config.ts. */
declare const ISOLATED: boolean

const isolated = globalThis.crossOriginIsolated

test('the page is what it was asked to be', () => {
  expect(isolated).toBe(ISOLATED)
})

conformance({
  name: isolated ? 'in shared memory' : 'by messages alone',
  sharedMemory: isolated,
  wholeInLoops: false,
  start: () => new Worker(new URL('../conformance/jobs.ts', import.meta.url), { type: 'module' }),
  listen: (worker, f) => {
    const listener = (event: MessageEvent): void => f(event.data)
    ;(worker as Worker).addEventListener('message', listener)
    return () => (worker as Worker).removeEventListener('message', listener)
  },
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

/** What is given back comes by another port than an answer. */
async function nothingLeft(port: MessagePort): Promise<void> {
  await expect.poll(() => link(port).stats()).toMatchObject({ slots: 0, exports: 0, calls: 0 })
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
