/** Options, as users may get them wrong. */
import { attempt, knownOf, lookInto, named, readOptions } from '../given.ts'
import { portableKeys } from '../key.ts'
import { isText } from '../wire/text.ts'
import type { LinkSettings } from './link-host.ts'
import { type LinkLease, linkLease } from './link-liveness.ts'
import { type LinkLimits, linkLimits } from './link-types.ts'

/** The least that every peer must take, in bytes. */
export const leastMessage = 1_024

/** Of limits that may not be 0. A peer need not acknowledge less than the last one. */
const leastOf: { readonly [limit: string]: number } = { maxMessage: leastMessage, window: 1, maxBacklog: 65_536 }

export const settingNames: Record<keyof LinkSettings, true> = {
  keys: true,
  name: true,
  limits: true,
  lease: true,
  maxTimeout: true,
  stacks: true,
}

/** The options of a function named `caller`, in a plain object of its own: of each name that is known, what is there. What is undefined is left out. */
export function takeOptions<O extends object>(caller: string, options: O, known: object): O {
  const names = Object.keys(known) as (keyof O)[]
  return readOptions(caller, options, names, (all) => copyOf(all, names))
}

/** As `takeOptions`, of what one of the options has, which is of names called `kind`. */
export function takeWithin<O extends object>(caller: string, option: string, kind: string, value: O, known: object): O {
  const names = Object.keys(known) as (keyof O)[]
  const seen = attempt(() => lookInto(value, names, (all) => copyOf(all, names)))
  if (seen !== undefined) return knownOf(caller, kind, seen)
  throw new TypeError(`${caller}() needs its option '${option}' to be an object that can be read, but got ${named(value)}.`)
}

function copyOf<O extends object>(all: O, names: readonly (keyof O)[]): O {
  const taken: Partial<O> = {}
  for (const name of names) {
    const value = all[name]
    if (value !== undefined) taken[name] = value
  }
  return taken as O
}

/**
 * The settings that a function named `caller` was given, and its options beside them, as `takeOptions` gives them. The settings are checked, and are copies.
 *
 * @param own the names of options that `caller` has beside the settings
 * @param defaults of leases, where they are not the usual ones
 */
export function takeSettings<S extends LinkSettings>(
  caller: string,
  options: S,
  own: object,
  defaults: Partial<LinkLease> = {},
): S {
  const taken = takeOptions(caller, options, { ...settingNames, ...own })
  const { keys = [], name = '', limits = {}, lease = {}, maxTimeout = 0, stacks = false } = taken
  if (!isText(name, 0, 256)) {
    throw new TypeError(
      `${caller}() needs its option 'name' to be well-formed text of at most 256 characters, but got ${named(name)}.`,
    )
  }
  if (typeof stacks !== 'boolean') {
    throw new TypeError(`${caller}() needs its option 'stacks' to be true or false, but got ${named(stacks)}.`)
  }
  if (typeof maxTimeout !== 'number' || !(maxTimeout >= 0)) {
    throw new TypeError(`${caller}() needs its option 'maxTimeout' to be a number of milliseconds, but got ${named(maxTimeout)}.`)
  }
  return {
    ...taken,
    keys: portableKeys(caller, keys),
    lease: checkedLease(caller, { ...defaults, ...takeWithin(caller, 'lease', 'lease', lease, linkLease) }),
    limits: checkedLimits(caller, takeWithin(caller, 'limits', 'limit', limits, linkLimits)),
  }
}

function checkedLimits(caller: string, limits: Partial<LinkLimits>): Partial<LinkLimits> {
  for (const [limit, value] of Object.entries(limits)) {
    const least = leastOf[limit] ?? 0
    if (!Number.isSafeInteger(value) || value < least) {
      throw new TypeError(
        `${caller}() needs the limit ${limit} to be a whole number of at least ${least}, but got ${named(value)}.`,
      )
    }
  }
  return limits
}

function checkedLease(caller: string, lease: Partial<LinkLease>): Partial<LinkLease> {
  const all = { ...linkLease, ...lease }
  for (const [name, value] of Object.entries(all)) {
    if (!Number.isFinite(value) || value < 1) {
      throw new TypeError(
        `${caller}() needs the lease ${name} to be a number ${name === 'stretch' ? '' : 'of milliseconds '}from 1, but got ${named(value)}.`,
      )
    }
  }
  if (!(all.ping < all.imports && all.imports < all.exports)) {
    throw new TypeError(`${caller}() needs leases that grow: ping before imports, and imports before exports.`)
  }
  return lease
}
