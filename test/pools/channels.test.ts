/** What goes between `run` and `job` beside the pool. No thread is needed: the pool is this test. */
import { background, type Context, isDeadlineExceeded, withCancel, withTimeout } from 'ctxbridge'
import { job, run, type RunOptions } from 'ctxbridge/piscina'
import { link } from 'ctxbridge/worker'
import { expect, onTestFinished, test, vi } from 'vitest'
import { run as runProgram } from '../support/child-process.ts'
import { turn } from '../support/gc.ts'
import { inTime, rejection } from '../worker/workers.ts'

interface Envelope {
  readonly handle: { readonly table: number; readonly link: number }
  readonly state: Int32Array
}

/** A job that has been given to a worker. */
interface Given {
  readonly envelope: Envelope
  readonly channel: string
  /** Resolves when the pool is told to abort it. */
  readonly aborted: Promise<unknown>
  readonly result: Promise<unknown>
  /** The worker is done with it. */
  end(value?: unknown): void
}

function deferred(): { readonly promise: Promise<unknown>; readonly resolve: (value?: unknown) => void } {
  let resolve: (value?: unknown) => void = () => undefined
  const promise = new Promise((settle) => (resolve = settle))
  return { promise, resolve }
}

function give(ctx: Context, options: RunOptions = {}): Given {
  const { promise, resolve } = deferred()
  let given: Given | undefined
  const pool = {
    run(envelope: Envelope, { signal }: { readonly signal?: NodeJS.EventEmitter }): Promise<unknown> {
      const channel = `ctxbridge.${envelope.handle.table}.${envelope.handle.link}`
      const aborted = new Promise((abort) => signal?.once('abort', () => abort('by force')))
      given = { envelope, channel, aborted, result: promise, end: resolve }
      return promise
    },
  }
  const result = run(pool as never, ctx, 1, options)
  return { ...(given as unknown as Given), result }
}

const begin = ({ envelope: { state } }: Given): void => Atomics.store(state, 0, 1) as never
const { port1 } = new MessageChannel()
const slots = (): number => link(port1).stats().slots
const long = (n: number): string => `${n} ${'x'.repeat(200)}`

test('a channel that much was sent on gets no new jobs, so that nothing piles up at an idle worker; those that have it hear on', async () => {
  const heard = new Map<string, number>()
  const listen = (name: string): void => {
    if (heard.has(name)) return
    heard.set(name, 0)
    const channel = new BroadcastChannel(name)
    channel.onmessage = () => heard.set(name, (heard.get(name) ?? 0) + 1)
    onTestFinished(() => channel.close())
  }
  const [early, cancelEarly] = withCancel(background())
  const first = give(early, { grace: Infinity })
  begin(first)
  listen(first.channel)
  for (let i = 0; i < 600; i++) {
    const [ctx, cancel] = withCancel(background())
    const one = give(ctx)
    begin(one)
    listen(one.channel)
    cancel(long(i))
    one.end()
    expect(await rejection(one.result)).toBe(ctx.err())
  }
  const sum = (): number => [...heard.values()].reduce((a, b) => a + b)
  while (sum() < 600) await turn()
  expect(heard.size).toBe(3)
  expect(Math.max(...heard.values())).toBe(256)
  cancelEarly(long(-1))
  while (sum() < 601) await turn()
  expect(heard.get(first.channel)).toBe(257)
  expect(slots()).toBe(1)
  const close = vi.spyOn(BroadcastChannel.prototype, 'close')
  first.end()
  expect(await rejection(first.result)).toBe(early.err())
  expect(close).toHaveBeenCalledOnce()
  expect(slots()).toBe(0)
  close.mockRestore()
})

