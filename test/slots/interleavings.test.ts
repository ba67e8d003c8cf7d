/**
 * Every interleaving of the slot protocol's accesses, for its critical scenarios. What is asserted, by the names that
 * the model of the protocol has for it:
 *
 * S1 nobody is told of another context's end; a handle is never good for another generation
 * S2 a cause and a deadline are whole, and the right ones       S3 the first cause stays
 * S4 a slot is not reused while somebody holds it, and its reader never loses it
 * S7 at the end every slot is free                              L1 no wake-up is lost
 */

import assert from 'node:assert/strict'
import { expect, test } from 'vitest'
import { bellAt } from '../../lib/bridge/slot-memory.ts'
import { SlotReader } from '../../lib/bridge/slot-reader.ts'
import type { SlotEnd, SlotView } from '../../lib/bridge/slot-reader.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import type { Slot, SlotHandle } from '../../lib/bridge/slot.ts'
import { explore } from './explore.ts'
import type { Env } from './explore.ts'

/** What is true, by context: contexts are numbered from 1. */
interface Ghosts {
  /** Contexts whose `end` has begun, and those whose `end` has returned. */
  ending: number[]
  ended: number[]
  /** How many handles were sent, and how many of their imports are over. */
  sent: number[]
  over: number[]
  /** The context that the one slot is open for. */
  inSlot: number
  swept: boolean
}

type SlotEnv = Env<Ghosts>
type Sent = readonly [context: number, handle: SlotHandle | undefined]

const LINK = 1
const isSent = (message: unknown): message is Sent => Array.isArray(message)
const causeOf = (context: number): Uint8Array => new Uint8Array(5).fill(16 + context)
const kindOf = (context: number): 'canceled' | 'deadline' => (context === 2 ? 'deadline' : 'canceled')
// Both halves of the float differ from context to context.
const deadlineOf = (context: number): number => context * 1e9 + 1 / (2 + context)

/** What some interleaving of the present test came to: shows that the search got to where it matters. */
const saw = new Set<string>()

/** Explores completely, with a table in which a single slot is free. */
function search(
  owner: (owner: Owner, env: SlotEnv) => void,
  reader: (reader: Reader, env: SlotEnv) => void,
  mortal = false,
): void {
  saw.clear()
  explore<Ghosts>(
    {
      owner: { run: (env) => owner(new Owner(env), env) },
      reader: { run: (env) => reader(new Reader(env), env), mourner: mortal ? 'owner' : undefined },
    },
    { ending: [], ended: [], sent: [0, 0, 0, 0], over: [0, 0, 0, 0], inSlot: 0, swept: false },
  )
}

class Owner {
  readonly env: SlotEnv
  readonly table: SlotTable

  constructor(env: SlotEnv) {
    this.env = env
    this.table = env.atomically(() => {
      const table = new SlotTable({ memory: env.memory, limit: 64 })
      for (let i = 0; i < 63; i++) table.open(99)
      return table
    })
    env.send('reader', this.table.chunks()[0])
  }

  tryOpen(context: number, link = LINK): Slot | undefined {
    const slot = this.table.open(link, deadlineOf(context))
    if (slot === undefined) return undefined
    this.env.ghost((g) => {
      if (g.inSlot > 0) saw.add('reused')
      if (!g.swept) assert.equal(g.over[g.inSlot], g.sent[g.inSlot], 'S4: reused under a holder, or under a handle on its way')
      g.inSlot = context
    })
    return slot
  }

  open(context: number, link = LINK): Slot {
    const slot = this.tryOpen(context, link)
    assert(slot !== undefined, 'S7: the slot should be free')
    return slot
  }

  send(context: number, ...handles: readonly (SlotHandle | undefined)[]): void {
    for (const handle of handles) {
      assert(handle !== undefined, 'not granted')
      this.env.ghost((g) => {
        g.sent[context] = (g.sent[context] ?? 0) + 1
      })
      this.env.send('reader', [context, handle] satisfies Sent)
    }
  }

  end(context: number, slot: Slot): void {
    this.env.ghost((g) => g.ending.push(context))
    slot.end(kindOf(context), causeOf(context))
    this.env.ghost((g) => g.ended.push(context))
  }

  /** The next context, if its slot is free by now, from beginning to end. */
  next(context: number): void {
    const slot = this.tryOpen(context)
    if (slot === undefined) return
    this.send(context, slot.grant())
    this.end(context, slot)
  }

  sweep(link: number): void {
    this.env.ghost((g) => {
      g.swept = true
    })
    this.table.sweep(link)
  }

  /** Waits for the reader's end; then (S7) the one slot is free. */
  finish(): void {
    this.env.send('reader', 'no more')
    assert.equal(this.env.receive(), 'finished')
    this.empty()
  }

  empty(): void {
    this.env.atomically(() => assert.equal(this.table.stats().inUse, 63, 'S7: a slot is not given back'))
  }
}

class Reader {
  readonly env: SlotEnv
  readonly reader: SlotReader
  readonly buffer: SharedArrayBuffer

  constructor(env: SlotEnv, buffer?: SharedArrayBuffer, link = LINK) {
    this.env = env
    this.reader = new SlotReader({ link, memory: env.memory })
    this.buffer = buffer ?? (env.receive() as SharedArrayBuffer)
    env.atomically(() => assert.equal(this.reader.attach(0, this.buffer), undefined))
  }

  /** Undefined only where the slot was swept. */
  accept([context, handle]: Sent): SlotView | undefined {
    const view = this.reader.accept(handle)
    if (typeof view !== 'string') {
      assert.equal(view.deadline, deadlineOf(context), 'S2: the deadline')
      return view
    }
    saw.add(view)
    this.env.ghost((g) => assert(g.swept, `S4: a handle that was sent once is refused as ${view}`))
    return undefined
  }

  /** Looks at it once, in both ways. Undefined: it is open, or was swept. */
  look(context: number, view: SlotView | undefined): SlotEnd | undefined {
    if (view === undefined) return undefined
    const open = view.isOpen()
    this.env.ghost((g) => assert(!open || !g.ended.includes(context), 'open, after its end was published'))
    const end = view.read()
    if (end === 'open') {
      assert(open, 'S3: an end was taken back')
      return undefined
    }
    if (end === 'stale') {
      saw.add('gone')
      this.env.ghost((g) => assert(g.swept, 'S4: the slot was lost while it was held'))
      return undefined
    }
    assert(end !== 'corrupt', 'S2: no cause at all')
    this.env.ghost((g) => assert(g.ending.includes(context), 'S1: an end that was none'))
    assert.equal(end.kind, kindOf(context), 'S1: the kind')
    assert.equal(String(end.cause), String(causeOf(context)), 'S2: the cause')
    assert.equal(view.read(), end, 'S3')
    return end
  }

  release(context: number, view: SlotView | undefined): void {
    if (view === undefined) return
    this.env.ghost((g) => {
      g.over[context] = (g.over[context] ?? 0) + 1
    })
    view.release()
  }

  /** Imports, looks, releases, one handle after the other. */
  jobs(): void {
    for (let message = this.env.receive(); isSent(message); message = this.env.receive()) {
      const view = this.accept(message)
      this.look(message[0], view)
      this.release(message[0], view)
    }
    this.finish()
  }

  finish(): void {
    assert.equal(this.reader.stats().views, 0, 'S7: a view is not given back')
    this.env.send('owner', 'finished')
  }
}

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
      if (first !== undefined) assert.equal(second, first, 'S3')
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
  expect(saw).toEqual(new Set(['reused', 'gone', 'stale']))
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
