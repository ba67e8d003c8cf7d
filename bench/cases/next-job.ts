/** How soon a worker, or a pool of one thread, has done its next job after one that was busy was cancelled. */
import { now } from '../harness/clock.ts'
import type { Started } from '../harness/model.ts'
import { must } from './cost.ts'
import { pause } from './latency.ts'

export interface OneWorker {
  /** Gives it a job that is busy until it is cancelled. Resolves once it is busy. */
  begin(): Promise<Busy>
  /** A job that returns 1 at once. */
  nothing(): Promise<number>
  close(): unknown
}

export interface Busy {
  cancel(): void
  /** Resolves when all of it is over; rejects where it ended otherwise than it should. */
  over(): Promise<unknown>
}

/** @param samples in a round */
export async function nextJobs(it: OneWorker, samples: number): Promise<Started> {
  must((await it.nothing()) === 1, 'the worker does jobs')
  const one = async (): Promise<number> => {
    const busy = await it.begin()
    pause()
    const before = now()
    busy.cancel()
    const result = await it.nothing()
    const time = now() - before
    must(result === 1, 'the next job was done')
    await busy.over()
    return time
  }
  return {
    async prove() {
      await one()
      return 'the busy job was stopped, and the next one done'
    },
    async round(record) {
      for (let i = 0; i < samples; i++) record(await one())
    },
    close: async () => void (await it.close()),
  }
}
