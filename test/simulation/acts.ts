/** What each operation does. Whatever its numbers are, it does something that makes sense, or nothing. */
import { afterFunc, withCancel, withDeadline, withoutCancel, withTimeout, withValue } from '../../lib/context.ts'
import { merge } from '../../lib/merge.ts'
import { BridgeError } from '../../lib/errors.ts'
import type { Wire } from '../../transports/testing/wire.ts'
import type { Bond } from './links.ts'
import { must } from './log.ts'
import { callOver } from './methods.ts'
import type { Process } from './node.ts'
import type { Operation, What } from './plan.ts'
import { checkArrival, shown } from './records.ts'
import { open, secret, type World } from './world.ts'

type Act = (world: World, process: Process<unknown>, operation: Operation) => void

const spans = [-1, 0, 0.5, 1, 5, 20, 100, 700, 3_000, 20_000, 40_000, 2 ** 31 + 10, Infinity]

function causeFrom(n: number): unknown {
  const kind = n % 5
  if (kind === 0) return undefined
  if (kind === 1) return new Error(`cause ${n}`)
  if (kind === 2) return n % 2 === 0 ? null : 0
  return `cause ${n}`
}

const watchingOf = (c: number): 'asks' | 'told' | 'seldom' =>
  (['asks', 'asks', 'told', 'seldom'] as const)[(c >>> 20) & 3] ?? 'asks'

const derive: Act = (world, process, { b, c }) => {
  const parent = world.rec(process, b)
  const { ctx } = parent
  const watching = watchingOf(c)
  const parents = [parent]
  const draw = c % 100
  const span = spans[(c >>> 7) % spans.length] as number
  const why = causeFrom(c >>> 9)
  if (draw < 40) {
    const made = withCancel(ctx)
    const rec = world.add(process, made, 'cancel', { cancel: made.cancel, parents, watching })
    must(
      Math.abs(rec.due - parent.due) < 1e-6 || rec.due === parent.due,
      'C25',
      () => `c${rec.id} has another deadline than its parent`,
    )
  } else if (draw < 75) {
    const date = draw >= 65
    const { clock } = process
    const made = date ? withDeadline(ctx, clock.wall() + span, why) : withTimeout(ctx, span, why)
    const own = clock.now() + span
    const isNearest = own < parent.due - 1e-6
    // Which of two that are equal counts is none of the simulation's.
    const reason = isNearest ? shown(why) : own > parent.due + 1e-6 ? parent.why : '?'
    const rec = world.add(process, made, 'deadline', { cancel: made.cancel, parents, watching, why: reason })
    must(!(rec.due > Math.min(own, parent.due) + 0.01), 'C25', () => `c${rec.id} has a deadline that is too late`)
  } else if (draw < 88) {
    const key = draw % 2 === 0 ? open : secret
    world.add(process, withValue(ctx, key, `value ${c}`), 'value', { parents, watching })
  } else if (draw < 91) {
    world.add(process, withoutCancel(ctx), 'without', { watching: 'seldom' })
  } else {
    const other = world.rec(process, c >>> 5)
    const made = merge(ctx, other.ctx)
    const nearer = other.due < parent.due ? other : parent
    const why = Math.abs(other.due - parent.due) < 1e-6 ? '?' : nearer.why
    world.add(process, made, 'merge', { cancel: made.cancel, parents: [parent, other], watching, why })
  }
}

const cancel: Act = (world, process, { b, c }) => {
  const rec = world.rec(process, b)
  if (rec.cancel === undefined) return
  world.cancel(rec, causeFrom(c))
  if (c % 7 === 0) world.cancel(rec, 'a second cancel')
}

