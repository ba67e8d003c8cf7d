/** The examples as their users run them: processes, of which only the output and the exit are seen. */
import { execFile } from 'node:child_process'
import type { ServerResponse } from 'node:http'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { sendFile } from '../../examples/browser/files.ts'
import { compiled } from '../support/compiled.ts'

/** Rejects where the exit code is not 0, or nothing has ended after that time, which bounds a failure. */
async function run(path: string, ...args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return promisify(execFile)(process.execPath, [fileURLToPath(compiled(path)), ...args], { timeout: 60_000 })
}

test('pool: two cancelled jobs leave their threads warm', { timeout: 90_000 }, async () => {
  const { stdout, stderr } = await run('examples/pool/main.ts')
  expect(stderr).toBe('')
  expect(stdout).toContain('ended: TimeoutError: context deadline exceeded, since nobody waits that long')
  expect(stdout.match(/1229 primes below 10,000, by thread \d+: its job number \d+, so it is still the same one/g)).toHaveLength(
    2,
  )
  // A thread that was lost would have begun to count anew.
  expect(stdout).not.toContain('its job number 1,')
})

test('tokens: the stop reaches the generator with its reason, and soon', { timeout: 90_000 }, async () => {
  const { stdout, stderr } = await run('examples/tokens/main.ts', '--tokens', '5')
  expect(stderr).toBe('')
  expect(stdout).toContain('Once upon a time: a context is a value')
  const [, shown, generated, why] = /(\d+) shown, (\d+) generated\. Told to stop by: (.*)/.exec(stdout) ?? []
  expect([shown, why]).toEqual(['5', 'Error: 5 tokens are enough'])
  // No more than a window of the stream ahead of the reader.
  expect(Number(generated)).toBeGreaterThanOrEqual(5)
  expect(Number(generated)).toBeLessThanOrEqual(5 + 16)
})

test.for(['//', '/http://[', '/../package.json', '/none.css'])(
  'browser: a request for %s is answered, and ends no gateway',
  async (url) => {
    const statuses: number[] = []
    const response = { writeHead: (status: number) => (statuses.push(status), response), end: () => response }
    await sendFile({ method: 'GET', url } as never, response as unknown as ServerResponse)
    expect(statuses).toEqual([404])
  },
)
