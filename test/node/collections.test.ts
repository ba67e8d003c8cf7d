/** How the engine sees contexts that come and go, and between which there is none. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { compiled } from '../support/compiled.ts'

/** Functions of the way that an end takes, which know of nothing but contexts. */
const ours = ['mark', 'extend', 'takePlaces', 'Extras']

test('collections throw away no code that was compiled for contexts', async () => {
  const path = fileURLToPath(compiled('test/fixtures/collections.ts'))
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', '--trace-deopt', path], { timeout: 25_000 })
  const thrown = stdout.split('\n').filter((line) => line.includes('weak objects'))
  // Otherwise the engine says it in other words by now.
  expect(thrown.length).toBeGreaterThan(0)
  expect(ours.filter((name) => thrown.some((line) => line.includes(`<SharedFunctionInfo ${name}>`)))).toEqual([])
})
