/** What a seed comes to: the machines of a world, what can go wrong in it, and what is done. All of it is plain data, so that it can be kept and made smaller. */
import { Random } from '../fuzz/random.ts'
import { type Attack, drawAttacks } from './attacks.ts'

/** One thing that happens at an instant of the true time. What the numbers mean is up to `what`, modulo what there is then; so none is ever meaningless. */
export interface Operation {
  /** Milliseconds since the beginning. */
  readonly at: number
  readonly what: What
  readonly a: number
  readonly b: number
  readonly c: number
}

export type What = keyof typeof weights

/** How often each comes where it comes at all. */
const weights = {
  // the tree
  derive: 18,
  cancel: 10,
  listen: 5,
  unlisten: 2,
  // boundaries
  call: 22,
  finish: 9,
  export: 7,
  release: 4,
  drop: 2,
  lend: 5,
  look: 4,
  giveUp: 1,
  // threads
  share: 8,
  scan: 4,
  reclaim: 1,
  terminate: 0.7,
  // connections
  dial: 4,
  close: 0.3,
  shutdown: 0.3,
  // faults
  cut: 2,
  cutOneSide: 1,
  lose: 1,
  stall: 2,
  slow: 1,
  away: 0.6,
  crash: 0.4,
  pause: 1,
  wall: 0.5,
} as const

const faults = ['cut', 'cutOneSide', 'lose', 'stall', 'slow', 'away', 'crash', 'pause', 'wall'] as const satisfies readonly What[]
const optional = [
  ...faults,
  'close',
  'shutdown',
  'drop',
  'lend',
  'export',
  'listen',
  'share',
  'terminate',
] as const satisfies readonly What[]

export interface Plan {
  readonly seed: number
  readonly nodes: number
  /** Messages as bytes, or as values. */
  readonly bytes: boolean
  /** Milliseconds that a message takes: at least, and as many more at most. */
  readonly latency: readonly [number, number]
  /** Timers are late by up to so many milliseconds, and early by up to 1, or not. */
  readonly late: number
  readonly early: boolean
  /** Clocks differ in their rates by up to so much. */
  readonly drift: number
  /** All leases are as long as usual times this. */
  readonly lease: number
  readonly maxCalls: number
  readonly maxContexts: number
  readonly window: number
  /** How many bytes are on their way before more count as waiting, and how many of these may wait before what is not urgent does. */
  readonly buffer: number
  readonly ahead: number
  readonly operations: readonly Operation[]
  /** There where strangers come: then all times are whole, so that the same world without them can be told from this one. */
  readonly attacks?: readonly Attack[]
}

const whats = Object.keys(weights) as What[]

export function drawPlan(seed: number, events: number): Plan {
  const plan = new Random(seed)
  const ops = new Random(seed ^ 0x5bd1e995)
  // Swarm testing: what is left out of a world makes room for more of the rest.
  const chances = whats.map((what): number =>
    (optional as readonly What[]).includes(what) && plan.once(3) ? 0 : weights[what] * (plan.once(4) ? 4 : 1),
  )
  const total = chances.reduce((sum, chance) => sum + chance, 0)
  const pace = plan.of([2, 10, 50, 250])
  const operations: Operation[] = []
  let at = 0
  for (let i = 0; i < events / 3; i++) {
    at += ops.once(40) ? ops.below(pace * 200) : ops.below(pace * 2_000) / 1_000
    let draw = (ops.below(1_000_000) / 1_000_000) * total
    const index = chances.findIndex((chance) => (draw -= chance) < 0)
    const what: What = i < 3 ? 'dial' : (whats[Math.max(0, index)] as What)
    operations.push({ at, what, a: ops.below(2 ** 30), b: ops.below(2 ** 30), c: ops.below(2 ** 30) })
  }
  return {
    seed,
    nodes: plan.between(2, 4),
    bytes: plan.once(2),
    latency: plan.of([
      [0, 0],
      [1, 0],
      [1, 20],
      [50, 400],
    ] as const),
    late: plan.of([0, 2, 30]),
    early: plan.once(2),
    drift: plan.of([0, 1e-4]),
    lease: plan.of([0.1, 0.1, 1]),
    maxCalls: plan.of([2, 8, 1_000, 1_000]),
    maxContexts: plan.of([1, 4, 1_000, 1_000]),
    window: plan.of([1, 4, 16]),
    buffer: plan.of([0, 200, 65_536]),
    ahead: plan.of([0, 500, 65_536]),
    operations,
  }
}

/** As `drawPlan`, with strangers who attack. */
export function drawAttacked(seed: number, events: number): Plan {
  const plan = drawPlan(seed, events)
  const random = new Random(seed ^ 0x41c64e6d)
  return {
    ...plan,
    bytes: true,
    late: 0,
    early: false,
    drift: 0,
    // What waited on a machine that was paused comes all at once: whose turn it is then, depends on how much there is.
    operations: plan.operations.filter(({ what }) => what !== 'pause'),
    maxCalls: random.of([4, 8, 50]),
    maxContexts: random.of([2, 4, 20]),
    attacks: drawAttacks(random, plan.operations.at(-1)?.at ?? 0),
  }
}

/** A plan without its operations, for people. */
export function showPlan({ operations, ...rest }: Plan): string {
  return `${JSON.stringify(rest)}, ${operations.length} operations`
}
