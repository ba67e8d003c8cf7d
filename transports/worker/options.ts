/** What users give to the functions of these files. What throws when it is read, as a proxy or a getter of somebody else's may, is refused as what is of a wrong form. */

import { isKey, type Key, named } from '../../lib/key.ts'

/** What `look` sees; undefined where what it looks at throws. */
export function attempt<Seen>(look: () => Seen): Seen | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}

/**
 * What `read` takes of the options of a function named `caller`. It is to take each once, so that what is checked is what is used, and to do no more than that.
 *
 * @throws TypeError when they are no object, or one that throws
 */
export function readOptions<O extends object, Read>(caller: string, options: O, read: (options: O) => Read): Read {
  if (typeof options !== 'object' || options === null || attempt(() => Array.isArray(options)) === true) {
    throw new TypeError(`${caller}() needs its options to be an object, but got ${named(options)}.`)
  }
  try {
    return read(options)
  } catch (cause) {
    throw new TypeError(`${caller}() needs options that can be read, but got some that throw.`, { cause })
  }
}

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
