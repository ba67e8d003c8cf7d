/** What every process serves: methods that do what their caller has drawn for them. */
import { afterFunc, type Context } from '../../lib/context.ts'
import { race, sleep } from '../../lib/wait.ts'
import type { Use } from './links.ts'
import { must, Violation } from './log.ts'
import type { Process } from './node.ts'
import { checkArrival, type Rec } from './records.ts'
import { type Call, open, secret, type World } from './world.ts'

const behaviours = ['answer', 'throw', 'hold', 'wait', 'sleep', 'ignore', 'forward', 'stream', 'stream', 'big'] as const

export function methodsOf(world: World, process: Process<unknown>): object {
  return {
    async work(ctx: Context, id: number): Promise<unknown> {
      const call = world.calls.get(id) as Call
      let rec: Rec | undefined
      try {
        rec = begin(world, process, ctx, call)
        const outcome = await run(world, process, rec, call)
        call.outcome = `value ${id}`
        return outcome ?? `value ${id}`
      } catch (error) {
        call.outcome = 'error'
        if (error instanceof Violation) world.failure ??= error
        throw error
      } finally {
        // Of a stream the method is over when its generator is.
        if (behaviours[call.behaviour % behaviours.length] !== 'stream' && rec !== undefined) rec.finished = true
      }
    },
    /** What strangers call: one that lasts as long as its context, one that lasts longer, and one that gives much. */
    toil: (ctx: Context) => new Promise<void>((resolve) => void afterFunc(ctx, resolve)),
    linger: () => sleep(process.root, 3_000),
    bulk: () => 'x'.repeat(20_000),
  }
}

function begin(world: World, process: Process<unknown>, ctx: Context, call: Call): Rec {
  call.started++
  must(call.started === 1, 'once', () => `call ${call.id} was started twice`)
  must(ctx.err() === undefined, 'S1', () => `call ${call.id} was started with a context that had ended`)
  world.note(() => `call ${call.id} starts`)
  const source = call.rec
  // S10: values of portable keys cross, and no others.
  must(
    ctx.value(open) === source.ctx.value(open),
    'S10',
    () => `the value of c${source.id} is ${String(ctx.value(open))} over there`,
  )
  must(ctx.value(secret) === undefined, 'S10', () => 'a value crossed whose key is not portable')
  const over = world.sideOf(call.use.bond, process)
  const rec = world.add(process, ctx, 'handler', { source, over, call, watching: call.id % 3 === 0 ? 'told' : 'asks' })
  checkArrival(rec)
  return rec
}

async function run(world: World, process: Process<unknown>, rec: Rec, call: Call): Promise<unknown> {
  const { ctx } = rec
  const { id, behaviour } = call
  const ms = (behaviour >>> 8) % 500
  switch (behaviours[behaviour % behaviours.length]) {
    case 'throw':
      throw new Error(`error ${id}`)
    case 'hold':
      return race(ctx, new Promise<undefined>((resolve) => hold(world, process, () => resolve(undefined))))
    case 'wait':
      // Goes on for a while after its end, and answers.
      return new Promise<undefined>((resolve) => hold(world, process, () => resolve(undefined)))
    case 'sleep':
      await sleep(ctx, ms)
      return undefined
    case 'ignore':
      await sleep(process.root, ms)
      return undefined
    case 'forward': {
      const use = world.use(process, behaviour >>> 4)
      if (use === undefined || world.calls.size > 400) return undefined
      world.log.sometimes(use.peer === call.rec.process ? 'a call that came back (a cycle)' : 'a call that went on (a chain)')
      return (await callOver(world, use, rec, behaviour >>> 3)) === undefined ? undefined : `value ${id}`
    }
    case 'stream':
      return items(world, rec, call)
    case 'big':
      return undefined
    default:
      return undefined
  }
}

function hold(world: World, process: Process<unknown>, resolve: () => void): void {
  world.held.get(process)?.push(resolve)
}

async function* items(world: World, rec: Rec, { id, behaviour }: Call): AsyncGenerator<string, string> {
  world.streams++
  try {
    for (let i = 0; i < (behaviour >>> 8) % 12; i++) {
      yield `item ${id} ${i}`
      if (((behaviour >>> 12) & 3) === 0) await sleep(rec.ctx, (behaviour >>> 14) % 40)
    }
    return `value ${id}`
  } finally {
    world.streams--
    rec.finished = true
  }
}

/** Calls the other side, and holds what comes of it against what may. */
export async function callOver(world: World, use: Use, rec: Rec, behaviour: number): Promise<unknown> {
  const call: Call = { id: world.calls.size + 1, rec, use, behaviour, started: 0, outcome: undefined, settled: false }
  world.calls.set(call.id, call)
  rec.uses++
  const { log } = world
  const args = behaviours[behaviour % behaviours.length] === 'big' ? [call.id, 'x'.repeat(20_000)] : [call.id]
  try {
    const answer = await (use.remote['work'] as (ctx: Context, ...args: unknown[]) => Promise<unknown>)(rec.ctx, ...args)
    if (typeof answer === 'object' && answer !== null) await read(call, answer as AsyncGenerator<string>)
    else {
      must(answer === `value ${call.id}`, 'answer', () => `call ${call.id} gave ${JSON.stringify(answer)}`)
      must(call.started === 1, 'answer', () => `call ${call.id} gave ${answer}, and was never started`)
    }
    world.note(() => `call ${call.id} is answered`)
    return answer
  } catch (error) {
    if (!(error instanceof Error)) throw error
    world.note(() => `call ${call.id} fails: ${error.name}, ${error.message}`)
    log.sometimes(`a call that failed: ${whyFailed(call, error)}`)
    return undefined
  } finally {
    call.settled = true
    rec.uses--
  }
}

/** Reads a stream: every item once and in order; leaves early at times. */
async function read(call: Call, stream: AsyncGenerator<string>): Promise<void> {
  const leaves = (call.behaviour >>> 16) & 1 ? (call.behaviour >>> 17) % 10 : Infinity
  let n = 0
  for await (const item of stream) {
    must(item === `item ${call.id} ${n}`, 'stream', () => `call ${call.id} gave ${item}, which is not its item ${n}`)
    if (++n > leaves) {
      call.left = true
      break
    }
  }
}

/** Why a call may have failed. */
function whyFailed({ id, rec, use, started, outcome }: Call, error: Error): string {
  const ended = rec.ctx.err()
  if (ended === error) return 'its context ended'
  const { code } = error as { code?: unknown }
  if (code === 'ERR_LINK_LOST') {
    const reason = use.excuse(rec.process, error as never, undefined)
    must(
      reason !== undefined,
      'S1',
      () => `call ${id} of bond ${use.bond.id} failed with ${error.message}, and nothing was wrong`,
    )
    return reason
  }
  if (code === 'ERR_LIMIT') {
    must(started === 0, 'S11', () => `call ${id} was refused and started`)
    return 'a limit'
  }
  if (code === 'ERR_GOING_AWAY' && use.bond.excuses.has('shutdown')) return 'the other side goes away'
  if (error.message === `error ${id}` && outcome === 'error') return 'the method threw'
  // Silence ends what runs. A call that comes is a sign of life: so it never ends one that is still to be started.
  must(
    started > 0 || (error.cause as { code?: unknown } | undefined)?.code !== 'ERR_LINK_LOST',
    'S1',
    () => `call ${id} of bond ${use.bond.id} was never started, for a silence that was over`,
  )
  // What the method threw as its own context had ended, or what it had called had failed.
  if (outcome === 'error' || started === 0 || use.bond.excuses.size > 0) return 'what the method had met with'
  throw error
}
