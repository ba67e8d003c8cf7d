import { MessageChannel } from 'node:worker_threads'
import { background } from 'ctxbridge'
import { expect, test } from 'vitest'
import { bellAt } from '../../lib/bridge/slot-memory.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { Importer } from '../../transports/worker/importer.ts'

/** A link with two imports, as the other side of it has it. */
function imported(link: number): { importer: Importer; waiters: () => number; close: () => void } {
  const table = new SlotTable({ id: 9 })
  const chunks = table.chunks()
  const bells = new Int32Array(chunks[0] ?? new SharedArrayBuffer(0))
  const { port1, port2 } = new MessageChannel()
  const importer = new Importer({ table: 9, link, chunks, port: port2 as unknown as MessagePort }, () => undefined)
  for (let i = 0; i < 2; i++) {
    const slot = table.open(link)?.grant()
    const parsed = { table: 9, link, slot, told: undefined, at: Infinity, end: undefined, why: undefined, values: [] }
    importer.import(parsed, background(), undefined)
  }
  return { importer, waiters: () => Atomics.notify(bells, bellAt(link)), close: () => port1.close() }
}

test('a link has one waiter for its bell while something is imported, and takes it along when it closes', () => {
  const [open, closed] = [imported(4), imported(5)]
  closed.importer.close(new LinkLostError('closed'))
  expect([open.importer.size, open.waiters()]).toEqual([2, 1])
  expect([closed.importer.size, closed.waiters()]).toEqual([0, 0])
  open.importer.close(new LinkLostError('closed'))
  for (const { close } of [open, closed]) close()
})
