/** A thread closes its end of a link in peace, and lives on: nothing that the other side has waits for it. */
import { once } from 'node:events'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { background, cause, type Context, LinkLostError, withCancel } from 'ctxbridge'
import { expose, isLinkMessage, link, wrap } from 'ctxbridge/worker'
import { expect, onTestFinished, test } from 'vitest'
import { empty, rejection } from './workers.ts'

const api = {
  add: (a: number, b: number): number => a + b,
  hang: (_ctx: Context): Promise<void> => new Promise(() => undefined),
  whenDone: async (ctx: Context): Promise<unknown> => {
    seen = cause(ctx) ?? (await ctx.done).cause
    return seen
  },
}
type Api = typeof api
let seen: unknown

function sides() {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  expose(api, port1)
  return { port1, port2, remote: wrap<Api>(port2) }
}

test('calls that are pending reject with a LinkLostError, and so do all later ones, at once', async () => {
  const { port1, port2, remote } = sides()
  expect(await remote.add(1, 2)).toBe(3)
  const pending = rejection(remote.hang(withCancel(background())))
  const answered = remote.add(3, 4)
  while (link(port1).stats().imports === 0) await remote.add(0, 0)
  expect(await answered).toBe(7)
  link(port1)[Symbol.dispose]()
  const error = await pending
  expect(error).toBeInstanceOf(LinkLostError)
  expect(error).toMatchObject({ message: 'The other thread has closed the link.' })
  expect(await rejection(remote.add(1, 2))).toBe(error)
  expect(await rejection(wrap<Api>(port2).add(1, 2))).toBe(error)
  expect(() => link(port2).export(background())).toThrow('The other thread has closed the link.')
  expect(link(port2).stats()).toMatchObject(empty)
})

test('what was answered before that counts', async () => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  const leave = (): string => {
    setImmediate(() => link(port1)[Symbol.dispose]())
    return 'left'
  }
  expose({ ...api, leave }, port1)
  const remote = wrap<Api & { leave(): string }>(port2)
  const pending = rejection(remote.hang(background()))
  expect(await remote.leave()).toBe('left')
  expect(await pending).toBeInstanceOf(LinkLostError)
})

test('who called closes its end, and opens it again: the same is served to it still, and what it had begun has ended', async () => {
  const { port1, port2, remote } = sides()
  seen = undefined
  const begun = rejection(remote.whenDone(withCancel(background())))
  while (link(port1).stats().imports === 0) await remote.add(0, 0)
  remote[Symbol.dispose]()
  expect(await begun).toMatchObject({ message: 'The link was closed by this thread.' })
  const again = wrap<Api>(port2)
  expect(await again.add(1, 2)).toBe(3)
  expect(seen).toBeInstanceOf(LinkLostError)
  expect(link(port1).stats()).toMatchObject(empty)
})

test('who served closes its end, and opens it again by a call of its own: calls go both ways again', async () => {
  const { port1, port2, remote } = sides()
  expose({ add: api.add }, port2)
  expect(await remote.add(1, 2)).toBe(3)
  link(port1)[Symbol.dispose]()
  expect(await rejection(remote.add(1, 2))).toBeInstanceOf(LinkLostError)
  expose(api, port1)
  expect(await wrap<Api>(port1).add(2, 3)).toBe(5)
  expect(await remote.add(3, 4)).toBe(7)
})

test.each([
  ['in shared memory', true],
  ['by messages alone', false],
])('a call that was never read, as the other side closed its end first, rejects: %s', async (_how, sharedMemory) => {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  expose(api, port1, { sharedMemory })
  const remote = wrap<Api>(port2, { sharedMemory })
  const calls = [rejection(remote.add(1, 2)), rejection(remote.hang(withCancel(background())))]
  link(port1)[Symbol.dispose]()
  for (const error of await Promise.all(calls)) expect(error).toMatchObject({ message: 'The other thread has closed the link.' })
  expect(link(port2).stats()).toMatchObject(empty)
})

test('who closes a link that it had only lent contexts over, or nothing at all, is not taken for there', async () => {
  for (const lends of [true, false]) {
    const { port1, port2 } = new MessageChannel()
    onTestFinished(() => port1.close())
    const theirs = link(port2)
    const lent = withCancel(background())
    theirs.export(lent)
    if (lends) link(port1).export(background())
    link(port1)[Symbol.dispose]()
    while (String(theirs) !== 'Link { closed }') await once(port2, 'message')
    expect(theirs.stats()).toMatchObject(empty)
    expect(() => theirs.export(lent)).toThrow('The other thread has closed the link.')
  }
})

