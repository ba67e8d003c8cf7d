/** Frames as arrays, as a peer sends them: each of the form that its type has. */
import type { Random } from './random.ts'
import { data, list, number, text } from './values.ts'

export interface Ids {
  /** An id of the sender's calls and exports that is new. */
  fresh(): number
  /** One that the sender may have used already. */
  own(): number
  /** One that the receiver may have used. */
  theirs(): number
  /** A method to call. */
  method(): string
}

/** Ids of nobody in particular. */
export function anyIds(random: Random): Ids {
  const id = (): number => (random.once(8) ? Math.max(1, Math.floor(Math.abs(number(random)))) : random.between(1, 300))
  return { fresh: id, own: id, theirs: id, method: () => text(random, 256) || 'f' }
}

export function cause(random: Random, depth = 3): unknown[] {
  const inner = (): unknown => (depth > 0 && random.once(2) ? cause(random, depth - 1) : null)
  switch (random.below(8)) {
    case 0:
      return [0, causeData(random, 2)]
    case 1:
      return [1, random.of(['undefined', 'NaN', 'Infinity', '-Infinity', '-0'])]
    case 2:
      return [2, `${random.of(['', '-'])}${random.between(1, 9)}${'0'.repeat(random.small(290))}`]
    case 3:
      return [3, inner()]
    case 4:
      return [4, inner()]
    case 5:
      return [5, text(random, 100), inner()]
    default:
      return [6, text(random, 40), text(random, 200), random.of<unknown>([null, 'ECODE', 7, 'x']), inner()]
  }
}

function causeData(random: Random, depth: number): unknown {
  const kind = random.below(depth > 0 ? 6 : 4)
  if (kind === 0) return null
  if (kind === 1) return random.once(2)
  if (kind === 2) return number(random)
  if (kind === 3) return text(random, 60)
  const members = list(random, 4, () => causeData(random, depth - 1))
  return kind === 4 ? members : Object.fromEntries(members.map((member, i) => [`${text(random, 8)}${i}`, member]))
}

function context(random: Random, ids: Ids): unknown[] {
  const left = random.once(2) ? null : random.of([0, -5, 0.5, 20, 1_000, 5_000.25, 1e9, 2 ** 31, 2 ** 53 - 1, 1e300])
  const values = list(random, 4, (i) => [`${text(random, 20)}${i}`, data(random, 1)])
  if (random.once(8)) values.push(['traceparent', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'])
  const why = left !== null && random.once(3) ? cause(random) : null
  if (!random.once(4)) return [left, why, values]
  return [left, why, random.once(4) ? [...values, ['hidden']] : values, ids.own()]
}

export function hello(random: Random, session: 'never' | 'always' | 'maybe' = 'maybe'): unknown[] {
  const limit = (least: number): number =>
    random.of([least, least + 1, 16, 1_000, 1_048_576, 2 ** 53 - 1].filter((n) => n >= least))
  const limits = [random.of([1_024, 1_025, 4_000, 1_048_576]), limit(0), limit(0), limit(1), random.of([0, 1, 500, 30_000])]
  const greeting = [1, 1, limits, text(random, 256), text(random, 63) || 'peer']
  const has = session === 'always' || (session === 'maybe' && random.once(2))
  return has ? [...greeting, [random.once(2) ? '' : text(random, 60), random.small(5)]] : greeting
}

/** Any frame but a hello. */
export function frame(random: Random, ids: Ids): unknown[] {
  switch (random.below(19)) {
    case 0:
    case 1:
    case 2:
      return [2, ids.fresh(), ids.method(), context(random, ids), list(random, 4, () => data(random, 2))]
    case 3:
    case 4:
      return [3, ids.own(), random.below(2), random.once(2) ? null : cause(random)]
    case 5:
      return random.once(3) ? [4, ids.theirs()] : [4, ids.theirs(), data(random)]
    case 6:
      return [5, ids.theirs(), cause(random)]
    case 7:
    case 8:
      return [6, ids.fresh(), context(random, ids)]
    case 9:
      return [7, ids.theirs(), random.between(1, 3)]
    case 10:
      return [8, Math.floor(Math.abs(number(random)))]
    case 11:
      return [9, Math.floor(Math.abs(number(random)))]
    case 12:
      return [10, text(random, 256)]
    case 13:
      return [11, ids.own()]
    case 14:
      return [12, ids.theirs()]
    case 15:
      return random.once(3) ? [13, ids.theirs()] : [13, ids.theirs(), data(random)]
    case 16:
      return [14, ids.own(), random.between(1, 20)]
    case 17:
      return [16, [ids.own(), ...list(random, 20, () => ids.own())], random.below(2), random.once(2) ? null : cause(random)]
    default:
      return random.once(2) ? [15, random.small(10)] : [random.between(64, 127), data(random)]
  }
}
