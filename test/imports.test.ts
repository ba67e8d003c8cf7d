/** Who may import whom. The layout of folders is the architecture, and this is what keeps it true. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { checkHostFree, checkLeaf, checkLib, checkPublicNames, checkTransport, importsOf, type Source } from './support/layout.ts'

/** Tests that look inside: parts of lib that have no public name are tested by these alone. Files, or folders with `/`. */
const whiteBox = [
  'test/fixtures/slot-threads.ts',
  'test/fuzz/',
  'test/link/',
  'test/simulation/',
  'test/slots/',
  'test/support/impatient.ts',
  'test/threads/',
  'test/wire/',
]

const root = new URL('..', import.meta.url)

function sourcesIn(...folders: string[]): Source[] {
  return folders
    .filter((folder) => existsSync(new URL(folder, root)))
    .flatMap((folder) =>
      readdirSync(new URL(folder, root), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
    )
    .filter((path) => path.endsWith('.ts'))
    .toSorted()
    .map((path) => ({ path, text: readFileSync(new URL(path, root), 'utf8') }))
}

const lib = sourcesIn('lib')
const transports = sourcesIn('transports')
const outside = sourcesIn('test', 'bench', 'examples')

const source = (path: string, ...lines: string[]): Source => ({ path, text: lines.join('\n') })

test('lib, transports and tests are there to be read', () => {
  expect(lib.map(({ path }) => path)).toContain('lib/context.ts')
  expect(transports.map(({ path }) => path)).toContain('transports/worker/index.ts')
  expect(outside.map(({ path }) => path)).toContain('test/imports.test.ts')
})

test('lib imports no transport and no package', () => {
  expect(lib.flatMap(checkLib)).toEqual([])
})

test('errors, keys and the clock import nothing', () => {
  expect(lib.flatMap(checkLeaf)).toEqual([])
})

test('the tree, the frames and the bridge name no timer, clock or random source of a host', () => {
  expect(lib.flatMap(checkHostFree)).toEqual([])
})

test('a transport imports lib, and a package only where the file is named after it', () => {
  expect(transports.flatMap(checkTransport)).toEqual([])
})

test('tests, measurements and examples use the public names', () => {
  expect(outside.flatMap((one) => checkPublicNames(one, whiteBox))).toEqual([])
})

test('every exception for a look inside is in use', () => {
  const needed = outside.filter((one) => checkPublicNames(one, []).length > 0).map(({ path }) => path)
  expect(whiteBox.filter((exception) => !needed.some((path) => path.startsWith(exception)))).toEqual([])
})

test('every way to name a module is seen, and none that stands in a comment or a string', () => {
  const { path, text } = source(
    'lib/x.ts',
    "import 'a'",
    "import b from 'b'",
    "import type { C } from 'c'",
    "import { type D, e as renamed } from 'd'",
    "import * as f from 'f'",
    "export * from 'g'",
    "export { h } from 'h'",
    "const i = await import('i')",
    "type J = import('j').J",
    "const k = require('k')",
    'const l = await import(`l`)',
    'const m = await import(name)',
    "// import 'comment'",
    `const text = "import 'text'"`,
  )
  expect(importsOf(path, text).map(({ from }) => from)).toEqual([
    'a',
    'b',
    'c',
    'd',
    'f',
    'g',
    'h',
    'i',
    'j',
    'k',
    'l',
    'something computed',
  ])
  expect(importsOf(path, text).find(({ from }) => from === 'd')?.names).toEqual(['D', 'e'])
})

test.for<[string, string]>([
  ['a package', "import { WebSocket } from 'ws'"],
  ['a builtin', "import { inspect } from 'node:util'"],
  ['a builtin without its prefix', "import { inspect } from 'util'"],
  ['the types of a package', "import type { Remote } from 'comlink'"],
  ['a transport', "import { wrap } from '../transports/worker/index.ts'"],
  ['its own public name', "import { background } from 'ctxbridge'"],
  ['something computed', 'await import(name)'],
])('lib is not allowed %s', ([, line]) => {
  expect(checkLib(source('lib/group.ts', line))).toHaveLength(1)
})

test('lib is allowed its own files', () => {
  expect(checkLib(source('lib/wire/frame.ts', "import { named } from '../given.ts'", "export * from './cause.ts'"))).toEqual([])
})

test('a leaf is not allowed anything but what checks and names what users give', () => {
  expect(checkLeaf(source('lib/clock.ts', "import { background } from './context.ts'"))).toHaveLength(1)
  expect(checkLeaf(source('lib/clock.ts', "import { CanceledError } from './errors.ts'"))).toHaveLength(1)
  expect(checkLeaf(source('lib/errors.ts', "import { createKey } from './key.ts'"))).toHaveLength(1)
  expect(checkLeaf(source('lib/errors.ts', "import * as key from './key.ts'"))).toHaveLength(1)
  expect(checkLeaf(source('lib/errors.ts', "import { named } from './given.ts'"))).toEqual([])
  expect(checkLeaf(source('lib/given.ts', "import { createKey } from './key.ts'"))).toHaveLength(1)
  expect(checkLeaf(source('lib/given.ts', "import * as given from './given.ts'"))).toHaveLength(1)
  expect(checkLeaf(source('lib/group.ts', "import { background } from './context.ts'"))).toEqual([])
})

test.for([
  'setTimeout(f, 1)',
  'globalThis.setInterval(f, 1)',
  "globalThis['setImmediate'](f)",
  'const { performance } = globalThis',
  'const now = Date.now()',
  "const now = Date['now']()",
  'const now = new Date()',
  'const now = Date()',
  'const id = Math.random()',
  'crypto.getRandomValues(bytes)',
  'if (process.platform) f()',
  'type Timer = ReturnType<typeof setTimeout>',
  'const text = `${performance.now()}`',
])('the heart is not allowed %s', (line) => {
  expect(checkHostFree(source('lib/context.ts', line))).toHaveLength(1)
  expect(checkHostFree(source('lib/wire/frame.ts', line))).toHaveLength(1)
  expect(checkHostFree(source('lib/bridge/link.ts', line))).toHaveLength(1)
  expect(checkHostFree(source('lib/clock.ts', line))).toEqual([])
})

test.for([
  'const at = new Date(ms)',
  '// setTimeout',
  '/* Date.now() */',
  "const text = 'process'",
  'const processed = 1',
  'Math.max(1, 2)',
])('the heart is allowed %s', (line) => {
  expect(checkHostFree(source('lib/context.ts', line))).toEqual([])
})

test.for<[string, string]>([
  ['a package that the file is not named after', "import { WebSocket } from 'ws'"],
  ['a package with a scope', "import { x } from '@scope/index'"],
  ['another transport', "import { wrap } from '../worker/index.ts'"],
  ['a file beside the folder', "import { notifyContext } from '../node.ts'"],
  ['a test', "import { turn } from '../../test/support/gc.ts'"],
  ['something computed', 'await import(name)'],
])('a transport is not allowed %s', ([, line]) => {
  expect(checkTransport(source('transports/websocket/index.ts', line))).toHaveLength(1)
})

test('a transport is allowed lib, its own folder, builtins, and the package that the file is named after', () => {
  const path = 'transports/websocket/ws.ts'
  const lines = [
    "import { background } from '../../lib/index.ts'",
    "import { pack } from './msgpackr.ts'",
    "import { once } from 'node:events'",
    "import { WebSocket } from 'ws'",
  ]
  expect(checkTransport(source(path, ...lines))).toEqual([])
  expect(checkTransport(source('transports/node.ts', "import process from 'node:process'"))).toEqual([])
  expect(checkTransport(source('transports/node.ts', "import { x } from './node.ts/x.ts'"))).toHaveLength(1)
})

test('a test is not allowed to reach inside, unless it is listed', () => {
  const inside = source('test/wire/scan.test.ts', "import { scan } from '../../lib/wire/scan.ts'")
  const built = source('bench/run.ts', "const { scan } = await import('../dist/lib/wire/scan.js')")
  const good = source(
    'test/wire/scan.test.ts',
    "import { background } from 'ctxbridge'",
    "import { turn } from '../support/gc.ts'",
  )
  expect(checkPublicNames(inside, [])).toHaveLength(1)
  expect(checkPublicNames(inside, ['test/wire/'])).toEqual([])
  expect(checkPublicNames(inside, ['test/wire/other.test.ts'])).toHaveLength(1)
  expect(checkPublicNames(built, [])).toHaveLength(1)
  expect(checkPublicNames(good, [])).toEqual([])
})