const inWorker = (then: string): Worker => {
  const worker = new Worker(
    `import('ctxbridge/worker').then(({ expose, link, wrap }) => {
      const { parentPort } = require('node:worker_threads')
      const told = (error) => parentPort.postMessage(error.message)
      ${then}
    })`,
    { eval: true },
  )
  onTestFinished(async () => void (await worker.terminate()))
  return worker
}

test('a worker closes its end before it has read anything: calls to it reject', async () => {
  const worker = inWorker('parentPort.on("message", () => {}); expose({ add: (a, b) => a + b }); link()[Symbol.dispose]()')
  expect(await rejection(wrap<Api>(worker).add(1, 2))).toMatchObject({ message: 'The other thread has closed the link.' })
})

test('the maker of a worker closes its end before it has read anything: calls from there reject', async () => {
  const worker = inWorker('wrap().add(1, 2).catch(told)')
  expose(api, worker)
  link(worker)[Symbol.dispose]()
  let message: unknown = []
  while (typeof message !== 'string') [message] = (await once(worker, 'message')) as [unknown]
  expect(message).toBe('The other thread has closed the link.')
})

test('a message that cannot be read closes this end: the other one is told, and nothing waits there', async () => {
  const { port1, remote } = sides()
  const pending = rejection(remote.hang(background()))
  const mine = link(port1)
  port1.emit('messageerror', new Error('garbled'))
  expect(() => mine.export(background())).toThrow('A message of the other thread could not be read.')
  expect(await pending).toMatchObject({ message: 'The other thread has closed the link.' })
})

/** The next attach that comes over a port. */
async function attached(port: MessagePort): Promise<void> {
  for (;;) {
    const [message] = (await once(port, 'message')) as [{ readonly ctxbridge?: unknown }]
    if (message.ctxbridge === 'attach') return
  }
}

test('who served closes its end, and serves again: it need not call for that to be heard', async () => {
  const { port1, port2, remote } = sides()
  for (let round = 0; round < 3; round++) {
    expect(await remote.add(round, 2)).toBe(round + 2)
    link(port1)[Symbol.dispose]()
    expect(await rejection(remote.add(1, 2))).toBeInstanceOf(LinkLostError)
    // Each says that it is there: what the caller's side had said of itself was for the end that was closed.
    const announced = [port1, port2].map(attached)
    expose(api, port1)
    await Promise.all(announced)
  }
})

test('both sides close their ends, and open them again, whoever is first: after what crosses all goes on', async () => {
  for (const first of [0, 1]) {
    const { port1, port2 } = sides()
    const ports = [port1, port2]
    const close = (i: number): void => link(ports[i])[Symbol.dispose]()
    close(first)
    close(1 - first)
    const heard = ports.map((port) => once(port, 'message'))
    expose(api, port1)
    const again = wrap<Api>(port2)
    const crossed = rejection(again.add(1, 2))
    await Promise.all(heard)
    // It was made before what was said of the old end was read: nobody can tell whether the new one got it.
    expect(await crossed).toBeInstanceOf(LinkLostError)
    while (String(link(port2)) === 'Link { closed }') await once(port2, 'message')
    expect(await again.add(2, 3)).toBe(5)
    const ctx = withCancel(background())
    const held = rejection(again.hang(ctx))
    while (link(port1).stats().imports === 0) await again.add(0, 0)
    ctx.cancel('enough')
    expect(await held).toMatchObject({ cause: 'enough' })
  }
})

test('of all that goes over an endpoint, isLinkMessage tells what is not the program’s own', async () => {
  const { port1, port2, remote } = sides()
  const here: unknown[] = []
  const there: unknown[] = []
  port1.on('message', (message) => here.push(message))
  port2.on('message', (message) => there.push(message))
  expect(await remote.add(1, 2)).toBe(3)
  remote[Symbol.dispose]()
  const own = [
    ['ctxbridge', 1],
    { handle: link(port1).export(background()) },
    link(port1).export(background()),
    null,
    'ctxbridge.call',
    [],
  ]
  for (const message of own) port2.postMessage(message)
  const others = (): unknown[] => here.filter((message) => !isLinkMessage(message))
  while (others().length < own.length) await new Promise((resolve) => port1.once('message', resolve))
  expect(others()).toEqual(own)
  expect(here.some(isLinkMessage)).toBe(true)
  expect(there.map(isLinkMessage)).not.toContain(false)
})

test('a link that is disposed of once more is none of the one that has come after it', () => {
  const { port1 } = sides()
  const first = link(port1)
  first[Symbol.dispose]()
  const next = link(port1)
  first[Symbol.dispose]()
  expect(link(port1)).toBe(next)
  expect(String(next)).toContain('open')
})