const listen: Act = (world, process, { b, c }) => {
  const rec = world.rec(process, b)
  world.listened.add(rec)
  const heard = (): void => {
    must(rec.ctx.err() !== undefined, 'C49', () => `afterFunc of c${rec.id} ran before its end`)
    must(!stopped.by, 'C51', () => `afterFunc of c${rec.id} ran after stop() had prevented it`)
    if (!process.alive || world.closing) return
    if (c % 3 === 0) world.cancel(world.rec(process, c >>> 4), `from a listener of c${rec.id}`)
    if (c % 3 === 1) derive(world, process, { at: 0, what: 'derive', a: 0, b: c >>> 3, c: c >>> 2 })
  }
  const stop = afterFunc(rec.ctx, () => world.guard(heard))
  const stopped = { by: false }
  world.stops.push(() => {
    if (stop()) stopped.by = true
  })
}

const unlisten: Act = (world, _process, { b }) => {
  if (world.stops.length > 0) world.stops.splice(b % world.stops.length, 1)[0]?.()
}

const call: Act = (world, process, { b, c }) => {
  const use = world.use(process, b)
  if (use === undefined) return
  const rec = world.rec(process, b >>> 8)
  world.log.sometimes(`a call while the link was ${use.connection.stats().state}`)
  void world.wrapped(callOver(world, use, rec, c))
  if (c % 11 === 0) world.cancel(rec, `in the turn of its call ${c}`)
}

const finish: Act = (world, process, { b }) => {
  const held = world.held.get(process) ?? []
  if (held.length > 0) held.splice(b % held.length, 1)[0]?.()
}

const exports: Act = (world, process, { b, c }) => {
  const use = world.use(process, b)
  if (use === undefined) return
  const rec = world.rec(process, c)
  try {
    const data: unknown = JSON.parse(JSON.stringify(use.connection.export(rec.ctx)))
    const handle = { rec, bond: use.bond, from: process, data, imports: 0 }
    world.handles.push(handle)
    if (world.handles.length > 64) world.handles.shift()
    if (c % 13 === 0) {
      use.bond.lent++
      world.log.sometimes('a handle that is never imported')
    } else
      world.time.set(world.time.now + world.latency() + ((c >>> 8) % 4 === 0 ? (c >>> 10) % 2_000 : 0), () =>
        arrive(world, use.peer, handle),
      )
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error
    const { code } = error
    const good = code === 'ERR_LIMIT' || (code === 'ERR_LINK_LOST' && use.bond.excuses.size > 0)
    must(good, 'S1', () => `an export failed with ${error.message}`)
    if (code === 'ERR_LIMIT') world.log.sometimes('a limit of contexts')
  }
}

type Handle = World['handles'][number]

function arrive(world: World, to: Process<unknown>, handle: Handle): void {
  to.run(() => {
    const use = world.sideOf(handle.bond, to)
    if (use === undefined) {
      handle.bond.lent++
      return
    }
    const ctx = use.connection.import(handle.data)
    const again = handle.imports++ > 0
    if (use.connection.stats().state === 'suspended') world.log.sometimes('an import while the link was broken')
    const rec = world.add(to, ctx, 'import', {
      cancel: ctx.cancel,
      source: handle.rec,
      over: use,
      watching: handle.imports % 2 === 0 ? 'told' : 'asks',
      again,
    })
    // One that is refused because of a limit is not given back.
    if (rec.end !== undefined && isLimit(rec.end.error.cause)) handle.bond.lent++
    if (rec.end === undefined) {
      checkArrival(rec)
      must(
        ctx.value(open) === handle.rec.ctx.value(open),
        'S10',
        () => `the value of c${handle.rec.id} is ${String(ctx.value(open))} over there`,
      )
    }
  })
}

const isLimit = (cause: unknown): boolean => cause instanceof BridgeError && cause.code === 'ERR_LIMIT'

/** A handle comes once more, or to somebody whom it is not for. */
const lend: Act = (world, process, { b }) => {
  const handle = world.handles[b % Math.max(1, world.handles.length)]
  if (handle === undefined || handle.from === process) return
  if (handle.bond.client === process || handle.bond.server === process) arrive(world, process, handle)
}

const release: Act = (world, process, { b, c }) => {
  const imports = (world.recs.get(process) ?? []).filter(({ kind, end }) => kind === 'import' && end === undefined)
  const rec = imports[b % Math.max(1, imports.length)]
  if (rec !== undefined) world.cancel(rec, causeFrom(c))
}

