/** A worker of a page that the browser keeps for going back to: it sleeps with its page, and nobody tells it. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cause, type Context } from 'ctxbridge'
import { type LinkLease, serve } from 'ctxbridge/websocket'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { until } from '../websocket/support.ts'
import { bundled } from './bundled.ts'
import { Chromium, hasChromium, type Tab } from './chromium.ts'

const timeout = 60_000

let script = ''
beforeAll(async () => {
  script = await bundled('kept-page.ts')
})

/** A tab whose worker has begun, by `way`, what the server holds; and the context of that over there. */
async function begun(way: 'byItself' | 'byPage', lease: Partial<LinkLease>) {
  const server = createServer(({ url }, response) => {
    const isScript = url === '/script.js'
    response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? script : '<!doctype html><meta charset="utf-8"><script src="/script.js"></script>')
  }).listen(0, '127.0.0.1')
  let begin!: (ctx: Context) => void
  const held = new Promise<Context>((resolve) => (begin = resolve))
  const methods = {
    async hold(ctx: Context) {
      begin(ctx)
      throw await ctx.done
    },
    add: (_ctx: Context, a: number, b: number) => a + b,
  }
  const service = serve(new WebSocketServer({ server, perMessageDeflate: false, maxPayload: 1_048_576 }), methods, { lease })
  await once(server, 'listening')
  onTestFinished(() => {
    service.close()
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  const tab = await (await Chromium.launch()).open(`http://127.0.0.1:${port}/`)
  await tab.until("typeof page === 'object'")
  await tab.evaluate(`page.${way}()`)
  return { tab, port, service, ctx: await held }
}

/** Another site: only then is the page kept. */
async function leave(tab: Tab, port: number): Promise<void> {
  await tab.send('Page.navigate', { url: `http://localhost:${port}/` })
  await tab.until("location.hostname === 'localhost' && document.readyState === 'complete'")
}

async function goBack(tab: Tab): Promise<void> {
  await tab.evaluate('void setTimeout(() => history.back())')
  await tab.until('page.kept')
}

test('a worker with a connection of its own has lost that when its page is gone back to, and connects anew', {
  timeout,
}, async () => {
  if (!hasChromium()) return
  const { tab, port, ctx } = await begun('byItself', {})
  await leave(tab, port)
  expect(ctx.err()).toBeUndefined()
  await goBack(tab)
  expect(await tab.evaluate('page.lost()')).toBe(
    'LinkLostError: The peer closed the connection with code 4401 and the reason "session: not known".',
  )
  await ctx.done
  expect(String(cause(ctx))).toBe('LinkLostError: The peer closed the connection with code 1001.')
  expect(await tab.evaluate('page.anew()')).toBe(3)
})

test('what such a worker has begun ends by the lease while its page is kept', { timeout }, async () => {
  if (!hasChromium()) return
  const { tab, port, ctx } = await begun('byItself', { ping: 500, imports: 2_500, exports: 30_000, stretch: 1 })
  await leave(tab, port)
  await ctx.done
  expect(String(cause(ctx))).toBe('LinkLostError: Nothing was heard of the other side for too long.')
})

test('such a worker goes on when its page was away for so long that the server has dropped the silent connection', {
  timeout,
}, async () => {
  if (!hasChromium()) return
  const { tab, port, service, ctx } = await begun('byItself', { ping: 500 })
  await leave(tab, port)
  const [connection] = service.connections
  await until(() => connection?.stats().state === 'suspended')
  await goBack(tab)
  expect(await tab.evaluate('page.stop()')).toContain('context canceled')
  await ctx.done
  expect(cause(ctx)).toBe('of the worker')
})

test('a worker that calls by way of its page goes on when that is gone back to', { timeout }, async () => {
  if (!hasChromium()) return
  const { tab, port, ctx } = await begun('byPage', { resume: 30_000 })
  await leave(tab, port)
  await goBack(tab)
  expect(ctx.err()).toBeUndefined()
  expect(await tab.evaluate('page.stop()')).toContain('context canceled')
  await ctx.done
  expect(cause(ctx)).toBe('of the worker')
})
