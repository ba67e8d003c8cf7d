/** All that there is to measure, in the order of the report. */
import type { ClockResult, Contender, CurveSuite, Suite } from '../harness/model.ts'
import { coreSuites } from './core.ts'

/** Contenders of other libraries, for suites of ours. */
export interface Extra {
  readonly suite: string
  readonly contenders: () => Promise<readonly Contender[]> | readonly Contender[]
}

export function allSuites(extra: readonly Extra[]): Suite[] {
  return [...coreSuites].map((suite) => {
    const more = extra.filter((one) => one.suite === suite.id)
    if (more.length === 0) return suite
    return {
      ...suite,
      contenders: async () => [...(await suite.contenders()), ...(await Promise.all(more.map((one) => one.contenders()))).flat()],
    }
  })
}

export function allCurves(): readonly CurveSuite[] {
  return []
}

/** How far the clocks of the two sides of each boundary are apart. */
export async function clocks(): Promise<ClockResult[]> {
  return []
}
