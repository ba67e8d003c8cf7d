/** All that there is to measure, in the order of the report. */
import type { ClockResult, Contender, CurveSuite, Suite } from '../harness/model.ts'
import { browserSuites } from './browser.ts'
import { coreMakeSuites } from './core-make.ts'
import { coreObserveSuites } from './core-observe.ts'
import { coreUseSuites } from './core-use.ts'
import { crossingSuites } from './crossing.ts'
import { memoryCurves, memorySuites } from './memory.ts'
import { exportCurves, exportSuites } from './exports.ts'
import { poolSuites } from './pools.ts'
import { linkCurves } from './scale-links.ts'
import { treeCurves } from './scale.ts'
import { threadSuites } from './thread.ts'
import { websocketCallSuites } from './websocket-calls.ts'
import { ofOneClock } from '../harness/clock.ts'
import { processClock } from './websocket-far.ts'
import { websocketSuites } from './websocket.ts'
import { workerCallSuites } from './worker-calls.ts'
import { workerCheckSuites } from './worker-check.ts'
import { workerClock } from './worker-far.ts'
import { workerSuites } from './worker.ts'

/** Contenders of other libraries, for a suite of ours; or a suite where there is none of that id. */
export interface Extra {
  readonly suite: string
  contenders(): Promise<readonly Contender[]> | readonly Contender[]
}

const own: readonly Suite[] = [
  ...threadSuites,
  ...workerSuites,
  ...workerCallSuites,
  ...workerCheckSuites,
  ...poolSuites,
  ...websocketSuites,
  ...browserSuites,
  ...websocketCallSuites,
  ...crossingSuites,
  ...exportSuites,
  ...coreMakeSuites,
  ...coreObserveSuites,
  ...coreUseSuites,
  ...memorySuites,
]

export function allSuites(extra: readonly Extra[]): Suite[] {
  return own.map((suite) => {
    const more = extra.filter((one) => one.suite === suite.id)
    return more.length === 0 ? suite : { ...suite, contenders: async () => together([suite, ...more]) }
  })
}

async function together(
  parts: readonly { contenders(): Promise<readonly Contender[]> | readonly Contender[] }[],
): Promise<Contender[]> {
  return (await Promise.all(parts.map((part) => part.contenders()))).flat()
}

export function allCurves(): readonly CurveSuite[] {
  return [...treeCurves, ...exportCurves, ...linkCurves, ...memoryCurves]
}

/** How far the clocks of the two sides of each boundary are apart. */
export async function clocks(): Promise<ClockResult[]> {
  return [ofOneClock(await workerClock()), ofOneClock(await processClock())]
}
