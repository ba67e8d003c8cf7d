/** Contexts and AbortSignals that stand where nothing looks for them: of the first no clone can be made, and of the second Node makes an empty object. */

import { inCommon } from '../../lib/bridge/copies.ts'
import { isContext } from '../../lib/foreign.ts'
import { isPlain } from '../../lib/wire/sendable.ts'

/** Whether it is the platform's own, of whichever realm: what only looks like one, a task that can be aborted say, is sent as what it is. Never throws. */
export function isSignal(value: unknown): value is AbortSignal {
  try {
    // Of all else the platform makes an error, which takes long.
    return (
      typeof (value as Partial<AbortSignal> | null)?.aborted === 'boolean' &&
      typeof Reflect.get(AbortSignal.prototype, 'aborted', value) === 'boolean'
    )
  } catch {
    return false
  }
}

/** Never throws. */
export function isContextOrSignal(value: unknown): boolean {
  return isSignal(value) || isContext(value)
}

/** Objects that go through Comlink just now with handles in place of what they have within. Its transfer handlers may be those of another copy of the package. */
export const carried: () => WeakSet<object> = inCommon('carried', () => new WeakSet())

/** Whether a plain object has one as a property that nobody carries. Never throws. */
export function hasWithin(value: unknown): boolean {
  try {
    if (typeof value !== 'object' || value === null || carried().has(value)) return false
    if (isPlain(value)) for (const key of Object.keys(value)) if (isContextOrSignal(value[key])) return true
  } catch {
    // What cannot be read cannot be cloned either, and that is told.
  }
  return false
}

/** Whether it is one, or has one within. Never throws. */
export function isOrHasWithin(value: unknown): boolean {
  return isContextOrSignal(value) || hasWithin(value)
}

/** So much of a list, a map, a set or an object is looked at: there may be millions. */
const MOST = 100

/** The first of what is in a list, a map, a set or an object. Throws what a getter of somebody else's throws. */
function* partsOf(value: unknown): Iterable<unknown> {
  // Bytes may be many, and each would be an entry.
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return
  if (Array.isArray(value)) return yield* value.slice(0, MOST)
  if (value instanceof Map || value instanceof Set) {
    let seen = 0
    for (const [key, part] of value.entries()) {
      yield key
      if (part !== key) yield part
      if (++seen === MOST) return
    }
  } else for (const key of Object.keys(value).slice(0, MOST)) yield (value as Record<string, unknown>)[key]
}

/** Whether a list, a map or a set has one, as far as it is looked at. Never throws. */
export function isListWithOne(value: unknown): boolean {
  try {
    if (!Array.isArray(value) && !(value instanceof Map) && !(value instanceof Set)) return false
    for (const part of partsOf(value)) if (isContextOrSignal(part)) return true
  } catch {
    // What cannot be read cannot be cloned either, and that is told.
  }
  return false
}

/** Whether a context stands inside of what could not be sent, not too far down. Never throws. */
export function holdsContext(values: readonly unknown[]): boolean {
  let level = [...values]
  for (let depth = 0; depth < 4; depth++) {
    if (level.some(isContext)) return true
    const next: unknown[] = []
    for (const value of level) {
      try {
        for (const part of partsOf(value)) next.push(part)
      } catch {
        // A getter of somebody else's threw: what stands behind that is not looked at by who clones, either.
      }
      if (next.length >= 1_000) break
    }
    level = next
  }
  return false
}
