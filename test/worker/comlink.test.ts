import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import * as Comlink from 'comlink'
import { background, cause, type Context, withCancel } from 'ctxbridge'
import { install } from 'ctxbridge/comlink'
import { link } from 'ctxbridge/worker'
import { expect, test } from 'vitest'
import { comlinkSuite } from '../conformance/comlink-suite.ts'
import { compiled } from '../support/compiled.ts'
import { turn } from '../support/gc.ts'

// It comes without types.
const adapter = ['comlink', 'dist/esm/node-adapter.mjs'].join('/')
const { default: nodeEndpoint } = (await import(adapter)) as { default: (side: Worker | MessagePort) => Comlink.Endpoint }

comlinkSuite('in Node', true, async () => {
  const worker = new Worker(compiled('test/conformance/plain-comlink.ts'))
  return { endpoint: nodeEndpoint(worker), terminate: () => worker.terminate() }
})

test('a call that Comlink cannot post gives back its contexts, and one that was posted keeps them', async () => {
  install(Comlink)
  const { port1, port2 } = new MessageChannel()
  const tell = async (ctx: Context): Promise<unknown> => {
    await ctx.done
    return cause(ctx)
  }
  Comlink.expose(tell, nodeEndpoint(port2))
  const remote = Comlink.wrap<(ctx: Context, more?: unknown) => unknown>(nodeEndpoint(port1))
  const mine = link(new MessageChannel().port1)
  const [app, cancel] = withCancel(background())
  const told = remote(app)
  for (let i = 0; i < 20; i++) await expect(remote(app, () => undefined)).rejects.toThrow(/could not be cloned/)
  while (mine.stats().slots > 1) await turn()
  cancel('as ever')
  expect(await told).toBe('as ever')
  while (mine.stats().slots > 0) await turn()
  port1.close()
})

test('what nobody has any more before it was posted is given back', async () => {
  install(Comlink)
  const mine = link(new MessageChannel().port1)
  const [app] = withCancel(background())
  Comlink.transferHandlers.get('ctxbridge.context')?.serialize(app)
  expect(mine.stats().slots).toBe(1)
  while (mine.stats().slots > 0) {
    globalThis.gc?.()
    await turn()
  }
  expect(app.err()).toBe(undefined)
})
