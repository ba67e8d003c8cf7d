/** Keys of context values. A key is an object, so two libraries can never collide, and it carries the type of its value. */
import { attempt, named, readOptions } from './given.ts'

/** No symbol: so that the types of two copies of this package fit, too. */
const brand = '~ctxbridge.key'

/** How the values of a key cross a boundary. Both functions are called with what they are typed for and may throw to refuse. */
export interface Codec<T> {
  /** Gives what is sent: `null`, a boolean, a finite number, a string, bytes, or arrays and plain objects of these. */
  encode(value: T): unknown
  /** Takes what came. It is from outside: check it, and throw what is not a `T`. */
  decode(data: unknown): T
}

export interface KeyOptions<T> {
  /** Lets values of this key cross boundaries, under the key's name. Without it they never leave the thread. */
  readonly portable?: Codec<T>
  /** Lets a string value be shown by `String(ctx)` and `util.inspect`. Default: values are never shown. */
  readonly show?: boolean
}

/** A key for values of type `T`. Made by {@link createKey}; compared by identity. */
export interface Key<T> {
  /** What `String(ctx)` shows, and under which a portable value travels. */
  readonly name: string
  /** How its values cross boundaries; undefined where they never do. */
  readonly portable: Codec<T> | undefined
  /** Whether `String(ctx)` and `util.inspect` show its values, where they are strings. */
  readonly show: boolean
  /** Marks a key, of whichever copy of the package. */
  readonly '~ctxbridge.key': true
}

/** What `String(key)` and `console.log` show. */
function text(this: Key<unknown>): string {
  return `Key(${this.name})`
}

/**
 * Makes a key. Two keys of one name are two keys (contract C45).
 *
 * @param name what `String(ctx)` shows, and under which a portable value travels
 * @throws TypeError when `name` is no string or is empty, or when the options are not of the stated form
 */
export function createKey<T>(name: string, options: KeyOptions<T> = {}): Key<T> {
  if (typeof name !== 'string' || name === '') {
    throw new TypeError(`createKey() needs a name that is a string and not empty, but got ${named(name)}.`)
  }
  const [portable, show, usable] = readOptions('createKey', options, ['portable', 'show'], ({ portable, show = false }) => {
    return [portable, show, typeof portable?.encode === 'function' && typeof portable.decode === 'function']
  })
  if (portable !== undefined && !usable) {
    throw new TypeError(`createKey() needs 'portable' to have the methods encode and decode.`)
  }
  if (typeof show !== 'boolean') throw new TypeError(`createKey() needs 'show' to be true or false, but got ${named(show)}.`)
  // `toString` is a member of its own: so nothing that holds a key can be cloned, and no value leaves the thread by a mistake.
  return Object.freeze({
    name,
    portable,
    show,
    [brand]: true as const,
    toString: text,
    [Symbol.for('nodejs.util.inspect.custom')]: text,
  })
}

/** Whether `value` is a key, of this copy of the package or of another. */
export function isKey(value: unknown): value is Key<unknown> {
  return typeof value === 'object' && value !== null && (value as { [brand]?: unknown })[brand] === true
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
