/**
 * `npm run simulate -- [--seeds N] [--events N] [--minutes N] [--seed S]`, or `--replay FILE`. Exits with 1 when something was that must never be, which is then saved
 * among the regressions, as small as could be made of it; and when a search of at least 1,000 worlds did not come to every state that it must.
 */
import { execFileSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { load, save } from './files.ts'
import { showPlan } from './plan.ts'
import { run } from './run.ts'
import { type Found, search } from './search.ts'
import { ruleOf, shrink } from './shrink.ts'
import { missing } from './states.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    events: { type: 'string', default: '2000' },
    minutes: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    replay: { type: 'string' },
  },
})

function number(name: string, text: string, least: number): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value) && value >= least) return value
  process.stderr.write(`simulate needs --${name} to be a number from ${least}, but got ${text}.\n`)
  process.exit(2)
}

/** The version of the code, for whoever reads a report. */
function commit(): string {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  } catch {
    return 'unknown'
  }
}

async function replay(path: string): Promise<void> {
  const { plan, events } = load(path)
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
  const seed = number('seed', values.seed, 0)
  const events = number('events', values.events, 1)
  const seeds = values.seeds === undefined ? Infinity : number('seeds', values.seeds, 1)
  const minutes = values.minutes === undefined ? (seeds === Infinity ? 1 : Infinity) : number('minutes', values.minutes, 0)
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

await (values.replay === undefined ? simulate() : replay(values.replay))
