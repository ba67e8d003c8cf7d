/** Contexts and AbortSignals that stand where nothing looks for them: of the first no clone can be made, and of the second Node makes an empty object. */

import { isContext } from '../../lib/foreign.ts'
import { isPlain } from '../../lib/wire/sendable.ts'

function isOne(value: unknown): boolean {
  return value instanceof AbortSignal || isContext(value)
}

/** Whether a plain object has one as a property. Never throws. */
export function hasWithin(value: unknown): boolean {
  try {
    return typeof value === 'object' && value !== null && isPlain(value) && Object.values(value).some(isOne)
  } catch {
    // What cannot be read cannot be cloned either, and that is told.
    return false
  }
}

/** Whether it is one, or has one within. */
export function isOrHasWithin(value: unknown): boolean {
  return isOne(value) || hasWithin(value)
}
