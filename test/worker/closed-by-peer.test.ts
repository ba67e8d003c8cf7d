/** A thread closes its end of a link in peace, and lives on: nothing that the other side has waits for it. */
import { MessageChannel } from 'node:worker_threads'
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
  while (here.length < 9) await new Promise((resolve) => port1.once('message', resolve))
  expect(here.map(isLinkMessage)).toEqual([true, true, true, ...own.map(() => false)])
  expect(there.map(isLinkMessage)).not.toContain(false)
})
