/**
 * Every interleaving of the slot protocol's accesses, for its critical scenarios. What is asserted, by the names that
 * the model of the protocol has for it:
 *
 * S1 nobody is told of another context's end; a handle is never good for another generation
 * S2 a cause is whole, and the right one       S3 the first cause stays
 * S4 a slot is not reused while somebody holds it, and its reader never loses it
 * S7 at the end every slot is free                              L1 no wake-up is lost
 */

import assert from 'node:assert/strict'
import { expect, test } from 'vitest'
import { bellAt, RING } from '../../lib/bridge/slot-memory.ts'
import { SlotReader } from '../../lib/bridge/slot-reader.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import type { SlotHandle } from '../../lib/bridge/slot.ts'
import type { SlotView } from '../../lib/bridge/slot-view.ts'
import { isSent, LINK, Reader, saw, search } from './actors.ts'
import type { Sent } from './actors.ts'
import { explore } from './explore.ts'

test('an end against an import, looks and a release: the reader has the right end or none yet', () => {
  search(
    (owner) => {
      const slot = owner.open(1)
      owner.send(1, slot.grant())
      owner.end(1, slot)
      owner.finish()
    },
    (reader, env) => {
      const view = reader.accept(env.receive() as Sent)
      const first = reader.look(1, view)
      const second = reader.look(1, view)
      if (first !== undefined) assert.deepEqual(second, first, 'S3')
      saw.add(first === undefined ? 'open' : 'ended')
      reader.release(1, view)
      env.receive()
      reader.finish()
    },
  )
  expect(saw).toEqual(new Set(['open', 'ended']))
})

test('a release against a second grant: a handle on its way keeps the slot, and nothing is reused before all came back', () => {
  search(
    (owner) => {
      const slot = owner.open(1)
      owner.send(1, slot.grant())
      owner.send(1, slot.grant())
      owner.end(1, slot)
      owner.next(2)
      owner.finish()
    },
    (reader) => reader.jobs(),
  )
  expect(saw).toContain('reused')
})

test('imports that overlap, handles that overtake each other: the hold goes with the last of them', () => {
  search(
    (owner, env) => {
      const slot = owner.open(1)
      const handles = [slot.grant(), slot.grant()]
      owner.send(1, ...(env.choose(2) === 0 ? handles : handles.toReversed()))
      owner.end(1, slot)
      owner.next(2)
      owner.finish()
    },
    (reader, env) => {
      const views: [number, SlotView | undefined][] = []
      const letGo = (): void => {
        for (const [context, view] of views.splice(0)) reader.release(context, view)
      }
      for (let message = env.receive(); isSent(message); message = env.receive()) {
        views.push([message[0], reader.accept(message)])
        if (env.choose(2) === 0) letGo()
      }
      for (const [context, view] of views) reader.look(context, view)
      letGo()
      reader.finish()
    },
  )
  expect(saw).toContain('reused')
})

test('an open context whose imports are all released is withdrawn, never one with a handle on its way', () => {
  search(
    (owner) => {
      let slot = owner.open(1)
      for (let job = 0; job < 2; job++) {
        owner.send(1, slot.grant())
        const [withdrawn] = owner.table.reclaim()
        if (withdrawn === undefined) continue
        saw.add('withdrawn')
        assert.equal(withdrawn, slot)
        slot = owner.open(1)
      }
      owner.end(1, slot)
      owner.finish()
    },
    (reader) => reader.jobs(),
  )
  expect(saw).toContain('withdrawn')
})

test('a live context that was given back is found once its importer has counted it, though the owner looks at no slot before', () => {
  search(
    (owner, env) => {
      const slot = owner.open(1)
      owner.send(1, slot.grant())
      const early = owner.table.reclaimDropped(64)
      env.send('reader', 'no more')
      assert.equal(env.receive(), 'finished')
      const found = [...early, ...owner.table.reclaimDropped(64)]
      assert.deepEqual(found, [slot], 'L1: it is never found')
      saw.add(early.length > 0 ? 'at once' : 'later')
      owner.empty()
    },
    (reader, env) => {
      reader.release(1, reader.accept(env.receive() as Sent))
      reader.reader.tellDrop()
      env.receive()
      reader.finish()
    },
  )
  expect(saw).toEqual(new Set(['at once', 'later']))
})

test('a sweep under a living reader: it sees the right end or that the slot is gone, and its late release reaches nobody', () => {
  search(
    (owner, env) => {
      const slot = owner.open(1)
      owner.send(1, slot.grant())
      owner.end(1, slot)
      owner.sweep(LINK)
      // The same slot, for another link, whose reader has given it back already, or has not received its handle yet.
      const next = owner.open(2, 2)
      const handle = next.grant()
      const returned = env.choose(2) === 1
      if (returned) {
        const other = new Reader(env, owner.table.chunks()[0], 2)
        other.release(2, other.accept([2, handle]))
      }
      owner.end(2, next)
      assert.equal(env.receive(), 'finished')
      assert.equal(next.returned, returned, 'S4, S7: a late release changed the hold of another link')
      owner.sweep(2)
      owner.empty()
    },
    (reader, env) => {
      const view = reader.accept(env.receive() as Sent)
      reader.look(1, view)
      reader.release(1, view)
      reader.finish()
    },
  )
  expect(saw).toEqual(new Set(['reused', 'gone', 'stale', 'spent']))
})

