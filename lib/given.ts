/** What users give to functions, as they may get it wrong. What throws when it is read, as a proxy or a getter of somebody else's may, is refused as what is of a wrong form. */

/** How an error message names what it was given instead. Never throws. */
export function named(value: unknown): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  try {
    if (typeof value === 'function') return value.name === '' ? 'a function' : `the function ${value.name}`
    if (typeof value !== 'object') return String(value)
    if (Array.isArray(value)) return 'an array'
    const name = (Object.getPrototypeOf(value) as object | null)?.constructor?.name
    return name && name !== 'Object' ? `an object of class ${name}` : 'an object'
  } catch {
    return 'what throws when it is read'
  }
}

/** What `look` sees; undefined where what it looks at throws. */
export function attempt<Seen>(look: () => Seen): Seen | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}

/** What was read of options, and the first of their own names that nobody knows. What is inherited may be methods of a class, or what a library has put on Object.prototype. */
type OptionsRead<Read> = readonly [read: Read, unknown: string | undefined]

/** Undefined where they are no object. Throws what they throw. */
export function lookInto<O extends object, Read>(
  options: O,
  names: readonly (keyof O)[] | undefined,
  read: (options: O) => Read,
): OptionsRead<Read> | undefined {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) return undefined
  return [read(options), Object.keys(options).find((name) => names?.includes(name as keyof O) === false)]
}

/**
 * What `read` takes of the options of a function named `caller`. It is to take each once, so that what is checked is what is used, and to do no more than that.
 *
 * @param names all that there are, for another one is a slip of the pen, whose default would go unnoticed; undefined where somebody else may know of more
 * @throws TypeError when the options are no object, or one that throws, or have a name that nobody knows
 */
export function readOptions<O extends object, Read>(
  caller: string,
  options: O,
  names: readonly (keyof O)[] | undefined,
  read: (options: O) => Read,
): Read {
  let seen: OptionsRead<Read> | undefined
  try {
    seen = lookInto(options, names, read)
  } catch (cause) {
    throw new TypeError(`${caller}() needs options that can be read, but got some that throw.`, { cause })
  }
  if (seen === undefined) throw new TypeError(`${caller}() needs its options to be an object, but got ${named(options)}.`)
  return knownOf(caller, 'option', seen)
}

/** What was read, where all names, of a `kind`, are known. */
export function knownOf<Read>(caller: string, kind: string, [read, unknown]: OptionsRead<Read>): Read {
  if (unknown !== undefined) throw new TypeError(`${caller}() knows no ${kind} of the name ${named(unknown)}.`)
  return read
}
