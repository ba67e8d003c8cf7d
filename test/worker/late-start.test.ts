/** A side that begins to listen when the other one has posted already. Both are in this thread, and a listener of the program's own takes what comes before. */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { background, cause, type Context, LinkLostError, withCancel } from 'ctxbridge'
import { expose, link, type Remote, wrap } from 'ctxbridge/worker'
import { expect, onTestFinished, test } from 'vitest'
import { arrived, collected, heapInUse, turn } from '../support/gc.ts'
import { empty, rejection } from './workers.ts'

const api = {
  add: (a: number, b: number): number => a + b,
  only: ({ n }: { readonly n: number }): number => n,
  sum: (numbers: readonly number[]): number => numbers.reduce((sum, n) => sum + n, 0),
  note: (what: unknown): unknown => saw.push(what),
  size: (_ctx: Context, buffer: ArrayBuffer): number => buffer.byteLength,
  async wait(ctx: Context): Promise<string> {
    await ctx.done
    saw.push(cause(ctx))
    return 'ended'
  },
}

const saw: unknown[] = []

/** Whoever listens at the second port loses what comes before it serves. */
function lateSides(sharedMemory = true): { port1: MessagePort; port2: MessagePort; remote: Remote<typeof api> } {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  const remote = wrap<typeof api>(port1, { sharedMemory })
  port2.on('message', () => undefined)
  saw.length = 0
  return { port1, port2, remote }
}

test.each([true, false])(
  'calls that nobody heard wait until somebody does, with their contexts; shared memory: %s',
  async (shared) => {
    const { port1, port2, remote } = lateSides(shared)
    const ctx = withCancel(background())
    const calls = [remote.add(1, 2), remote.wait(ctx), remote.wait(ctx)]
    await arrived()
    expose(api, port2)
    const [sum, ...waiting] = calls
    expect(await sum).toBe(3)
    while (link(port2).stats().observers === 0) await turn()
    ctx.cancel('later')
    for (const call of waiting) expect(await rejection(call)).toBe(ctx.err())
    while (saw.length < 2) await turn()
    expect(saw).toEqual(['later', 'later'])
    while (link(port1).stats().calls > 0) await turn()
    expect(link(port1).stats()).toMatchObject(empty)
    expect(await remote.add(3, 4)).toBe(7)
  },
)

test.each([true, false])(
  'a context that ended meanwhile has done so with all of its cause; shared memory: %s',
  async (shared) => {
    const { port1, port2 } = lateSides(shared)
    const ctx = withCancel(background())
    const handle = link(port1).export(ctx)
    const long = 'so '.repeat(100)
    ctx.cancel(long)
    await arrived()
    const theirs = link(port2)
    // One turn for what each of both says of what it has heard.
    for (let imported; imported === undefined || cause(imported) !== long; await turn()) imported = theirs.import(handle)
    expect(link(port1).stats()).toMatchObject({ exports: 0 })
  },
)

test('what is called later does not overtake: it waits for the attach that its context needs', async () => {
  const { port2, remote } = lateSides()
  const ctx = withCancel(background())
  const early = remote.wait(ctx)
  await arrived()
  expose(api, port2)
  // Comes before this end has heard that the other one listens.
  const late = remote.wait(ctx)
  while (link(port2).stats().imports < 2) await turn()
  ctx.cancel('both')
  expect([await rejection(early), await rejection(late)]).toEqual([ctx.err(), ctx.err()])
  while (saw.length < 2) await turn()
  expect(saw).toEqual(['both', 'both'])
})

test('calls begin in the order in which they were made, whichever of them were heard when', async () => {
  const { port2, remote } = lateSides()
  const calls = [remote.note('missed'), remote.note('missed, too')]
  await arrived()
  calls.push(remote.note('on its way'))
  // Begins to listen in one turn with the posting of that: so it is heard, and the first two are not.
  expose(api, port2)
  calls.push(remote.note('before either has answered'))
  await Promise.all(calls)
  await remote.note('after all')
  expect(saw).toEqual(['missed', 'missed, too', 'on its way', 'before either has answered', 'after all'])
})

test('no more than 10,000 calls wait for somebody to serve them, whether they were missed or heard: the newest are refused', async () => {
  const { port2, remote } = lateSides()
  const call = async (n: number): Promise<unknown> => remote.note(n).catch((error: { code: unknown }) => error.code)
  const calls = Array.from({ length: 5_001 }, (_, n) => call(n))
  await arrived()
  const theirs = link(port2)
  calls.push(...Array.from({ length: 5_001 }, (_, n) => call(5_001 + n)))
  expect(await Promise.all(calls.slice(-2))).toEqual(['ERR_LIMIT', 'ERR_LIMIT'])
  expose(api, port2)
  await Promise.all(calls)
  expect(theirs.stats()).toMatchObject({ calls: 0 })
  expect(saw).toEqual(Array.from({ length: 10_000 }, (_, n) => n))
})

test('the end of a channel that nobody heard of may be closed', async () => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  const remote = wrap<typeof api>(port1)
  let closed = 0
  port2.on('message', ({ port }: { readonly port?: MessagePort }) => {
    if (port === undefined) return
    port.close()
    closed++
  })
  const ctx = withCancel(background())
  const early = remote.wait(ctx)
  await arrived()
  expect(closed).toBe(1)
  expose(api, port2)
  const late = remote.wait(ctx)
  while (link(port2).stats().observers === 0) await turn()
  ctx.cancel('late')
  expect([await rejection(early), await rejection(late)]).toEqual([ctx.err(), ctx.err()])
})

