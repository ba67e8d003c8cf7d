/** `npm run bench:report -- RESULTS.json PAGE.html`: the page of a run that was measured before. */
import { readFileSync, writeFileSync } from 'node:fs'
import { isRun } from './harness/model.ts'
import { reportOf } from './harness/report.ts'

const [from, to] = process.argv.slice(2)
if (from === undefined || to === undefined) {
  console.error('npm run bench:report -- RESULTS.json PAGE.html')
  process.exitCode = 2
} else {
  const run: unknown = JSON.parse(readFileSync(from, 'utf8'))
  if (!isRun(run)) throw new TypeError(`${from} holds no results that --json wrote.`)
  writeFileSync(to, reportOf(run))
}
