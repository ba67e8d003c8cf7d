/** Long random histories of many contexts on two links, in one thread, against what must be true of each. */

import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { SlotReader } from '../../lib/bridge/slot-reader.ts'
import type { SlotView } from '../../lib/bridge/slot-view.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import type { Slot, SlotHandle } from '../../lib/bridge/slot.ts'

interface Exported {
  readonly slot: Slot
  readonly link: 0 | 1
  readonly cause: Uint8Array
  readonly handles: { readonly handle: SlotHandle; delivered: boolean }[]
  readonly views: SlotView[]
  state: 'open' | 'ended' | 'withdrawn' | 'swept'
}

type Operation = 'open' | 'grant' | 'deliver' | 'look' | 'release' | 'end' | 'reclaim' | 'sweep'
const often: Operation[] = ['open', 'grant', 'deliver', 'look', 'release', 'end', 'reclaim']
const operation = fc.tuple(
  fc.oneof({ weight: 40, arbitrary: fc.constantFrom(...often) }, { weight: 1, arbitrary: fc.constant<Operation>('sweep') }),
  fc.nat(),
)

test('whatever happens in which order: right ends, no reuse under a holder, and everything is given back', () => {
  let uses = 0
  fc.assert(
    fc.property(fc.array(operation, { size: '+2' }), (operations) => {
      const table = new SlotTable()
      const links: [number, number] = [0, 1]
      const readers: [SlotReader, SlotReader] = [attached(0), attached(1)]
      const all: Exported[] = []

      function attached(link: number): SlotReader {
        const reader = new SlotReader({ link })
        for (const [chunk, buffer] of table.chunks().entries()) reader.attach(chunk, buffer)
        return reader
      }
      const deliver = (of: Exported, n: number): void => {
        const sent = of.handles[n % of.handles.length]
        if (sent === undefined) return
        const view = readers[of.link].accept(sent.handle)
        // What was sent once must be accepted, at any time and in any order; what comes again only shares what lives.
        const expected = of.state !== 'swept' && (!sent.delivered || of.views.length > 0)
        assert.equal(typeof view !== 'string', expected, `accept() gave ${typeof view === 'string' ? view : 'a view'}`)
        sent.delivered = true
        if (typeof view !== 'string') of.views.push(view)
      }
      const look = (of: Exported): void => {
        const end = { kind: 'canceled', cause: { bytes: of.cause, shortened: false } }
        for (const view of of.views) {
          assert.deepEqual([view.isOpen(), view.read()], [of.state === 'open', of.state === 'open' ? 'open' : end])
        }
      }
      const sweep = (link: 0 | 1): void => {
        const swept = all.filter((of) => of.link === link && (of.state === 'open' || of.state === 'ended'))
        const open = swept.filter((of) => of.state === 'open').map((of) => of.slot)
        assert.deepEqual(new Set(table.sweep(links[link])), new Set(open))
        for (const of of swept) {
          of.state = 'swept'
          for (const view of of.views.splice(0)) view.release()
        }
        links[link] = Math.max(...links) + 1
        readers[link] = attached(links[link])
      }

      for (const [what, n] of operations) {
        const of = all[n % Math.max(all.length, 1)]
        if (what === 'open') {
          const link = n % 2 === 0 ? 0 : 1
          const slot = table.open(links[link])
          const cause = Uint8Array.of(++uses, uses >> 8, uses >> 16)
          if (slot !== undefined) all.push({ slot, link, cause, handles: [], views: [], state: 'open' })
        } else if (what === 'sweep') {
          sweep(n % 2 === 0 ? 0 : 1)
        } else if (what === 'reclaim') {
          for (const slot of table.reclaim(n)) {
            const of = all.find((of) => of.slot === slot)
            assert.deepEqual([of?.state, of?.views.length, of?.handles.every((sent) => sent.delivered)], ['open', 0, true])
            if (of !== undefined) of.state = 'withdrawn'
          }
        } else if (of === undefined) {
          continue
        } else if (what === 'grant') {
          const handle = of.slot.grant()
          assert.equal(handle !== undefined, of.state === 'open')
          if (handle !== undefined) of.handles.push({ handle, delivered: false })
        } else if (what === 'deliver') {
          deliver(of, n)
        } else if (what === 'look') {
          look(of)
        } else if (what === 'release') {
          of.views.pop()?.release()
        } else {
          assert.equal(of.slot.end('canceled', of.cause), of.state === 'open')
          if (of.state === 'open') of.state = 'ended'
        }
      }

      for (const of of all.filter((of) => of.state === 'open' || of.state === 'ended')) {
        of.slot.end('canceled', of.cause)
        of.state = 'ended'
        for (const [n, sent] of of.handles.entries()) if (!sent.delivered) deliver(of, n)
        look(of)
        for (const view of of.views.splice(0)) view.release()
      }
      assert.deepEqual([table.stats().inUse, readers.map((reader) => reader.stats().views)], [0, [0, 0]])
    }),
    { numRuns: 500 },
  )
  expect(uses).toBeGreaterThan(1000)
}, 60_000)
