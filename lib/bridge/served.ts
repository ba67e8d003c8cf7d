/** What may be served, by whichever boundary. */
import { named } from '../key.ts'

/** @throws TypeError when there is no method that could be called */
export function checkMethods(caller: string, methods: object): void {
  const own = typeof methods === 'object' && methods !== null ? Object.values(Object.getOwnPropertyDescriptors(methods)) : []
  if (!own.some(({ value }) => typeof value === 'function')) {
    throw new TypeError(
      `${caller}() needs an object with methods of its own to serve, but got ${named(methods)}. Methods of a class are inherited.`,
    )
  }
}
