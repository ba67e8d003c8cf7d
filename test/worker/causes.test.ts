import { MessageChannel } from 'node:worker_threads'
import { background, CanceledError, cause, DeadlineExceededError, RemoteError, withCancel, withTimeout } from 'ctxbridge'
import { link } from 'ctxbridge/worker'
import { expect, test, vi } from 'vitest'
import { collected } from '../support/gc.ts'
import { flag, heard, inTime, isAttach, quiet, reached, rejection, startJobs } from './workers.ts'

const long = 'x'.repeat(10_000)
const huge = 'x'.repeat(10_000_000)
const cyclic = new Error('round')
cyclic.cause = cyclic
const hostile = new Proxy(new Error('hidden'), {
  get() {
    throw new Error('a trap')
  },
})

/** What was given to the cancel, and what the worker sees of it. */
const causes: [string, unknown, unknown][] = [
  ['nothing', undefined, 'itself'],
  ['a text', 'stop', 'stop'],
  ['null', null, null],
  ['a number', -0, -0],
  ['data', { job: 7, tags: ['a', null] }, { job: 7, tags: ['a', null] }],
  [
    'an error with a code',
    Object.assign(new TypeError('bad'), { code: 'E_BAD' }),
    { name: 'TypeError', message: 'bad', code: 'E_BAD', class: 'RemoteError' },
  ],
  [
    'a chain',
    new Error('outer', { cause: new Error('inner', { cause: 'root' }) }),
    { name: 'Error', message: 'outer', cause: { name: 'Error', message: 'inner', cause: 'root' } },
  ],
  [
    'another end',
    new DeadlineExceededError({ cause: 'db' }),
    { name: 'TimeoutError', cause: 'db', class: 'DeadlineExceededError' },
  ],
  ['a long message', new Error(long), { name: 'Error', message: expect.stringMatching(/^x{1000,}…$/) as string }],
  [
    'a chain that is longer than a slot',
    chain(6, 150),
    {
      message: expect.stringContaining('level 6') as string,
      cause: { cause: { cause: { cause: { message: expect.stringContaining('level 2') as string } } } },
    },
  ],
  ['a text of 10 MB', huge, expect.stringMatching(/^x{1000,}…$/)],
  ['a message of 10 MB', new Error(huge), { name: 'Error', message: expect.stringMatching(/^x{1000,}…$/) as string }],
  ['data of 10 MB', { rows: Array.from({ length: 1_000_000 }, () => 1_234_567) }, expect.stringContaining('object')],
  ['a cycle', cyclic, { message: 'round' }],
  ['throwing getters', hostile, { name: 'Error', message: '' }],
  ['what cannot be cloned', () => 1, expect.stringContaining('function')],
  ['a symbol', Symbol('s'), 'Symbol(s)'],
]

function chain(level: number, length: number): Error {
  const message = `level ${level} ${'y'.repeat(length)}`
  return level === 1 ? new Error(message) : new Error(message, { cause: chain(level - 1, length) })
}

test.each(causes)('%s as the cause of a cancel reaches a busy loop', async (_name, given, seen) => {
  const { worker, jobs } = startJobs()
  const [ctx, cancel] = withCancel(background())
  const at = flag()
  const call = jobs.spin(ctx, at)
  await reached(at)
  cancel(given)
  expect(await rejection(call)).toBe(ctx.err())
  await quiet(worker)
  const { cause, turned } = (await jobs.last()) ?? {}
  expect(turned).toBe(false)
  if (typeof seen === 'object' && seen !== null && !('asymmetricMatch' in seen)) expect(cause).toMatchObject(seen)
  else expect(cause).toEqual(seen)
})

test.each(causes)('%s as the cause of a cancel reaches an idle worker', async (_name, given, seen) => {
  const { worker, jobs } = startJobs()
  const [ctx, cancel] = withCancel(background())
  const at = flag()
  const call = jobs.idle(ctx, 'signal', at)
  await reached(at)
  cancel(given)
  expect(await rejection(call)).toBe(ctx.err())
  await quiet(worker)
  const cause = (await jobs.last())?.cause
  if (typeof seen === 'object' && seen !== null && !('asymmetricMatch' in seen)) expect(cause).toMatchObject(seen)
  else expect(cause).toEqual(seen)
})

test('a cause that is too long for a slot is whole, also for a loop that looks at once', async () => {
  const { worker, jobs } = startJobs()
  for (let i = 0; i < 50; i++) {
    const [ctx, cancel] = withCancel(background())
    const at = flag()
    const call = rejection(jobs.spin(ctx, at))
    await reached(at)
    cancel(new Error(`${i} ${'z'.repeat(900)}`))
    // No turn of this thread: what the worker has by now is what was sent synchronously.
    await call
    await quiet(worker)
    expect((await jobs.last())?.cause).toMatchObject({ message: `${i} ${'z'.repeat(900)}` })
  }
})

