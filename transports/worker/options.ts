/** Options that several functions of these files have. */

import { named } from '../../lib/given.ts'

export { portableKeys } from '../../lib/key.ts'

/** The option 'sharedMemory' of a function named `caller`. Throws a `TypeError` where it is neither true nor false. */
export function switchOf(caller: string, sharedMemory: unknown): boolean {
  if (typeof sharedMemory === 'boolean') return sharedMemory
  throw new TypeError(`${caller}() needs 'sharedMemory' to be true or false, but got ${named(sharedMemory)}.`)
}
