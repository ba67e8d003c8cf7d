/** Options, as users may get them wrong. */
import { isKey, named } from '../key.ts'
import { isText } from '../wire/text.ts'
import type { LinkSettings } from './link-host.ts'
import { type LinkLease, linkLease } from './link-liveness.ts'
import { linkLimits } from './link-types.ts'

/** The least that every peer must take, in bytes. */
export const leastMessage = 1_024

/** @param defaults of leases, where they are not the usual ones */
export function checkSettings(caller: string, settings: LinkSettings, defaults: Partial<LinkLease> = {}): void {
  if (typeof settings !== 'object' || settings === null)
    throw new TypeError(`${caller}() needs its options to be an object, but got ${named(settings)}.`)
  const { keys = [], name = '', limits = {} } = settings
  if (!Array.isArray(keys) || !keys.every((key: unknown) => isKey(key) && key.portable !== undefined)) {
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
  const leases = { ...linkLease, ...defaults, ...lease }
  for (const [name, value] of Object.entries(leases)) {
    if (!(name in linkLease)) throw new TypeError(`${caller}() knows no lease of the name ${named(name)}.`)
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
    if (!(limit in linkLimits)) throw new TypeError(`${caller}() knows no limit of the name ${named(limit)}.`)
    const least = limit === 'maxMessage' ? leastMessage : limit === 'window' ? 1 : 0
    if (!Number.isSafeInteger(value) || value < least) {
      throw new TypeError(
        `${caller}() needs the limit ${limit} to be a whole number of at least ${least}, but got ${named(value)}.`,
      )
    }
  }
}
