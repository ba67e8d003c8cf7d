/**
 * `npm run fuzz -- [--minutes N] [--inputs N] [--seed S] [--target NAME]`, or `--replay FILE`. Exits with 1 when an input did what none may do; it is
 * then saved among the regressions, as small as could be made of it.
 */
import { inspect } from 'node:util'
import { type Command, commandLine, orExplain, UsageError } from '../support/command-line.ts'
import { load, save, type Saved } from './files.ts'
import { Heap, mostGrowth } from './heap.ts'
import { catchStrays, fuzz, missing, type Tally, tried } from './runner.ts'
import type { Target } from './target.ts'
import { targetOf, targets } from './targets.ts'

/** An input that takes longer, in milliseconds, costs the peer nothing and this side too much. A busy machine is given its time. */
const longest = 2_000

const command: Command = {
  name: 'fuzz',
  usage: `npm run fuzz -- [options]

  --minutes N      for so long; 1 where neither this nor --inputs is given
  --inputs N       so many inputs at least, in whole thousands
  --seed S         the inputs of this seed; otherwise others each time
  --target NAME    only one of ${targets.map(({ name }) => name).join(', ')}
  --replay FILE    show the input of a file that an earlier run has saved, and run it again
  --help           this text

Ends with 0 when all went well, with 1 when an input did what none may do, took too long, or memory was left behind, with 2 when it was called in a wrong way.
`,
  numbers: { minutes: 0, inputs: 1, seed: 0 },
  texts: ['target', 'replay'],
}
const { numbers, texts } = commandLine(command)

function loaded(path: string): Saved {
  try {
    const saved = load(path)
    if (targets.some(({ name }) => name === saved.target)) return saved
  } catch (error) {
    throw new UsageError(`fuzz cannot replay '${path}': ${error instanceof Error ? error.message : String(error)}.`)
  }
  throw new UsageError(`fuzz cannot replay '${path}': it holds no input.`)
}

async function replay(path: string): Promise<void> {
  const { target, input } = orExplain(command, () => loaded(path))
  console.log(inspect(input, { depth: 10, maxArrayLength: 200 }))
  const outcome = await tried(targetOf(target), input)
  console.log(typeof outcome === 'string' ? `passes: ${outcome}` : outcome.error)
  process.exitCode = typeof outcome === 'string' ? 0 : 1
}

function named(target: string): Target {
  const found = targets.find(({ name }) => name === target)
  if (found === undefined)
    throw new UsageError(`fuzz has no target '${target}'; it has ${targets.map(({ name }) => name).join(', ')}.`)
  return found
}

async function run(): Promise<void> {
  const { seed = Date.now() % 1_000_000_000, inputs = Infinity } = numbers
  const { minutes = inputs === Infinity ? 1 : Infinity } = numbers
  const chosen = texts['target'] === undefined ? targets : [orExplain(command, () => named(texts['target'] as string))]
  const heap = new Heap()
  console.log(`fuzzing ${chosen.map(({ name }) => name).join(', ')} with --seed ${seed}`)
  const started = performance.now()
  let told = started
  const goOn = async (tally: Tally): Promise<boolean> => {
    await heap.look(tally.inputs)
    const now = performance.now()
    const live = process.stdout.isTTY
    if (now - told > (live ? 500 : 30_000)) {
      told = now
      const line = `${tally.inputs.toLocaleString('en')} inputs, ${Math.round((tally.inputs * 1_000) / (now - started)).toLocaleString('en')} in a second`
      process.stdout.write(live ? `\r${line}   ` : `${line}\n`)
    }
    return tally.inputs < inputs && now - started < minutes * 60_000 && tally.slowest.ms <= longest && !heap.isLeaking
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
  await heap.look(tally.inputs, true)
  console.log(String(heap))
  if (heap.isLeaking) console.log(`That is more than ${mostGrowth / 1_048_576} MB: something is left of inputs.`)
  const never = missing(chosen, tally)
  if (never.length > 0 && tally.inputs >= 500_000) console.log(`never came to pass: ${never.join('; ')}`)
  if (failure !== undefined) {
    console.log(failure.error)
    console.log(`${failure.target} failed. Again: npm run fuzz -- --replay ${save(failure)}`)
  }
  if (failure !== undefined || slowest.ms > longest || heap.isLeaking) process.exitCode = 1
}

// To the end: what a failure leaves behind may go on failing.
catchStrays()
await (texts['replay'] === undefined ? run() : replay(texts['replay']))
