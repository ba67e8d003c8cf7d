/** A short run of what `npm run soak` does for ten minutes. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { compiled } from '../support/compiled.ts'

test('connects, cuts, cancels, streams and handles leave nothing', { timeout: 60_000 }, async () => {
  const path = fileURLToPath(compiled('test/fixtures/soak.ts'))
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', path, '--seconds', '8'], { timeout: 50_000 })
  expect(stdout).toMatch(/soak: well\n$/)
})
