/** What is known not to cross as a result, and for which there is another way. */

import { isOrHasWithin } from './within.ts'

/** What to do instead. */
export interface Remedies {
  readonly stream: string
  readonly context: string
}

/** The remedy for a result that cannot be cloned; undefined where there is none that is known. Never throws. */
export function remedyFor(result: unknown, remedies: Remedies): string | undefined {
  try {
    if (isStream(result)) return remedies.stream
    return isOrHasWithin(result) ? remedies.context : undefined
  } catch {
    // A proxy of somebody else's threw.
    return undefined
  }
}

function isStream(value: unknown): boolean {
  return (
    typeof value === 'object' && value !== null && 'next' in value && (Symbol.asyncIterator in value || Symbol.iterator in value)
  )
}
