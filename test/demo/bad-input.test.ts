/** What is wrong with a command line is said in one sentence, which tells what to do; nothing is started. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { runDemo } from './run-demo.ts'

vi.setConfig({ testTimeout: 60_000 })

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ctxbridge-demo-'))
  writeFileSync(join(folder, 'file'), 'text')
  mkdirSync(join(folder, 'closed'))
  // Nothing is closed to root, but nobody can follow a link to itself.
  if (process.getuid?.() === 0) {
    rmSync(join(folder, 'closed'), { recursive: true })
    symlinkSync('closed', join(folder, 'closed'))
  } else {
    chmodSync(join(folder, 'closed'), 0)
  }
})

afterAll(() => rmSync(folder, { recursive: true }))

const cases: [what: string, args: string[], sentence: RegExp][] = [
  ['an unknown option', ['--colour'], /^There is no option --colour\. --help shows them all\.$/],
  ['an unknown short option', ['-x'], /^There is no option -x\. /],
  ['a word that is no option', ['needle'], /^"needle" is no option\. /],
  ['a missing value at the end', ['--deadline'], /^--deadline needs a value, such as --deadline 500\.$/],
  ['a missing value before another option', ['--dir', '--deadline', '500'], /^--dir needs a value, such as --dir /],
  ['a value where none belongs', ['--help=yes'], /^--help takes no value\.$/],
  [
    'a deadline that is no number',
    ['--deadline', 'soon'],
    /^--deadline needs a number of milliseconds, zero or more, but got "soon"\.$/,
  ],
  ['a negative deadline', ['--deadline', '-5'], /^--deadline needs .* but got "-5"\.$/],
  ['an endless time', ['--cancel-after', 'Infinity'], /^--cancel-after needs .* but got "Infinity"\.$/],
  ['an empty number', ['--kill-gateway='], /^--kill-gateway needs .* but got ""\.$/],
  ['no workers', ['--workers', '0'], /^--workers needs a whole number from 1 to 64, but got "0"\.$/],
  ['too many workers', ['--workers', '100000'], /^--workers needs .* but got "100000"\.$/],
  ['half a worker', ['--workers', '1.5'], /^--workers needs .* but got "1.5"\.$/],
  ['no search at all', ['--repeat', '0'], /^--repeat needs a whole number from 1 to 1000000, but got "0"\.$/],
  ['a port that no machine has', ['--port', '65536'], /^--port needs .* but got "65536"\.$/],
  ['an invalid regular expression', ['--pattern', '('], /^--pattern needs a regular expression of JavaScript\. .*\/\(\/.*\.$/],
  ['an empty path', ['--dir='], /^--dir needs the path of a folder, but it is empty\.$/],
  ['a folder that is missing', ['--dir', 'FOLDER/missing'], /^There is no folder .*missing\. Give one that exists with --dir\.$/],
  ['a folder below a file', ['--dir', 'FOLDER/file/below'], /^There is no folder .*below\. /],
  ['a file', ['--dir', 'FOLDER/file'], /^.*file is a file\. Give the folder that it is in with --dir\.$/],
  [
    'a folder that cannot be read',
    ['--dir', 'FOLDER/closed'],
    /^(You are not allowed to read|The folder .* cannot be read).* Give another one with --dir\.$/,
  ],
]

test.for(cases)('%s', async ([, args, sentence]) => {
  const run = await runDemo(...args.map((arg) => arg.replace('FOLDER', folder)))
  expect(run.stderr.trimEnd()).toMatch(sentence)
  expect(run.stdout).toBe('')
  expect(run.code).toBe(2)
})

test('a port that is in use', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const run = await runDemo('--dir', folder, '--port', String(port))
  server.close()
  expect(run.stderr).toBe(
    `Port ${port} is in use by another program. Give another one with --port, or leave it out: then the system chooses a free one.\n`,
  )
  expect(run.stdout).toBe('')
  expect(run.code).toBe(1)
})
