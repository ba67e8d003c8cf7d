/**
 * Measures the contenders of a suite in turns.
 *
 * All are set up and proven first. Then come rounds: in each, every contender takes its samples, in one turn or in several, in an order that is random each
 * time. What the machine does meanwhile, and what the runtime learns as it goes, meets all of them alike. The first rounds warm
 * up and are not counted. Before each turn the young part of the heap is collected, so that nobody pays for the garbage of another; not all of it,
 * since that takes with it what the runtime has learnt.
 */
import { PerformanceObserver } from 'node:perf_hooks'
import {
  type Absent,
  Cannot,
  type Contender,
  type CurveResult,
  type CurveSuite,
  type Recorder,
  type Result,
  type Started,
  type Suite,
  type SuiteResult,
} from './model.ts'
import { growth } from './growth.ts'
import { shuffled } from './random.ts'
import { median, Samples } from './samples.ts'

export interface Progress {
  /** @param share of the suite that is done, 0 to 1 */
  at(id: string, share: number, what: string): void
}

interface Running {
  readonly contender: Contender
  readonly started: Started
  readonly proof: string
  readonly samples: Samples
  /** Of the first round. */
  readonly fresh: number[]
  time: number
  gcTime: number
}

/** How much of a span this thread's garbage collector took. */
class Collector {
  #time = 0
  readonly #observer = new PerformanceObserver((list) => this.#add(list.getEntries()))

  constructor() {
    this.#observer.observe({ entryTypes: ['gc'] })
  }

  #add(entries: readonly { readonly duration: number }[]): void {
    for (const { duration } of entries) this.#time += duration
  }

  /** ms since the last call of this. */
  async take(): Promise<number> {
    // Entries are handed over by a turn of the event loop.
    await turn()
    this.#add(this.#observer.takeRecords())
    const time = this.#time
    this.#time = 0
    return time
  }

  close(): void {
    this.#observer.disconnect()
  }
}

function collectYoung(): void {
  ;(globalThis.gc as ((options: { type: 'minor' }) => void) | undefined)?.({ type: 'minor' })
}

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/**
 * Lets this thread not sleep until it is told to. Who sleeps until the other side has answered pays for being woken, which is half of the time that rare events take, and teaches the
 * compiler nothing.
 *
 * @returns lets it sleep again
 */
export function keepAwake(): () => void {
  let awake = true
  const again = (): void => void (awake && setImmediate(again))
  again()
  return () => {
    awake = false
  }
}

export async function measure(
  suite: Suite,
  { random, rounds, progress }: { random: () => number; rounds?: number | undefined; progress: Progress },
): Promise<SuiteResult> {
  const { id, title, about, unit, sample } = suite
  const counted = rounds ?? suite.rounds ?? (sample === 'event' ? 8 : 6)
  // Who asks for a few rounds wants a quick look.
  const warmUp = Math.min(suite.warmUp ?? 2, rounds === undefined ? Infinity : 2 * rounds)
  const all = await suite.contenders()
  const running: Running[] = []
  const absent: Absent[] = all.flatMap(({ name, kind, cannot }) => (cannot === undefined ? [] : [{ name, kind, cannot }]))
  const fails = ({ name, kind }: Contender, when: string, error: unknown): void => {
    const { message } = error as Error
    absent.push(
      error instanceof Cannot ? { name, kind, cannot: message } : { name, kind, cannot: `${when}: ${message}`, failed: true },
    )
  }
  const collector = new Collector()
  try {
    for (const contender of all) {
      if (contender.start === undefined || contender.cannot !== undefined) continue
      progress.at(id, 0, `sets up ${contender.name}`)
      let started: Started
      try {
        started = await contender.start()
      } catch (error) {
        fails(contender, 'It could not be set up', error)
        continue
      }
      try {
        running.push({
          contender,
          started,
          proof: await started.prove(),
          samples: new Samples(),
          fresh: [],
          time: 0,
          gcTime: 0,
        })
      } catch (error) {
        fails(contender, 'Its own test failed', error)
        await started.close?.()
      }
    }
    for (let round = -warmUp; round < counted; round++) {
      for (let turn = 0, turns = 1; turn < turns; turn++) {
        turns = Math.max(...running.map(turnsOf))
        for (const one of shuffled(running, random)) {
          if (turn >= turnsOf(one)) continue
          progress.at(id, (round + warmUp) / (counted + warmUp), one.contender.name)
          try {
            await takeTurn(one, collector, round >= 0, round === -warmUp)
            if (round >= 0 && turn === turnsOf(one) - 1) one.samples.endRound()
          } catch (error) {
            fails(one.contender, 'It failed while it was measured', error)
            running.splice(running.indexOf(one), 1)
            await one.started.close?.()
          }
        }
      }
    }
  } finally {
    collector.close()
    for (const { started } of running) await started.close?.()
  }
  const results = all.flatMap((contender) => running.filter((one) => one.contender === contender).map(summary))
  const clocks = [...new Set(running.flatMap(({ started }) => started.clock ?? []))]
  return { id, title, about, unit, sample, results, absent, ...(clocks.length > 0 && { clocks }) }
}

