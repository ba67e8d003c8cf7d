/** A short run of what `npm run soak` does for ten minutes. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { compiled } from '../support/compiled.ts'

test('connects, cuts, cancels, streams and handles leave nothing', { timeout: 60_000 }, async () => {
  const script = compiled('test/fixtures/soak.ts')
  const path = typeof script === 'string' ? script : (script as URL).pathname
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', path, '--seconds', '8'], { timeout: 50_000 })
  expect(stdout).toMatch(/soak: well\n$/)
})
