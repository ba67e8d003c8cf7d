/**
 * The tests that need a real browser: those of `test/browser/`, in a page that is cross-origin isolated and in one that is not.
 *
 * They need Chromium: `CHROMIUM` names it, or it is found as Debian installs it. Without one they say so; in CI they fail.
 */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { chromiumPath, hasChromium } from './browser/chromium.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
async function vitest(isolated: boolean): Promise<{ code: number | null; output: string }> {
  const env = { ...process.env, ISOLATED: isolated ? 'yes' : 'no', CHROMIUM: chromiumPath, NO_COLOR: '1', NODE_OPTIONS: '' }
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

test.concurrent.each([
  ['cross-origin isolated', true],
  ['not isolated', false],
] as const)(
  'the tests in Chromium, in a page that is %s',
  async (_name, isolated) => {
    if (!hasChromium()) return
    const { code, output } = await vitest(isolated)
    expect({ code, passed: /Tests\s+\d+ passed \(\d+\)/.test(output) }, output).toEqual({ code: 0, passed: true })
  },
  180_000,
)
