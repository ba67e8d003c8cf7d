/** Makes a failing plan small: fewer operations first, then fewer of everything else that still fails in the same way. */
import type { Operation, Plan } from './plan.ts'
import { run } from './run.ts'

/** What a failure is about, without the numbers that change with every operation that is left out. */
export function ruleOf(failure: Error): string {
  return failure.message.replace(/\d+(?:\.\d+)?(?:e[-+]?\d+)?/g, '#').slice(0, 40)
}

/** Of all that was tried, the smallest plan that fails by the same rule. `most`: how many runs it may take. */
export async function shrink(plan: Plan, events: number, rule: string, most = 600): Promise<Plan> {
  const tries = { left: most }
  const fails = async (candidate: Plan): Promise<boolean> => {
    if (tries.left-- <= 0) return false
    const { failure } = await run(candidate, events)
    return failure !== undefined && ruleOf(failure) === rule
  }
  let best = plan
  for (let size = Math.ceil(best.operations.length / 2); size >= 1 && tries.left > 0; ) {
    let smaller = false
    for (let start = 0; start < best.operations.length && tries.left > 0; ) {
      const operations: Operation[] = best.operations.toSpliced(start, size)
      const candidate = { ...best, operations }
      if (await fails(candidate)) {
        best = candidate
        smaller = true
      } else start += size
    }
    if (size === 1 && !smaller) break
    size = size === 1 ? 1 : Math.ceil(size / 2)
  }
  for (const one of best.attacks ?? []) {
    const candidate = { ...best, attacks: best.attacks?.filter((other) => other !== one) ?? [] }
    if (await fails(candidate)) best = candidate
  }
  const simpler: Partial<Plan>[] = [
    { late: 0 },
    { early: false },
    { drift: 0 },
    { latency: [1, 0] },
    { nodes: 2 },
    { bytes: false },
    { maxCalls: 1_000 },
    { maxContexts: 1_000 },
  ]
  for (const change of simpler) {
    const candidate = { ...best, ...change }
    if (await fails(candidate)) best = candidate
  }
  return best
}
