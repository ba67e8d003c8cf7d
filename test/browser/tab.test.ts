/**
 * A real tab of a real browser, and what becomes of the work three hops away: a page, a gateway, a service, a worker's loop. They are those of the example, so
 * that this is a test of it, too.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { background, type Context } from 'ctxbridge'
import { connect, wrap } from 'ctxbridge/websocket'
import { expect, onTestFinished, test } from 'vitest'
import { compiled } from '../support/compiled.ts'
import { Proxy } from '../websocket/proxy.ts'
import { Chromium, hasChromium, type Tab } from './chromium.ts'

const timeout = 60_000

/** The example, as its user starts it; and somebody who asks how many loops run. */
async function example() {
  const child = spawn(process.execPath, [fileURLToPath(compiled('examples/browser/main.ts')), '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => void child.kill())
  let said = ''
  child.stdout.on('data', (text: Buffer) => (said += text.toString()))
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const url = /http:\S+/.exec(line.toString())?.[0] ?? ''
  const connection = await connect(url.replace('http', 'ws'), { name: 'test' })
  onTestFinished(() => connection.close())
  const remote = wrap<{ running(ctx: Context): number }>(connection)
  return {
    url,
    /** How often its terminal has said that a tab has gone. */
    gone: () => said.split('A tab has gone').length - 1,
    /** Waits until so many loops run. */
    async running(count: number): Promise<void> {
      while ((await remote.running(background())) !== count);
    },
  }
}

const text = (id: string): string => `document.getElementById('${id}').textContent`

async function opened(chromium: Chromium, url: string): Promise<Tab> {
  const tab = await chromium.open(url)
  await tab.until("document.getElementById('link').dataset.state === 'open'")
  return tab
}

async function started(tab: Tab, deadline = ''): Promise<void> {
  await tab.evaluate(`void (document.getElementById('deadline').value = '${deadline}', document.getElementById('start').click())`)
}

/** The search goes on: the page sees it move. */
async function moves(tab: Tab): Promise<void> {
  const seen = JSON.stringify(await tab.evaluate(text('looked')))
  await tab.until(`${text('looked')} !== ${seen} && document.getElementById('start').disabled`)
}

/** The search goes on, as `moves`, which is true; or it is over. */
async function movesStill(tab: Tab): Promise<boolean> {
  const seen = JSON.stringify(await tab.evaluate(text('looked')))
  for (;;) {
    const moved = await tab.evaluate(
      `!document.getElementById('start').disabled ? false : ${text('looked')} !== ${seen} || undefined`,
    )
    if (typeof moved === 'boolean') return moved
  }
}

/** The same page anew, which knows of no search. */
async function reloaded(tab: Tab): Promise<void> {
  await tab.evaluate('void (globalThis.isOld = true)')
  await tab.send('Page.reload')
  await tab.until("!globalThis.isOld && document.getElementById('link').dataset.state === 'open'")
}

/** Presses Stop, and waits until the page says that the loop has stopped. Returns how each hop saw its end. */
async function stopped(tab: Tab): Promise<unknown> {
  await tab.evaluate("document.getElementById('stop').click()")
  await tab.until(`/ms after the click/.test(${text('outcome')})`)
  return ends(tab)
}

function ends(tab: Tab): Promise<unknown> {
  return tab.evaluate("[...document.querySelectorAll('.hops span')].map((span) => span.textContent)")
}

const canceled = Array.from({ length: 4 }, () => 'canceled')

test('Start starts a loop three hops away, and Stop stops it', { timeout }, async () => {
  if (!hasChromium()) return
  const { url, running } = await example()
  const tab = await opened(await Chromium.launch(), url)
  for (let round = 0; round < 3; round++) {
    await started(tab)
    await running(1)
    await moves(tab)
    expect(await stopped(tab)).toEqual(canceled)
    await running(0)
  }
  expect(await tab.evaluate("document.querySelectorAll('.runs li').length")).toBe(3)
})

test('a deadline that was set in the page stops it as well', { timeout }, async () => {
  if (!hasChromium()) return
  const { url, running } = await example()
  const tab = await opened(await Chromium.launch(), url)
  // A deadline that has passed before the worker began has stopped nothing.
  for (let ms = 300; await started(tab, String(ms)), !(await movesStill(tab)); ms *= 2) await reloaded(tab)
  await tab.until(`/ms after the deadline/.test(${text('outcome')})`)
  await running(0)
  expect(await ends(tab)).toEqual(Array.from({ length: 4 }, () => 'deadline exceeded'))
})

test.each<[string, (chromium: Chromium, tab: Tab) => unknown]>([
  ['a tab that is closed', (_chromium, tab) => tab.close()],
  ['a tab that goes to another page', (_chromium, tab) => tab.send('Page.navigate', { url: 'about:blank' })],
  ['a page that is loaded again', (_chromium, tab) => tab.send('Page.reload')],
  ['a browser that is killed', (chromium) => chromium.kill()],
])('%s stops it, and nobody else', { timeout }, async (_name, leave) => {
  if (!hasChromium()) return
  const { url, running, gone } = await example()
  const other = await opened(await Chromium.launch(), url)
  const chromium = await Chromium.launch()
  const tab = await opened(chromium, url)
  await started(other)
  await started(tab)
  await running(2)
  await leave(chromium, tab)
  await running(1)
  // By a pipe, so perhaps a little later.
  while (gone() === 0) await running(1)
  await moves(other)
  expect(await stopped(other)).toEqual(canceled)
  await running(0)
  expect(gone()).toBe(1)
})

test('a page that is offline, and online again, goes on with its search', { timeout }, async () => {
  if (!hasChromium()) return
  const { url, running } = await example()
  const proxy = await Proxy.to(url)
  const tab = await opened(await Chromium.launch(), proxy.url.replace('ws', 'http'))
  await started(tab)
  await moves(tab)
  const conditions = { latency: 0, downloadThroughput: -1, uploadThroughput: -1 }
  await tab.send('Network.enable')
  await tab.send('Network.emulateNetworkConditions', { ...conditions, offline: true })
  proxy.partition()
  await tab.until('!navigator.onLine')
  const before = proxy.passages.length
  proxy.heal()
  await tab.send('Network.emulateNetworkConditions', { ...conditions, offline: false })
  // Nobody tells the page that its connection is dead: it asks, at once, since it is online again.
  await tab.until('navigator.onLine')
  while (proxy.passages.length === before) await running(1)
  await moves(tab)
  expect(await stopped(tab)).toEqual(canceled)
  await running(0)
})

test('a hidden tab goes on; its deadlines hold over there; when it is seen again it is connected', { timeout }, async () => {
  if (!hasChromium()) return
  const { url, running } = await example()
  const chromium = await Chromium.launch()
  const tab = await opened(chromium, url)
  const hidden = async (ms: number): Promise<void> => {
    await started(tab, String(ms))
    await chromium.open('about:blank')
    await tab.until("document.visibilityState === 'hidden'")
    if (await movesStill(tab)) return
    // On this machine a tab takes longer to open.
    await tab.show()
    await reloaded(tab)
    await hidden(2 * ms)
  }
  await hidden(1_500)
  await running(0)
  await tab.show()
  await tab.until("document.visibilityState === 'visible'")
  await tab.until(`/ms after the deadline/.test(${text('outcome')})`)
  await started(tab)
  await moves(tab)
  expect(await stopped(tab)).toEqual(canceled)
  await running(0)
})

test('a tab that is frozen, and wakes, is connected and can stop its search', { timeout }, async () => {
  if (!hasChromium()) return
  const { url, running } = await example()
  const chromium = await Chromium.launch()
  const tab = await opened(chromium, url)
  await tab.evaluate("void document.addEventListener('freeze', () => (globalThis.frozen = true))")
  await started(tab)
  await moves(tab)
  await chromium.open('about:blank')
  await tab.until("document.visibilityState === 'hidden'")
  await tab.send('Page.setWebLifecycleState', { state: 'frozen' })
  await running(1)
  await tab.send('Page.setWebLifecycleState', { state: 'active' })
  await tab.show()
  await tab.until('globalThis.frozen === true')
  await moves(tab)
  expect(await stopped(tab)).toEqual(canceled)
  await running(0)
})

test('a page that is kept for going back, and is gone back to, goes on', { timeout }, async () => {
  if (!hasChromium()) return
  const { url, running } = await example()
  const chromium = await Chromium.launch()
  const tab = await opened(chromium, url)
  await tab.evaluate("void addEventListener('pageshow', ({ persisted }) => (globalThis.kept = persisted))")
  await started(tab)
  await moves(tab)
  // Another site: only then is the page kept.
  await tab.send('Page.navigate', { url: `${url.replace('127.0.0.1', 'localhost')}icon.svg` })
  await tab.until("location.pathname === '/icon.svg' && document.readyState === 'complete'")
  await tab.evaluate('void setTimeout(() => history.back())')
  await tab.until('globalThis.kept === true')
  await moves(tab)
  expect(await stopped(tab)).toEqual(canceled)
  await running(0)
})