test('an end that is given up against imports that overlap or overtake each other: who has one imported keeps it, and who comes later is refused', () => {
  search(
    (owner, env) => {
      const slot = owner.open(1)
      const order = env.choose(3)
      const first = slot.grant()
      if (order === 0) owner.send(1, first)
      const second = slot.grant()
      if (order === 0) owner.send(1, second)
      else owner.send(1, ...(order === 1 ? [first, second] : [second, first]))
      owner.end(1, slot)
      const given = owner.giveUp(1, slot)
      saw.add(given ? 'given up' : 'kept')
      if (given) {
        assert(slot.returned, 'S7: given up, and yet held')
        owner.open(2).end('canceled')
      }
      env.send('reader', 'no more')
      assert.equal(env.receive(), 'finished')
      // What was imported then has come back since; and what overtook one that was refused is still known there, until the slot is used again.
      if (!given && !slot.returned) assert(slot.giveUp(), 'S7: nobody holds it, and yet it cannot be given up')
      owner.empty()
    },
    (reader, env) => {
      for (let message = env.receive(); isSent(message); message = env.receive()) {
        const view = reader.accept(message)
        saw.add(reader.look(1, view) === undefined ? 'no end' : 'ended')
        reader.look(1, view)
        reader.release(1, view)
      }
      env.send('owner', 'finished')
    },
  )
  expect(saw).toEqual(new Set(['given up', 'kept', 'spent', 'stale', 'no end', 'ended', 'reused']))
})

test('a reader that is terminated at any step: the sweep gives everything back, once', () => {
  search(
    (owner, env) => {
      const slot = owner.open(1)
      owner.send(1, slot.grant(), slot.grant())
      if (env.choose(2) === 0) owner.end(1, slot)
      const goodbye = String(env.receive())
      saw.add(goodbye)
      if (goodbye === 'exit') owner.sweep(LINK)
      else if (slot.open) owner.end(1, slot)
      const next = owner.open(3)
      assert.equal(owner.table.open(LINK), undefined, 'S7: given back twice')
      owner.end(3, next)
      owner.empty()
    },
    (reader, env) => {
      const views = [reader.accept(env.receive() as Sent), reader.accept(env.receive() as Sent)]
      for (const view of views) {
        reader.look(1, view)
        reader.release(1, view)
      }
      reader.finish()
    },
    true,
  )
  expect(saw).toEqual(new Set(['reused', 'exit', 'finished']))
})

test('a handle that is imported again: shared while the import lives, refused afterwards, and never the next context', () => {
  search(
    (owner) => {
      const slot = owner.open(1)
      owner.send(1, slot.grant())
      owner.end(1, slot)
      owner.next(2)
      owner.finish()
    },
    (reader, env) => {
      const when = env.choose(3)
      const first = env.receive() as Sent
      const view = reader.accept(first)
      const again = (): void => {
        const double = reader.reader.accept(first[1])
        if (typeof double === 'string') {
          saw.add(double)
          assert(when > 0, 'refused while it is imported')
          assert(double === 'stale' || double === 'spent')
          return
        }
        assert.equal(double, view, 'S1')
        assert.equal(when, 0, 'S1: imported when it was over')
        reader.look(1, double)
        assert.equal(double.release(), false)
      }
      if (when === 0) again()
      reader.release(1, view)
      if (when === 1) again()
      const message = env.receive()
      if (isSent(message)) {
        const next = reader.accept(message)
        assert.notEqual(next, view)
        if (when === 2) again()
        reader.look(2, next)
        reader.release(2, next)
      }
      reader.finish()
    },
  )
  expect(saw).toEqual(new Set(['reused', 'stale', 'spent']))
}, 60_000)

test('a waiter that loads the bell, then looks, then waits for the bell to change, always wakes', () => {
  search(
    (owner) => {
      const slot = owner.open(1)
      owner.send(1, slot.grant())
      owner.end(1, slot)
    },
    (reader, env) => {
      const view = reader.accept(env.receive() as Sent)
      const bell = bellAt(LINK)
      for (;;) {
        const heard = env.memory.view(reader.buffer).load(bell)
        if (reader.look(1, view) !== undefined) break
        saw.add('waited')
        env.wait(reader.buffer, bell, heard)
      }
      reader.release(1, view)
    },
  )
  expect(saw).toContain('waited')
})

test('a waiter that looks only at what the ring names misses no end that the bell has counted, also when the ring was full', () => {
  const count = RING + 1
  saw.clear()
  explore<object>(
    {
      owner: {
        run: (env) => {
          const slots = env.atomically(() => {
            const table = new SlotTable({ memory: env.memory, limit: 64 })
            env.send('reader', table.chunks()[0])
            const opened = Array.from({ length: count }, () => table.open(LINK))
            env.send(
              'reader',
              opened.map((slot) => slot?.grant()),
            )
            return opened
          })
          for (const slot of slots) slot?.end('canceled')
        },
      },
      reader: {
        run: (env) => {
          const buffer = env.receive() as SharedArrayBuffer
          const handles = env.receive() as SlotHandle[]
          const [reader, seen] = env.atomically(() => {
            const fresh = new SlotReader({ link: LINK, memory: env.memory })
            fresh.attach(0, buffer)
            for (const handle of handles) fresh.accept(handle)
            return [fresh, fresh.bell() ?? 0]
          })
          const counted = reader.bell() ?? 0
          const rung = reader.rungSince(seen).map((view) => view.slot)
          saw.add(rung.length === count ? 'all' : rung.length === 0 ? 'none' : 'some')
          const missed = handles.slice(seen, counted).filter(({ slot }) => !rung.includes(slot))
          assert.deepEqual(missed, [], 'L1: an end that was counted is not looked at')
        },
      },
    },
    {},
  )
  expect(saw).toEqual(new Set(['all', 'none', 'some']))
}, 60_000)
