/** `npm run bench:report -- RESULTS.json PAGE.html [PICTURE.svg]`: the page of a run that was measured before, and the picture of the README. */
import { writeFileSync } from 'node:fs'
import { headlineSvg } from './harness/headline.ts'
import { reportOf } from './harness/report.ts'
import { UsageError } from './options.ts'
import { mustBeWritable, readRun } from './run-file.ts'

const usage = 'npm run bench:report -- RESULTS.json PAGE.html [PICTURE.svg]'

function main([from, page, picture]: readonly string[]): void {
  if (from === undefined || page === undefined) throw new UsageError('It needs the results, and the page to write.')
  const run = readRun(from, 'bench:report')
  for (const file of [page, picture]) if (file !== undefined) mustBeWritable(file, 'bench:report')
  writeFileSync(page, reportOf(run))
  if (picture !== undefined) writeFileSync(picture, headlineSvg(run))
}

try {
  main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof UsageError || error instanceof TypeError)) throw error
  console.error(`${error.message}\n\n${usage}`)
  process.exitCode = 2
}
