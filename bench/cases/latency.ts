/**
 * How long until the other side sees it. One event at a time: the far side says that it is ready, some random time passes, the near side
 * reads the clock and acts, the far side reads the same clock as the first thing it does when it sees it.
 *
 * Events of this kind cannot queue, so no stall hides behind an earlier one; one that comes between the two readings is in the sample. What
 * happens when events keep coming while one is late is another question, which the suites of id `rate/...` ask: there each event has its
 * instant in a schedule made beforehand, and counts from that instant, also when the near side itself was too late to begin it.
 */
import { now } from '../harness/clock.ts'
import type { Contender, Kind, Started } from '../harness/model.ts'
import type { Reports, Seen } from '../harness/reports.ts'

/** One side that acts, set up. */
export interface Near {
  readonly reports: Reports
  /** Makes the far side wait for the next event; returns what causes it. */
  arm(): Promise<Act> | Act
  close?(): Promise<void> | void
}

/** Causes the event, with a cause where it carries one. Anything that it returns is awaited after the far side has seen it. */
export type Act = (cause: string) => unknown

interface Latency {
  readonly name: string
  readonly kind: Kind
  readonly note?: string
  /** What the proof must find: the error's name and its cause, or undefined where the way carries none. */
  readonly carries?: { readonly name?: string; readonly cause?: string }
  /** In a round. */
  readonly samples?: number
  /**
   * How many turns a round is taken in, with those of the others in between: how long a wake-up takes depends on what the machine, and whoever else has a part of it, has done in the last
   * tenths of a second, by up to a factor of two. So all meet the same of it. Default: 5.
   */
  readonly turns?: number
  /** ns, by the clock of the far side. Default: the machine's, which both sides read. */
  readonly clock?: () => number
  readonly start: () => Promise<Near> | Near
}

/**
 * Rounds before those that count, where code of thousands of lines runs once for each event: so many that the runtime has compiled it, for all contenders
 * alike. A server that has been up for a minute is there; what the first round took, with code that was new, stands beside the rest as `first`.
 */
export const untilCompiled = 16

/** us between ready and act, at least and at most: random, so that no period of either side is met in step. */
const [leastPause, mostPause] = [60, 260]

export function pause(clock: () => number = now): void {
  const until = clock() + 1_000 * (leastPause + Math.random() * (mostPause - leastPause))
  while (clock() < until);
}

/** What a proof says of it. */
export function told({ name, cause }: Seen): string {
  if (name !== undefined) return `seen as ${name}, cause: ${cause ?? 'none'}`
  return cause === undefined ? 'seen; it carries no error' : `seen, reason: ${cause}`
}

export function latency({ name, kind, note, carries = {}, samples = 250, turns = 5, clock = now, start }: Latency): Contender {
  return {
    name,
    kind,
    ...(note !== undefined && { note }),
    async start(): Promise<Started> {
      const near = await start()
      const one = async (cause: string, warm = false): Promise<[latency: number, seen: Seen]> => {
        const act = await near.arm()
        await near.reports.ready()
        if (!warm) pause(clock)
        const before = clock()
        const outcome = act(cause)
        const seen = await near.reports.seen()
        await outcome
        return [seen.at - before, seen]
      }
      return {
        turns,
        async prove() {
          const [time, seen] = await one('proof')
          if (time <= 0) throw new Error(`It was seen ${-time} ns before it happened.`)
          for (const what of ['name', 'cause'] as const) {
            if (carries[what] !== undefined && seen[what] !== carries[what])
              throw new Error(`The far side saw the ${what} ${seen[what]} and not ${carries[what]}.`)
          }
          return told(seen)
        },
        async round(record, warm) {
          for (let i = 0; i < samples / turns; i++) record((await one('', warm))[0])
        },
        close: () => near.close?.(),
      }
    },
  }
}
