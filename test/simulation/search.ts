/** World after world, as long as they are asked for. */
import { drawAttacked, drawPlan, type Plan } from './plan.ts'
import { run } from './run.ts'

export interface Tally {
  seeds: number
  events: number
  readonly seen: Map<string, number>
}

export interface Found {
  readonly plan: Plan
  readonly failure: Error
  readonly lines: readonly string[]
}

/** Every so many worlds, one is made twice: it must be the same. */
const twice = 100
/** And in every so many strangers attack. */
const attacked = 10

export async function search(options: {
  readonly seed: number
  readonly events: number
  /** Asked after each world. */
  readonly goOn: (tally: Tally) => boolean
}): Promise<{ readonly tally: Tally; readonly found: Found | undefined }> {
  const { events, goOn } = options
  const tally: Tally = { seeds: 0, events: 0, seen: new Map() }
  for (let { seed } = options; ; seed++) {
    const plan = seed % attacked === 3 ? drawAttacked(seed, events) : drawPlan(seed, events)
    const { log, failure, events: made } = await run(plan, events)
    tally.seeds++
    tally.events += made
    for (const [state, times] of log.seen) tally.seen.set(state, (tally.seen.get(state) ?? 0) + times)
    if (failure !== undefined) return { tally, found: { plan, failure, lines: log.lines } }
    if (seed % twice === 0) {
      const again = await run(plan, events)
      const same = again.log.hash === log.hash && again.log.events === log.events
      if (!same) {
        const failure = new Error(`The same plan gave another world: ${log.hash}, then ${again.log.hash}.`)
        return { tally, found: { plan, failure, lines: again.log.lines } }
      }
    }
    if (!goOn(tally)) return { tally, found: undefined }
  }
}
