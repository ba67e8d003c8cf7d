/** What the copies of this package have in common that are in one thread: a program's own, say, and that of a library which it uses. */

/** The version of this package. Copies of one version are of the same code. */
export const version: string = '0.1.0'

/**
 * What stands under a name for all copies, of whichever version, in one thread: it is made when the first of them asks for it. So what is found under a name stays what it is, and what is different gets
 * another name.
 */
export function inCommon<T extends object>(name: string, make: () => T): () => T {
  let found: T | undefined
  return () => (found ??= find(Symbol.for(`ctxbridge.${name}`), make))
}

function find<T extends object>(symbol: symbol, make: () => T): T {
  const all = globalThis as unknown as Record<symbol, T | undefined>
  const known = all[symbol]
  if (known !== undefined) return known
  const made = make()
  // Where somebody has frozen what is global, each copy has its own.
  Reflect.defineProperty(all, symbol, { value: made })
  return made
}
