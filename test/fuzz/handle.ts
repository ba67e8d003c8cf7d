/** Handles of a WebSocket link, which came by any way at all, and may be anything. */
import { Link } from '../../lib/bridge/link.ts'
import { type CancelableContext, cause as causeOf, createRoot } from '../../lib/context.ts'
import { BridgeError, LinkLostError } from '../../lib/errors.ts'
import type { Frame } from '../../lib/wire/frame.ts'
import { createFakeClock } from '../../transports/testing/clock.ts'
import { valueCodec } from '../../transports/testing/codec.ts'
import { cause } from './frames.ts'
import { Pairs, Raw } from './msgpack.ts'
import type { Random } from './random.ts'
import { shorter, type Target } from './target.ts'
import { bend, data, list, text } from './values.ts'

export const handleTarget: Target = {
  name: 'handle',
  weight: 60,
  outcomes: ['live', 'ended', 'ERR_HANDLE', 'ERR_LIMIT'],
  make: (random) => [handle(random), ...list(random, 16, () => handle(random))],
  check: (input) => check(input as unknown[]),
  smaller: (input) => shorter(input as unknown[], (a, b) => [...a, ...b]),
}

function handle(random: Random): unknown {
  const good: Record<string, unknown> = { ctxbridge: 1, link: random.once(15) ? text(random) : 'peer' }
  if (random.once(4)) good['end'] = [random.below(2), random.once(2) ? null : cause(random)]
  if (!random.once(6))
    good['export'] = [
      random.once(3) ? random.between(6, 20) : random.between(1, 5),
      random.once(10) ? random.below(2 ** 31) : random.between(1, 3),
    ]
  if (random.once(3)) good['left'] = random.of([0, -1, 0.5, 1_000, 1e300, 2 ** 53])
  if (random.once(4)) good['why'] = cause(random)
  if (random.once(4)) good['values'] = list(random, 3, (i) => [`${text(random, 8)}${i}`, data(random, 1)])
  if (!random.once(3)) return good
  return plain(bend(good, random))
}

/** What a message can hold that was cloned, and no map of msgpack: a number that is none, a date, a cycle. */
export function plain(value: unknown): unknown {
  if (value instanceof Raw)
    return [Number.NaN, Infinity, undefined, new Date(0), new Map(), 10n, -0, cycle()][(value.bytes[0] as number) % 8]
  if (value instanceof Pairs) {
    const members = value.pairs.map(([key, member]) => [String(key), plain(member)] as const)
    // A key of that name is one of the object's own, as it is where JSON is parsed.
    return Object.defineProperties(
      {},
      Object.fromEntries(
        members.map(([key, member]) => [key, { value: member, enumerable: true, configurable: true, writable: true }]),
      ),
    )
  }
  if (Array.isArray(value)) return (value as unknown[]).map(plain)
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]))
}

function cycle(): unknown {
  const round: unknown[] = []
  round.push(round)
  return round
}

const none = { left: undefined, why: undefined, values: [], under: undefined }

/** The peer has exported 1 to 4, of which 2 has ended and 3 was retracted, and will export 5; then 1 ends. */
async function check(handles: readonly unknown[]): Promise<string> {
  const clock = createFakeClock()
  const link = new Link<readonly Frame[]>({
    channel: {
      send: () => undefined,
      queued: () => 0,
      drained: () => undefined,
      close: () => undefined,
      terminate: () => undefined,
    },
    codec: valueCodec,
    id: 'here',
    root: () => createRoot({ clock }),
    defer: queueMicrotask,
    report: () => undefined,
    limits: { maxContexts: 4 },
  })
  const say = (...frames: Frame[]): void => link.receiveFrames(frames, 0)
  const limits = { maxMessage: 65_536, maxCalls: 8, maxContexts: 8, window: 8, lease: 0 }
  say({ type: 'hello', version: 1, limits, name: '', link: 'peer', session: undefined })
  for (const id of [1, 2, 3, 4]) say({ type: 'export', id, context: none })
  say({ type: 'cancel', id: 2, kind: 'canceled', cause: [0, 'two'] }, { type: 'retract', id: 3 })
  let outcome = 'live'
  const imported: CancelableContext[] = []
  for (const one of handles) {
    const ctx = link.import(one)
    imported.push(ctx)
    String(ctx)
    outcome = outcomeOf(ctx)
  }
  say({ type: 'export', id: 5, context: none }, { type: 'cancel', id: 1, kind: 'canceled', cause: [0, 'one'] })
  await undefined
  for (const [i, ctx] of imported.entries()) {
    // What is no handle gives a context that has another cause.
    const { export: granted, end, left } = (handles[i] ?? {}) as { export?: unknown; end?: unknown; left?: unknown }
    const id: unknown = Array.isArray(granted) ? granted[0] : undefined
    if (causeOf(ctx) === 'one' && id !== 1 && end === undefined) throw new Error('the end of one context has reached another')
    if (id === 4 && end === undefined && left === undefined && causeOf(ctx) === 'two')
      throw new Error('ended by what ended another')
  }
  for (const ctx of imported) ctx.cancel()
  await undefined
  link.lost(new LinkLostError('over'))
  const { exports, imports } = link.stats()
  if (exports + imports + clock.timers > 0)
    throw new Error(`left behind: ${exports} exports, ${imports} imports, ${clock.timers} timers`)
  return outcome
}

function outcomeOf(ctx: CancelableContext): string {
  if (ctx.err() === undefined) return 'live'
  const why = causeOf(ctx)
  if (!(why instanceof BridgeError)) return 'ended'
  if (!['ERR_HANDLE', 'ERR_LIMIT', 'ERR_LINK_LOST'].includes(why.code)) throw new Error(`refused with ${why.code}`)
  return why.code
}
