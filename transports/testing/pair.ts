/** Two linked sides in one process, with a network between them that does as a test says. */
import { asyncDispose } from '../../lib/dispose.ts'
import { settingNames, takeOptions, takeSettings, takeWithin } from '../../lib/bridge/link-check.ts'
import { checkMethods } from '../../lib/bridge/served.ts'
import { type Connection, LinkConnection } from '../../lib/bridge/link-connection.ts'
import { dial } from '../../lib/bridge/link-dial.ts'
import type { LinkHost, LinkSettings } from '../../lib/bridge/link-host.ts'
import { LinkService } from '../../lib/bridge/link-service.ts'
import { background } from '../../lib/context.ts'
import { named } from '../../lib/given.ts'
import type { Frame } from '../../lib/wire/frame.ts'
import { createFakeClock, type FakeClock, timelineOf } from './clock.ts'
import { valueCodec } from './codec.ts'
import { type Destination, memorySockets } from './network.ts'
import type { Timeline } from './timeline.ts'
import { turn } from './turn.ts'
import type { Wire } from './wire.ts'

export interface SideOptions extends LinkSettings {
  /** What the other side may call here. */
  readonly serve?: object
  /** The clock of this side: one of the pair's time, made by `another` of the other one. */
  readonly clock?: FakeClock
}

export interface PairOptions {
  /** What the server serves, as with `serve`. */
  readonly serve: object
  /** The clock of both sides, where a side has none of its own. Default: a new one. */
  readonly clock?: FakeClock
  /** How many milliseconds a message takes, in either direction; or what gives another number for each. Default: 1. */
  readonly latency?: number | (() => number)
  /** Options of `connect` and of `serve`. */
  readonly client?: SideOptions & { readonly reconnect?: boolean }
  readonly server?: Omit<SideOptions, 'serve'>
}

export type Direction = 'toServer' | 'toClient' | 'both'

/** What can go wrong between two sides. Leases and attempts to connect again are those of `ctxbridge/websocket`, in the time of the clocks. */
export interface PairNetwork {
  /** The connection breaks, and both sides see it: what is on its way is lost, and the client connects again. */
  cut(): void
  /** Nothing arrives any more, until `resume`; nothing is lost, and nobody is told. */
  stall(direction?: Direction): void
  resume(): void
  /** As a connection that is half open: what is sent over it is lost from now on, and nobody is told. Another connection works. */
  lose(direction?: Direction): void
  /** The connection breaks, and no other one comes about, until `up`. `refusing`: as a server that was shut down, so that the client does not wait for it. */
  down(refusing?: 'refusing'): void
  up(): void
  /** How many connections there are at present: 0 or 1, and 2 while an old one is not known to be dead. */
  readonly connections: number
}

/** Close it at the end of the test, by `await using` or by hand; `assertNoLeaks(pair)` then tells what was left. */
export interface LinkedPair extends AsyncDisposable {
  readonly client: Connection
  readonly server: Connection
  /** Of the client; where none was given, of both. */
  readonly clock: FakeClock
  readonly serverClock: FakeClock
  readonly network: PairNetwork
  /** Closes both sides. Resolves when all that runs on without a clock has come to its end. Moves no clock. */
  close(): Promise<void>
}

interface Side {
  readonly clock: FakeClock
  readonly settings: LinkSettings
  readonly methods: object | undefined
}

/**
 * Connects two sides in memory, in virtual time: all that `ctxbridge/websocket` does, without a socket and without waiting. Nothing moves unless the
 * clock is advanced: `await pair.clock.advance(10)`. To connect takes three times the latency, which the clock has moved on by when this resolves.
 *
 * Values are copied as over a socket; contexts that are dropped are not told of, since a test cannot wait for the garbage collector: cancel imports.
 *
 * @throws TypeError (the promise rejects) when an option is not of the stated form
 */
export async function linkedPair(options: PairOptions): Promise<LinkedPair> {
  const all = takeOptions('linkedPair', options, pairNames)
  const { serve, latency = 1 } = all
  checkMethods('linkedPair', serve)
  const wait = typeof latency === 'function' ? latency : () => latency
  const first = wait()
  if (typeof first !== 'number' || !(first >= 0 && first < Infinity))
    throw new TypeError(`linkedPair() needs a latency in milliseconds from 0, but got ${named(first)}.`)
  const client = takeSide('client', all.client ?? {}, { serve: true, clock: true, reconnect: true })
  const server = takeSide('server', all.server ?? {}, { clock: true })
  const { reconnect = true } = client
  if (typeof reconnect !== 'boolean')
    throw new TypeError(`linkedPair() needs its option 'reconnect' to be true or false, but got ${named(reconnect)}.`)
  const { clock = client.clock ?? createFakeClock() } = all
  const timeline = timelineOf(clock)
  const near = sideOf('client', client, clock, timeline)
  const far = sideOf('server', server, clock, timeline)
  const pair = new MemoryPair(timeline as Timeline, wait, near, { ...far, methods: serve })
  await pair.open(reconnect)
  return pair
}

