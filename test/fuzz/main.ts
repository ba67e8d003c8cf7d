/**
 * `npm run fuzz -- [--minutes N] [--inputs N] [--seed S] [--target NAME]`, or `--replay FILE`. Exits with 1 when an input did what none may do; it is
 * then saved among the regressions, as small as could be made of it.
 */
import { inspect, parseArgs } from 'node:util'
import { load, save } from './files.ts'
import { catchStrays, fuzz, missing, type Tally, tried } from './runner.ts'
import { targetOf, targets } from './targets.ts'

/** An input that takes longer, in milliseconds, costs the peer nothing and this side too much. A busy machine is given its time. */
const longest = 2_000

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    inputs: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    target: { type: 'string' },
    replay: { type: 'string' },
  },
})

function number(name: string, text: string, least: number): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value) && value >= least) return value
  process.stderr.write(`fuzz needs --${name} to be a number from ${least}, but got ${text}.\n`)
  process.exit(2)
}

async function replay(path: string): Promise<void> {
  const { target, input } = load(path)
  console.log(inspect(input, { depth: 10, maxArrayLength: 200 }))
  const outcome = await tried(targetOf(target), input)
  console.log(typeof outcome === 'string' ? `passes: ${outcome}` : outcome.error)
  process.exitCode = typeof outcome === 'string' ? 0 : 1
}

async function run(): Promise<void> {
  const seed = number('seed', values.seed, 0)
  const minutes =
    values.minutes === undefined ? (values.inputs === undefined ? 1 : Infinity) : number('minutes', values.minutes, 0)
  const inputs = values.inputs === undefined ? Infinity : number('inputs', values.inputs, 1)
  const chosen = values.target === undefined ? targets : [targetOf(values.target)]
  console.log(`fuzzing ${chosen.map(({ name }) => name).join(', ')} with --seed ${seed}`)
  const started = performance.now()
  let told = started
  const goOn = (tally: Tally): boolean => {
    const now = performance.now()
    const live = process.stdout.isTTY
    if (now - told > (live ? 500 : 30_000)) {
      told = now
      const line = `${tally.inputs.toLocaleString('en')} inputs, ${Math.round((tally.inputs * 1_000) / (now - started)).toLocaleString('en')} in a second`
      process.stdout.write(live ? `\r${line}   ` : `${line}\n`)
    }
    return tally.inputs < inputs && now - started < minutes * 60_000 && tally.slowest.ms <= longest
  }
  const { tally, failure } = await fuzz({ targets: chosen, seed, goOn })
  if (process.stdout.isTTY) process.stdout.write('\r\u001b[K')
  for (const [name, outcomes] of tally.outcomes) {
    const all = [...outcomes].toSorted(([, a], [, b]) => b - a)
    const count = all.reduce((sum, [, n]) => sum + n, 0)
    console.log(
      `${name}: ${count.toLocaleString('en')} inputs, ${all.length} outcomes: ${all
        .slice(0, 6)
        .map(([what, n]) => `${what} ${n}`)
        .join(', ')}`,
    )
  }
  const { slowest } = tally
  console.log(
    `${tally.inputs.toLocaleString('en')} inputs in ${((performance.now() - started) / 1_000).toFixed(1)} s; the slowest took ${slowest.ms.toFixed(1)} ms (${slowest.target})`,
  )
  const never = missing(chosen, tally)
  if (never.length > 0 && tally.inputs >= 500_000) console.log(`never came to pass: ${never.join('; ')}`)
  if (failure !== undefined) {
    console.log(failure.error)
    console.log(`${failure.target} failed. Again: npm run fuzz -- --replay ${save(failure)}`)
  }
  if (failure !== undefined || slowest.ms > longest) process.exitCode = 1
}

// To the end: what a failure leaves behind may go on failing.
catchStrays()
await (values.replay === undefined ? run() : replay(values.replay))
