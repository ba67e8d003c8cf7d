/** What every simulation of something like this must find, tried by every run of the tests. `npm run mutants` has all the others, too. */
import { readFileSync } from 'node:fs'
import { afterAll, expect, test } from 'vitest'
import { ProjectCopy } from './copy.ts'
import { type Mutant, mutants } from './list.ts'

const all = new Map(
  Object.values(mutants)
    .flat()
    .map((mutant) => [mutant.breaks, mutant]),
)

/** Those that are shown as found by the simulation in the table of docs/testing.md. */
const page = readFileSync(new URL('../../docs/testing.md', import.meta.url), 'utf8')
const rows = [...page.matchAll(/^\| (\d+) \| (.+) \| (the simulation|`test\/.+`) \|$/gm)].map(([, , breaks = '', by = '']) => ({
  breaks,
  by,
}))
const found = rows.filter(({ by }) => by === 'the simulation').map(({ breaks }) => breaks)

const copy = new ProjectCopy()
copy.patience = 120_000
afterAll(() => copy.remove())

test('the page has fifteen of them, each of which is a mutant', () => {
  expect(rows.length).toBe(15)
  expect(rows.filter(({ breaks }) => !all.has(breaks))).toEqual([])
  expect(found.length).toBe(14)
  for (const { breaks, by } of rows)
    if (by !== 'the simulation') expect(all.get(breaks)?.tests.map((path) => `\`${path}\``)).toContain(by)
})

test.for(found)('the simulation finds when %s', { timeout: 150_000 }, (breaks) => {
  const { ok, ended, out } = copy.broken(all.get(breaks) as Mutant, () => copy.passes('test/simulation/brief.test.ts'))
  expect(ended, 'it did not end').toBe(true)
  expect(ok).toBe(false)
  // A rule of the simulation, and no error of a file that cannot be read.
  expect(out).toMatch(/(?:[SVC]\d+|once|answer|stream|slots|simulation): |setTimer\(\) was given/)
})
