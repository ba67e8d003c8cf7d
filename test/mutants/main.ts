/**
 * `npm run mutants [-- PART [TEXT]]`: breaks a copy of the project in one small way after the other, each of which a test must notice. PART: a part
 * of the library; TEXT: only those in whose description it is.
 *
 * Exits with 1 when a mutant survives, when its original text is not in the file exactly once, or when a test that should
 * kill fails without any mutant. A test file that does not end counts as failed, and the output says so: some mutants make the library hang, but a machine
 * with too much other work looks the same.
 */

import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Mutant, mutants } from './list.ts'

const project = join(import.meta.dirname, '../..')
const copy = mkdtempSync(join(tmpdir(), 'ctxbridge-mutants-'))
/** How long tests may take; with a mutant, no more than twice as long as all of them took without, or two minutes. */
let patience = 900_000

interface Outcome {
  readonly ok: boolean
  /** Whether it came to its end in time. */
  readonly ended: boolean
  readonly out: string
}

function node(...args: string[]): Outcome {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: copy, encoding: 'utf8', timeout: patience })
  return { ok: status === 0, ended: status !== null, out: stdout + stderr }
}

/** A mutant may leave something unused. Any other error would make tests fail for a reason that is none. */
function build(): void {
  const { out } = node('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json')
  const errors = out.split('\n').filter((line) => /error TS(?!6133|6192|6196|6198)/.test(line))
  if (errors.length > 0) throw new Error(`it does not compile:\n${errors.join('\n')}`)
}

const passes = (...tests: string[]): Outcome => node('node_modules/vitest/vitest.mjs', 'run', '--bail=1', ...tests)

/** The test file that kills it, and whether it hung; undefined where none does. */
function killer({ file, original, replacement, tests }: Mutant): string | undefined {
  const path = join(copy, file)
  const text = readFileSync(path, 'utf8')
  const count = text.split(original).length - 1
  if (count !== 1) throw new Error(`its original text is ${count} times in ${file}, not once`)
  writeFileSync(
    path,
    text.replace(original, () => replacement),
  )
  try {
    build()
    for (const test of tests) {
      const { ok, ended } = passes(test)
      if (!ok) return ended ? test : `${test}, which did not end`
    }
    return undefined
  } finally {
    writeFileSync(path, text)
  }
}

let failures = 0
const tell = (ok: boolean, line: string): void => {
  if (!ok) failures++
  console.log(`${ok ? 'killed  ' : 'SURVIVED'} ${line}`)
}

try {
  for (const name of ['lib', 'transports', 'test', 'package.json', 'tsconfig.json', 'tsconfig.build.json', 'vitest.config.ts']) {
    cpSync(join(project, name), join(copy, name), { recursive: true })
  }
  symlinkSync(join(project, 'node_modules'), join(copy, 'node_modules'))
  const [part, text = ''] = process.argv.slice(2)
  const chosen = Object.entries(mutants)
    .filter(([name]) => part === undefined || part === name)
    .map(([name, list]) => [name, list.filter(({ breaks }) => breaks.includes(text))] as const)
  if (chosen.length === 0) throw new Error(`There is no part ${part}; there are ${Object.keys(mutants).join(', ')}.`)
  if (chosen.every(([, list]) => list.length === 0)) throw new Error(`No mutant of these says '${text}'.`)
  build()
  const begun = performance.now()
  const { ok, out } = passes(...new Set(chosen.flatMap(([, list]) => list.flatMap(({ tests }) => tests))))
  if (!ok) throw new Error(`Tests fail without any mutant:\n${out}`)
  patience = Math.max(120_000, 2 * (performance.now() - begun))
  for (const [name, list] of chosen) {
    for (const mutant of list) {
      const started = performance.now()
      try {
        const by = killer(mutant)
        const took = `${((performance.now() - started) / 1_000).toFixed(1)} s`
        tell(by !== undefined, `${name}: ${mutant.breaks} (${mutant.file}): ${by ?? mutant.tests.join(', ')}, ${took}`)
      } catch (error) {
        tell(false, `${name}: ${mutant.breaks}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
  }
} finally {
  rmSync(copy, { recursive: true })
}
console.log(failures === 0 ? 'Every mutant was killed.' : `${failures} survived.`)
process.exitCode = failures === 0 ? 0 : 1
