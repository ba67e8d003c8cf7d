/**
 * The tests that need a real browser: those of `test/browser/`, in a page that is cross-origin isolated and in one that is not.
 *
 * They need Chromium: `CHROMIUM` names it, or it is found as Debian installs it. Without one they say so; in CI they fail.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const found = [process.env['CHROMIUM'], '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => path !== undefined && existsSync(path),
)

async function vitest(isolated: boolean): Promise<{ code: number | null; output: string }> {
  const env = { ...process.env, ISOLATED: isolated ? 'yes' : 'no', CHROMIUM: found, NO_COLOR: '1', NODE_OPTIONS: '' }
  const child = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', '--config', 'vitest.browser.config.ts'], {
    cwd: root,
    env: Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('VITEST') && name !== 'FORCE_COLOR')),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, output }
}

test.each([
  ['cross-origin isolated', true],
  ['not isolated', false],
] as const)(
  'the tests in Chromium, in a page that is %s',
  async (_name, isolated) => {
    if (found === undefined) {
      const missing = 'The tests in a browser did not run: there is no Chromium. Install it, or name it by the variable CHROMIUM.'
      if (process.env['CI'] !== undefined) throw new Error(missing)
      process.stderr.write(`\n${missing}\n`)
      return
    }
    const { code, output } = await vitest(isolated)
    expect({ code, passed: /Tests\s+\d+ passed \(\d+\)/.test(output) }, output).toEqual({ code: 0, passed: true })
  },
  180_000,
)