/** Somebody lost an import, and it was collected. */
const drop: Act = (world, process, { b }) => {
  const recs = world.recs.get(process) ?? []
  const imports = recs.filter(
    ({ kind, end, uses, watching }) => kind === 'import' && end === undefined && uses === 0 && watching === 'asks',
  )
  const rec = imports[b % Math.max(1, imports.length)]
  if (rec === undefined || world.isListened(rec)) return
  recs.splice(recs.indexOf(rec), 1)
  process.dropped.get(rec.ctx)?.()
  world.log.sometimes('an import that was collected')
}

const look: Act = (world, process) => {
  for (const rec of [...(world.recs.get(process) ?? [])]) world.look(rec)
}

const giveUp: Act = (world, process, { b }) => {
  const rec = world.rec(process, b)
  for (const one of [...(world.recs.get(process) ?? [])]) if (one.parents.includes(rec)) world.cancel(one, 'all at once')
}

const close: Act = (world, process, { b }) => {
  const use = world.use(process, b)
  if (use === undefined) return
  world.disturb([use.bond], 'close')
  use.connection.close()
}

const shutdown: Act = (world, process, { b, c }) => {
  const use = world.use(process, b)
  if (use === undefined) return
  world.disturb([use.bond], 'shutdown')
  void use.connection.close({ grace: (c % 5) * 300 })
}

// --- Threads -----------------------------------------------------------------------------------------------------------

/** One context, or many at once, as a pool does. */
const share: Act = (world, process, { b, c }) => {
  const count = c % 29 === 0 ? 100 : 1
  for (let i = 0; i < count; i++) world.workers.get(process)?.lend(world.rec(process, b + i), c + i)
}

const scan: Act = (world, process, { b }) => world.workers.get(process)?.scan(b)

const reclaim: Act = (world, process) => world.workers.get(process)?.reclaim()

const terminate: Act = (world, process, { b, c }) => {
  const accesses = c % 2 === 0 ? undefined : (c >>> 4) % 60
  world.workers.get(process)?.terminate(b, [0, 5, 500][c % 3] as number, accesses)
}

// --- Faults ------------------------------------------------------------------------------------------------------------

/** The connections that a process is at one end of. */
function wiresOf(world: World, process: Process<unknown>): [Bond, Wire<unknown>][] {
  return world.bondsOf(process).flatMap((bond) => [...bond.wires].map((wire): [Bond, Wire<unknown>] => [bond, wire]))
}

function onWire(
  world: World,
  process: Process<unknown>,
  b: number,
  excuse: string,
  f: (wire: Wire<unknown>, bond: Bond) => void,
): void {
  if (world.healed) return
  const wires = wiresOf(world, process)
  const chosen = wires[b % Math.max(1, wires.length)]
  if (chosen === undefined) return
  const [bond, wire] = chosen
  if (wire.client.unread + wire.server.unread > 0) world.log.sometimes(`${excuse} with messages on their way`)
  if (excuse !== 'cut') world.disturb([bond], excuse)
  f(wire, bond)
}

/** After which a link must go on: whoever is alive connects again long before it is given up. */
function isHarmless(world: World, bond: Bond): boolean {
  const { lease, latency } = world.plan
  const quick = lease === 1 && latency[0] + latency[1] <= 21 && bond.wires.size === 1
  const fit = [bond.client, bond.server].every((process) => process.alive && !process.paused)
  const open = [bond.client, bond.server].every((process) => world.sideOf(bond, process)?.connection.stats().state === 'open')
  return quick && fit && open && world.hosts[bond.server.index]?.state === 'open' && world.time.now - bond.disturbed > 10_000
}

const cut: Act = (world, process, { b }) =>
  onWire(world, process, b, 'cut', (wire, bond) => {
    if (isHarmless(world, bond)) world.log.sometimes('a cut that no link may feel')
    else bond.excuses.add('cut')
    bond.disturbed = world.time.now
    wire.cut()
  })

