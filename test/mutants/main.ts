/** `npm run mutants`: see its usage. */
import { type Command, commandLine, type Given, orExplain, UsageError } from '../support/command-line.ts'
import { ProjectCopy } from './copy.ts'
import { type Mutant, mutants } from './list.ts'

const parts = Object.keys(mutants)
const command: Command = {
  name: 'mutants',
  usage: `npm run mutants -- [PART [TEXT]] [--shard K/N]

  PART         only those of one part: ${parts.join(', ')}
  TEXT         only those in whose description it is
  --shard K/N  of these only each Nth, from the Kth on: N machines together try all
  --help       this text

Breaks a copy of the project in one small way after the other, each of which a test must notice. Ends with 0 when each was noticed; with 1 when one was not, when its text is not in
its file exactly once, or when a test fails without any mutant; with 2 when it was called in a wrong way. A test that does not end in twice the time that all took without a mutant
counts as failed, and the output says so: some mutants make the library hang, but a machine with too much other work looks the same.
`,
  texts: ['shard'],
  words: 2,
}

type Chosen = readonly (readonly [part: string, list: readonly Mutant[]])[]

function choose({ words: [part, text = ''], texts: { shard = '1/1' } }: Given): Chosen {
  const [, first = '', every = ''] = /^([1-9]\d*)\/([1-9]\d*)$/.exec(shard) ?? []
  if (first === '' || Number(first) > Number(every))
    throw new UsageError(`mutants needs --shard to be of the form K/N, with K from 1 to N, but got '${shard}'.`)
  let index = 0
  if (part !== undefined && !parts.includes(part))
    throw new UsageError(`mutants has no part '${part}'; it has ${parts.join(', ')}.`)
  const chosen = Object.entries(mutants)
    .filter(([name]) => part === undefined || part === name)
    .map(
      ([name, list]) =>
        [name, list.filter(({ breaks }) => breaks.includes(text) && (++index - Number(first)) % Number(every) === 0)] as const,
    )
  if (chosen.every(([, list]) => list.length === 0))
    throw new UsageError(`mutants has none of that part that says '${text}', in that shard.`)
  return chosen
}

const chosen = orExplain(command, () => choose(commandLine(command)))
const copy = new ProjectCopy()
let failures = 0
const tell = (ok: boolean, line: string): void => {
  if (!ok) failures++
  console.log(`${ok ? 'killed  ' : 'SURVIVED'} ${line}`)
}

/** The test file that kills it, and whether it hung; undefined where none does. */
function killer(mutant: Mutant): string | undefined {
  return copy.broken(mutant, () => {
    copy.build()
    for (const test of mutant.tests) {
      const { ok, ended } = copy.passes(test)
      if (!ok) return ended ? test : `${test}, which did not end`
    }
    return undefined
  })
}

try {
  copy.build()
  const begun = performance.now()
  const { ok, out } = copy.passes(...new Set(chosen.flatMap(([, list]) => list.flatMap(({ tests }) => tests))))
  if (!ok) throw new Error(`Tests fail without any mutant:\n${out}`)
  copy.patience = Math.max(120_000, Math.ceil(2 * (performance.now() - begun)))
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
  copy.remove()
}
console.log(failures === 0 ? 'Every mutant was killed.' : `${failures} survived.`)
process.exitCode = failures === 0 ? 0 : 1
