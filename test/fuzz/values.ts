/** Plain values: good ones, and what becomes of them when one thing in them is wrong. */
import { Pairs, Raw } from './msgpack.ts'
import type { Random } from './random.ts'

const letters = [
  '',
  'a',
  'name',
  'ünï',
  '😀',
  'constructor',
  'then',
  'toString',
  '0',
  'traceparent',
  '\ufeffx',
  '\n\u001b[31m',
  '\0',
]

export function text(random: Random, most = 40): string {
  const word = random.of(letters)
  return random.once(3) ? word.repeat(1 + random.small(most)).slice(0, most) : word
}

const edges = [
  ...[0, 1, -1, 2, 127, 128, 255, 256, 65_535, 65_536, -32, -33, -128, -129, -32_768, -32_769, 2 ** 31, 2 ** 32, -(2 ** 31) - 1],
  ...[2 ** 53 - 1, -(2 ** 53) + 1, 0.5, 1e300, 5e-324, -0, 1.5, 1e12, 2 ** 31 - 1],
]

export function number(random: Random): number {
  return random.once(2) ? random.of(edges) : random.between(-1_000, 70_000)
}

/** Data as a link carries it. */
export function data(random: Random, depth = 3): unknown {
  switch (random.below(depth > 0 ? 9 : 6)) {
    case 0:
      return null
    case 1:
      return random.once(2)
    case 2:
    case 3:
      return number(random)
    case 4:
      return text(random, 300)
    case 5:
      return random.bytes(random.small(300))
    case 6:
    case 7:
      return list(random, 5, () => data(random, depth - 1))
    default:
      return object(random, depth)
  }
}

export function list<T>(random: Random, most: number, make: (i: number) => T): T[] {
  return Array.from({ length: random.small(most) }, (_, i) => make(i))
}

function object(random: Random, depth: number): Record<string, unknown> {
  const made: Record<string, unknown> = {}
  for (let left = random.small(12); left > 0; left--) made[text(random, 12)] = data(random, depth - 1)
  return made
}

/** A value that is in the wrong place wherever it is put. */
export function wrong(random: Random): unknown {
  switch (random.below(14)) {
    case 0:
      return random.of([0, -1, 0.5, 2 ** 53 - 1, -(2 ** 53) + 1, 1e300, -0, 5e-324])
    case 1:
      return random.of(['', '5', 'x'.repeat(257), 'x'.repeat(65), '__proto__', 'constructor', '-0', '1'.repeat(400)])
    case 2:
      return null
    case 3:
      return random.once(2)
    case 4:
      return []
    case 5:
      return {}
    case 6:
      return random.bytes(random.small(40))
    case 7:
      return nested(random, random.between(1, 40))
    case 8:
      return list(random, 2_000, () => 0)
    case 9:
      return new Pairs(
        random.of<(readonly [unknown, unknown])[]>([
          [
            ['a', 1],
            ['a', 2],
          ],
          [['__proto__', {}]],
          [[1, 1]],
          [[null, 1]],
          [[[], 1]],
        ]),
      )
    case 10:
      return { then: 1, toJSON: 2, constructor: { prototype: { polluted: true } }, hasOwnProperty: 3 }
    case 11:
      return forbidden(random)
    default:
      return data(random, 2)
  }
}

function nested(random: Random, depth: number): unknown {
  let value: unknown = 0
  for (let i = 0; i < depth; i++) value = random.once(3) ? { a: value } : [value]
  return value
}

/** What msgpack can say and the protocol cannot. */
function forbidden(random: Random): Raw {
  const type = random.of([0, 1, 0x42, 0x62, 0x65, 0x70, 0x72, 0x73, 0x74, 0x78, 0xff, random.below(256)])
  switch (random.below(7)) {
    case 0:
      return new Raw(0xc1)
    case 1: {
      const log = random.below(5)
      return new Raw(0xd4 + log, type, ...random.bytes(1 << log))
    }
    case 2: {
      const length = random.small(20)
      return new Raw(0xc7, length, type, ...random.bytes(length))
    }
    case 3:
      return new Raw(
        random.of([0xdb, 0xc6, 0xdd, 0xdf, 0xc9]),
        ...random.of([
          [0xff, 0xff, 0xff, 0xff],
          [0x7f, 0xff, 0xff, 0xff],
          [0, 1, 0, 0],
        ]),
      )
    case 4:
      return new Raw(
        ...random.of([
          [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
          [0xca, 0x7f, 0x80, 0, 0],
          [0xcb, 0xff, 0xf0, 0, 0, 0, 0, 0, 0],
        ]),
      )
    case 5:
      return new Raw(
        random.of([0xcf, 0xd3]),
        ...random.of([
          [0x00, 0x20],
          [0xff, 0xe0],
          [0x7f, 0xff],
          [0x80, 0x00],
        ]),
        0,
        0,
        0,
        0,
        0,
        0,
      )
    default:
      return new Raw(
        ...random.of([
          [0xa1, 0x80],
          [0xa2, 0xc0, 0x80],
          [0xa3, 0xed, 0xa0, 0x80],
          [0xa4, 0xf4, 0x90, 0x80, 0x80],
          [0xa1, 0xc3],
          [0xa1, 0xff],
        ]),
      )
  }
}

/** `value` with one thing in it changed: another value in a place, one too many, one too few, one twice, two exchanged. Shares what it left alone. */
export function bend(value: unknown, random: Random): unknown {
  const members = membersOf(value)
  if (members === undefined || members.length === 0 || random.once(6)) return wrong(random)
  const at = random.below(members.length)
  const [key, member] = members[at] as [unknown, unknown]
  switch (random.below(9)) {
    case 0:
      members.splice(at, 1)
      break
    case 1:
      members.splice(at, 0, [key, member])
      break
    case 2:
      members.splice(random.below(members.length + 1), 0, [text(random, 12), wrong(random)])
      break
    case 3:
      members[at] = members[random.below(members.length)] as [unknown, unknown]
      break
    default:
      members[at] = [key, bend(member, random)]
  }
  if (Array.isArray(value)) return members.map(([, one]) => one)
  return new Pairs(members)
}

function membersOf(value: unknown): [unknown, unknown][] | undefined {
  if (Array.isArray(value)) return (value as unknown[]).map((member, i) => [i, member])
  if (value instanceof Pairs) return [...value.pairs] as [unknown, unknown][]
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || value instanceof Raw) return undefined
  return Object.entries(value)
}