const pairNames: Record<keyof PairOptions, true> = { serve: true, clock: true, latency: true, client: true, server: true }

function takeSide<O extends LinkSettings>(side: string, options: O, own: Record<Exclude<keyof O, keyof LinkSettings>, true>): O {
  return takeSettings('linkedPair', takeWithin('linkedPair', side, 'option', options, { ...settingNames, ...own }), own)
}

function sideOf(side: string, options: SideOptions, shared: FakeClock, time: Timeline | undefined): Side {
  const { serve, clock = shared, ...settings } = options
  if (time === undefined || timelineOf(clock) !== time) {
    throw new TypeError(
      `linkedPair() needs clocks from createFakeClock(), of one time, but that of the ${side} is ${time === undefined ? named(clock) : 'of another time: make it by another()'}.`,
    )
  }
  if (serve !== undefined) checkMethods('linkedPair', serve)
  return { clock, settings, methods: serve }
}

type Message = readonly Frame[]

let ids = 0

function hostOf(clock: FakeClock): LinkHost<Message> {
  return {
    clock,
    random: () => 0.5,
    id: () => `${++ids}`,
    codec: () => valueCodec,
    defer: queueMicrotask,
    reporter: () => (error, name) => {
      throw new Error(`The value of the context key ${named(name)} was left out.`, { cause: error })
    },
  }
}

class MemoryPair implements LinkedPair, PairNetwork, Destination<Message> {
  readonly clock: FakeClock
  readonly serverClock: FakeClock
  readonly service: LinkService<Message>
  readonly identity: unknown = 'client'
  client!: Connection
  server!: Connection
  state: Destination<Message>['state'] = 'open'
  readonly #timeline: Timeline
  readonly #latency: () => number
  readonly #near: Side
  readonly #wires = new Set<Wire<Message>>()
  #stalled: Direction | undefined

  constructor(timeline: Timeline, latency: () => number, near: Side, far: Side) {
    this.#timeline = timeline
    this.#latency = latency
    this.#near = near
    this.clock = near.clock
    this.serverClock = far.clock
    this.service = new LinkService(hostOf(far.clock), far.methods as object, far.settings, () => {
      this.state = 'refusing'
    })
  }

  async open(reconnect: boolean): Promise<void> {
    const { clock, settings, methods } = this.#near
    const sockets = memorySockets<Message>(
      {
        timeline: this.#timeline,
        clock,
        latency: this.#latency,
        size: (message) => valueCodec.size(message),
        onWire: (wire) => {
          this.#wires.add(wire)
          wire.onGone = () => this.#wires.delete(wire)
          if (this.#stalled !== undefined) this.stall(this.#stalled)
        },
      },
      () => this,
    )
    const dialing = dial(hostOf(clock), sockets, new URL('memory:'), background(), settings, methods, reconnect)
    const state = { open: false }
    const opened = (): void => {
      state.open = true
    }
    dialing.then(opened, opened)
    await turn()
    // oxlint-disable-next-line no-await-in-loop -- message after message
    while (!state.open && this.#timeline.step(Infinity)) await turn()
    const { link, closed } = await dialing
    this.client = new LinkConnection(link, closed)
    ;[this.server] = this.service.connections as unknown as [Connection]
  }

  get network(): PairNetwork {
    return this
  }

  get connections(): number {
    return this.#wires.size
  }

  cut(): void {
    for (const wire of [...this.#wires]) wire.cut()
  }

  stall(direction: Direction = 'both'): void {
    this.#stalled = direction
    for (const { client, server } of this.#wires) {
      if (direction !== 'toClient') client.stall()
      if (direction !== 'toServer') server.stall()
    }
  }

  resume(): void {
    this.#stalled = undefined
    for (const { client, server } of this.#wires) {
      client.resume()
      server.resume()
    }
  }

  lose(direction: Direction = 'both'): void {
    for (const { client, server } of this.#wires) {
      if (direction !== 'toClient') client.lose()
      if (direction !== 'toServer') server.lose()
    }
  }

  down(refusing?: 'refusing'): void {
    this.state = refusing ?? 'down'
    this.cut()
  }

  up(): void {
    this.state = 'open'
  }

  async close(): Promise<void> {
    this.client.close()
    this.service.close()
    // Both sides know: there is nothing that they could still tell each other.
    for (const { client, server } of [...this.#wires]) {
      client.crash(true)
      server.crash(true)
    }
    await turn()
  }

  async [asyncDispose](): Promise<void> {
    await this.close()
  }
}