test('the cause of a deadline goes along', async () => {
  const { worker, jobs } = startJobs()
  await jobs.add(1, 1)
  await inTime(50, async (ms) => {
    await rejection(
      jobs.spin(withTimeout(background(), ms, Object.assign(new Error('budget of the request'), { code: 'BUDGET' }))),
    )
    await quiet(worker)
    const seen = await jobs.last()
    if (seen === undefined) return false
    expect(seen).toMatchObject({ name: 'TimeoutError', cause: { message: 'budget of the request', code: 'BUDGET' } })
    return true
  })
})

test('what a method throws arrives with name, message, code and causes', async () => {
  const { jobs } = startJobs()
  const error = await rejection(jobs.fail('error'))
  expect(error).toBeInstanceOf(RemoteError)
  expect(error).toMatchObject({ name: 'RangeError', message: 'out of range', code: 'E_RANGE' })
  expect((error as Error).stack).toMatch(/^RangeError: out of range\n +at .*fail.*worker-jobs/)
  expect(await rejection(jobs.fail('string'))).toBe('only a text')
  expect(await rejection(jobs.fail('null'))).toBe(null)
  expect(await rejection(jobs.fail('chain'))).toMatchObject({ message: 'outer', cause: { message: 'inner', cause: 'root' } })
  expect(await rejection(jobs.fail('getters'))).toMatchObject({ message: 'bad' })
  expect(await rejection(jobs.fail('cyclic'))).toMatchObject({ message: 'round and round' })
  expect(await rejection(jobs.fail('type'))).toMatchObject({ name: 'TypeError', message: 'not so' })
})

test('what a method throws is whole up to 64 KiB of each message, and what is longer is cut', async () => {
  const { jobs } = startJobs()
  const long = await rejection(jobs.fail('long'))
  expect(long).toMatchObject({ message: 'm'.repeat(60_000), cause: { message: 'c'.repeat(60_000) } })
  // V8 begins it with the message.
  expect((long as Error).stack).toMatch(/m\n +at .*fail.*worker-jobs/)
  expect(await rejection(jobs.fail('huge'))).toMatchObject({ message: `${'m'.repeat(65_536 - 3)}…` })
  expect(await rejection(jobs.fail('data'))).toEqual({ rows: Array.from({ length: 5_000 }, (_, id) => ({ id })) })
})

test('an end of its own that a method throws arrives as what it is', async () => {
  const { jobs } = startJobs()
  const error = await rejection(jobs.rethrow(withCancel(background()), 'canceled'))
  expect(error).toBeInstanceOf(CanceledError)
  expect(error).toMatchObject({ cause: 'thrown in the worker' })
  expect(await rejection(jobs.rethrow(withCancel(background()), 'deadline'))).toBeInstanceOf(DeadlineExceededError)
})

test('long causes of many that end at once are all whole', async () => {
  const { port1, port2 } = new MessageChannel()
  const [mine, its] = [link(port1), link(port2)]
  const parents = Array.from({ length: 600 }, () => withCancel(background()))
  const handles = parents.map((parent) => mine.export(parent))
  await heard(port2, isAttach)
  const imports = handles.map((handle) => its.import(handle))
  for (const [i, parent] of parents.entries()) parent.cancel(`${i} ${long.slice(0, 400)}`)
  // As a loop does that never yields.
  expect(imports.map(cause)).toEqual(parents.map(cause))
  port1.close()
})

test.each([true, false])(
  'one end is one cause, described once, however many contexts it ends (in shared memory: %s)',
  (sharedMemory) => {
    const { port1, port2 } = new MessageChannel()
    const mine = link(port1, { sharedMemory })
    link(port2)
    const steps = vi.spyOn(JSON, 'stringify')
    /** How often the cause is read, and made bytes of, when it ends that many contexts. */
    const cost = (contexts: number): readonly [reads: number, encodings: number] => {
      let reads = 0
      const why = Object.defineProperty(new Error(), 'message', { get: () => (reads++, long.slice(0, 900)) })
      const parent = withCancel(background())
      for (let i = 0; i < contexts; i++) mine.export(withCancel(parent))
      steps.mockClear()
      parent.cancel(why)
      return [reads, steps.mock.calls.length]
    }
    const one = cost(1)
    expect(one[0]).toBeGreaterThan(0)
    expect(cost(100)).toEqual(one)
    steps.mockRestore()
    port1.close()
  },
)

test('a cause is not kept for longer than the turn in which it was told', async () => {
  const { port1, port2 } = new MessageChannel()
  const mine = link(port1)
  link(port2)
  const end = (): WeakRef<Error> => {
    const why = new Error('why', { cause: new Error('deeper') })
    const ctx = withCancel(background())
    mine.export(ctx)
    ctx.cancel(why)
    return new WeakRef(why)
  }
  expect(await collected(end())).toBe(true)
  port1.close()
})
