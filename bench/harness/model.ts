/** What a run is made of, and what its JSON file holds. */

/** What a number is of. Times are kept in nanoseconds, whatever they are shown in. */
export type Unit = 'ns' | 'bytes'

/** Who is measured: us, the physical limit of a path, what the platform brings, another library, or Go. */
export type Kind = 'ours' | 'limit' | 'platform' | 'peer' | 'go'

/** Takes one value, in the unit of its suite. */
export type Recorder = (value: number) => void

/** One who takes part in a suite, before it is set up. */
export interface Contender {
  readonly name: string
  readonly kind: Kind
  /** What a reader must know to compare it. */
  readonly note?: string
  /** Why it cannot do this at all: it is shown so, and not measured. */
  readonly cannot?: string
  readonly start?: () => Promise<Started> | Started
}

/** A contender that is set up. Whoever started it closes it. */
export interface Started {
  /**
   * Shows that it does what is measured: that the cancel was seen, by the one who was to see it, with its cause where that travels.
   * Resolves with a sentence on what was seen; rejects when it was not, and then nothing is measured.
   */
  prove(): Promise<string> | string
  /** How the clocks of its two sides were compared, where they are not one. Who shares a comparison with others gives the same object. */
  readonly clock?: ClockResult
  /** How many turns make a round; other contenders have theirs in between. Default: 1. */
  readonly turns?: number
  /**
   * Takes the samples of one turn.
   *
   * @param warm nothing of it counts: it is there for the compiler, and pauses between events may be left out
   */
  round(record: Recorder, warm?: boolean): Promise<void> | void
  /** What a reader must know of what was found: it joins the note. Asked when all is over. */
  remark?(): string | undefined
  close?(): Promise<void> | void
}

/** Contenders that do the same thing, measured in turns. */
export interface Suite {
  readonly id: string
  readonly title: string
  /** What is measured, from where to where. */
  readonly about: string
  readonly unit: Unit
  /** `event`: each sample is one event. `mean`: each sample is the mean of a batch, so its tail says nothing of single operations. */
  readonly sample: 'event' | 'mean'
  /** Rounds that count. Default: 8 of events, so that there are 2,000 where a round has 250, which p99.9 needs; 6 of means. */
  readonly rounds?: number
  /** Rounds before those. Default: 2. */
  readonly warmUp?: number
  /** None of its threads is kept on one core. */
  readonly unpinned?: true
  contenders(): Promise<readonly Contender[]> | readonly Contender[]
}

/** How a cost is meant to grow: not at all, as the share of each of n is, or as n does. */
export type Growth = 'constant' | 'linear'

/** How a cost grows. Every point is a median. */
export interface CurveSuite {
  readonly id: string
  readonly title: string
  readonly about: string
  readonly unit: Unit
  /** What is counted along the axis. */
  readonly axis: string
  /** Of each line that does not say otherwise. */
  readonly expected: Growth
  /** Each value is taken in a process of its own: there is nothing that a first one could warm up. */
  readonly fresh?: true
  readonly lines: readonly {
    readonly name: string
    readonly points: readonly number[]
    readonly expected?: Growth
    measure(n: number): Promise<number> | number
  }[]
  /** Ends what its points shared. */
  close?(): Promise<void> | void
}

export interface Percentiles {
  readonly p50: number
  readonly p90: number
  /** Undefined where there are too few samples to tell: at least 2 must lie above. */
  readonly p99?: number
  readonly p999?: number
  readonly max: number
}

export interface Result extends Percentiles {
  readonly name: string
  readonly kind: Kind
  readonly note?: string
  /** What its own test saw. */
  readonly proof: string
  readonly count: number
  /** The median of the very first round, in which the code is new to the runtime: what the first events of a process take. It is not in the rest. */
  readonly first?: number
  /** The median of each round: what is compared between runs, and shows the spread within one. */
  readonly rounds: readonly number[]
  /** Pairs of a share (0 to 1) and the value that this share of the samples does not exceed. */
  readonly curve: readonly (readonly [share: number, value: number])[]
  /** Share of the measured time that the garbage collector of the measuring thread took, 0 to 1. */
  readonly gc: number
}

/** One that was not measured, and why. */
export interface Absent {
  readonly name: string
  readonly kind: Kind
  readonly cannot: string
  /** It should have been measured: its own test failed, or it did while it was measured. */
  readonly failed?: true
}

/** Thrown by a proof: what is measured is beyond this contender. It is shown so, with the message, and is no failure of the run. */
export class Cannot extends Error {}

export interface SuiteResult {
  readonly id: string
  readonly title: string
  readonly about: string
  readonly unit: Unit
  readonly sample: 'event' | 'mean'
  readonly results: readonly Result[]
  readonly absent: readonly Absent[]
  /**
   * How the clocks were compared that its results were taken with: each comparison once, so a single one is in all that cross between its sides. Left out where
   * they were taken with one clock, and in runs from before 28 November 2026, 05:30.
   */
  readonly clocks?: readonly ClockResult[]
}

export interface CurveResult {
  readonly id: string
  readonly title: string
  readonly about: string
  readonly unit: Unit
  readonly axis: string
  readonly lines: readonly {
    readonly name: string
    readonly points: readonly (readonly [n: number, value: number])[]
    readonly growth: string
    /** Left out in runs from before 28 November 2026. */
    readonly expected?: Growth
  }[]
}

export interface BarResult {
  readonly id: string
  readonly text: string
  /** In words, as `at most 2x`. */
  readonly bar: string
  /** Undefined where what it compares was not measured. */
  readonly measured?: number
  /** Undefined where what it would be held against was not all measured. */
  readonly met?: boolean
  /** Why it cannot be met, where that is known, or is open. */
  readonly reason?: string
}

export interface ClockResult {
  readonly between: string
  /** Of the far clock against ours, in ns: it lies within `offset` ± `error`. */
  readonly offset: number
  readonly error: number
  readonly samples: number
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memory: number
  readonly system: string
  readonly versions: Readonly<Record<string, string>>
  readonly pinned: string
  /** The load average of the last minute, before and after; what else ran is in it. */
  readonly load: readonly [before: number, after: number]
}

/** What was checked out where it was measured. */
export interface Commit {
  readonly id: string
  /** Whether nothing was changed that is not in it. */
  readonly clean: boolean
}

export interface Run {
  readonly format: 1
  /** Left out where there is no repository of git, and in runs from before 27 November 2026. */
  readonly commit?: Commit
  readonly started: string
  readonly seconds: number
  /** How many were asked for of each suite; left out where each has its own number. */
  readonly rounds?: number
  readonly machine: Machine
  readonly clocks: readonly ClockResult[]
  readonly suites: readonly SuiteResult[]
  readonly curves: readonly CurveResult[]
  readonly bars: readonly BarResult[]
  /** Suites and curves that gave no result at all, and why; left out where there are none. */
  readonly lost?: readonly { readonly id: string; readonly reason: string }[]
}

/** All that went wrong, a sentence each: suites that gave no result, and contenders that failed. What cannot do a thing has not failed. */
export function failuresOf({ suites, lost = [] }: Run): string[] {
  const contenders = suites.flatMap(({ id, absent }) =>
    absent.filter(({ failed }) => failed).map(({ name, cannot }) => `${id}, ${name}: ${cannot}`),
  )
  return [...lost.map(({ id, reason }) => `${id}: ${reason}`), ...contenders]
}
