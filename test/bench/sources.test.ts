/** What the sources of the bench must not do, since it would be measured. */
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const root = new URL('../../bench/', import.meta.url)

/** Aborts without a reason: nothing of them is measured, or their contender says so in its note. */
const allowed = [
  'cases/core-make.ts: controller.abort()',
  'cases/core-make.ts: controller.abort()',
  'cases/core-make.ts: const timer = setTimeout(() => controller.abort(), minute)',
  'cases/memory.ts: close: () => closed.abort(),',
  "main.ts: process.once('SIGINT', () => interrupted.abort())",
  'peers/service-ways.mjs: close: () => sessionManager.abort(),',
]

test('no abort that is measured is without a reason, for which the platform would make an error with its stack', () => {
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
    (file) => /\.(ts|mjs)$/.test(file) && !file.includes('node_modules'),
  )
  expect(files.length).toBeGreaterThan(50)
  const found = files.flatMap((file) =>
    readFileSync(new URL(file, root), 'utf8')
      .split('\n')
      .filter((line) => /\babort\??\.?\(\s*\)/.test(line.replace(/'[^']*abort\(\)[^']*'/g, '')))
      .map((line) => `${file}: ${line.trim()}`),
  )
  expect(found.sort()).toEqual(allowed.toSorted())
  const made = readFileSync(new URL('cases/core-make.ts', root), 'utf8')
  expect(made.match(/without a reason, as it is often written: an error with its stack is made each time/g)).toHaveLength(2)
})
