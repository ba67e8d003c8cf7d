/**
 * Runs tests on other versions of Node: `npm run test:matrix [-- 24 26]`. The npm package `node` brings them, into `.build/node`, outside of the lock file.
 * Those tests are run that depend on the host the most: threads, pools, slots, ports and sockets.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const all = ['20.19', '22', '24', '26']
const wanted = process.argv.slice(2)
const folders = [
  'test/worker',
  'test/pools',
  'test/slots',
  'test/threads',
  'test/message-port',
  'test/websocket',
  'test/contract',
  'test/node',
]

const unknown = wanted.filter((version) => !/^\d+(\.\d+){0,2}$/.test(version))
if (unknown.length > 0) {
  process.stderr.write(`test:matrix needs versions of Node such as 24 or 26.1.0, but got ${unknown.join(', ')}.\n`)
  process.exit(2)
}

/** The program of that version of Node; installs it, unless it is there. */
function install(version: string): string {
  const folder = `${root}.build/node/${version}`
  const program = `${folder}/node_modules/node/bin/node`
  if (existsSync(program)) return program
  mkdirSync(folder, { recursive: true })
  writeFileSync(`${folder}/package.json`, '{ "private": true }\n')
  const { status } = spawnSync(
    'npm',
    ['install', '--no-save', '--no-package-lock', '--no-audit', '--no-fund', `node@${version}`],
    {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  if (status !== 0 || !existsSync(program)) throw new Error(`Node ${version} could not be installed.`)
  return program
}

const failed: string[] = []
for (const version of wanted.length > 0 ? wanted : all) {
  const program = install(version)
  const exact = spawnSync(program, ['--version'], { encoding: 'utf8' }).stdout.trim()
  process.stdout.write(`\n=== Node ${exact} ===\n`)
  const { status } = spawnSync(program, ['node_modules/vitest/vitest.mjs', 'run', ...folders], { cwd: root, stdio: 'inherit' })
  if (status !== 0) failed.push(exact)
}
process.stdout.write(failed.length === 0 ? '\nEvery version passed.\n' : `\nFailed on ${failed.join(', ')}.\n`)
process.exitCode = failed.length === 0 ? 0 : 1
