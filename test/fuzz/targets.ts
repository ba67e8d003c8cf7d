/** All that is fuzzed. */
import { codecTarget } from './codec.ts'
import { linkTarget } from './link.ts'
import type { Target } from './target.ts'

export const targets: readonly Target[] = [codecTarget, linkTarget]

export function targetOf(name: string): Target {
  const found = targets.find((target) => target.name === name)
  if (found === undefined)
    throw new TypeError(`There is no target ${name}; there are ${targets.map((one) => one.name).join(', ')}.`)
  return found
}
