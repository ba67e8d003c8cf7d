/** The platform of this realm, for links: its clock, its chance, and messages as bytes. */
import type { LinkHost } from '../../lib/bridge/link-host.ts'
import { hostClock } from '../../lib/clock.ts'
import { named } from '../../lib/given.ts'
import { byteCodec } from './msgpackr.ts'

/** Contexts that were imported: what is to be done when one is collected. */
const dropped = new FinalizationRegistry<() => void>((f) => f())

const ready = Promise.resolve()

export const platform: LinkHost = {
  clock: hostClock,
  random: () => Math.random(),
  // 128 bits. Browsers have `randomUUID` only where the page's context is secure.
  id: () => crypto.getRandomValues(new Uint32Array(4)).join('-'),
  codec: byteCodec,
  // In Node `queueMicrotask` makes some objects for each function, which cost more than a message.
  defer: (f) => void ready.then(f),
  afterReading,
  onDropped: (target, f) => dropped.register(target, f),
  reporter: warnOnce,
}

/** Calls `f` after what has arrived: in Node timers come before that, and what follows `setImmediate` behind it. */
function afterReading(f: () => void): void {
  const { setImmediate: immediately } = globalThis as { setImmediate?: (f: () => void) => unknown }
  if (immediately === undefined) setTimeout(() => setTimeout(f, 1), 1)
  else immediately(() => immediately(f))
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
    warn(`The value of the context key ${named(name)} was left out`, error)
  }
}

/** Reports by a warning of the process what went wrong on this side and rejects nothing: a peer may have caused it, so it ends nothing. On one line; never throws. */
export function warn(what: string, error: unknown): void {
  const text = `${what}: ${shown(error)}`
  const { process } = globalThis as { process?: { emitWarning?: (text: string, options: object) => void } }
  if (process?.emitWarning !== undefined) process.emitWarning(text, { type: 'CtxbridgeWarning' })
  // oxlint-disable-next-line no-console -- where else would a browser say it?
  else console.warn(text)
}

function shown(error: unknown): string {
  try {
    return JSON.stringify(String(error instanceof Error ? error.message : error).slice(0, 100))
  } catch {
    return 'what was thrown cannot be shown'
  }
}
