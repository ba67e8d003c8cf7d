/** The links of this thread: one for each endpoint, however many use it. */

import { inCommon, version } from '../../lib/bridge/copies.ts'
import { aroundOne, endpointOf, type WorkerEndpoint } from './endpoint.ts'
import type { LinkOptions } from './link.ts'
import { readOptions } from '../../lib/given.ts'
import { tellMaker } from './maker.ts'
import { portableKeys, switchOf } from './options.ts'
import { WorkerLink } from './worker-link.ts'

/** One link, of the copy of the package that used its endpoint first. Other copies of its version use that one: their code is the same, but their classes and keys are not. */
interface Linked {
  readonly version: string
  readonly link: WorkerLink
}

/** Of all copies of the package in this thread: a message is for one of them, and an end of one is an end of the other. */
const linked = inCommon('links', () => new WeakMap<WorkerEndpoint, Linked>())
/** Those whose link was disposed of here: the other side was told, and takes it for closed until it hears of another one. */
const closedHere = inCommon('closed', () => new WeakSet<WorkerEndpoint>())
/** Stands for this copy. */
const copy = {}

/** The link over an endpoint, for the function named `caller`. */
export function linkOf(endpoint: unknown, options: LinkOptions, caller: string): WorkerLink {
  const target = endpointOf(endpoint, caller)
  const { keys, sharedMemory } = linkOptions(options, caller)
  const links = linked()
  const known = links.get(target)
  if (known !== undefined && known.version !== version) throw ofAnother(caller, known.version)
  let found = known?.link
  if (found === undefined) {
    const forget = (): void => {
      // Whoever disposes of it once more finds another one there, perhaps.
      if (links.get(target)?.link !== found) return
      links.delete(target)
      closedHere().add(target)
    }
    try {
      found = new WorkerLink(target, sharedMemory, forget)
    } catch (cause) {
      throw aroundOne(caller, cause)
    }
    links.set(target, { version, link: found })
    if (closedHere().has(target)) found.announce()
  }
  found.register(keys, copy)
  tellMaker(target, (maker) => linked().get(maker)?.link.announce())
  return found
}

function ofAnother(caller: string, theirs: string): TypeError {
  const what = `${caller}() cannot use this endpoint: in this thread version ${theirs} of ctxbridge uses it already, and this one is ${version}`
  return new TypeError(`${what}. Install one version of it, or give one of them a port of its own, of a MessageChannel.`)
}

function linkOptions(options: LinkOptions, caller: string): Required<LinkOptions> {
  const [keys, sharedMemory] = readOptions(caller, options, ['keys', 'sharedMemory'], ({ keys = [], sharedMemory = true }) => [
    keys,
    sharedMemory,
  ])
  return { keys: portableKeys(caller, keys), sharedMemory: switchOf(caller, sharedMemory) }
}
