/** Links over WebSockets: what a link needs of this platform. */
import { type Channel, Link, type LinkLease, type LinkLimits, linkLimits, type LinkOptions } from '../../lib/bridge/link.ts'
import { createRoot } from '../../lib/context.ts'
import type { LinkLostError } from '../../lib/errors.ts'
import { type Key, named } from '../../lib/key.ts'
import { byteCodec } from './msgpackr.ts'

export interface LinkSettings {
  /** The portable keys whose values are taken from the peer; values of others are dropped. */
  readonly keys?: readonly Key<unknown>[]
  /** Who this is: the peer sees it in the paths of contexts. At most 256 characters. */
  readonly name?: string
  /** What this side takes; each has a default. */
  readonly limits?: Partial<LinkLimits>
  /** How long silence may last, in milliseconds; each has a default. */
  readonly lease?: Partial<LinkLease>
  /** The longest time in milliseconds that a context of the peer's may have: one that has more, or no deadline, has this much. */
  readonly maxTimeout?: number
  /**
   * Whether errors go to the peer with their stacks, up to 2,048 bytes of each: there `error.stack` is this side's. They name files of this side, so only
   * where the peer may know them. Default: false.
   */
  readonly stacks?: boolean
}

/** Contexts that were imported: what is to be done when one is collected. */
const dropped = new FinalizationRegistry<() => void>((f) => f())

export interface LinkEvents {
  readonly onOpen?: () => void
  readonly onClose?: (reason: LinkLostError) => void
  readonly onSuspend?: (reason: LinkLostError) => void
}

/** A link on a socket's channel. */
export function makeLink(
  channel: Channel,
  settings: LinkSettings,
  methods: object | undefined,
  session: LinkOptions['session'],
  events: LinkEvents,
): Link {
  return new Link({
    channel,
    codec: byteCodec(settings.limits?.maxMessage),
    id: crypto.randomUUID(),
    onDropped: (target, f) => dropped.register(target, f),
    root: (peerName) => createRoot({ name: peerName === '' ? 'Link' : `Link(${JSON.stringify(peerName)})` }),
    // Browsers refuse it as a method of something else.
    defer: (f) => queueMicrotask(f),
    // Timers come before what has arrived, and what follows `setImmediate` comes behind it.
    afterReading,
    serve: methods,
    keys: settings.keys,
    name: settings.name,
    limits: settings.limits,
    lease: settings.lease ?? {},
    maxTimeout: settings.maxTimeout,
    stacks: settings.stacks,
    session,
    report: warnOnce(),
    ...events,
  })
}

/** Calls `f` after what has arrived: in Node timers come before that, and what follows `setImmediate` behind it. */
function afterReading(f: () => void): void {
  const { setImmediate: immediately } = globalThis as { setImmediate?: (f: () => void) => unknown }
  if (immediately === undefined) setTimeout(() => setTimeout(f, 1), 1)
  else immediately(() => immediately(f))
}

export function maxMessageOf({ limits }: LinkSettings): number {
  return limits?.maxMessage ?? linkLimits.maxMessage
}

/**
 * Reports by a warning of the process that a context's value was left out: once for each key and connection, since it may be the peer that
 * causes it; on one line; and never with a throw.
 */
function warnOnce(): (error: unknown, name: string) => void {
  const warned = new Set<string>()
  return (error, name) => {
    if (warned.has(name)) return
    warned.add(name)
    const text = `The value of the context key ${named(name)} was left out: ${shown(error)}`
    const { process } = globalThis as { process?: { emitWarning?: (text: string, options: object) => void } }
    if (process?.emitWarning !== undefined) process.emitWarning(text, { type: 'CtxbridgeWarning' })
    // oxlint-disable-next-line no-console -- where else would a browser say it?
    else console.warn(text)
  }
}

function shown(error: unknown): string {
  try {
    return JSON.stringify(String(error instanceof Error ? error.message : error).slice(0, 100))
  } catch {
    return 'what was thrown cannot be shown'
  }
}
