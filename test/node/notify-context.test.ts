/** Signals of the operating system, sent to processes that wait for them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Worker } from 'node:worker_threads'
import { background, type CancelableContext, cause, withCancel } from 'ctxbridge'
import { notifyContext, SignalError } from 'ctxbridge/node'
import { expect, it, onTestFinished } from 'vitest'
import { compiled } from '../support/compiled.ts'

const timeout = 20_000

/** A process that is ready. */
async function start(...args: string[]) {
  const child = spawn(process.execPath, [compiled('test/fixtures/notify-process.ts').pathname, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  let wake = (): void => {}
  createInterface(child.stdout).on('line', (line) => {
    lines.push(line)
    wake()
  })
  const exit = once(child, 'close') as Promise<[code: number | null, signal: string | null]>
  onTestFinished(async () => {
    child.kill('SIGKILL')
    await exit
  })
  const line = async (): Promise<string> => {
    while (lines.length === 0) await new Promise<void>((resolve) => (wake = resolve))
    return lines.shift() ?? ''
  }
  const before: string[] = []
  for (let next = await line(); next !== 'ready'; next = await line()) before.push(next)
  return { child, exit, line, before }
}

it.each(['SIGINT', 'SIGTERM'] as const)(
  '%s ends the context, and is its cause; a second one ends the process',
  { timeout },
  async (signal) => {
    const { child, exit, line } = await start('stay')
    child.kill(signal)
    expect(await line()).toBe(`ended: AbortError: SignalError ${signal} received ${signal}`)
    child.kill(signal)
    expect(await exit).toEqual([null, signal])
  },
)

it('the first of several signals counts, and gives back the others, too', { timeout }, async () => {
  const { child, exit, line } = await start('stay', 'SIGUSR2', 'SIGHUP')
  child.kill('SIGHUP')
  expect(await line()).toBe('ended: AbortError: SignalError SIGHUP received SIGHUP')
  child.kill('SIGUSR2')
  expect(await exit).toEqual([null, 'SIGUSR2'])
})

it('a signal that was not asked for does what it always does', { timeout }, async () => {
  const { child, exit } = await start('stay', 'SIGUSR2')
  child.kill('SIGTERM')
  expect(await exit).toEqual([null, 'SIGTERM'])
})

it('a process that has stopped its work by the context exits by itself', { timeout }, async () => {
  const { child, exit } = await start('leave')
  child.kill('SIGINT')
  expect(await exit).toEqual([0, null])
})

it.each([
  ['cancel', 'given back'],
  ['parent', 'above'],
])('after the end by %s the signals are given back', { timeout }, async (mode, why) => {
  const { child, exit, before } = await start(mode)
  expect(before).toEqual([`ended: AbortError: ${why}`])
  child.kill('SIGINT')
  expect(await exit).toEqual([null, 'SIGINT'])
})

it('keeps no process alive', { timeout }, async () => {
  const { exit } = await start('idle')
  expect(await exit).toEqual([0, null])
})

it('leaves no listener behind', () => {
  const count = (): number => process.listenerCount('SIGUSR2') + process.listenerCount('SIGHUP')
  const before = count()
  const parent = withCancel(background())
  const ctx = notifyContext(parent, 'SIGUSR2', 'SIGHUP', 'SIGUSR2')
  expect(count()).toBe(before + 2)
  ctx.cancel()
  expect(count()).toBe(before)
  const other = notifyContext(parent, 'SIGUSR2')
  parent.cancel('above')
  expect(other.err()).toBe(parent.err())
  expect(count()).toBe(before)
  // Of one that has ended, none is added.
  expect(notifyContext(parent, 'SIGUSR2').err()).toBe(parent.err())
  expect(count()).toBe(before)
})

it('any number of contexts share one listener for each signal, and all end by it', () => {
  const before = process.listenerCount('SIGUSR2')
  const all = Array.from({ length: 20 }, () => notifyContext(background(), 'SIGUSR2'))
  const [first, second] = all
  const next: CancelableContext[] = []
  first?.signal.addEventListener('abort', () => {
    // Given back for all of them before anybody hears of it: this signal would end the process now.
    expect(process.listenerCount('SIGUSR2')).toBe(before)
    next.push(notifyContext(background(), 'SIGUSR2'))
  })
  expect(process.listenerCount('SIGUSR2')).toBe(before + 1)
  second?.cancel('by hand')
  expect(process.listenerCount('SIGUSR2')).toBe(before + 1)
  process.emit('SIGUSR2', 'SIGUSR2')
  expect(all.map((ctx) => String(cause(ctx)))).toEqual(
    all.map((ctx) => (ctx === second ? 'by hand' : 'SignalError: received SIGUSR2')),
  )
  // One that is made in a listener waits for the next signal.
  expect(next.map((ctx) => ctx.err())).toEqual([undefined])
  expect(process.listenerCount('SIGUSR2')).toBe(before + 1)
  next[0]?.cancel()
  expect(process.listenerCount('SIGUSR2')).toBe(before)
})

it.each(['SIGKILL', 'SIGSTOP', 'SIGNOPE', 'sigint', '', 'toString', 2, null, undefined])(
  'refuses the name %j, and listens to nothing',
  (name) => {
    const before = process.listenerCount('SIGUSR2')
    expect(() => notifyContext(background(), 'SIGUSR2', name as never)).toThrow(TypeError)
    expect(process.listenerCount('SIGUSR2')).toBe(before)
  },
)

it('refuses an array of names, which would pass for its only one', () => {
  expect(() => notifyContext(background(), ['SIGUSR2'] as never)).toThrow(
    new TypeError("notifyContext() needs names of signals that can be caught, such as 'SIGINT', but got an array."),
  )
})

it('refuses what is no context', () => {
  expect(() => notifyContext(null as never)).toThrow(TypeError)
  expect(() => notifyContext({} as never, 'SIGUSR2')).toThrow('notifyContext')
})

it('has a cause that is an error with a name and the signal', () => {
  const error = new SignalError('SIGINT')
  expect(error).toBeInstanceOf(Error)
  expect(error).toMatchObject({ name: 'SignalError', signal: 'SIGINT', message: 'received SIGINT' })
})

it('in a worker thread, which no signal reaches, it is a TypeError at once', { timeout }, async () => {
  const text = `
    import { parentPort } from 'node:worker_threads'
    import { background } from 'ctxbridge'
    import { notifyContext } from 'ctxbridge/node'
    try { notifyContext(background()); parentPort.postMessage('nothing was thrown') } catch (error) { parentPort.postMessage(String(error)) }
  `.replaceAll(/'(ctxbridge[^']*)'/g, (_, name: string) => JSON.stringify(import.meta.resolve(name)))
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(text)}`))
  onTestFinished(async () => void (await worker.terminate()))
  expect(await once(worker, 'message')).toEqual([expect.stringMatching(/^TypeError: notifyContext\(\) needs the main thread/)])
})
