/** The command lines of what searches: `npm run simulate`, `fuzz`, `mutants`. */
import { parseArgs } from 'node:util'

/** What is wrong with a command line, as a whole sentence for whoever wrote it. */
export class UsageError extends Error {}

export interface Command {
  /** Its name after `npm run`. */
  readonly name: string
  readonly usage: string
  /** Options that are numbers, with the least that each may be. */
  readonly numbers?: Readonly<Record<string, number>>
  /** Options that are texts, and not empty. */
  readonly texts?: readonly string[]
  /** How many words may come without an option. Default: none. */
  readonly words?: number
}

export interface Given {
  readonly numbers: Readonly<Record<string, number | undefined>>
  readonly texts: Readonly<Record<string, string | undefined>>
  readonly words: readonly string[]
  readonly help: boolean
}

/** @throws UsageError */
export function readCommand({ name, numbers = {}, texts = [], words = 0 }: Command, args: readonly string[]): Given {
  const read: { numbers: Record<string, number>; texts: Record<string, string> } = { numbers: {}, texts: {} }
  const { values, positionals } = parse([...Object.keys(numbers), ...texts], args)
  if (positionals.length > words) throw new UsageError(`${name} does not know what '${positionals[words]}' is for.`)
  for (const [option, value] of Object.entries(values)) {
    if (typeof value !== 'string') continue
    const least = numbers[option]
    if (least !== undefined) read.numbers[option] = number(name, option, value, least)
    else if (value === '') throw new UsageError(`${name} needs --${option} to have a value.`)
    else read.texts[option] = value
  }
  return { ...read, words: positionals, help: values['help'] === true }
}

function parse(options: readonly string[], args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...Object.fromEntries(options.map((option) => [option, { type: 'string' as const }])),
        help: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message.split(/\.\s/)[0]?.replace(/\.?$/, '.') ?? '')
  }
}

function number(name: string, option: string, text: string, least: number): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value) && value >= least) return value
  throw new UsageError(`${name} needs --${option} to be a number from ${least}, but got '${text}'.`)
}

/** What this process was called with. Ends it with 0 after a help that was asked for, and with 2 where something is wrong: says what, and how to do it. */
export function commandLine(command: Command): Given {
  return orExplain(command, () => {
    const given = readCommand(command, process.argv.slice(2))
    if (!given.help) return given
    process.stdout.write(command.usage)
    process.exit(0)
  })
}

/** Runs what may throw a `UsageError`, and ends the process with that. */
export function orExplain<T>({ usage }: Command, f: () => T): T {
  try {
    return f()
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`${error.message}\n\n${usage}`)
    process.exit(2)
  }
}
