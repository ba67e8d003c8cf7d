/** Contexts and AbortSignals that stand where nothing looks for them: of the first no clone can be made, and of the second Node makes an empty object. */

import { inCommon } from '../../lib/bridge/copies.ts'
import { isContext } from '../../lib/foreign.ts'
import { isPlain } from '../../lib/wire/sendable.ts'

/** Never throws, as a proxy of somebody else's may. */
export function isSignal(value: unknown): value is AbortSignal {
  try {
    return value instanceof AbortSignal
  } catch {
    return false
  }
}

function isOne(value: unknown): boolean {
  return isSignal(value) || isContext(value)
}

/** Objects that go through Comlink just now with handles in place of what they have within. Its transfer handlers may be those of another copy of the package. */
export const carried: () => WeakSet<object> = inCommon('carried', () => new WeakSet())

/** Whether a plain object has one as a property that nobody carries. Never throws. */
export function hasWithin(value: unknown): boolean {
  try {
    if (typeof value !== 'object' || value === null || carried().has(value)) return false
    return isPlain(value) && Object.values(value).some(isOne)
  } catch {
    // What cannot be read cannot be cloned either, and that is told.
    return false
  }
}

/** Whether it is one, or has one within. Never throws. */
export function isOrHasWithin(value: unknown): boolean {
  return isOne(value) || hasWithin(value)
}

/** Whether a context stands inside of what could not be sent, not too far down. Never throws. */
export function holdsContext(values: readonly unknown[]): boolean {
  let level: unknown[] = [...values]
  try {
    for (let depth = 0; depth < 4; depth++) {
      if (level.some(isContext)) return true
      level = level
        // Bytes may be many, and each would be an entry.
        .filter((value) => typeof value === 'object' && value !== null && !ArrayBuffer.isView(value))
        .flatMap((value) => Object.values(value as object).slice(0, 100) as unknown[])
        .slice(0, 1_000)
    }
  } catch {
    // A getter of somebody else's threw.
  }
  return false
}
