/** Options, as users may get them wrong. */
import { named } from '../given.ts'
import { isKey } from '../key.ts'
import { isText } from '../wire/text.ts'
import type { LinkSettings } from './link-host.ts'
import { type LinkLease, linkLease } from './link-liveness.ts'
import { linkLimits } from './link-types.ts'

/** The least that every peer must take, in bytes. */
export const leastMessage = 1_024

/** Of limits that may not be 0. A peer need not acknowledge less than the last one. */
const leastOf: { readonly [limit: string]: number } = { maxMessage: leastMessage, window: 1, maxBacklog: 65_536 }

const settingNames: Record<keyof LinkSettings, true> = {
  keys: true,
  name: true,
  limits: true,
  lease: true,
  maxTimeout: true,
  stacks: true,
}

/** A name that nobody knows is a slip of the pen, whose default would go unnoticed. */
export function checkNames(caller: string, options: object, ...known: readonly object[]): void {
  const unknown = Object.keys(options).find((name) => !known.some((names) => Object.hasOwn(names, name)))
  if (unknown !== undefined) throw new TypeError(`${caller}() knows no option of the name ${named(unknown)}.`)
}

export function checkObject(caller: string, what: string, value: unknown): void {
  const readable = isReadable(value)
  if (readable === true) return
  throw new TypeError(
    `${caller}() needs its ${what} to be an object, but got ${readable === false ? named(value) : 'one that throws when it is read'}.`,
  )
}

/** Whether it is an object, and no list; undefined where it throws, as a getter or a proxy of somebody else's may. */
function isReadable(value: unknown): boolean | undefined {
  try {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
    void { ...value }
    return true
  } catch {
    return undefined
  }
}

function arePortable(keys: unknown): boolean {
  try {
    if (!Array.isArray(keys)) return false
    // Not by `every`, which goes on where there is nothing, and a list may be long and empty.
    for (const key of keys as readonly unknown[]) if (!isKey(key) || key.portable === undefined) return false
    return true
  } catch {
    return false
  }
}

/**
 * @param own the names of options that `caller` has beside the settings
 * @param defaults of leases, where they are not the usual ones
 */
export function checkSettings(caller: string, settings: LinkSettings, own: object = {}, defaults: Partial<LinkLease> = {}): void {
  checkObject(caller, 'options', settings)
  checkNames(caller, settings, settingNames, own)
  const { keys = [], name = '', limits = {} } = settings
  if (!arePortable(keys)) {
    throw new TypeError(`${caller}() needs its option 'keys' to be portable keys, made by createKey(name, { portable: ... }).`)
  }
  if (!isText(name, 0, 256)) {
    throw new TypeError(
      `${caller}() needs its option 'name' to be well-formed text of at most 256 characters, but got ${named(name)}.`,
    )
  }
  const { lease = {}, maxTimeout = 0, stacks = false } = settings
  if (typeof stacks !== 'boolean') {
    throw new TypeError(`${caller}() needs its option 'stacks' to be true or false, but got ${named(stacks)}.`)
  }
  if (typeof maxTimeout !== 'number' || !(maxTimeout >= 0)) {
    throw new TypeError(`${caller}() needs its option 'maxTimeout' to be a number of milliseconds, but got ${named(maxTimeout)}.`)
  }
  checkObject(caller, "option 'lease'", lease)
  checkObject(caller, "option 'limits'", limits)
  const leases = { ...linkLease, ...defaults, ...lease }
  for (const [name, value] of Object.entries(leases)) {
    if (!Object.hasOwn(linkLease, name)) throw new TypeError(`${caller}() knows no lease of the name ${named(name)}.`)
    if (!Number.isFinite(value) || value < 1) {
      throw new TypeError(
        `${caller}() needs the lease ${name} to be a number ${name === 'stretch' ? '' : 'of milliseconds '}from 1, but got ${named(value)}.`,
      )
    }
  }
  if (!(leases.ping < leases.imports && leases.imports < leases.exports)) {
    throw new TypeError(`${caller}() needs leases that grow: ping before imports, and imports before exports.`)
  }
  for (const [limit, value] of Object.entries(limits)) {
    if (!Object.hasOwn(linkLimits, limit)) throw new TypeError(`${caller}() knows no limit of the name ${named(limit)}.`)
    const least = leastOf[limit] ?? 0
    if (!Number.isSafeInteger(value) || value < least) {
      throw new TypeError(
        `${caller}() needs the limit ${limit} to be a whole number of at least ${least}, but got ${named(value)}.`,
      )
    }
  }
}
