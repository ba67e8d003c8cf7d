/** The command line of `npm run bench`. */
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { projectFile } from './cases/paths.ts'

export interface Options {
  /** The pattern, and its text as it was typed. */
  readonly only?: { readonly text: string; readonly pattern: RegExp }
  readonly json?: string
  readonly compare?: string
  readonly report?: string
  readonly rounds?: number
  readonly peers: boolean
  readonly pin: boolean
  readonly list: boolean
  readonly help: boolean
}

/** What is wrong with the command line, as a sentence for whoever wrote it. */
export class UsageError extends Error {}

export const usage = `npm run bench -- [options]

  --only PATTERN   only the suites and curves whose id matches this regular expression, as 'worker' or '^core/'
  --peers          other libraries as well; installs them into bench/peers the first time
  --rounds N       so many rounds of each suite, from 1 to 1000, instead of its own number;
                   and so many values for each point of a curve, up to 5
  --json FILE      write the results into a file
  --compare FILE   compare with the results of an earlier run, written by --json
  --report FILE    write a page of the results, with charts, that needs no network;
                   without --only it is written into bench/report.html, unless this says otherwise
  --no-pin         leave it to the system which core a thread runs on
  --list           show what there is to measure, and measure nothing
  --help           this text
`

/** Where the page is to be written, if at all. Without a word about it that of a whole run is kept beside the bench: a part would take its place there. */
export function pageOf({ report, only }: Pick<Options, 'report' | 'only'>): string | undefined {
  return report ?? (only === undefined ? fileURLToPath(projectFile('bench/report.html')) : undefined)
}

/** @throws UsageError */
export function parseOptions(args: readonly string[]): Options {
  const { values } = parse(args)
  const only = values.only === undefined ? undefined : { text: values.only, pattern: pattern(values.only) }
  const rounds = values.rounds === undefined ? undefined : whole(values.rounds)
  for (const option of ['json', 'compare', 'report'] as const) {
    if (values[option] === '') throw new UsageError(`--${option} needs the name of a file.`)
  }
  const { json, report } = values
  if (json !== undefined && report !== undefined && resolve(json) === resolve(report))
    throw new UsageError(`--json and --report need two files, but got ${json} twice.`)
  return {
    ...(only !== undefined && { only }),
    ...(rounds !== undefined && { rounds }),
    ...(values.json !== undefined && { json: values.json }),
    ...(values.compare !== undefined && { compare: values.compare }),
    ...(values.report !== undefined && { report: values.report }),
    peers: values.peers === true,
    pin: values['no-pin'] !== true,
    list: values.list === true,
    help: values.help === true,
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        only: { type: 'string' },
        peers: { type: 'boolean' },
        rounds: { type: 'string' },
        json: { type: 'string' },
        compare: { type: 'string' },
        report: { type: 'string' },
        'no-pin': { type: 'boolean' },
        list: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0]?.replace(/\.?$/, '.') ?? '')
  }
}

function pattern(text: string): RegExp {
  try {
    return new RegExp(text)
  } catch {
    throw new UsageError(`--only needs a regular expression, but '${text}' is none.`)
  }
}

function whole(text: string): number {
  const rounds = Number(text)
  if (!/^\d+$/.test(text) || rounds < 1 || rounds > 1_000)
    throw new UsageError(`--rounds needs a whole number from 1 to 1000, but got '${text}'.`)
  return rounds
}
