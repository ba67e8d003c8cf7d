/**
 * Other libraries, side by side with ours. They are not dependencies of the project: `--peers` installs them into `bench/peers`, as the lock file
 * there says. What uses them is plain JavaScript in that folder, so that the project compiles without them.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Extra } from './cases/all.ts'
import { cost, must } from './cases/cost.ts'
import { latency } from './cases/latency.ts'
import { nextJobs } from './cases/next-job.ts'
import { projectFile } from './cases/paths.ts'
import { rest } from './cases/websocket-far.ts'
import { now } from './harness/clock.ts'
import { Cannot, type Contender } from './harness/model.ts'
import { Reports } from './harness/reports.ts'
import { turn } from './harness/runner.ts'
import { listed } from './harness/text.ts'
import { UsageError } from './options.ts'

const folder = projectFile('bench/peers/')

/** What they are given. */
const kit = {
  Cannot,
  cost,
  latency,
  listed,
  must,
  nextJobs,
  now,
  Reports,
  rest,
  turn,
  pinUrl: new URL('harness/pin.js', import.meta.url).href,
}

type Maker = (tools: typeof kit) => Promise<readonly Contender[]> | readonly Contender[]

/** Which suite is joined by whose export. */
export const parts: readonly (readonly [suite: string, file: string, name: string])[] = [
  ['worker/busy', 'worker.mjs', 'busy'],
  ['worker/idle', 'worker.mjs', 'idle'],
  ['worker/blocked', 'worker.mjs', 'blocked'],
  ['core/cancel', 'worker.mjs', 'create'],
  ['pool/next', 'pools.mjs', 'next'],
  ['websocket/cancel', 'service.mjs', 'cancel'],
  ['websocket/storm', 'service.mjs', 'storm'],
]

/** Whether all are there, in the versions of the lock file. */
function installed(): boolean {
  const read = (path: string): { version?: string; dependencies?: object; packages?: Record<string, { version?: string }> } =>
    JSON.parse(readFileSync(new URL(path, folder), 'utf8')) as object
  const locked = read('package-lock.json').packages ?? {}
  return Object.keys(read('package.json').dependencies ?? {}).every((name) => {
    const path = `node_modules/${name}`
    return existsSync(new URL(`${path}/package.json`, folder)) && read(`${path}/package.json`).version === locked[path]?.version
  })
}

/**
 * Installs what is missing, and says so.
 *
 * @throws UsageError
 */
export function installPeers(say: (text: string) => void): void {
  if (installed()) return
  say('Installs the other libraries into bench/peers, once.')
  // Nothing of theirs is run at installation.
  const { error, status } = spawnSync('npm', ['ci', '--ignore-scripts'], {
    cwd: fileURLToPath(folder),
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (error === undefined && status === 0) return
  throw new UsageError(
    `--peers needs 'npm ci' in bench/peers, which failed: ${error?.message ?? `it ended with code ${status}`}.`,
  )
}

/** What takes part once they are installed. */
export function peerSuites(): Extra[] {
  return parts.map(([suite, file, name]) => ({
    suite,
    async contenders() {
      const makers = (await import(new URL(file, folder).href)) as Record<string, Maker>
      const maker = makers[name]
      if (maker === undefined) throw new Error(`bench/peers/${file} exports no ${name}.`)
      return maker(kit)
    },
  }))
}
