/** What may be served, by whichever boundary. */
import { attempt, named } from '../given.ts'

/** @throws TypeError when there is no method that could be called */
export function checkMethods(caller: string, methods: object): void {
  if (!attempt(() => hasMethods(methods))) {
    throw new TypeError(
      `${caller}() needs an object with methods of its own to serve, but got ${named(methods)}. Methods of a class are inherited.`,
    )
  }
}

/** Throws what a proxy throws. */
function hasMethods(value: object): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.values(Object.getOwnPropertyDescriptors(value)).some((property) => typeof property.value === 'function')
}
