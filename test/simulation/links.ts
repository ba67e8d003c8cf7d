/** Connections between processes: the production code of both sides, over wires that the simulation can break. */
import { LinkConnection, type Connection, wrap } from '../../lib/bridge/link-connection.ts'
import { dial, type Receiver } from '../../lib/bridge/link-dial.ts'
import type { LinkSettings } from '../../lib/bridge/link-host.ts'
import { LinkService } from '../../lib/bridge/link-service.ts'
import { closeCode } from '../../lib/bridge/link-types.ts'
import type { BridgeError } from '../../lib/errors.ts'
import type { Destination } from '../../transports/testing/network.ts'
import { memorySockets } from '../../transports/testing/network.ts'
import type { Wire } from '../../transports/testing/wire.ts'
import { must } from './log.ts'
import type { Process } from './node.ts'
import type { Rec } from './records.ts'
import type { World } from './world.ts'

/** A link, from its first connection on: what happened to it that may end it. */
export class Bond {
  readonly id: number
  readonly client: Process<unknown>
  readonly server: Process<unknown>
  /** The id of its end at the client, once there is one. */
  link: string | undefined
  /** Its connections: more than one while an old one is not known to be dead. */
  readonly wires = new Set<Wire<unknown>>()
  /** When each side last heard something, by its own clock. */
  readonly heard = new Map<Process<unknown>, number>()
  /** Why it may be over. */
  readonly excuses = new Set<string>()
  /** Handles that were never imported: what they stand for is held until it ends. */
  lent = 0
  /** The last instant of the true time at which something was wrong with it. */
  disturbed = 0

  constructor(id: number, client: Process<unknown>, server: Process<unknown>) {
    this.id = id
    this.client = client
    this.server = server
  }
}

/** One side of a link. */
export class Use {
  readonly bond: Bond
  readonly process: Process<unknown>
  readonly peer: Process<unknown>
  readonly connection: Connection
  readonly remote: Record<string, (ctx: unknown, ...args: unknown[]) => Promise<unknown>>
  readonly opened: number
  closed = false

  constructor(bond: Bond, process: Process<unknown>, connection: Connection) {
    this.bond = bond
    this.process = process
    this.peer = process === bond.client ? bond.server : bond.client
    this.connection = connection
    this.remote = wrap<object>(connection) as unknown as Use['remote']
    this.opened = process.clock.now()
  }

  get name(): string {
    return `bond ${this.bond.id}`
  }

  /** By its own clock, how long nothing was heard. */
  get silence(): number {
    return this.process.clock.now() - Math.max(this.opened, this.bond.heard.get(this.process) ?? -Infinity)
  }

  /** What in the life of the link makes this a rightful end of something that came over it. */
  excuse(process: Process<unknown>, cause: BridgeError, rec: Rec | undefined): string | undefined {
    const { bond } = this
    must(process === this.process, 'simulation', () => 'the other side was asked')
    if (cause.code === 'ERR_LINK_LOST') {
      for (const reason of bond.excuses) return `the link was lost: ${reason}`
    }
    if (cause.code === 'ERR_HANDLE') {
      if (rec?.again === true || rec?.source?.end !== undefined || rec?.source?.ctx.err() !== undefined)
        return 'its handle was used up'
      for (const reason of bond.excuses) return `its link was another one: ${reason}`
    }
    if (cause.code === 'ERR_GOING_AWAY' && bond.excuses.has('shutdown')) return 'the other side goes away'
    if (cause.code === 'ERR_LIMIT' && this.connection.stats().imports >= 1) return 'a limit'
    return undefined
  }
}

/** Where each process can be reached, and at present. */
export class Host implements Destination<unknown> {
  readonly process: Process<unknown>
  readonly world: World
  readonly service: { accept: LinkService<unknown>['accept'] }
  readonly links: LinkService<unknown>
  state: Destination<unknown>['state'] = 'open'
  /** Who connects: set for each connection before it is taken. */
  identity: unknown

  constructor(world: World, process: Process<unknown>, methods: object) {
    this.world = world
    this.process = process
    this.links = new LinkService(process.host, methods, world.settings(`n${process.index}`), () => undefined)
    this.service = {
      accept: (channel, bond) => noting(world, this.links.accept(channel, bond), bond as Bond, process),
    }
  }

  get clock(): Process<unknown>['clock'] {
    return this.process.clock
  }

  /** This side of the link of a bond. */
  use(bond: Bond): Use | undefined {
    for (const connection of this.links.connections) {
      if (connection.peerName === `bond ${bond.id}`) return new Use(bond, this.process, connection)
    }
    return undefined
  }
}

/** Notes when something was heard. */
function noting(world: World, receiver: Receiver<unknown>, bond: Bond, process: Process<unknown>): Receiver<unknown> {
  return {
    receive(message) {
      bond.heard.set(process, process.clock.now())
      world.note(() => `n${process.index} gets ${world.codec.size(message)} bytes of bond ${bond.id}`)
      receiver.receive(message)
    },
    lost(reason, final) {
      // What the protocol forbids is never done between two of these.
      must(!reason.message.includes(`code ${closeCode.badFrame} `), 'S9', () => `bond ${bond.id}: ${reason.message}`)
      world.note(() => `n${process.index} loses a connection of bond ${bond.id}: ${reason.message}`)
      receiver.lost(reason, final)
    },
  }
}

/** Dials, as `connect` does. Resolves with this side of the link. */
export async function connect(
  world: World,
  from: Process<unknown>,
  to: () => Host | undefined,
  methods: object,
  bond: Bond,
): Promise<Use> {
  const settings: LinkSettings = world.settings(`bond ${bond.id}`)
  const sockets = memorySockets<unknown>(
    {
      timeline: world.time,
      clock: from.clock,
      latency: () => world.latencyOf(world.chance(bond)),
      size: (message) => world.codec.size(message),
      buffer: world.plan.buffer,
      trail: () => world.chance(bond).below(20),
      run: [from.run, (f) => to()?.process.run(f)],
      onWire(wire) {
        const there = to()
        // A process that was started anew is reached by its own.
        if (there !== undefined) wire.server.run = there.process.run
        bond.wires.add(wire)
        if (bond.wires.size > 1) world.log.sometimes('two connections of one link')
        wire.onGone = () => bond.wires.delete(wire)
      },
    },
    () => {
      const there = to()
      if (there !== undefined) there.identity = bond
      return there
    },
  )
  const noted = { ...sockets, channel: withNotes(world, sockets.channel, bond, from) }
  const { link, closed } = await dial(from.host, noted, new URL('memory:'), from.root, settings, methods, true)
  return new Use(bond, from, new LinkConnection(link, closed))
}

type ChannelOf = ReturnType<typeof memorySockets<unknown>>['channel']

function withNotes(world: World, channel: ChannelOf, bond: Bond, process: Process<unknown>): ChannelOf {
  return (end, connect) => {
    let given: unknown
    channel(end, (opened) => {
      const receiver = connect(opened)
      bond.link ??= process.ids.at(-1)
      given = receiver
      return noting(world, receiver, bond, process)
    })
    return given as ReturnType<typeof connect>
  }
}
