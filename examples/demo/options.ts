/** The command line. What is wrong with it is said in a whole sentence, before anything is started. */
import { accessSync, constants, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

export interface Options {
  readonly dir: string
  readonly pattern: string
  readonly repeat: number
  readonly workers: number
  /** Of the gateway; 0 for one that the system chooses. */
  readonly port: number
  /** In ms, from the beginning of the search. */
  readonly deadline: number | undefined
  readonly cancelAfter: number | undefined
  readonly killGateway: number | undefined
}

/** The command line is wrong. The message is for the user. */
export class UsageError extends Error {}

const home = fileURLToPath(new URL('../../../', import.meta.url))
const defaultWorkers = Math.min(8, Math.max(2, availableParallelism() - 1))

export const usage = `Usage: npm run demo -- [OPTION]...

Searches all files below a folder for a regular expression, in worker threads of a service that
this process reaches through a gateway; shows how a cancel or a deadline gets there, and how fast.
Without any option it makes a tour: one search that is cancelled, one that runs into its deadline.

  --dir PATH           the folder to search; default: node_modules of this project
  --pattern REGEX      a regular expression of JavaScript, for each line; default: abort|cancel
  --repeat N           search the folder N times over, where once is too short; default: 1
  --workers N          worker threads, 1 to 64; default here: ${defaultWorkers}
  --port N             the gateway's port; default: one that the system chooses

  --deadline MS        give the search a deadline
  --cancel-after MS    cancel the search
  --kill-gateway MS    kill the gateway process
                       Each so many milliseconds after the search began. Ctrl-C cancels, too;
                       pressed again, it ends the demo at once.
  --help               show this text

Exit codes:
  0    the search was finished, or the tour was
  1    it failed: the gateway was lost, a port is in use, a worker does not stop
  2    the command line is wrong; nothing was started
  3    cancelled by --cancel-after
  124  the deadline passed, as timeout(1) says it
  130  Ctrl-C; 143 and 129 for SIGTERM and SIGHUP, as shells say it
`

const known = {
  dir: { type: 'string' },
  pattern: { type: 'string' },
  repeat: { type: 'string' },
  workers: { type: 'string' },
  port: { type: 'string' },
  deadline: { type: 'string' },
  'cancel-after': { type: 'string' },
  'kill-gateway': { type: 'string' },
  help: { type: 'boolean' },
} as const

/**
 * What the user wants; `'help'` where that is it.
 *
 * @throws UsageError
 */
export function readOptions(args: readonly string[]): Options | 'help' {
  // Not strict: Node's own messages speak to programmers.
  const { values, tokens } = parseArgs({ args: [...args], options: known, strict: false, tokens: true })
  for (const token of tokens) {
    if (token.kind === 'positional')
      throw new UsageError(`"${token.value}" is no option. Options begin with --; --help shows them all.`)
    if (token.kind !== 'option') continue
    if (!Object.hasOwn(known, token.name)) throw new UsageError(`There is no option ${token.rawName}. --help shows them all.`)
    const missing =
      token.value === undefined ||
      (!token.inlineValue && Object.hasOwn(known, token.value.replace(/^--/, '')) && token.value.startsWith('--'))
    if (token.name === 'help') {
      if (token.inlineValue === true) throw new UsageError('--help takes no value.')
    } else if (missing) {
      throw new UsageError(`${token.rawName} needs a value, such as ${examples[token.name as keyof typeof examples]}.`)
    }
  }
  if (values.help === true) return 'help'
  const given = values as Partial<Record<keyof typeof examples, string>>
  return {
    dir: folder(given.dir),
    pattern: expression(given.pattern ?? 'abort|cancel'),
    repeat: whole('repeat', given.repeat, 1, 1_000_000) ?? 1,
    workers: whole('workers', given.workers, 1, 64) ?? defaultWorkers,
    port: whole('port', given.port, 0, 65_535) ?? 0,
    deadline: milliseconds('deadline', given.deadline),
    cancelAfter: milliseconds('cancel-after', given['cancel-after']),
    killGateway: milliseconds('kill-gateway', given['kill-gateway']),
  }
}

const examples = {
  dir: '--dir /usr/share',
  pattern: "--pattern 'abort|cancel'",
  repeat: '--repeat 10',
  workers: '--workers 2',
  port: '--port 8080',
  deadline: '--deadline 500',
  'cancel-after': '--cancel-after 500',
  'kill-gateway': '--kill-gateway 500',
}

function folder(given: string | undefined): string {
  // npm starts us in the folder of the project; the user may be in another one.
  const from = process.env['npm_lifecycle_event'] === 'demo' ? process.env['INIT_CWD'] : undefined
  const path = given === undefined ? resolve(home, 'node_modules') : resolve(from ?? '.', given)
  if (given === '') throw new UsageError('--dir needs the path of a folder, but it is empty.')
  try {
    if (!statSync(path).isDirectory()) throw new UsageError(`${path} is a file. Give the folder that it is in with --dir.`)
    accessSync(path, constants.R_OK | constants.X_OK)
  } catch (error) {
    if (error instanceof UsageError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new UsageError(`There is no folder ${path}. Give one that exists with --dir.`)
    if (code === 'EACCES' || code === 'EPERM')
      throw new UsageError(`You are not allowed to read the folder ${path}. Give another one with --dir.`)
    throw new UsageError(`The folder ${path} cannot be read (${message}). Give another one with --dir.`)
  }
  return path
}

function expression(given: string): string {
  try {
    return new RegExp(given, 'g').source
  } catch (error) {
    throw new UsageError(`--pattern needs a regular expression of JavaScript. ${(error as Error).message}.`)
  }
}

function whole(name: string, given: string | undefined, least: number, most: number): number | undefined {
  if (given === undefined) return undefined
  const value = /^\d+$/.test(given) ? Number(given) : Number.NaN
  if (value >= least && value <= most) return value
  throw new UsageError(`--${name} needs a whole number from ${least} to ${most}, but got "${given}".`)
}

function milliseconds(name: string, given: string | undefined): number | undefined {
  if (given === undefined) return undefined
  const value = /^\d+(\.\d+)?$/.test(given) ? Number(given) : Number.NaN
  if (Number.isFinite(value)) return value
  throw new UsageError(`--${name} needs a number of milliseconds, zero or more, but got "${given}".`)
}
