/** What was measured on. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus, loadavg, platform, release, totalmem } from 'node:os'
import { projectFile } from '../cases/paths.ts'
import type { Machine } from './model.ts'

const require = createRequire(import.meta.url)

/** The version of an installed package, as seen from this file; undefined where it is not there. */
function versionOf(name: string): string | undefined {
  try {
    // Its package.json need not be exported: it is above the entry.
    let folder = require.resolve(name)
    for (;;) {
      const end = folder.lastIndexOf('/')
      if (end <= 0) return undefined
      folder = folder.slice(0, end)
      try {
        const found = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8')) as { name?: string; version?: string }
        if (found.name === name) return found.version
      } catch {
        // Not in this folder.
      }
    }
  } catch {
    return undefined
  }
}

/** What `go version` says, without its first words; undefined where there is no Go. */
export function goVersion(): string | undefined {
  try {
    return execFileSync('go', ['version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .replace(/^go version go/, '')
      .split(' ')[0]
  } catch {
    return undefined
  }
}

export function load(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100
}

/** Of the other libraries that take part, as they are installed. */
export function peerVersions(): Record<string, string> {
  const read = (path: string): { version?: string; dependencies?: object } =>
    JSON.parse(readFileSync(new URL(path, projectFile('bench/peers/')), 'utf8')) as object
  const names = Object.keys(read('package.json').dependencies ?? {})
  return Object.fromEntries(names.map((name) => [name, read(`node_modules/${name}/package.json`).version ?? 'unknown']))
}

export function machine(before: number, pinned: string, peers: Readonly<Record<string, string>> = {}): Machine {
  const versions: Record<string, string> = { node: process.versions.node, v8: process.versions.v8 }
  const packages = ['ctxbridge', 'comlink', 'ws', 'msgpackr']
  for (const name of packages) {
    const version = versionOf(name)
    if (version !== undefined) versions[name] = version
  }
  for (const [name, version] of Object.entries(peers)) versions[name] ??= version
  const go = goVersion()
  if (go !== undefined) versions['go'] = go
  const all = cpus()
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memory: totalmem(),
    system: `${platform()} ${release().split(/[-+]/)[0] ?? ''} ${process.arch}`,
    versions,
    pinned,
    load: [before, load()],
  }
}
