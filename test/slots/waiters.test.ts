import { MessageChannel } from 'node:worker_threads'
import { background } from 'ctxbridge'
import { expect, test } from 'vitest'
import { bellAt } from '../../lib/bridge/slot-memory.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import type { Slot } from '../../lib/bridge/slot.ts'
import type { CancelableContext } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { turn } from '../support/gc.ts'
import { Importer } from '../../transports/worker/importer.ts'

interface Imported {
  readonly importer: Importer
  /** Of an export of the other side, which is in this thread, too. */
  readonly import: (slot?: Slot) => CancelableContext
  readonly open: () => Slot | undefined
  readonly waiters: () => number
  readonly close: () => void
}

/** A link, as the other side of it has it. */
function linked(link: number): Imported {
  const table = new SlotTable({ id: 9 })
  const chunks = table.chunks()
  const bells = new Int32Array(chunks[0] ?? new SharedArrayBuffer(0))
  const { port1, port2 } = new MessageChannel()
  const importer = new Importer({ table: 9, link, chunks, port: port2 as unknown as MessagePort }, () => undefined)
  const open = (): Slot | undefined => table.open(link)
  return {
    importer,
    open,
    import(slot = open()) {
      const parsed = {
        table: 9,
        link,
        slot: slot?.grant(),
        told: undefined,
        at: Infinity,
        end: undefined,
        why: undefined,
        values: [],
      }
      return importer.import(parsed, background(), undefined)
    },
    waiters: () => Atomics.notify(bells, bellAt(link)),
    close() {
      importer.close(new LinkLostError('closed'))
      port1.close()
    },
  }
}

/** Until what was notified has been heard. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await turn()
}

test('a link has one waiter for its bell while something is imported, and takes it along when it closes', () => {
  const [open, closed] = [linked(4), linked(5)]
  for (const it of [open, closed, open, closed]) it.import()
  closed.importer.close(new LinkLostError('closed'))
  expect([open.importer.size, open.waiters()]).toEqual([2, 1])
  expect([closed.importer.size, closed.waiters()]).toEqual([0, 0])
  open.importer.close(new LinkLostError('closed'))
  for (const { close } of [open, closed]) close()
})

test('an import that has ended is given back by who hears the bell, though a loop has found its end before, and though nobody looks', async () => {
  for (const looks of [true, false]) {
    const it = linked(6)
    const slot = it.open()
    const ctx = it.import(slot)
    slot?.endWithText('canceled', 'enough')
    if (looks) expect(ctx.err()?.cause).toBe('enough')
    expect([it.importer.reader.stats().views, slot?.returned]).toEqual([1, false])
    await turns()
    expect([it.importer.reader.stats().views, slot?.returned]).toEqual([0, true])
    expect(ctx.err()?.cause).toBe('enough')
    it.close()
  }
})

test('an end is not missed that comes before the import listens, while it begins to, or before the handle', async () => {
  for (const when of ['before the handle is taken', 'before the bell is loaded', 'after it is loaded']) {
    const it = linked(7)
    const slot = it.open()
    const { reader } = it.importer
    const accept = reader.accept.bind(reader)
    const bell = reader.bell.bind(reader)
    reader.accept = (handle) => {
      if (when === 'before the handle is taken') slot?.end('canceled')
      return accept(handle)
    }
    reader.bell = () => {
      if (when === 'before the bell is loaded') slot?.end('canceled')
      const seen = bell()
      if (when === 'after it is loaded') slot?.end('canceled')
      return seen
    }
    const ctx = it.import(slot)
    await turns()
    expect([when, reader.stats().views, slot?.returned]).toEqual([when, 0, true])
    expect(ctx.err()?.name).toBe('AbortError')
    it.close()
  }
})
