/** A page whose context is not secure: served by plain HTTP, and not by this machine as far as the browser knows. Whole APIs are missing there. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve } from 'ctxbridge/websocket'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { bundled } from './bundled.ts'
import { Chromium, hasChromium } from './chromium.ts'
import { methods } from './insecure-methods.ts'

let script = ''
beforeAll(async () => {
  script = await bundled('insecure-page.ts')
})

/** A site with the page, and with a WebSocket. Returns its port. */
async function site(): Promise<number> {
  const server = createServer(({ url }, response) => {
    const isScript = url === '/script.js'
    response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? script : '<!doctype html><meta charset="utf-8"><script src="/script.js"></script>')
  }).listen(0, '127.0.0.1')
  const service = serve(new WebSocketServer({ server, perMessageDeflate: false, maxPayload: 1_048_576 }), methods())
  await once(server, 'listening')
  onTestFinished(() => {
    service.close()
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

test.each(['socket', 'port', 'worker', 'comlink'])(
  'a page whose context is not secure calls and cancels: %s',
  {
    timeout: 60_000,
  },
  async (way) => {
    if (!hasChromium()) return
    const chromium = await Chromium.launch('--host-resolver-rules=MAP insecure.test 127.0.0.1')
    const tab = await chromium.open(`http://insecure.test:${await site()}/`)
    await tab.until("typeof insecure === 'object'")
    expect(await tab.evaluate('isSecureContext')).toBe(false)
    expect(await tab.evaluate(`insecure.${way}()`)).toBe('of the page')
  },
)
