/** The report as somebody sees it: in headless Chromium, wide and on a phone, by day and by night. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium } from 'playwright'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { headlineSvg } from '../../bench/harness/headline.ts'
import type { Run } from '../../bench/harness/model.ts'
import { reportOf } from '../../bench/harness/report.ts'
import { isRun } from '../../bench/run-file.ts'

const results = new URL('../../bench/results/', import.meta.url)
const name = /^\| `(\S+)` \|/m.exec(readFileSync(new URL('README.md', results), 'utf8'))?.[1] ?? ''
const folder = mkdtempSync(join(tmpdir(), 'ctxbridge-report-'))
let browser: Browser
let run: Run

beforeAll(async () => {
  const read: unknown = JSON.parse(readFileSync(new URL(`${name}.json`, results), 'utf8'))
  if (!isRun(read)) throw new Error(`${name} is no run.`)
  run = read
  browser = await chromium.launch({
    executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu'],
  })
})
afterAll(async () => {
  await browser.close()
  rmSync(folder, { recursive: true, force: true })
})

interface Look {
  readonly back: string
  readonly overflow: number
  readonly outside: readonly string[]
  readonly overlaps: readonly string[]
  /** Which of its two pictures of latencies is shown. */
  readonly headline: string
  readonly requests: readonly string[]
  readonly errors: readonly string[]
}

async function look(text: string, ending: string, width: number, colorScheme: 'light' | 'dark'): Promise<Look> {
  const file = join(folder, `page${ending}`)
  writeFileSync(file, text)
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme })
  const [requests, errors]: [string[], string[]] = [[], []]
  page.on('request', (request) => requests.push(request.url()))
  page.on('console', (message) => errors.push(message.text()))
  page.on('pageerror', (error) => errors.push(error.message))
  const url = pathToFileURL(file).href
  await page.goto(url)
  const seen = await page.evaluate(() => {
    const [outside, overlaps, shown]: [string[], string[], string[]] = [[], [], []]
    for (const chart of document.querySelectorAll('svg[role=img]')) {
      const frame = chart.getBoundingClientRect()
      // The other one of the two of which a screen shows one.
      if (frame.width === 0) continue
      shown.push(chart.getAttribute('class') ?? '')
      const texts = [...chart.querySelectorAll('text')].map((text) => ({
        text: text.textContent,
        box: text.getBoundingClientRect(),
      }))
      for (const [i, { text, box }] of texts.entries()) {
        if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1) outside.push(text)
        for (const other of texts.slice(i + 1)) {
          const [across, down] = [
            Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left),
            Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top),
          ]
          // Lines of text touch by their boxes before they do by their letters.
          if (across > 1 && down > 5) overlaps.push(`${text} / ${other.text}`)
        }
      }
    }
    const root = document.documentElement
    return {
      back: getComputedStyle(document.body ?? root).backgroundColor,
      overflow: root.scrollWidth - innerWidth,
      outside,
      overlaps,
      headline: shown.filter((name) => name !== '').join(),
    }
  })
  const picture = await page.screenshot()
  expect(picture.subarray(1, 4).toString()).toBe('PNG')
  await page.close()
  return { ...seen, requests: requests.filter((one) => one !== url), errors }
}

const quiet = { outside: [], overlaps: [], requests: [], errors: [] }

test.for([
  [1_200, 'light', 'rgb(255, 255, 255)'],
  [1_200, 'dark', 'rgb(13, 17, 23)'],
  [390, 'light', 'rgb(255, 255, 255)'],
  [390, 'dark', 'rgb(13, 17, 23)'],
] as const)(
  'the report of the committed run, %i pixels wide and %s, is whole: nothing overlaps, sticks out, or is loaded',
  async ([width, scheme, back]) => {
    const headline = width < 800 ? 'narrow' : 'wide'
    expect(await look(reportOf(run), '.html', width, scheme)).toEqual({ ...quiet, back, overflow: 0, headline })
  },
)

test('on the narrowest of phones no table is wider than its page', async () => {
  const file = join(folder, 'phone.html')
  writeFileSync(file, reportOf(run))
  const page = await browser.newPage({ viewport: { width: 360, height: 800 } })
  await page.goto(pathToFileURL(file).href)
  const wide = await page.evaluate(() =>
    [...document.querySelectorAll('.scroll')].flatMap((one) =>
      one.scrollWidth > one.clientWidth ? [`${one.parentElement?.id}: ${one.scrollWidth} of ${one.clientWidth}`] : [],
    ),
  )
  await page.close()
  expect(wide).toEqual([])
})

test('the picture of the README holds all of its text', async () => {
  expect(await look(headlineSvg(run), '.svg', 900, 'light')).toMatchObject({ outside: [], overlaps: [], errors: [] })
})

test('pages and pictures that are committed are those of their results', () => {
  expect(readFileSync(new URL(`${name}.html`, results), 'utf8')).toBe(reportOf(run))
  const picture = new URL(`${name}.svg`, results)
  if (existsSync(picture)) expect(readFileSync(picture, 'utf8')).toBe(headlineSvg(run))
})
