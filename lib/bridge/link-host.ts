/** What a link needs of the platform that it runs on, and the link of a user's settings. A test gives a platform of its own. */
import type { Clock } from '../clock.ts'
import { type Context, createRoot } from '../context.ts'
import type { LinkLostError } from '../errors.ts'
import type { Key } from '../key.ts'
import type { ReportValue } from '../wire/values.ts'
import { Link, type LinkLease } from './link.ts'
import { type Channel, type LinkCodec, type LinkLimits, linkLimits, type LinkOptions } from './link-types.ts'

/** A platform. No function throws. */
export interface LinkHost<M = Uint8Array> {
  /** The clock of all contexts that come in, of leases, and of the waits between attempts to connect. */
  readonly clock: Clock
  /** Gives a number from 0 to below 1. */
  readonly random: () => number
  /** Gives a text of 1 to 64 characters that nobody can guess: another one each time. */
  readonly id: () => string
  readonly codec: (maxMessage: number | undefined) => LinkCodec<M>
  /** See {@link LinkOptions.defer}, and so for the next three. */
  readonly defer: (f: () => void) => void
  readonly ahead?: number
  readonly afterReading?: (f: () => void) => void
  readonly onDropped?: (target: object, f: () => void) => void
  /** Makes what is told of values that were left out: one for each link. */
  readonly reporter: () => ReportValue
}

export interface LinkSettings {
  /** The portable keys whose values are taken from the peer; values of others are dropped. */
  readonly keys?: readonly Key<unknown>[]
  /** Who this is: the peer sees it in the paths of contexts. At most 256 characters. */
  readonly name?: string
  /** What this side takes; each has a default. */
  readonly limits?: Partial<LinkLimits>
  /** How long silence may last, in milliseconds; each has a default, in a page a longer one. */
  readonly lease?: Partial<LinkLease>
  /** The longest time in milliseconds that a context of the peer's may have: one that has more, or no deadline, has this much. */
  readonly maxTimeout?: number
  /**
   * Whether errors go to the peer with their stacks, up to 2,048 bytes of each: there `error.stack` is this side's. They name files of this side, so only
   * where the peer may know them. Default: false.
   */
  readonly stacks?: boolean
}

/** What is told of a link. */
export interface LinkEvents {
  readonly onOpen?: () => void
  readonly onClose?: (reason: LinkLostError) => void
  readonly onSuspend?: (reason: LinkLostError) => void
}

/**
 * A link on a channel.
 * @param dress gives the root of the contexts that come in its values
 */
export function makeLink<M>(
  host: LinkHost<M>,
  channel: Channel<M>,
  settings: LinkSettings,
  methods: object | undefined,
  session: LinkOptions<M>['session'],
  events: LinkEvents,
  dress: (root: Context) => Context = (root) => root,
): Link<M> {
  return new Link({
    channel,
    codec: host.codec(settings.limits?.maxMessage),
    id: host.id(),
    onDropped: host.onDropped,
    root: (peerName) =>
      dress(createRoot({ clock: host.clock, name: peerName === '' ? 'Link' : `Link(${JSON.stringify(peerName)})` })),
    defer: host.defer,
    ahead: host.ahead,
    afterReading: host.afterReading,
    serve: methods,
    keys: settings.keys,
    name: settings.name,
    limits: settings.limits,
    lease: settings.lease ?? {},
    maxTimeout: settings.maxTimeout,
    stacks: settings.stacks,
    session,
    report: host.reporter(),
    ...events,
  })
}

/** The longest message that a side of these settings takes, in bytes. */
export function maxMessageOf({ limits }: LinkSettings): number {
  return limits?.maxMessage ?? linkLimits.maxMessage
}
