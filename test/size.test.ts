/** The core is small, and the README says how small, and what a page loads with the rest. */

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { expect, test } from 'vitest'

/**
 * Bytes. To raise it is a decision, to be taken with a reason: it was 9,000 before the steps of an end were split so that V8 inlines them, 9,500 before
 * timers and bells were armed on nobody's behalf, and a wrong context told what it threw, 9,700 before signals had one shape, which
 * halves the time of their `abort`, 9,749 before a look-up took two bindings at a step, 9,790 before a signal's end kept its kind, and a lost link of another copy its class, 9,820
 * before a timeout below another one was made with one reading of the clock in place of two, which takes two thirds of the time, and 9,840 before options that throw when they are read, and lists, were refused in a sentence,
 * 9,920 before an error that has a code was shown without half of its braces, and 9,940 before an option of a name that nobody knows was refused.
 */
const budget = 10_060

const root = fileURLToPath(new URL('..', import.meta.url))

/** Bytes of all that a page loads which imports all of `ctxbridge`, and of another part of it: bundled, minified, gzipped. */
async function measure(part?: string): Promise<number> {
  const names = ['ctxbridge', ...(part === undefined ? [] : [`ctxbridge/${part}`])]
  const { outputFiles } = await build({
    stdin: { contents: names.map((name) => `export * from '${name}'`).join('\n'), resolveDir: root },
    platform: 'browser',
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2022',
    write: false,
  })
  return gzipSync(outputFiles[0]?.contents ?? '', { level: 9 }).byteLength
}

test('the core stays within its budget', async () => {
  const size = await measure()
  expect(size).toBeGreaterThan(500)
  expect(size).toBeLessThanOrEqual(budget)
})

test('the README states the size that is measured', async () => {
  const measured = `${((await measure()) / 1000).toFixed(1)} kB`
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const stated = [...readme.matchAll(/\*\*(\d+\.\d kB)\*\* gzipped/g)].map(([, size]) => size)
  expect(stated, `README.md must state the size of the core once, as: **${measured}** gzipped.`).toEqual([measured])
})

test('the README states what a page loads with a boundary', async () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const stated = [...readme.matchAll(/(\d+) kB(?: in all)? with `ctxbridge\/(\w+)`/g)].map(([, size, part]) => [part, size])
  const measured = await Promise.all(
    ['worker', 'websocket'].map(async (part) => [part, ((await measure(part)) / 1000).toFixed(0)]),
  )
  expect(stated).toEqual(measured)
})
