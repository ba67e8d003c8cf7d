/**
 * Strangers who connect to a machine and do what they must not. Each kind is closed, or refused, within a stated time; and nobody else may notice anything:
 * a world with attacks is made a second time without them, and must be the same to all others.
 */
import type { Receiver } from '../../lib/bridge/link-dial.ts'
import { type Channel, closeCode, type LinkLimits } from '../../lib/bridge/link-types.ts'
import { linkLease } from '../../lib/bridge/link-liveness.ts'
import type { CallFrame, Frame, HelloFrame, WireContext } from '../../lib/wire/frame.ts'
import { Wire } from '../../transports/testing/wire.ts'
import { damage } from '../fuzz/bytes.ts'
import { Random } from '../fuzz/random.ts'
import { must } from './log.ts'
import { NodeClock, type Process } from './node.ts'
import type { World } from './world.ts'

/** One attack: when, of which kind, on which machine, and a number from which it takes the rest. */
export interface Attack {
  readonly at: number
  readonly what: AttackKind
  readonly target: number
  readonly n: number
}

/** Limits of a world with attacks, beside those of its plan: small enough to be reached. */
export const attackedLimits: Pick<LinkLimits, 'maxMessage' | 'maxAbandoned' | 'abandonedPerSecond' | 'maxBacklog'> = {
  maxMessage: 65_536,
  maxAbandoned: 200,
  abandonedPerSecond: 20,
  maxBacklog: 262_144,
}
/** And how long a greeting may take there. */
export const helloTimeout = 2_000

/** A message of a stranger's takes no longer; half a millisecond is lost by rounding on each way. */
const latency = 20
const soon = latency + 2
/** The name of all strangers. */
export const stranger = 'stranger'

const lonely: WireContext = { left: undefined, why: undefined, values: [], under: undefined }

/** A stranger on a connection of its own, and what became of that. */
class Stranger implements Receiver<unknown> {
  readonly process: Process<unknown>
  readonly wire: Wire<unknown>
  /** How the machine closed it: a code, or 1006 where it dropped the connection. */
  closed: number | undefined
  /** How many calls were refused because of a limit. */
  refused = 0
  readonly random: Random
  readonly #world: World
  #id = 0

