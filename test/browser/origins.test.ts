/** Threads of two origins of a real browser, whose locks are not the same: none of them is to be taken for dead. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { bundled } from './bundled.ts'
import { Chromium, hasChromium, type Tab } from './chromium.ts'

const timeout = 60_000

let script = ''
beforeAll(async () => {
  script = await bundled('origins-page.ts')
})

/** An origin of its own, not isolated; `/around` is a page with a frame of the origin that is named behind it. Returns its port. */
async function serve(): Promise<number> {
  const server = createServer(({ url = '' }, response) => {
    const isScript = url === '/script.js'
    const framed = /^\/around\?(.*)/.exec(url)?.[1]
    const body = framed === undefined ? '<script src="/script.js"></script>' : `<iframe src="${framed}"></iframe>`
    response.setHeader('Content-Type', isScript ? 'text/javascript' : 'text/html')
    response.end(isScript ? script : `<!doctype html><meta charset="utf-8"><body>${body}`)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return (server.address() as AddressInfo).port
}

async function opened(port: number): Promise<Tab> {
  const chromium = await Chromium.launch()
  const tab = await chromium.open(`http://127.0.0.1:${port}/`)
  await tab.until("typeof origins === 'object'")
  return tab
}

test.each<[string, (port: number, other: number) => string]>([
  ['a frame of another origin', (_port, other) => `frame('http://127.0.0.1:${other}/')`],
  ['a frame of another site', (port) => `frame('http://localhost:${port}/')`],
  ['a sandboxed frame', () => "frame('/', 'allow-scripts')"],
  [
    'a frame of this origin in one of another site',
    (port) => `frameInFrame('http://localhost:${port}/around?http://127.0.0.1:${port}/')`,
  ],
  ['a worker with an opaque origin', () => 'dataWorker()'],
  ['a worker that may not use locks', () => 'workerWithoutLocks()'],
])('%s is called for as long as both sides live, and hears of a cancel', { timeout }, async (_name, expression) => {
  if (!hasChromium()) return
  const [port, other] = await Promise.all([serve(), serve()])
  const tab = await opened(port)
  expect(await tab.evaluate(`origins.${expression(port, other)}`)).toBe('of the page')
})

test('a worker of the same origin is missed when it is terminated, though its first call keeps it from all else', {
  timeout,
}, async () => {
  if (!hasChromium()) return
  const tab = await opened(await serve())
  expect(await tab.evaluate('origins.terminated()')).toBe('LinkLostError: The other thread has ended.')
})

test('a worker whose first call keeps it from all else is not taken for dead, however long that takes', { timeout }, async () => {
  if (!hasChromium()) return
  const tab = await opened(await serve())
  expect(await tab.evaluate('origins.busy()')).toBe(3)
})
