/** One world from its beginning to its end: faults; then they heal; then everything is closed, and nothing may be left. */
import { linkLease } from '../../lib/bridge/link-liveness.ts'
import { turn } from '../../transports/testing/turn.ts'
import { act } from './acts.ts'
import { attack, stranger } from './attacks.ts'
import { type Log, must, Violation } from './log.ts'
import { methodsOf } from './methods.ts'
import type { Plan } from './plan.ts'
import { World } from './world.ts'

export interface Outcome {
  readonly log: Log
  /** In all worlds that it took. */
  readonly events: number
  /** What went wrong; undefined where nothing did. */
  readonly failure: Error | undefined
}

/** Beyond leases: attempts to connect, timers that are late. */
const slack = 12_000

/** One world; where there are attacks, a second one without them, in which nobody else may see a difference (S12). */
export async function run(plan: Plan, events: number): Promise<Outcome> {
  const { world, failure } = await make(plan, events)
  const { log } = world
  if (failure !== undefined || plan.attacks === undefined || plan.attacks.length === 0)
    return { log, failure, events: log.events }
  const calm = await make({ ...plan, attacks: [] }, events)
  return { log, failure: calm.failure ?? differing(calm.world, world), events: log.events + calm.world.log.events }
}

/** S12: what those observe who do not attack is the same, to the instant. */
function differing(calm: World, attacked: World): Violation | undefined {
  const [without, under] = [calm.notes.toSorted(), attacked.notes.toSorted()]
  const at = without.findIndex((note, i) => note !== under[i])
  if (at < 0 && without.length === under.length) return undefined
  const first = at < 0 ? without.length : at
  return new Violation(`S12: an attack was noticed: "${without[first]}" without it, "${under[first]}" under it`)
}

async function make(plan: Plan, events: number): Promise<{ readonly world: World; readonly failure: Error | undefined }> {
  const world = new World(plan, methodsOf)
  const { log } = world
  try {
    for (const operation of plan.operations) {
      world.time.set(operation.at, () => {
        if (world.healed) return
        log.add(world.time.now, operation.what, operation.a, operation.c)
        act(world, operation)
      })
    }
    for (const one of plan.attacks ?? []) world.time.set(one.at, () => attack(world, one))
    const last = plan.operations.at(-1)?.at ?? 0
    // Strangers bring events of their own, and must not shorten the world.
    await until(world, last, world.isWhole ? Infinity : events)
    world.heal()
    const healing = linkLease.exports * plan.lease + slack
    await until(world, world.time.now + healing)
    agree(world)
    await closeAll(world, healing)
    return { world, failure: undefined }
  } catch (error) {
    return { world, failure: error instanceof Error ? error : new Error(String(error)) }
  }
}

/** Lets everything happen up to an instant, or so many events. */
async function until(world: World, at: number, events = Infinity): Promise<void> {
  await turn()
  while (world.log.events < events && world.time.step(at)) {
    world.log.add(world.time.now, 'step', world.touched?.index ?? -1)
    await turn()
    if (world.failure !== undefined) throw world.failure
    world.check()
  }
  if (world.log.events < events) world.time.pass(at)
}

/** V3: whoever has heard of a context agrees with its exporter, and V1, V2: nothing waits for what is over. */
function agree(world: World): void {
  for (const [process, recs] of world.recs) {
    if (!process.alive) continue
    for (const rec of recs) {
      world.look(rec)
      const { source } = rec
      if (source === undefined || rec.end !== undefined || source.process === process) continue
      if (!source.process.alive) {
        must(false, 'V2', () => `c${rec.id} is live, and the process of its exporter is gone`)
      }
      must(source.ctx.err() === undefined, 'V3', () => `c${rec.id} is live, and its exporter c${source.id} has ended`)
    }
  }
  for (const call of world.calls.values()) {
    if (call.settled || !call.rec.process.alive) continue
    must(call.use.peer.alive, 'V2', () => `call ${call.id} waits for a process that is gone`)
  }
}

async function closeAll(world: World, healing: number): Promise<void> {
  world.closing = true
  for (const [process, recs] of world.recs) {
    if (!process.alive) continue
    for (const rec of [...recs]) world.cancel(rec, 'all is over')
    for (const resolve of world.held.get(process)?.splice(0) ?? []) resolve()
  }
  await until(world, world.time.now + healing)
  for (const [process] of world.recs) for (const resolve of world.held.get(process)?.splice(0) ?? []) resolve()
  await until(world, world.time.now + 1_000)
  for (const [process, workers] of world.workers) if (process.alive) workers.close()
  for (const [process, uses] of world.uses) {
    if (!process.alive) continue
    for (const { bond, connection } of uses) {
      const { calls, handlers, exports, imports, queued } = connection.stats()
      must(
        calls + handlers + queued === 0 && imports <= bond.lent && exports <= bond.lent,
        'V5',
        () =>
          `bond ${bond.id} has ${calls} calls, ${handlers} handlers, ${exports} exports, ${imports} imports, ${queued} frames`,
      )
    }
  }
  for (const { links, process } of world.hosts) {
    const left = [...links.connections].filter(({ peerName }) => peerName === stranger).length
    must(left === 0, 'V5', () => `n${process.index} has ${left} links of strangers who have gone`)
  }
  for (const call of world.calls.values()) {
    must(call.settled || !call.rec.process.alive, 'V5', () => `call ${call.id} was never settled`)
  }
  for (const [process, uses] of world.uses) if (process.alive) for (const { connection } of uses) connection.close()
  for (const { links } of world.hosts) links.close()
  await until(world, world.time.now + slack)
  for (const { process, links } of world.hosts) {
    const { connections, calls, handlers, contexts } = links.stats()
    must(connections + calls + handlers + contexts === 0, 'V5', () => `n${process.index} has ${connections} links`)
    must(process.clock.armed.size === 0, 'V5', () => `n${process.index} has ${process.clock.armed.size} timers`)
  }
  for (const { id, wires, client, server } of world.bonds) {
    must(wires.size === 0 || !client.alive || !server.alive, 'V5', () => `bond ${id} has ${wires.size} connections`)
  }
}
