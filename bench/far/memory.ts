/**
 * What one of many takes in memory: a process for each sample, so that nothing of other measurements is in it. Its arguments are what is kept, and how many;
 * its one message is the bytes of each.
 */
import { background, createKey, withCancel, withTimeout, withValue } from 'ctxbridge'
import { bytesOf } from './bytes-of.ts'
import type { Kept } from './memory-types.ts'

const parent = withCancel(background())
const key = createKey<string>('key')
const listener = (): void => {}

function listened<T extends { readonly signal: AbortSignal }>(it: T): T {
  it.signal.addEventListener('abort', listener)
  return it
}

// What a process does not measure, it does not load.
const exports = () => import('./memory-exports.ts')
const links = () => import('./memory-links.ts')

const makers: Record<Kept, () => Promise<number>> = {
  cancel: () => bytesOf(() => withCancel(parent)),
  timeout: () => bytesOf(() => withTimeout(parent, 60_000)),
  value: () => bytesOf(() => withValue(parent, key, 'v')),
  signal: () => bytesOf(() => listened(withCancel(parent))),
  controller: () =>
    bytesOf(() => {
      const controller = new AbortController()
      return controller.signal.aborted ? undefined : controller
    }),
  'controller, listened to': () => bytesOf(() => listened(new AbortController())),
  call: async () => (await links()).call(),
  connection: async () => (await links()).connection(),
  exported: async () => (await exports()).exported(),
  exporter: async () => (await exports()).exporter(),
  importer: async () => (await exports()).importer(),
  slots: async () => (await exports()).slots(),
}

process.send?.(await makers[process.argv[2] as Kept]())
process.exit()
