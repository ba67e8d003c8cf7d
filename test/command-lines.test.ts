/** What the searches of `npm run` take, and what they say to the rest. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { type Command, readCommand, UsageError } from './support/command-line.ts'

const search: Command = { name: 'search', usage: '', numbers: { minutes: 0, seeds: 1 }, texts: ['replay'], words: 1 }

test('options are read', () => {
  expect(readCommand(search, [])).toEqual({ numbers: {}, texts: {}, words: [], help: false })
  expect(readCommand(search, ['--minutes', '0.5', '--seeds=20', 'part', '--replay', 'a.json', '--help'])).toEqual({
    numbers: { minutes: 0.5, seeds: 20 },
    texts: { replay: 'a.json' },
    words: ['part'],
    help: true,
  })
})

test.for([
  [['--fast'], "Unknown option '--fast'."],
  [['part', 'more'], "search does not know what 'more' is for."],
  [['--seeds', '0'], "search needs --seeds to be a number from 1, but got '0'."],
  [['--seeds', 'many'], "search needs --seeds to be a number from 1, but got 'many'."],
  [['--minutes='], "search needs --minutes to be a number from 0, but got ''."],
  [['--minutes', '-1'], "Option '--minutes' argument is ambiguous."],
  [['--replay='], 'search needs --replay to have a value.'],
  [['--help=no'], "Option '--help' does not take an argument."],
] as const)('%j is refused in a sentence', ([args, sentence]) => {
  expect(() => readCommand(search, args)).toThrow(new UsageError(sentence))
})

function run(command: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const main = fileURLToPath(new URL(`${command}/main.ts`, import.meta.url))
  return spawnSync(process.execPath, ['--import', 'tsx', main, ...args], { encoding: 'utf8', timeout: 60_000 })
}

test.for(['simulation', 'fuzz', 'mutants'])(
  '%s explains itself, and refuses what it does not know',
  { timeout: 60_000 },
  (command) => {
    const help = run(command, '--help')
    expect([help.status, help.stderr]).toEqual([0, ''])
    expect(help.stdout).toMatch(/^npm run \w+ -- /)
    const wrong = run(command, '--nothing')
    expect([wrong.status, wrong.stdout, wrong.stderr]).toEqual([2, '', `Unknown option '--nothing'.\n\n${help.stdout}`])
  },
)

test.for([
  ['simulation', '--replay', 'package.json'],
  ['fuzz', '--replay', 'package.json'],
  ['fuzz', '--target', 'nothing'],
  ['mutants', 'nothing'],
] as const)('%s %s %s is refused in a sentence', { timeout: 60_000 }, ([command, ...args]) => {
  const { status, stdout, stderr } = run(command, ...args)
  expect([status, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(/^\w+ (has|cannot) [^\n]*\.\n\nnpm run /)
})