test('a worker that gets a job of another channel leaves those that it has no job of', async () => {
  const begun: Context[] = []
  const work = job(async (ctx) => {
    begun.push(ctx)
    await ctx.done
  }) as (envelope: unknown) => Promise<unknown>
  const [slow, cancelSlow] = withCancel(background())
  const kept = give(slow)
  const running = work(kept.envelope)
  const change = async (): Promise<void> => {
    const before = give(background())
    for (;;) {
      const [ctx, cancel] = withCancel(background())
      const one = give(ctx)
      begin(one)
      cancel(long(0))
      one.end()
      await rejection(one.result)
      if (one.channel !== before.channel) break
    }
    before.end()
    await rejection(before.result)
  }
  const quick = async (): Promise<void> => {
    const [ctx, cancel] = withCancel(background())
    const one = give(ctx)
    const done = work(one.envelope)
    cancel('soon')
    await done
    one.end()
    await rejection(one.result)
  }
  await change()
  await quick()
  expect(begun[0]?.err()).toBe(undefined)
  cancelSlow(long(1))
  await running
  expect(begun[0]?.err()?.cause).toBe(long(1))
  kept.end()
  await rejection(kept.result)
  await change()
  const close = vi.spyOn(BroadcastChannel.prototype, 'close')
  await quick()
  // Both that it had.
  expect(close).toHaveBeenCalledTimes(2)
  close.mockRestore()
})

test('a job whose deadline has passed when its worker comes to it is not called, though its caller is busy and has not noticed', async () => {
  const f = vi.fn()
  await inTime(5, async (ms) => {
    const one = give(withTimeout(background(), ms))
    // Otherwise it had passed before the job could be given to anybody.
    const isGiven = 'envelope' in one
    for (const until = performance.now() + ms + 1; performance.now() < until; );
    // A word of its own: in this thread the caller notices while the job is being imported, and is first.
    const envelope = { ...one.envelope, state: new Int32Array(new SharedArrayBuffer(4)) }
    if (isGiven) one.end(await (job(f) as (envelope: unknown) => Promise<unknown>)(envelope))
    expect(isDeadlineExceeded(await rejection(one.result))).toBe(true)
    expect(f).not.toHaveBeenCalled()
    return isGiven
  })
})

test('a job that has heeded its context within its grace is not ended by force after that', async () => {
  const [ctx, cancel] = withCancel(background())
  const one = give(ctx, { grace: 1 })
  begin(one)
  cancel()
  one.end()
  expect(await rejection(one.result)).toBe(ctx.err())
  // A grace that was begun before this one, and is shorter, is over when this one is.
  const [other, cancelOther] = withCancel(background())
  const deaf = give(other, { grace: 3 })
  begin(deaf)
  cancelOther()
  expect(await deaf.aborted).toBe('by force')
  deaf.end()
  expect(await rejection(deaf.result)).toMatchObject({ code: 'ERR_CONTEXT_IGNORED' })
  expect(await Promise.race([one.aborted, 'not'])).toBe('not')
})

test('in a page that cannot share memory it is said that a pool needs that', async () => {
  const { stdout } = await runProgram(`
    globalThis.crossOriginIsolated = false
    const { background } = await import('ctxbridge')
    const { run } = await import('ctxbridge/workerpool')
    try { run({ exec() {} }, background(), 1, { method: 'f' }) } catch (error) { console.log(String(error)) }
  `)
  expect(stdout).toMatch(/^TypeError: run\(\) needs shared memory, .+ wrap\(\) of 'ctxbridge\/worker' goes by messages\.\n$/)
})

test('a process that has no shared memory is not called a page', async () => {
  const { stdout } = await runProgram(`
    delete globalThis.SharedArrayBuffer
    const { background } = await import('ctxbridge')
    const { run } = await import('ctxbridge/workerpool')
    try { run({ exec() {} }, background(), 1, { method: 'f' }) } catch (error) { console.log(String(error)) }
  `)
  expect(stdout).toBe(
    "TypeError: run() needs shared memory, which this process has none of: wrap() of 'ctxbridge/worker' goes by messages.\n",
  )
})
