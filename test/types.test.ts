/**
 * What must compile and what must not, in `types/*.test-d.ts`, held against the built declarations: as Node resolves the
 * package and as bundlers do, with the compiler of today and with TypeScript 5.4.
 */

import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import manifest from '../package.json' with { type: 'json' }
import { tsc } from './support/compiler.ts'

/** Compilers are slow to start on a busy machine; this bounds a failure and is no expectation. */
const timeout = 120_000

test('there are type tests', () => {
  expect(readdirSync(new URL('types', import.meta.url)).filter((name) => name.endsWith('.test-d.ts'))).not.toEqual([])
})

test.for(['typescript', 'typescript-5.4'] as const)(
  '%s accepts the types as Node resolves them',
  { timeout },
  async (compiler) => {
    expect(await tsc(compiler, '-p', 'test/types/tsconfig.json')).toBe('')
  },
)

test.for(['typescript', 'typescript-5.4'] as const)(
  '%s accepts the types as bundlers resolve them',
  { timeout },
  async (compiler) => {
    expect(await tsc(compiler, '-p', 'test/types/tsconfig.bundler.json')).toBe('')
  },
)

test.for(['typescript', 'typescript-5.4'] as const)(
  '%s accepts the core without the types of Node',
  { timeout },
  async (compiler) => {
    expect(await tsc(compiler, '-p', 'test/types/tsconfig.browser.json')).toBe('')
  },
)

test.for(['typescript', 'typescript-5.4'] as const)(
  '%s accepts what a page imports, without the types of Node, by a program that has not asked for Disposable',
  { timeout },
  async (compiler) => {
    const folder = new URL(`../.build/types/page-${compiler}/`, import.meta.url)
    mkdirSync(folder, { recursive: true })
    const subpaths = ['comlink', 'piscina', 'tinypool', 'workerpool', 'message-port', 'websocket', 'trace', 'testing']
    const lines = [
      "import { background, withCancel, withTimeout } from 'ctxbridge'",
      "import { wrap } from 'ctxbridge/worker'",
      ...subpaths.map((name) => `export type * as m${name.replace('-', '')} from 'ctxbridge/${name}'`),
      'declare const worker: Worker',
      'export async function f(): Promise<number> {',
      '  using ctx = withTimeout(background(), 1)',
      '  using remote = wrap<{ f(n: number): number }>(worker)',
      '  const one: Disposable = withCancel(ctx)',
      '  return (await remote.f(1)) + (one ? 1 : 0)',
      '}',
    ]
    writeFileSync(new URL('page.ts', folder), lines.join('\n'))
    const compilerOptions = {
      module: 'esnext',
      moduleResolution: 'bundler',
      customConditions: ['browser'],
      lib: ['ES2022', 'DOM'],
      types: [],
    }
    const config = { extends: '../../../test/types/tsconfig.json', compilerOptions, include: ['*.ts'] }
    writeFileSync(new URL('tsconfig.json', folder), JSON.stringify(config))
    expect(await tsc(compiler, '-p', `.build/types/page-${compiler}`)).toBe('')
    expect(await tsc(compiler, '-p', `.build/types/page-${compiler}`, '--listFilesOnly')).not.toMatch(/@types.node|@types.ws/)
  },
)

test.for(['typescript', 'typescript-5.4'] as const)(
  '%s accepts what a program of Node imports that has not asked for the types of the web',
  { timeout },
  async (compiler) => {
    const folder = new URL(`../.build/types/node-${compiler}/`, import.meta.url)
    mkdirSync(folder, { recursive: true })
    const subpaths = Object.keys(manifest.exports).filter((name) => name !== './package.json')
    const lines = subpaths.map((name, i) => `export type * as m${i} from 'ctxbridge${name.slice(1)}'`)
    expect(lines.length).toBeGreaterThan(9)
    writeFileSync(new URL('program.ts', folder), lines.join('\n'))
    const compilerOptions = { lib: ['ES2022'] }
    const config = { extends: '../../../test/types/tsconfig.json', compilerOptions, include: ['*.ts'] }
    writeFileSync(new URL('tsconfig.json', folder), JSON.stringify(config))
    expect(await tsc(compiler, '-p', `.build/types/node-${compiler}`)).toBe('')
  },
)

test.for(['typescript', 'typescript-5.4'] as const)(
  '%s is the compiler that its name says, and finds mistakes',
  { timeout },
  async (compiler) => {
    expect(await tsc(compiler, '--version')).toMatch(compiler === 'typescript' ? /^Version 7\.0\./ : /^Version 5\.4\./)

    const folder = new URL(`../.build/types/${compiler}/`, import.meta.url)
    mkdirSync(folder, { recursive: true })
    const lines = [
      "import { background, withCancel } from 'ctxbridge'",
      'export const right = withCancel(background())',
      'export const wrong = withCancel(1)',
      '// @ts-expect-error nothing is wrong here',
      'export const unexpected = background()',
    ]
    writeFileSync(new URL('mistakes.ts', folder), lines.join('\n'))
    writeFileSync(
      new URL('tsconfig.json', folder),
      JSON.stringify({ extends: '../../../test/types/tsconfig.json', include: ['*.ts'] }),
    )
    const found = await tsc(compiler, '-p', `.build/types/${compiler}`)
    expect(found).toContain('mistakes.ts(3,33): error TS2345')
    expect(found).toContain('mistakes.ts(4,1): error TS2578')
    expect(found.match(/mistakes\.ts/g)).toHaveLength(2)
  },
)