test('arguments are those of the moment of the call', async () => {
  const { port2, remote } = lateSides()
  const numbers = [1, 2]
  const call = remote.sum(numbers)
  numbers.push(3)
  await arrived()
  expose(api, port2)
  expect(await call).toBe(3)
})

test('an argument is read no more often than when the other side is there, and nobody gets what is read later', async () => {
  const { port2, remote } = lateSides()
  let reads = 0
  const counted = {
    get n(): number {
      return ++reads
    },
  }
  const early = remote.only(counted)
  const atFirst = reads
  await arrived()
  expose(api, port2)
  expect(await early).toBe(atFirst)
  reads = 0
  expect(await remote.only(counted)).toBe(atFirst)
})

test('what is posted on a channel of which it is known that it has come is not kept', async () => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  // Its first message is heard by nobody: so this end is not asked what it has missed.
  port1.on('message', () => undefined)
  const theirs = link(port2)
  await arrived()
  const mine = link(port1)
  const all = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const ctx = withCancel(background())
      const over = theirs.import(mine.export(ctx))
      ctx.cancel(`${i} ${'x'.repeat(900)}`)
      expect(cause(over)).toBe(`${i} ${'x'.repeat(900)}`)
      if (i % 100 === 0) await turn()
    }
    await arrived()
  }
  mine.export(background())
  await arrived()
  await all(2_000)
  const before = await heapInUse()
  await all(6_000)
  expect((await heapInUse()) - before).toBeLessThan(2 << 20)
})

test('a call whose argument was transferred to nobody is lost, and says so; the others are made', async () => {
  const { port1, port2, remote } = lateSides()
  const { port1: transferred } = new MessageChannel()
  const { transfer } = await import('comlink')
  const lost = rejection(remote.size(background(), transfer(new ArrayBuffer(8), [transferred])))
  const made = remote.size(background(), new ArrayBuffer(8))
  await arrived()
  expose(api, port2)
  expect(await made).toBe(8)
  const error = await lost
  expect(error).toBeInstanceOf(LinkLostError)
  expect(error).toMatchObject({ message: expect.stringContaining('what was transferred with it is gone') as string })
  expect(link(port1).stats()).toMatchObject({ calls: 0, slots: 0 })
})

test('a call that nobody waits for any more is not kept, and not made', async () => {
  const { port1, port2, remote } = lateSides()
  let ran = 0
  const ctx = withCancel(background())
  const before = process.memoryUsage().arrayBuffers
  const kept = (): number => process.memoryUsage().arrayBuffers - before
  const given = Array.from({ length: 50 }, () => rejection(remote.size(ctx, new ArrayBuffer(1 << 20))))
  expect(kept()).toBeGreaterThanOrEqual(50 << 20)
  ctx.cancel('enough')
  for (const call of given) expect(await call).toBe(ctx.err())
  for (let turns = 0; turns < 50 && kept() >= 10 << 20; turns++) await collected(new WeakRef({}))
  expect(kept()).toBeLessThan(10 << 20)
  expose({ ...api, size: () => ++ran }, port2)
  expect(await remote.add(1, 2)).toBe(3)
  expect(ran).toBe(0)
  expect(link(port1).stats()).toMatchObject(empty)
})

test('a call that was rejected as the other side closed its end does not run when that opens it again', async () => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  for (const port of [port1, port2]) port.on('message', () => undefined)
  const theirs = link(port2)
  await arrived()
  let ran = 0
  const call = rejection(wrap<{ f(): number }>(port1).f())
  theirs[Symbol.dispose]()
  expect(await call).toBeInstanceOf(LinkLostError)
  // Nobody has heard it, and it is not on its way any more.
  await arrived()
  expose({ f: () => ++ran }, port2)
  await arrived()
  await arrived()
  expect(ran).toBe(0)
})

test('calls of somebody who never says that it is there wait up to 10,000, and more are refused', async () => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  let ran = 0
  expose({ f: () => ++ran }, port2)
  const answers: unknown[] = []
  port1.on('message', (message) => Array.isArray(message) && answers.push(message))
  for (let id = 0; id < 10_001; id++) port1.postMessage(['ctxbridge.call', 1, id, ['f']])
  while (answers.length === 0) await turn()
  expect(answers).toMatchObject([{ 2: 10_000, 3: { refused: ['ERR_LIMIT', expect.any(String) as string] } }])
  expect(ran).toBe(0)
  port1.postMessage({ ctxbridge: 'here', version: 1 })
  while (answers.length < 10_001) await turn()
  expect(ran).toBe(10_000)
})

test('a handle that is imported before anything was heard says what to do', async () => {
  const { port1, port2 } = lateSides()
  const handle = link(port1).export(withCancel(background()))
  await arrived()
  expect(String(cause(link(port2).import(handle)))).toContain('Call link() when this thread starts')
})

test('what was heard is not done twice, whoever says how often what', async () => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  let times = 0
  expose({ once: () => ++times }, port2)
  const remote = wrap<{ once(): number }>(port1)
  expect(await remote.once()).toBe(1)
  for (const count of [-1, 0.5, 'x', NaN, 1e9, 0, 1]) {
    for (const ctxbridge of ['here', 'sent', 'got', 'again']) {
      for (const port of [port1, port2]) port.postMessage({ ctxbridge, version: 1, count, messages: [[count], { ctxbridge }] })
    }
  }
  await arrived()
  expect(await remote.once()).toBe(2)
  expect(times).toBe(2)
})
