/** `npm run bench:report -- RESULTS.json PAGE.html [PICTURE.svg]`: the page of a run that was measured before, and the picture of the README. */
import { readFileSync, writeFileSync } from 'node:fs'
import { headlineSvg } from './harness/headline.ts'
import { isRun } from './harness/model.ts'
import { reportOf } from './harness/report.ts'

const [from, page, picture] = process.argv.slice(2)
if (from === undefined || page === undefined) {
  console.error('npm run bench:report -- RESULTS.json PAGE.html [PICTURE.svg]')
  process.exitCode = 2
} else {
  const run: unknown = JSON.parse(readFileSync(from, 'utf8'))
  if (!isRun(run)) throw new TypeError(`${from} holds no results that --json wrote.`)
  writeFileSync(page, reportOf(run))
  if (picture !== undefined) writeFileSync(picture, headlineSvg(run))
}
