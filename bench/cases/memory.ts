/** What contexts, calls and connections take in memory: each sample in a process of its own. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { Kept } from '../far/memory-types.ts'
import { onAllCoresWhile } from '../harness/pin.ts'
import type { Contender, CurveSuite, Kind, Suite } from '../harness/model.ts'
import { must } from './cost.ts'
import { farProgram } from './paths.ts'
import { powers } from './scale.ts'

/** Bytes of each of so many. */
async function bytesOf(kept: Kept, many: number, signal?: AbortSignal): Promise<number> {
  const options = { execArgv: ['--expose-gc'], ...(signal !== undefined && { signal }) }
  const child = await onAllCoresWhile(async () => fork(farProgram('memory'), [kept, String(many)], options))
  const exited = once(child, 'exit').then(([code]) => {
    throw new Error(`The process that measures memory exited with code ${code}.`)
  })
  // It exits after it has told.
  exited.catch(() => {})
  const [bytes] = (await Promise.race([once(child, 'message'), exited])) as [number]
  return bytes
}

function memory(name: string, kind: Kind, kept: Kept, many: number, note?: string): Contender {
  return {
    name,
    kind,
    ...(note !== undefined && { note }),
    start() {
      const closed = new AbortController()
      const { take, proven } = ahead(() => bytesOf(kept, many, closed.signal))
      return {
        async prove() {
          must((await proven) > 0, 'they took memory')
          return `${many.toLocaleString('en')} kept, measured after collecting before and after`
        },
        round: async (record) => record(await take()),
        close: () => closed.abort(),
      }
    },
  }
}

/** Begins the next sample when one is taken: bytes are the same whatever the other core does meanwhile. The first one is the proof as well. */
function ahead(sample: () => Promise<number>): { readonly proven: Promise<number>; take(): Promise<number> } {
  const begin = (): Promise<number> => {
    const begun = sample()
    // Told to who takes it; the last one is taken by nobody.
    begun.catch(() => {})
    return begun
  }
  const proven = begin()
  let next = proven
  return {
    proven,
    take() {
      const taken = next
      next = begin()
      return taken
    },
  }
}

const common = { unit: 'bytes', sample: 'mean', rounds: 3, warmUp: 0 } as const

const context: Suite = {
  ...common,
  id: 'core/bytes',
  title: 'Memory of a live context',
  about: 'Heap bytes for each of many that are kept, in a fresh process for each sample.',
  contenders: () => [
    memory('withCancel(p)', 'ours', 'cancel', 50_000),
    memory('withTimeout(p, ms)', 'ours', 'timeout', 50_000),
    memory('withValue(p, key, value)', 'ours', 'value', 50_000),
    memory('withCancel(p), with a listener on its signal', 'ours', 'signal', 10_000),
    memory('new AbortController()', 'platform', 'controller', 10_000),
    memory('AbortController with a listener', 'platform', 'controller, listened to', 10_000),
  ],
}

const crossed: Suite = {
  ...common,
  id: 'worker/memory',
  title: 'Memory of a context that is exported to a worker',
  about:
    'Heap bytes of each side, in a fresh process for each sample. Here it is the context with its export, in the worker the import. The table of slots, which both share, is in scale/exports-memory.',
  contenders: () => [
    memory('here: withCancel(p), exported', 'ours', 'exporter', 20_000),
    memory('in the worker: imported', 'ours', 'importer', 20_000),
  ],
}

const call: Suite = {
  ...common,
  id: 'websocket/memory',
  title: 'Memory of an open call, and of an open connection',
  about:
    'Bytes of both sides together, which are in one fresh process. All calls are under one context of the caller. Of a call the promise of the caller, that of the handler, and the afterFunc of the handler are in it; of a connection its two sockets.',
  contenders: () => [
    memory('an open call, both sides', 'ours', 'call', 10_000),
    memory('an open connection, both sides', 'ours', 'connection', 200),
  ],
}

const slots: Suite = {
  ...common,
  id: 'worker/exports-bytes',
  title: 'Shared memory of an exported context',
  about:
    'Bytes of the table of slots for each of 100,000 contexts that live at once: it grows by whole chunks. In a fresh process for each sample.',
  contenders: () => [memory('a slot, with its share of the chunks', 'ours', 'slots', 100_000)],
}

const exported: CurveSuite = {
  id: 'scale/exports-memory',
  title: 'Memory of an exported context, by how many there are',
  about:
    'Bytes of the exporting thread for each: the context, its handle, and its share of the table of slots, which grows by chunks. In a fresh process for each point.',
  unit: 'bytes',
  axis: 'exports',
  expected: 'constant',
  fresh: true,
  lines: [{ name: 'context, handle and slot', points: powers(100_000).slice(2), measure: (n) => bytesOf('exported', n) }],
}

export const memorySuites: readonly Suite[] = [context, crossed, call, slots]
export const memoryCurves: readonly CurveSuite[] = [exported]
