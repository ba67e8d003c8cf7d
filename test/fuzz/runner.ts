/** Gives inputs to targets, and sees to what none of them may do to the rest of the process. */
import { Random } from './random.ts'
import type { Target } from './target.ts'

export interface Failure {
  readonly target: string
  readonly input: unknown
  readonly error: unknown
}

export interface Tally {
  inputs: number
  /** How many inputs came to what, by target. */
  readonly outcomes: Map<string, Map<string, number>>
  /** The longest time that one input took, in milliseconds, and of which target. */
  slowest: { ms: number; target: string }
}

export interface Fuzzed {
  readonly tally: Tally
  readonly failure: Failure | undefined
}

export interface FuzzOptions {
  readonly targets: readonly Target[]
  readonly seed: number
  /** Asked after every thousand inputs. */
  readonly goOn: (tally: Tally) => boolean | Promise<boolean>
}

/** Returns the first failure, made as small as can be, and what came before it. */
export async function fuzz({
  targets,
  seed,
  goOn,
}: FuzzOptions): Promise<{ readonly tally: Tally; readonly failure: Failure | undefined }> {
  const tally: Tally = {
    inputs: 0,
    outcomes: new Map(targets.map(({ name }) => [name, new Map<string, number>()])),
    slowest: { ms: 0, target: '' },
  }
  const turns = targets.flatMap((target) => Array.from({ length: target.weight }, () => target))
  const order = new Random(seed)
  do {
    const cpu = process.cpuUsage()
    for (let i = 0; i < 1_000; i++) {
      const target = order.of(turns)
      const input = target.make(new Random(seed + Math.imul(tally.inputs + 1, 0x9e3779b1)))
      const started = performance.now()
      const result = tried(target, input)
      const outcome = result instanceof Promise ? await result : result
      let ms = performance.now() - started
      tally.inputs++
      if (ms > tally.slowest.ms) {
        // A process that was stopped, or had no processor, was not slow.
        const { user, system } = process.cpuUsage(cpu)
        ms = Math.min(ms, (user + system) / 1_000)
        if (ms > tally.slowest.ms) tally.slowest = { ms, target: target.name }
      }
      if (typeof outcome !== 'string') {
        return { tally, failure: await shrink({ target: target.name, input, error: outcome.error }, target) }
      }
      const outcomes = tally.outcomes.get(target.name) as Map<string, number>
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }
  } while (await goOn(tally))
  return { tally, failure: undefined }
}

/** What was to come of inputs, and did not. */
export function missing(targets: readonly Target[], tally: Tally): string[] {
  return targets.flatMap(({ name, outcomes }) =>
    outcomes.filter((outcome) => tally.outcomes.get(name)?.has(outcome) !== true).map((outcome) => `${name}: ${outcome}`),
  )
}

/** Whether nobody has given something to all objects or arrays of the process: what is given by assignment is enumerable. */
function isClean(): boolean {
  for (const object of [{}, []]) for (const key in object) return key === undefined
  return true
}

type Outcome = string | { readonly error: unknown }

/** What an input has thrown where nobody could catch it. */
const strays: unknown[] = []
const stray = (error: unknown): void => void strays.push(error)

/** While targets run, what they throw to nobody is theirs, and not the process's end. Returns what ends this. */
export function catchStrays(): () => void {
  process.on('uncaughtException', stray).on('unhandledRejection', stray)
  return () => void process.off('uncaughtException', stray).off('unhandledRejection', stray)
}

/** The outcome of one input, or what was thrown. */
export function tried(target: Target, input: unknown): Outcome | Promise<Outcome> {
  const clean = (outcome: string): Outcome => {
    if (strays.length > 0) return { error: strays.splice(0)[0] }
    return isClean() ? outcome : { error: new Error('a prototype was changed for the whole process') }
  }
  try {
    const outcome = target.check(input)
    if (typeof outcome === 'string') return clean(outcome)
    return inTime(outcome.then(loop)).then(clean, (error: unknown) => ({ error }))
  } catch (error) {
    return { error }
  }
}

/** Rejections that nobody handles are told when the event loop turns. */
function loop<T>(value: T): Promise<T> {
  return new Promise((resolve) => setImmediate(resolve, value))
}

/** What waits for ever is a failure, too, and no reason for the process to end. */
function inTime<T>(outcome: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    // In small steps: of a process that was stopped for a while, one of them is over when it goes on, and not all.
    let left = 50
    const timer = setInterval(() => {
      if (left-- === 0) reject(new Error('it never came to an end'))
    }, 100)
    outcome.then(resolve, reject).finally(() => clearInterval(timer))
  })
}

async function shrink(failure: Failure, target: Target): Promise<Failure> {
  const said = String(failure.error)
  let best = failure
  for (let tries = 0, again = true; again && tries < 2_000; ) {
    again = false
    for (const input of target.smaller(best.input)) {
      if (++tries > 2_000) break
      const outcome = await tried(target, input)
      if (typeof outcome === 'string' || String(outcome.error) !== said) continue
      best = { target: target.name, input, error: outcome.error }
      again = true
      break
    }
  }
  return best
}