function turnsOf({ started }: Running): number {
  return started.turns ?? 1
}

async function takeTurn(one: Running, collector: Collector, counts: boolean, first: boolean): Promise<void> {
  if (!counts && !first) return warm(one)
  collectYoung()
  await collector.take()
  const record: Recorder = counts
    ? (value) => one.samples.record(value)
    : (value) => {
        one.fresh.push(value)
      }
  const before = performance.now()
  await one.started.round(record, false)
  const time = performance.now() - before
  const gcTime = await collector.take()
  if (!counts) return
  one.time += time
  one.gcTime += gcTime
}

async function warm({ started }: Running): Promise<void> {
  const sleep = keepAwake()
  try {
    await started.round(() => {}, true)
  } finally {
    sleep()
  }
}

function summary({ contender: { name, kind, note }, started, proof, samples, fresh, time, gcTime }: Running): Result {
  const notes = [note, started.remark?.()].filter((one) => one !== undefined).join('; ')
  return {
    name,
    kind,
    ...(notes !== '' && { note: notes }),
    proof,
    count: samples.count,
    ...(fresh.length > 0 && { first: median(fresh) }),
    ...samples.percentiles(),
    rounds: samples.rounds,
    curve: samples.curve(),
    gc: time === 0 ? 0 : Math.min(1, gcTime / time),
  }
}

/** ms. A point that has taken longer is not measured again, once it has two values, or one where that took seconds: a million contexts are slow to make. */
const [enough, tooLong] = [400, 2_000]

/** Points of so many are not warmed up: what they do, they do often enough by themselves. */
const warmsItself = 100_000

/** Takes each point of a curve several times, in random order of lines and points, and keeps the medians: of three values, or of as many as there are rounds, up to five. */
export async function measureCurve(
  suite: CurveSuite,
  options: { random: () => number; rounds?: number | undefined; progress: Progress },
): Promise<CurveResult> {
  try {
    return await curveOf(suite, options)
  } finally {
    await suite.close?.()
  }
}

async function curveOf(
  { id, title, about, unit, axis, expected, lines, fresh }: CurveSuite,
  { random, rounds = 3, progress }: { random: () => number; rounds?: number | undefined; progress: Progress },
): Promise<CurveResult> {
  const times = Math.min(5, rounds)
  const warmUp = fresh === true ? 0 : 1
  const work = lines.flatMap((line) => line.points.map((n) => ({ line, n, values: [] as number[], spent: 0 })))
  for (let time = -warmUp; time < times; time++) {
    for (const [done, point] of shuffled(work, random).entries()) {
      progress.at(
        id,
        (time + warmUp + done / work.length) / (times + warmUp),
        `${point.line.name}, ${point.n.toLocaleString('en')}`,
      )
      if (time < 0 && point.n >= warmsItself) continue
      if (point.values.length >= 1 && point.spent > (point.values.length >= 2 ? enough : tooLong)) continue
      const before = performance.now()
      globalThis.gc?.()
      const value = await point.line.measure(point.n)
      point.spent += performance.now() - before
      if (time >= 0) point.values.push(value)
    }
  }
  return {
    id,
    title,
    about,
    unit,
    axis,
    lines: lines.map((line) => {
      const points = work.filter((point) => point.line === line).map(({ n, values }) => [n, median(values)] as const)
      const wanted = line.expected ?? expected
      return { name: line.name, points, growth: growth(points, wanted), expected: wanted }
    }),
  }
}
