/** All that is fuzzed. */
import { codecTarget } from './codec.ts'
import { handleTarget } from './handle.ts'
import { linkTarget } from './link.ts'
import { causesTarget, traceTarget } from './parts.ts'
import { sessionTarget } from './session.ts'
import type { Target } from './target.ts'
import { upgradeTarget } from './upgrade.ts'
import { workerTarget } from './worker.ts'

export const targets: readonly Target[] = [
  codecTarget,
  linkTarget,
  sessionTarget,
  handleTarget,
  workerTarget,
  causesTarget,
  traceTarget,
  upgradeTarget,
]

export function targetOf(name: string): Target {
  const found = targets.find((target) => target.name === name)
  if (found === undefined)
    throw new TypeError(`There is no target ${name}; there are ${targets.map((one) => one.name).join(', ')}.`)
  return found
}
