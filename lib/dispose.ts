/** What `using` and `await using` call: the platform's symbols, and where it has none those that bundlers put in their place, so that compiled code finds them. */

interface Known {
  readonly dispose?: typeof Symbol.dispose
  readonly asyncDispose?: typeof Symbol.asyncDispose
}

const known = Symbol as Known

export const dispose: typeof Symbol.dispose = known.dispose ?? (Symbol.for('Symbol.dispose') as typeof Symbol.dispose)

export const asyncDispose: typeof Symbol.asyncDispose =
  known.asyncDispose ?? (Symbol.for('Symbol.asyncDispose') as typeof Symbol.asyncDispose)

/** Makes those of a class disposable: `f` is what `using` calls. Its member is declared as that of the platform's symbol, since declarations know no other. */
export function disposable<T extends Disposable>(prototype: T, f: (this: T) => void): void {
  Object.defineProperty(prototype, dispose, { value: f, configurable: true, writable: true })
}
