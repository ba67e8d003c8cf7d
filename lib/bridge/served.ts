/** What may be served, by whichever boundary. */
import { named } from '../given.ts'

/** @throws TypeError when there is no method that could be called */
export function checkMethods(caller: string, methods: object): void {
  if (!hasMethods(methods)) {
    throw new TypeError(
      `${caller}() needs an object with methods of its own to serve, but got ${named(methods)}. Methods of a class are inherited.`,
    )
  }
}

function hasMethods(value: object): boolean {
  try {
    const own = typeof value === 'object' && value !== null ? Object.values(Object.getOwnPropertyDescriptors(value)) : []
    return own.some((property) => typeof property.value === 'function')
  } catch {
    // A proxy of somebody else's threw.
    return false
  }
}