  constructor(world: World, process: Process<unknown>, n: number) {
    this.#world = world
    this.process = process
    this.random = new Random(n)
    const clock = new NodeClock(world.time, new Random(n), { drift: 0, late: 0, early: false }, (f) => f())
    this.wire = new Wire<unknown>({
      timeline: world.time,
      latency: () => this.random.below(latency),
      size: (message) => world.codec.size(message),
      clocks: [clock, process.clock],
    })
    this.wire.client.attach(() => this)
    this.wire.server.run = process.run
    const { links } = world.hostOf(process)
    process.run(() => void this.wire.server.attach((channel) => links.accept(this.#watched(channel), this)))
  }

  #watched(channel: Channel<unknown>): Channel<unknown> {
    return {
      send: (message) => channel.send(message),
      queued: () => channel.queued(),
      drained: (f) => channel.drained(f),
      close: (code, reason) => {
        this.closed ??= code
        channel.close(code, reason)
      },
      terminate: () => {
        this.closed ??= 1006
        channel.terminate()
      },
    }
  }

  receive(message: unknown): void {
    const frames = this.#world.codec.decode(message)
    for (const frame of frames.ok ? frames.value : []) if (frame.type === 'error') this.refused++
  }

  lost(): void {
    // What became of it, the machine has said.
  }

  bytes(...frames: readonly Frame[]): Uint8Array {
    return this.#world.codec.encode(frames) as Uint8Array
  }

  say(...frames: readonly Frame[]): void {
    this.send(this.bytes(...frames))
  }

  send(bytes: Uint8Array): void {
    this.wire.client.channel.send(bytes)
  }

  greet(session?: HelloFrame['session'], lease = 0, link = 'of a stranger'): void {
    const limits = { maxMessage: 1_048_576, maxCalls: 0, maxContexts: 0, window: 1, lease }
    this.say({ type: 'hello', version: 1, limits, name: stranger, link, session })
  }

  call(method: string, context = lonely): CallFrame {
    return { type: 'call', id: ++this.#id, method, context, args: [] }
  }

  /** Another id, for whatever has one. */
  id(): number {
    return ++this.#id
  }
}

interface Kind {
  /** The codes with which it may be closed; none where it is refused only. */
  readonly codes: readonly number[]
  /** Within how many milliseconds. */
  readonly within: (lease: number) => number
  readonly act: (stranger: Stranger, n: number, world: World) => void
  /** Where it is refused, whether it was. */
  readonly refused?: (stranger: Stranger) => boolean
}

const at = (ms: number) => (): number => ms
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

/** In the order of their names. */
const kinds = {
  /** Greets, and says what is no message. */
  garbage: {
    codes: [closeCode.badFrame],
    within: at(soon),
    act(one, n) {
      if (n % 3 > 0) one.greet()
      // 0xc1 is never used in msgpack.
      const bytes = one.random.bytes(one.random.between(1, 300))
      bytes[0] = 0xc1
      one.send(bytes)
    },
  },
  /** A message of which the end is missing. */
  half: {
    codes: [closeCode.badFrame],
    within: at(soon),
    act(one) {
      one.greet()
      const bytes = one.bytes(one.call('toil'))
      one.send(bytes.subarray(0, one.random.between(1, bytes.length - 1)))
    },
  },
  /** Messages that were right before something happened to them: some are still. */
  bent: {
    codes: [],
    within: at(soon),
    act(one) {
      one.greet()
      for (let i = 0; i < 20; i++) {
        const bytes = one.bytes(
          one.call('toil'),
          { type: 'ping', n: i },
          { type: 'cancel', id: 1, kind: 'canceled', cause: undefined },
        )
        one.send(damage(bytes, bytes, one.random))
      }
    },
  },
  /** What the protocol forbids. */
  fault: {
    codes: [closeCode.badFrame],
    within: at(soon),
    act(one, n) {
      if (n % 4 === 0) return one.say(one.call('toil'))
      one.greet()
      if (n % 4 === 1) one.greet()
      else if (n % 4 === 2) one.say({ type: 'cancel', id: 9, kind: 'canceled', cause: undefined })
      else one.say({ ...one.call('toil'), id: 5 }, { ...one.call('toil'), id: 5 })
    },
  },
  large: {
    codes: [closeCode.tooBig],
    within: at(soon),
    act(one, n) {
      if (n % 2 === 0) one.greet()
      one.send(new Uint8Array(attackedLimits.maxMessage + 1).fill(0x90))
    },
  },
  /** Connects, and never greets. */
  mute: {
    codes: [closeCode.silent],
    within: at(helloTimeout + soon),
    act: () => undefined,
  },
  /** Calls, and is never heard again: with a lease of its own that is too long to be believed, or without one. */
  silent: {
    codes: [closeCode.silent],
    within: (lease) => linkLease.exports * linkLease.stretch * lease + soon,
    act(one, n) {
      one.greet(undefined, n % 2 === 0 ? 0 : 2 ** 53 - 1)
      one.say(one.call('toil'))
    },
  },
  /** Opens and cancels, again and again. */
  reset: {
    codes: [closeCode.tooMuch],
    within: at(soon + 20),
    act(one) {
      one.greet()
      for (let burst = 0; burst < 2 + attackedLimits.maxAbandoned / 20; burst++) {
        const frames = range(40).flatMap((): Frame[] => {
          const call = one.call('toil', { ...lonely, left: 50 + burst })
          return [call, { type: 'cancel', id: call.id, kind: 'canceled', cause: undefined }]
        })
        one.say(...frames)
      }
    },
  },
  /** Exports more contexts than it may. */
  crowd: {
    codes: [closeCode.tooMuch],
    within: at(soon),
    act(one, _n, { plan }) {
      one.greet()
      for (let i = 0; i <= plan.maxContexts; i++) one.say({ type: 'export', id: one.id(), context: { ...lonely, left: 30 + i } })
    },
  },
  /** Makes more calls than it may, none of which ends by itself. */
  hog: {
    codes: [],
    within: at(soon + latency),
    act(one, _n, { plan }) {
      one.greet()
      for (let i = 0; i < 2 * plan.maxCalls + 20; i++) one.say(one.call('toil', { ...lonely, left: 60_000 + i }))
    },
    refused: ({ refused }) => refused >= 20,
  },
  /** Cancels its calls, whose methods go on for a while, and makes others. */
  pile: {
    codes: [],
    within: at(soon + latency),
    act(one, _n, { plan }) {
      one.greet()
      const calls = range(plan.maxCalls).map(() => one.call('linger'))
      one.say(...calls)
      one.say(...calls.map(({ id }): Frame => ({ type: 'cancel', id, kind: 'canceled', cause: undefined })))
      one.say(...range(plan.maxCalls + 20).map(() => one.call('linger')))
    },
    refused: ({ refused }) => refused >= 20,
  },
  /** Asks for more than it reads: what is beyond the limit is refused, and nothing of it is read. */
  deaf: {
    codes: [closeCode.silent, closeCode.tooSlow],
    within: (lease) => linkLease.exports * lease + soon,
    act(one) {
      one.greet()
      one.wire.server.stall()
      for (let i = 0; i < 30; i++) one.say(one.call('bulk'))
    },
  },
  /** Goes on with a session that is somebody else's, or nobody's. */
  stolen: {
    codes: [closeCode.noSession],
    within: at(soon),
    act(one, n, world) {
      const { process } = one
      const bonds = world.bondsOf(process).filter(({ server, link }) => server === process && link !== undefined)
      const { link } = bonds[(n >>> 3) % Math.max(1, bonds.length)] ?? {}
      const token = process.ids[n % Math.max(1, process.ids.length)]
      if (token !== undefined && link !== undefined) world.log.sometimes('a token that somebody knew')
      one.greet({ token: token ?? 'made up', received: n % 3 }, 0, link)
      // One token after the other: only some are good.
      if (n % 8 > 0) begin(world, process, 'stolen', n - 1)
    },
  },
  /** Greets, and breaks the connection: what is left waits for somebody to come back. */
  flap: {
    codes: [],
    within: at(soon),
    act(one, n, world) {
      one.greet({ token: '', received: 0 })
      one.say(one.call('toil'))
      world.time.set(world.time.now + (n % 40), () => one.wire.client.terminate())
      if (n % 8 > 0) world.time.set(world.time.now + 1 + (n % 5), () => begin(world, one.process, 'flap', n - 1))
    },
  },
  /** Says much that means nothing. */
  chatter: {
    codes: [],
    within: at(soon),
    act(one) {
      one.greet()
      for (let i = 0; i < 20; i++) one.say(...range(20).map((n): Frame => ({ type: n % 2 === 0 ? 'ping' : 'pong', n })))
    },
  },
  /** Hands out handles that are none of its own, or of nothing; whoever imports them gets a context that ends with the link. */
  forged: {
    codes: [closeCode.badFrame],
    within: at(2 * soon + 1),
    act(one, n, world) {
      one.greet()
      const { process } = one
      world.time.set(world.time.now + soon, () =>
        process.run(() => {
          const { links } = world.hostOf(process)
          const connection = [...links.connections].find(({ peerName }) => peerName === stranger)
          if (connection === undefined || !process.alive) return
          const own = connection.import({ ctxbridge: 1, link: 'of a stranger', export: [7 + (n % 9), 1] })
          const theirs = process.ids.map((link) => connection.import({ ctxbridge: 1, link, export: [1 + (n % 9), 1] }))
          for (const ctx of theirs)
            must(ctx.err() !== undefined, 'S7', () => 'a stranger has handed out a context of somebody else')
          void connection.closed.then(() =>
            world.guard(() => must(own.err() !== undefined, 'V5', () => 'a context of nobody has outlived its link')),
          )
        }),
      )
      world.time.set(world.time.now + soon + 1, () => one.send(Uint8Array.of(0xc1)))
    },
  },
} as const satisfies Record<string, Kind>

export type AttackKind = keyof typeof kinds
const names = Object.keys(kinds) as AttackKind[]

export function drawAttacks(random: Random, until: number): Attack[] {
  return Array.from({ length: random.between(3, 10) }, () => ({
    at: random.below(1 + Math.floor(until)),
    what: random.of(names),
    target: random.below(4),
    n: random.below(2 ** 30),
  }))
}

/** States that a search must come to. */
export const attackStates: readonly string[] = [
  ...names.map((name) => `an attack that was ${kinds[name].codes.length > 0 ? 'closed' : 'borne'}: ${name}`),
  'a token that somebody knew',
]

export function attack(world: World, { what, target, n }: Attack): void {
  const process = world.process(target)
  if (process !== undefined && world.hostOf(process).state === 'open') begin(world, process, what, n)
}

function begin(world: World, process: Process<unknown>, what: AttackKind, n: number): void {
  if (world.healed || !process.alive) return
  const one = new Stranger(world, process, n)
  world.strangers.add(one.wire)
  const { codes, within, act, refused }: Kind = kinds[what]
  act(one, n, world)
  world.time.set(world.time.now + within(world.lease) + 1, () => {
    // When all heals, strangers leave by themselves.
    if (!process.alive || world.healed) return
    const code = one.closed
    const good = codes.length > 0 ? code !== undefined && codes.includes(code) : refused?.(one) !== false
    must(
      good,
      'V6',
      () => `${what} on n${process.index} was ${code === undefined ? 'not closed' : `closed with ${code}`} in time`,
    )
    world.log.sometimes(`an attack that was ${codes.length > 0 ? 'closed' : 'borne'}: ${what}`)
  })
}
