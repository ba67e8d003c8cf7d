/**
 * `npm run simulate -- [--seeds N] [--events N] [--minutes N] [--seed S]`, or `--replay FILE`. Exits with 1 when something was that must never be, which is then saved
 * among the regressions, as small as could be made of it; and when a search of at least 1,000 worlds did not come to every state that it must.
 */
import { execFileSync } from 'node:child_process'
import { type Command, commandLine, orExplain, UsageError } from '../support/command-line.ts'
import { load, save, type Saved } from './files.ts'
import { showPlan } from './plan.ts'
import { run } from './run.ts'
import { type Found, search } from './search.ts'
import { ruleOf, shrink } from './shrink.ts'
import { missing } from './states.ts'

const command: Command = {
  name: 'simulate',
  usage: `npm run simulate -- [options]

  --minutes N      for so long; 1 where neither this nor --seeds is given
  --seeds N        so many worlds
  --events N       so many events in a world, and what follows of them: 2000 unless told otherwise
  --seed S         begin with this seed, and count on from there; otherwise with another one each time
  --replay FILE    make the world of a file again that an earlier run has saved, and print its last events
  --help           this text

Ends with 0 when all went well, with 1 when something was that must never be, or when 1000 worlds did not come to every state that they must, with 2 when it was called in a wrong way.
`,
  numbers: { minutes: 0, seeds: 1, events: 1, seed: 0 },
  texts: ['replay'],
}
const { numbers, texts } = commandLine(command)

/** The version of the code, for whoever reads a report. */
function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}

function loaded(path: string): Saved {
  try {
    const saved = load(path)
    if (Array.isArray(saved.plan?.operations)) return saved
  } catch (error) {
    throw new UsageError(`simulate cannot replay '${path}': ${error instanceof Error ? error.message : String(error)}.`)
  }
  throw new UsageError(`simulate cannot replay '${path}': it holds no world.`)
}

async function replay(path: string): Promise<void> {
  const { plan, events } = orExplain(command, () => loaded(path))
  console.log(showPlan(plan))
  const { log, failure } = await run(plan, events)
  console.log(log.lines.join('\n'))
  console.log(failure ?? `passes: ${log.events} events, hash ${log.hash}`)
  process.exitCode = failure === undefined ? 0 : 1
}

async function report({ plan, failure, lines }: Found, events: number): Promise<void> {
  console.log(lines.join('\n'))
  console.log(`seed ${plan.seed}, commit ${commit()}, node ${process.version}\n${showPlan(plan)}`)
  console.log(failure)
  const small = await shrink(plan, events, ruleOf(failure))
  const path = save({ failure: failure.message, events, plan: small })
  console.log(`${small.operations.length} operations are enough: npm run simulate -- --replay ${path}`)
  process.exitCode = 1
}

async function simulate(): Promise<void> {
  const { seed = Date.now() % 1_000_000_000, events = 2_000, seeds = Infinity } = numbers
  const { minutes = seeds === Infinity ? 1 : Infinity } = numbers
  console.log(`simulating with --seed ${seed} --events ${events}`)
  const started = performance.now()
  let told = started
  const live = process.stdout.isTTY
  const line = (tally: { seeds: number; events: number }): string => {
    const rate = Math.round((tally.events * 1_000) / (performance.now() - started))
    return `${tally.seeds.toLocaleString('en')} seeds, ${tally.events.toLocaleString('en')} events, ${rate.toLocaleString('en')} in a second`
  }
  const { tally, found } = await search({
    seed,
    events,
    goOn: (tally) => {
      const now = performance.now()
      if (now - told > (live ? 500 : 30_000)) {
        told = now
        process.stdout.write(live ? `\r${line(tally)}   ` : `${line(tally)}\n`)
      }
      return tally.seeds < seeds && now - started < minutes * 60_000
    },
  })
  if (live) process.stdout.write('\r\u001b[K')
  for (const [state, times] of [...tally.seen].toSorted(([, a], [, b]) => b - a))
    console.log(`${String(times).padStart(9)} ${state}`)
  console.log(line(tally))
  if (found !== undefined) return report(found, events)
  const lacking = missing(tally.seen)
  if (lacking.length === 0) console.log('Nothing lost, nothing early, nothing left.')
  else console.log(`Not reached: ${lacking.join('; ')}.`)
  if (lacking.length > 0 && tally.seeds >= 1_000) process.exitCode = 1
}

await (texts['replay'] === undefined ? simulate() : replay(texts['replay']))
