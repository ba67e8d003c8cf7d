/** What is published, and that it can be imported. */

import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { run } from './support/child-process.ts'

const root = new URL('..', import.meta.url)

interface Target {
  readonly types: string
  readonly default: string
}

interface Manifest {
  readonly version: string
  readonly exports: Record<string, string | (Target & { browser?: Target })>
  readonly peerDependencies: Record<string, string>
  readonly peerDependenciesMeta: Record<string, { optional?: boolean }>
  readonly devDependencies: Record<string, string>
}

const manifest = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as Manifest
const subpaths = Object.entries(manifest.exports).filter(([name]) => name !== './package.json')

function filesIn(folder: string): string[] {
  return readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`)
}

test('the package has what its users need and nothing else', () => {
  // Without its scripts: they would build anew under the tests that run now.
  const output = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: fileURLToPath(root),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [packed] = JSON.parse(output) as { files: { path: string }[] }[]

  const sources = [...filesIn('lib'), ...filesIn('transports')].filter((path) => path.endsWith('.ts'))
  const built = sources.flatMap((path) => {
    const stem = `dist/${path.slice(0, -'.ts'.length)}`
    return [`${stem}.js`, `${stem}.js.map`, `${stem}.d.ts`, `${stem}.d.ts.map`]
  })
  const docs = filesIn('docs').filter((path) => /\.\w+$/.test(path))
  const expected = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json', ...docs, ...sources, ...built]

  expect(packed?.files.map(({ path }) => path).toSorted()).toEqual(expected.toSorted())
})

test('copies of the package tell their versions apart by that of package.json', () => {
  const [, version] =
    /export const version: string = '(.*)'/.exec(readFileSync(new URL('lib/bridge/copies.ts', root), 'utf8')) ?? []
  expect(version).toBe(manifest.version)
})

test('the package depends on nothing', () => {
  expect(manifest).not.toHaveProperty('dependencies')
  expect(manifest).not.toHaveProperty('optionalDependencies')
})

test('every peer is optional, and is here for the tests', () => {
  for (const name of Object.keys(manifest.peerDependencies)) {
    expect(manifest.peerDependenciesMeta, name).toHaveProperty([name, 'optional'], true)
    expect(manifest.devDependencies).toHaveProperty(name)
  }
})

test('the sources that the maps name are published', () => {
  const maps = filesIn('dist').filter((path) => path.endsWith('.map'))
  expect(maps).not.toEqual([])
  for (const path of maps) {
    const { sources } = JSON.parse(readFileSync(new URL(path, root), 'utf8')) as { sources: string[] }
    for (const source of sources) expect(existsSync(new URL(source, new URL(path, root))), `${path} names ${source}`).toBe(true)
  }
})

test.for(subpaths)('%s leads to a module and its types, types first', ([, target]) => {
  // What is another module in a browser says so before all else.
  const { browser, ...rest } = target as Target & { readonly browser?: Target }
  if (browser !== undefined) expect(Object.keys(target)[0]).toBe('browser')
  for (const one of browser === undefined ? [rest] : [browser, rest]) {
    expect(Object.keys(one)).toEqual(['types', 'default'])
    const { types, default: module } = one
    expect(types.replace(/\.d\.ts$/, '.js')).toBe(module)
    expect(existsSync(new URL(types, root))).toBe(true)
    expect(existsSync(new URL(module, root))).toBe(true)
  }
})

test.for(subpaths)('%s can be imported, and that alone keeps no process alive and prints nothing', async ([name]) => {
  const specifier = name.replace('.', 'ctxbridge')
  const source = `const m = await import('${specifier}'); if (Object.keys(m).length === 0) process.exitCode = 1`
  expect(await run(source)).toEqual({ code: 0, stdout: '', stderr: '', hung: false })
})

test('what has no subpath cannot be imported', async () => {
  const outcome = await run(`await import('ctxbridge/dist/lib/context.js')`)
  expect(outcome.stderr).toContain('ERR_PACKAGE_PATH_NOT_EXPORTED')
})
