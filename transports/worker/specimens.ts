/**
 * One of each kind of object that an end from another thread meets in this one, kept for as long as the thread lives.
 *
 * V8 compiles code for the hidden classes of the objects that it meets. A full collection that finds no object of such a class alive throws the class away, and all code with it that was compiled for it.
 * Contexts come and go with their jobs, and between two jobs there is none: so each cancel after a collection would run as slowly as the first one. What is kept here prevents that (docs/performance.md,
 * "Idle worker"); and the first cancel of a thread finds code that ran before.
 */

import { listen, sourceOf } from '../../lib/boundary.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import { type Clock, forNobody } from '../../lib/clock.ts'
import { afterFunc, createRoot } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { scopeOf } from '../../lib/foreign.ts'
import type { Listener } from '../../lib/observers.ts'
import { tableId } from './export.ts'
import { canShare } from './host.ts'
import { Importer } from './importer.ts'
import { TOLD } from './messages.ts'

const kept: unknown[] = []
/** Contexts in shared memory and those that go by messages alone are of different kinds. */
const made = new Set<boolean>()

/** No link has it. */
const link = 0
/** What is due by other clocks stays so: who was waiting for that is not to be called in the middle of what somebody else does. */
const still: Clock = { now: () => 0, wall: () => 0, setTimer: nothing, clearTimer: nothing }

/** To be called before a thread imports, for each kind. Runs nobody else's code, never throws, and leaves memory alone: no slot, no port, nobody who waits. */
export function keepSpecimens(shared: boolean): void {
  if (made.has(shared)) return
  made.add(shared)
  try {
    // What is kept must not keep what is current in whoever happens to be first.
    forNobody(() => {
      importFromItself(shared)
      // What an AbortSignal is before it is one, and one of ours before it is that.
      kept.push(new EventTarget(), new AbortController().signal)
    })
  } catch {
    // Where something is missing, or broken, whoever needs it will say so.
  }
}

/** A context comes in, is observed in every way, and ends. */
function importFromItself(shared: boolean): void {
  const { port1, port2 } = new MessageChannel()
  let importer: Importer | undefined
  try {
    const table = shared && canShare() ? new SlotTable({ id: tableId }) : undefined
    const slot = table?.open(link)
    importer = new Importer({ table: tableId, link, chunks: table?.chunks() ?? [], port: port2 }, nothing)
    const handle = { table: tableId, link, ...(slot?.grant() ?? { slot: -2, generation: 0, grant: 1 }) }
    const ctx = importer.import(handle, createRoot({ clock: still }), undefined, false)
    const { signal } = ctx
    signal.addEventListener('abort', (event) => kept.push(event), { once: true })
    void ctx.done
    listen(ctx, nothing)
    afterFunc(ctx, nothing)
    // And what it holds only as long as it lives.
    const { watch } = scopeOf(ctx, 'keepSpecimens')
    kept.push(ctx, sourceOf(ctx), watch)
    for (let o = watch?.listeners; o !== undefined; o = o.next as Listener | undefined) kept.push(o)
    if (slot === undefined) port1.postMessage([TOLD, [[1, 'canceled', undefined]]])
    else slot.end('canceled')
    importer.drain()
    // Where only waiting can tell what has come, it ends when the importer closes.
    ctx.err()
    // Never called, and so kept by it.
    signal.addEventListener('abort', nothing)
  } finally {
    importer?.close(new LinkLostError('It was a specimen.'))
    port1.close()
  }
}

function nothing(): void {}
