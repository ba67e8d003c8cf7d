/** The same machine over a channel that clones plain values, as a MessagePort does. */
import { once } from 'node:events'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { expect, it, onTestFinished, test } from 'vitest'
import { Link } from '../../lib/bridge/link.ts'
import { cause, type Context, createRoot, withCancel } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { plainCodec } from '../../lib/wire/plain-codec.ts'
import { turn } from '../support/gc.ts'
import { callFrame, Held, hello, rejection } from './support.ts'

function linkOver(port: MessagePort, serve?: object): Link<unknown> {
  const link = new Link<unknown>({
    channel: {
      send: (message) => port.postMessage(message),
      queued: () => 0,
      drained: () => undefined,
      close: () => port.close(),
      terminate: () => port.close(),
    },
    codec: plainCodec(4_096),
    id: `end ${++ends}`,
    root: () => createRoot(),
    defer: queueMicrotask,
    report: () => undefined,
    serve,
  })
  port.on('message', (message) => link.receive(message))
  port.on('close', () => link.lost(new LinkLostError('The port is closed.')))
  onTestFinished(() => port.close())
  return link
}

let ends = 0

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

test('calls, cancels, and handles cross a MessagePort', async () => {
  const { port1, port2 } = new MessageChannel()
  const held = new Held()
  const client = linkOver(port1)
  const server = linkOver(port2, { held: held.method, echo: (_ctx: Context, x: unknown) => x })
  const ctx = withCancel(createRoot())
  expect(await client.call(ctx, 'echo', [{ bytes: new Uint8Array([1, 2]), text: 'ü' }])).toEqual({
    bytes: new Uint8Array([1, 2]),
    text: 'ü',
  })
  const results = [1, 2].map(() => rejection(client.call(ctx, 'held', [])))
  await until(() => held.contexts.length === 2)
  const imported = server.import(structuredClone(client.export(ctx)))
  ctx.cancel('stop')
  await imported.done
  expect([cause(imported), cause(held.ctx(0)), cause(held.ctx(1))]).toEqual(['stop', 'stop', 'stop'])
  await Promise.all(results)
  held.finishAll()
  await until(() => server.stats().handlers === 0)
  expect([client.stats(), server.stats()]).toMatchObject([
    { calls: 0, exports: 0 },
    { handlers: 0, imports: 0 },
  ])
})

it.each<[string, unknown]>([
  ['nothing', undefined],
  ['no array', { 0: hello }],
  ['a Map', [hello, callFrame(1, 'f', undefined, [new Map()])]],
  ['an error', [hello, callFrame(1, 'f', undefined, [new Error('x')])]],
  ['a bigint', [hello, callFrame(1, 'f', undefined, [1n])]],
  ['a number that is not finite', [hello, callFrame(1, 'f', undefined, [Number.NaN])]],
  ['more than the limit', [hello, callFrame(1, 'f', undefined, ['x'.repeat(5_000)])]],
])('what no peer may send ends the link: %s', async (_name, message) => {
  const { port1, port2 } = new MessageChannel()
  const link = linkOver(port1, { f: () => 1 })
  const closed = once(port2, 'close')
  port2.on('message', () => undefined)
  port2.postMessage(message)
  await until(() => link.stats().state === 'closed')
  await closed
  await expect(link.call(createRoot(), 'f', [])).rejects.toBeInstanceOf(LinkLostError)
})

test('a cycle ends the link', async () => {
  const { port1, port2 } = new MessageChannel()
  const link = linkOver(port1, { f: () => 1 })
  const args: unknown[] = []
  args.push(args)
  port2.postMessage([hello, callFrame(1, 'f', undefined, args)])
  await until(() => link.stats().state === 'closed')
  await expect(link.call(createRoot(), 'f', [])).rejects.toMatchObject({
    cause: { message: 'message: a cycle at [1][4][0] cannot be sent' },
  })
})