const cutOneSide: Act = (world, process, { b, c }) =>
  onWire(world, process, b, 'cut on one side', (wire) => {
    const end = c % 2 === 0 ? wire.client : wire.server
    world.lossy.add(wire)
    if (c % 4 < 2) {
      wire.client.lose()
      wire.server.lose()
    } else {
      // What was on its way arrives long after.
      end.stall()
      world.later([20, 300, 2_000][(c >>> 4) % 3] as number, () => end.resume())
    }
    end.run(() => end.broken())
  })

const lose: Act = (world, process, { b, c }) =>
  onWire(world, process, b, 'half open', (wire) => {
    if (c % 3 !== 0) wire.client.lose()
    if (c % 3 !== 1) wire.server.lose()
    world.lossy.add(wire)
  })

const stall: Act = (world, process, { b, c }) =>
  onWire(world, process, b, 'stall', (wire) => {
    const ends = c % 3 === 0 ? [wire.client, wire.server] : c % 3 === 1 ? [wire.client] : [wire.server]
    for (const end of ends) end.stall()
    world.later([5, 100, 2_000, 20_000, 60_000][(c >>> 4) % 5] as number, () => {
      for (const end of ends) end.resume()
    })
  })

const slow: Act = (world, process, { b, c }) =>
  onWire(world, process, b, 'slow', (wire) => {
    const end = c % 2 === 0 ? wire.client : wire.server
    end.slow([0.05, 1, 20][(c >>> 3) % 3] as number)
    world.later([100, 5_000, 40_000][(c >>> 6) % 3] as number, () => end.slow(Infinity))
  })

/** A machine cannot be reached for a while, and its connections break. */
const away: Act = (world, process, { c }) => {
  const host = world.hosts[process.index]
  if (world.healed || host === undefined || host.state !== 'open') return
  const bonds = world.bondsOf(process)
  world.disturb(bonds, 'away')
  host.state = c % 4 === 0 ? 'refusing' : 'down'
  for (const [, wire] of wiresOf(world, process)) wire.cut()
  world.later([50, 1_000, 10_000, 40_000][(c >>> 3) % 4] as number, () => {
    if (host.state !== 'open') host.state = 'open'
  })
}

const crash: Act = (world, process, { c }) => {
  if (world.healed) return
  world.log.sometimes('a crash')
  world.disturb(world.bondsOf(process), 'crash')
  for (const [, wire] of wiresOf(world, process)) {
    const end = wire.client.run === process.run ? wire.client : wire.server
    end.crash(c % 3 === 0)
    if (c % 3 === 0) world.lossy.add(wire)
  }
  process.crash()
  const host = world.hosts[process.index]
  if (host !== undefined) host.state = c % 5 === 0 ? 'down' : 'refusing'
  world.later([1, 200, 5_000, 30_000][(c >>> 3) % 4] as number, () => world.start(process.index, process.life + 1))
}

const pause: Act = (world, process, { c }) => {
  if (world.healed) return
  const ms = [10, 500, 5_000, 28_000, 60_000][c % 5] as number
  world.disturb(world.bondsOf(process), ms > 400 * world.lease ? 'pause' : undefined)
  if (ms > 1_000) world.log.sometimes('a machine that slept')
  process.pause(ms, (c >>> 5) % 2 === 0)
}

const wall: Act = (_world, process, { c }) => {
  process.clock.wallAhead += ((c % 3) - 1) * 3_600_000
}

const dial: Act = (world, process, { b }) => world.dial(process, b)

const acts: Readonly<Record<What, Act>> = {
  derive,
  cancel,
  listen,
  unlisten,
  call,
  finish,
  export: exports,
  release,
  drop,
  lend,
  look,
  giveUp,
  share,
  scan,
  reclaim,
  terminate,
  dial,
  close,
  shutdown,
  cut,
  cutOneSide,
  lose,
  stall,
  slow,
  away,
  crash,
  pause,
  wall,
}

export function act(world: World, operation: Operation): void {
  const process = world.process(operation.a)
  if (process === undefined) return
  process.run(() => {
    world.settle(process)
    acts[operation.what](world, process, operation)
  })
}
