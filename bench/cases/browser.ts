/** From `cancel()` in a page of a real browser to the moment when a worker thread of the service behind it sees it. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import type { Browser, Page } from 'playwright'
import type { PageBench, Way } from '../far/page-types.ts'
import type { ClockResult, Contender, Kind, Suite } from '../harness/model.ts'
import { onAllCoresWhile } from '../harness/pin.ts'
import { farProgram } from './paths.ts'

const executable = process.env['CHROMIUM'] ?? '/usr/bin/chromium'

interface Session {
  readonly page: Page
  readonly version: string
  /** Of the page against the service. */
  readonly clock: ClockResult
  close(): Promise<void>
}

async function openBrowser(): Promise<Browser> {
  const { chromium } = await import('playwright')
  const args = [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-sync',
  ]
  return onAllCoresWhile(() => chromium.launch({ executablePath: executable, args }))
}

async function open(): Promise<Session> {
  const service = fork(farProgram('page-service'), [], { execArgv: [] })
  const exited = once(service, 'exit')
  const [{ port }] = (await once(service, 'message')) as [{ port: number }]
  const browser = await openBrowser()
  const page = await browser.newPage()
  await page.goto(`http://127.0.0.1:${port}/`)
  await page.waitForFunction(() => 'bench' in globalThis)
  return {
    page,
    version: browser.version(),
    clock: await page.evaluate(() => (globalThis as unknown as { bench: PageBench }).bench.setUp()),
    async close() {
      await browser.close()
      service.disconnect()
      await exited
    },
  }
}

/** All contenders share one page of one browser, and so one comparison of the clocks; the last one closes it. */
function shared(): { use(): Promise<Session>; leave(): Promise<void> } {
  let [session, users] = [undefined as Promise<Session> | undefined, 0]
  return {
    use() {
      users++
      return (session ??= open())
    },
    async leave() {
      if (--users > 0) return
      const last = session
      session = undefined
      await (await last)?.close()
    },
  }
}

function contender(name: string, kind: Kind, way: Way, { use, leave }: ReturnType<typeof shared>): Contender {
  if (!existsSync(executable)) return { name, kind, cannot: `There is no Chromium here: ${executable} (set CHROMIUM).` }
  return {
    name,
    kind,
    async start() {
      const { page, version, clock } = await use()
      return {
        clock,
        prove: async () =>
          `Chromium ${version}: ${await page.evaluate((way) => (globalThis as unknown as { bench: PageBench }).bench.prove(way), way)}`,
        async round(record, warm = false) {
          const values = await page.evaluate(
            ([way, warm]) => (globalThis as unknown as { bench: PageBench }).bench.round(way, warm),
            [way, warm] as const,
          )
          for (const value of values) record(value)
        },
        close: leave,
      }
    },
  }
}

const chain: Suite = {
  id: 'browser/cancel',
  title: "Cancel in a browser's page, through a service, to its worker",
  about:
    "From cancel() in a page of headless Chromium until the service's worker thread has seen it. Neither the browser nor the service is pinned; the page's clock ticks every 5 us. 100 samples to a round: the 2,000 that p99.9 needs would take ten seconds more, and `--rounds 20` gives them.",
  unit: 'ns',
  sample: 'event',
  rounds: 6,
  contenders: () => {
    const session = shared()
    return [
      contender('ctx.err() in a busy worker', 'ours', 'ours busy', session),
      contender('bare ws frame, then a bare Atomics flag', 'limit', 'bare busy', session),
      contender("'abort' listener in an idle worker", 'ours', 'ours idle', session),
      contender('bare ws frame, then a bare MessagePort', 'limit', 'bare idle', session),
    ]
  },
}

export const browserSuites: readonly Suite[] = [chain]
