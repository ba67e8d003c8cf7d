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

/**
 * What `read` takes of the options of a function named `caller`. It is to take each once, so that what is checked is what is used, and to do no more than that.
 *
 * @throws TypeError when they are no object, or one that throws
 */
export function readOptions<O extends object, Read>(caller: string, options: O, read: (options: O) => Read): Read {
  try {
    if (typeof options === 'object' && options !== null && !Array.isArray(options)) return read(options)
  } catch (cause) {
    throw new TypeError(`${caller}() needs options that can be read, but got some that throw.`, { cause })
  }
  throw new TypeError(`${caller}() needs its options to be an object, but got ${named(options)}.`)
}
