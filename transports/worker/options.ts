/** What users give to the functions of these files. What throws when it is read, as a proxy or a getter of somebody else's may, is refused as what is of a wrong form. */

import { attempt, named } from '../../lib/given.ts'
import { isKey, type Key } from '../../lib/key.ts'

/** The keys that a function named `caller` was given as its option 'keys'. Throws a `TypeError` where one of them is no portable key. */
export function portableKeys(caller: string, keys: unknown): readonly Key<unknown>[] {
  const taken: Key<unknown>[] = []
  const wrong = attempt(() => {
    if (!Array.isArray(keys)) return `'keys' to be an array of keys, but got ${named(keys)}`
    for (const key of keys as readonly unknown[]) {
      if (!isKey(key)) return `'keys' to be keys from createKey(), but got ${named(key)}`
      if (key.portable === undefined) return `portable keys, but the values of ${String(key)} cannot leave a thread`
      taken.push(key)
    }
    return ''
  })
  if (wrong !== '')
    throw new TypeError(
      `${caller}() needs ${wrong ?? "'keys' to be keys from createKey(), but got what throws when it is read"}.`,
    )
  return taken
}

/** The option 'sharedMemory' of a function named `caller`. Throws a `TypeError` where it is neither true nor false. */
export function switchOf(caller: string, sharedMemory: unknown): boolean {
  if (typeof sharedMemory === 'boolean') return sharedMemory
  throw new TypeError(`${caller}() needs 'sharedMemory' to be true or false, but got ${named(sharedMemory)}.`)
}
