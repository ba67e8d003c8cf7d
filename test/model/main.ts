/**
 * `npm run model`: searches the model of the slots completely, in each configuration, and then with each mutant, which must fail.
 * Needs spin and gcc. Exits with 1 when a configuration fails, a mutant survives, or a tool is missing.
 */

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { configurations, mutants } from './configurations.ts'

const model = join(import.meta.dirname, 'slots.pml')

function run(folder: string, command: string, args: readonly string[]): string {
  const { stdout, stderr, error, status } = spawnSync(command, args, { cwd: folder, encoding: 'utf8', timeout: 60_000 })
  if (error !== undefined) throw new Error(`${command} did not finish: ${error.message}`)
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}${stderr}`)
  return stdout
}

interface Verdict {
  readonly states: number
  /** What was found to be wrong; undefined where all states were searched and nothing was. */
  readonly wrong: string | undefined
}

function search(folder: string, defines: readonly string[]): Verdict {
  run(folder, 'spin', [...defines, '-a', model])
  run(folder, 'gcc', ['-O1', '-w', '-DSAFETY', '-DCOLLAPSE', '-DMEMLIM=1500', '-DVECTORSZ=2048', '-o', 'pan', 'pan.c'])
  const out = run(folder, './pan', ['-n', '-m100000'])
  const states = Number(/(\d+) states, stored/.exec(out)?.[1] ?? 0)
  const found = /^pan:\d+: (.+?) \(at depth/m.exec(out)?.[1]
  const whole = /errors: 0$/m.test(out) && !/max search depth too small|Search not completed|out of memory/.test(out)
  return { states, wrong: whole ? undefined : (found ?? `the search was not complete:\n${out}`) }
}

const missing = ['spin', 'gcc'].filter((tool) => spawnSync(tool, [tool === 'spin' ? '-V' : '--version']).error !== undefined)
if (missing.length > 0) {
  console.error(`npm run model needs ${missing.join(' and ')}. On Debian: apt-get install spin build-essential`)
  process.exit(1)
}

const folder = mkdtempSync(join(tmpdir(), 'ctxbridge-model-'))
let failures = 0
const tell = (ok: boolean, line: string): void => {
  if (!ok) failures++
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${line}`)
}
try {
  for (const [name, defines] of Object.entries(configurations)) {
    const { states, wrong } = search(folder, defines)
    tell(wrong === undefined, `${name}: ${states.toLocaleString('en')} states${wrong === undefined ? '' : `, ${wrong}`}`)
  }
  for (const { define, breaks, configuration, by } of mutants) {
    const { wrong } = search(folder, [...configurations[configuration], `-D${define}`])
    const caught = wrong === undefined ? 'SURVIVED' : `caught by ${wrong}`
    tell(wrong?.includes(by) === true, `${define} (${breaks}), in "${configuration}": ${caught}`)
  }
} finally {
  rmSync(folder, { recursive: true })
}
console.log(failures === 0 ? 'The model holds, and every mutant was caught.' : `${failures} failed.`)
process.exitCode = failures === 0 ? 0 : 1
