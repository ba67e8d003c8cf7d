import { serialize } from 'node:v8'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  CANCELED,
  CAUSE,
  CAUSE_BYTES,
  CAUSED,
  CONTROL,
  control,
  EXPIRED,
  FREE,
  generationOf,
  MAX_GENERATION,
  MAX_GRANT,
  OPEN,
  RETURNED,
  SLOT_BYTES,
  sharedMemory,
  slotAt,
  stateOf,
} from '../../lib/bridge/slot-memory.ts'
import type { SlotBytes, SlotMemory } from '../../lib/bridge/slot-memory.ts'
import { SlotReader } from '../../lib/bridge/slot-reader.ts'
import type { SlotView } from '../../lib/bridge/slot-view.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import type { SlotTableOptions } from '../../lib/bridge/slot-table.ts'
import { Slot } from '../../lib/bridge/slot.ts'

const LINK = 7

/** A table, and the importer at the other end of its link 7, in one thread. */
function pair(options: SlotTableOptions = {}): { table: SlotTable; reader: SlotReader; accept: (slot: Slot) => SlotView } {
  const reader = new SlotReader({ link: LINK })
  const table = new SlotTable({ onGrow: (chunk, buffer) => expect(reader.attach(chunk, buffer)).toBeUndefined(), ...options })
  for (const [chunk, buffer] of table.chunks().entries()) expect(reader.attach(chunk, buffer)).toBeUndefined()
  return { table, reader, accept: (slot) => accepted(reader.accept(slot.grant())) }
}

function accepted(view: SlotView | string): SlotView {
  if (typeof view === 'string') throw new Error(`refused: ${view}`)
  return view
}

function opened(slot: Slot | undefined): Slot {
  if (slot === undefined) throw new Error('the table is full')
  return slot
}

function inBytes(...bytes: number[]): SlotBytes {
  return { bytes: Uint8Array.from(bytes), shortened: false }
}

describe('an end', () => {
  test('is seen at once, with its kind and its cause', () => {
    const { table, accept } = pair()
    const slot = opened(table.open(LINK))
    const view = accept(slot)
    expect([view.isOpen(), view.read()]).toEqual([true, 'open'])
    expect(slot.end('deadline', Uint8Array.of(1, 2, 3))).toBe(true)
    expect([view.isOpen(), view.read()]).toEqual([false, { kind: 'deadline', cause: inBytes(1, 2, 3) }])
  })

  test('is the first one; a later one changes nothing', () => {
    const { table, accept } = pair()
    const slot = opened(table.open(LINK))
    const view = accept(slot)
    slot.end('canceled', Uint8Array.of(1))
    expect([slot.end('deadline', Uint8Array.of(2)), slot.open, slot.grant()]).toEqual([false, false, undefined])
    expect(view.read()).toEqual({ kind: 'canceled', cause: inBytes(1) })
    expect(view.read()).toEqual(view.read())
  })

  test('that came before the import is there when it is imported', () => {
    const { table, reader } = pair()
    const slot = opened(table.open(LINK))
    const handle = slot.grant()
    slot.end('canceled')
    expect(accepted(reader.accept(handle)).read()).toEqual({ kind: 'canceled', cause: undefined })
  })

  test('carries a cause of any length and bytes, cut at what a slot holds', () => {
    const { table, accept } = pair()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2 * CAUSE_BYTES }), fc.boolean(), (cause, shortened) => {
        const slot = opened(table.open(LINK))
        const view = accept(slot)
        slot.end('canceled', cause, shortened)
        const expected = {
          kind: 'canceled',
          cause: {
            bytes: cause.slice(0, CAUSE_BYTES),
            shortened: shortened || cause.length > CAUSE_BYTES,
          },
        }
        expect(view.read()).toEqual(expected)
        view.release()
      }),
    )
    expect(table.stats()).toMatchObject({ inUse: 0, chunks: 1 })
  })

  test('carries a text that is short and ASCII as it is; with any other it does not happen', () => {
    const { table, accept } = pair()
    const texts = fc.oneof(fc.string({ maxLength: 2 * CAUSE_BYTES }), fc.string({ unit: 'binary', maxLength: 8 }))
    fc.assert(
      fc.property(texts, (text) => {
        const slot = opened(table.open(LINK))
        const view = accept(slot)
        // oxlint-disable-next-line no-control-regex -- every character of ASCII, these too
        const fits = text.length <= CAUSE_BYTES && /^[\x00-\x7f]*$/.test(text)
        expect([slot.endWithText('canceled', text), slot.open, view.isOpen()]).toEqual([fits, !fits, !fits])
        if (fits) {
          expect(view.read()).toEqual({ kind: 'canceled', cause: text })
          expect(slot.endWithText('canceled', text)).toBe(false)
        } else {
          slot.end('deadline')
          expect(view.read()).toEqual({ kind: 'deadline', cause: undefined })
        }
        view.release()
      }),
    )
    expect(table.stats()).toMatchObject({ inUse: 0, chunks: 1 })
  })

  test('has no byte of an earlier, longer cause in the words of its own one', () => {
    const { table, accept } = pair({ limit: 64 })
    // One slot is left, which is used again and again.
    for (let i = 0; i < 63; i++) opened(table.open(99))
    const [buffer = new SharedArrayBuffer(0)] = table.chunks()
    const end = (cause: Uint8Array | string): Slot => {
      const slot = opened(table.open(LINK))
      const view = accept(slot)
      if (typeof cause === 'string') slot.endWithText('canceled', cause)
      else slot.end('canceled', cause)
      expect(view.read()).toMatchObject({ cause: typeof cause === 'string' ? cause : { bytes: cause } })
      view.release()
      return slot
    }
    for (let length = 0; length <= CAUSE_BYTES; length++) {
      for (const cause of [new Uint8Array(length).fill(1), '\u0001'.repeat(length)]) {
        const { number } = end(new Uint8Array(CAUSE_BYTES).fill(0xff))
        expect(end(cause).number).toBe(number)
        const words = Math.ceil(length / Int32Array.BYTES_PER_ELEMENT)
        const at = (slotAt(number) + CAUSE + 1) * Int32Array.BYTES_PER_ELEMENT
        const stored = [...new Uint8Array(buffer, at, words * Int32Array.BYTES_PER_ELEMENT)]
        expect(stored).toEqual(stored.map((_, i) => (i < length ? 1 : 0)))
      }
    }
  })

  test('comes through though somebody wrote over the whole slot, and only that slot is lost until the sweep', () => {
    const { table, accept } = pair()
    const slot = opened(table.open(LINK))
    const view = accept(slot)
    const words = new Int32Array(table.chunks()[0] ?? new SharedArrayBuffer(0))
    words.fill(-1, slotAt(slot.number), slotAt(slot.number + 1))
    slot.end('canceled', Uint8Array.of(9))
    expect(view.read()).toEqual({ kind: 'canceled', cause: inBytes(9) })
    view.release()
    expect(table.stats().inUse).toBe(1)
    table.sweep(LINK)
    expect(table.stats().inUse).toBe(0)
  })
})

test('misuse throws at once', () => {
  const { table } = pair()
  for (const link of [-1, 1.5, Number.NaN, 2 ** 31]) expect(() => table.open(link)).toThrow(TypeError)
})

describe('holds', () => {
  test('a slot is free when the owner let go and every grant came back', () => {
    const { table, reader, accept } = pair()
    const slot = opened(table.open(LINK))
    const [first, second] = [accept(slot), accept(slot)]
    expect(second).toBe(first)
    slot.end('canceled')
    expect([first.release(), table.stats().inUse]).toEqual([false, 1])
    expect([second.release(), table.stats().inUse]).toEqual([true, 0])
    expect([second.release(), reader.stats().views]).toEqual([false, 0])
  })

  test('a handle on its way holds the slot; one that could not be sent is revoked', () => {
    const { table, accept } = pair()
    const slot = opened(table.open(LINK))
    const view = accept(slot)
    const handle = slot.grant()
    view.release()
    slot.end('canceled')
    expect([slot.returned, table.stats().inUse]).toEqual([false, 1])
    if (handle === undefined) throw new Error('no handle')
    expect(slot.revoke({ ...handle, grant: handle.grant - 1 })).toBe(false)
    expect(slot.revoke({ ...handle, generation: 9 })).toBe(false)
    expect([slot.revoke(handle), slot.revoke(handle), table.stats().inUse]).toEqual([true, false, 0])
    expect(slot.revoke(handle)).toBe(false)
  })

  test('a slot that was opened and never granted is withdrawn, one that is held is not', () => {
    const { table, accept } = pair()
    const unused = opened(table.open(LINK))
    const held = opened(table.open(LINK))
    const view = accept(held)
    expect([unused.withdraw(), unused.withdraw(), held.withdraw()]).toEqual([true, false, false])
    expect([held.end('canceled'), unused.end('canceled')]).toEqual([true, false])
    view.release()
    expect(table.stats().inUse).toBe(0)
  })

  test('reclaim names the open slots that nobody imports any more, a few at a time, and leaves alone what was not sent yet', () => {
    const { table, accept } = pair()
    opened(table.open(LINK))
    const held = opened(table.open(LINK))
    const given = opened(table.open(LINK))
    const view = accept(held)
    accept(given).release()
    expect([table.reclaim(2), table.reclaim(1), table.reclaim()]).toEqual([[], [given], []])
    expect([given.open, given.grant(), table.stats().inUse]).toEqual([false, undefined, 2])
    view.release()
    expect(table.reclaim()).toEqual([held])
  })

  test('what is live is looked at only after an importer has counted one that it gave back, and then once round', () => {
    const { allocate, view } = sharedMemory
    let loads = 0
    const counted: SlotMemory = {
      allocate,
      view: (buffer) => {
        const mem = view(buffer)
        const load = mem.load.bind(mem)
        mem.load = (at) => {
          loads++
          return load(at)
        }
        return mem
      },
    }
    const { table, reader, accept } = pair({ memory: counted })
    const slots = Array.from({ length: 40 }, () => opened(table.open(LINK)))
    const views = slots.map((slot) => accept(slot))
    const looks = (limit: number): [found: readonly Slot[], loads: number] => {
      loads = 0
      return [table.reclaimDropped(limit), loads]
    }
    expect(looks(8)).toEqual([[], 1])
    views[20]?.release()
    expect(looks(8)).toEqual([[], 1])
    // Who shares slots with others gives nothing back, and so has nothing to tell.
    const sharing = new SlotReader({ link: LINK, returns: false })
    sharing.attach(0, table.chunks()[0])
    sharing.tellDrop()
    expect(looks(8)).toEqual([[], 1])
    reader.tellDrop()
    expect([looks(8), looks(8)]).toEqual([
      [[], 1 + 8],
      [[], 1 + 8],
    ])
    // Twice that one: whether it is given back, and whether it is free then.
    expect(looks(8)).toEqual([[slots[20]], 1 + 8 + 1])
    expect([looks(8), looks(8), looks(8)]).toEqual([
      [[], 1 + 8],
      [[], 1 + 8],
      [[], 1],
    ])
  })

  test('a sweep takes back all of one link, names what was open, and leaves other links alone', () => {
    const { table, accept } = pair()
    const [ended, open, other] = [opened(table.open(LINK)), opened(table.open(LINK)), opened(table.open(LINK + 1))]
    const views = [accept(ended), accept(open)]
    ended.end('canceled')
    expect([table.sweep(LINK), table.stats().inUse]).toEqual([[open], 1])
    expect([open.end('canceled'), open.grant(), open.withdraw(), open.returned, other.open]).toEqual([
      false,
      undefined,
      false,
      false,
      true,
    ])
    expect(views.map((view) => [view.isOpen(), view.read()])).toEqual([
      [false, 'stale'],
      [false, 'stale'],
    ])
  })

  test('grant numbers go on through generations, and a slot whose numbers are spent is retired', () => {
    const { table } = pair({ limit: 64 })
    const numbers = new Map<number, number>()
    for (let i = 0; i < 200; i++) {
      const slot = opened(table.open(LINK))
      const { grant = 0 } = slot.grant() ?? {}
      expect(grant).toBe((numbers.get(slot.number) ?? 0) + 1)
      numbers.set(slot.number, grant)
      table.sweep(LINK)
    }
    const buffer = sharedMemory.allocate(1e4 + 500)
    const mem = sharedMemory.view(buffer)
    const old = new Slot()
    old.place({ bells: mem, letGo: 0 }, mem, 0, LINK, 0, MAX_GRANT - 1)
    expect([old.grant()?.grant, old.grant(), old.end('canceled'), old.free()]).toEqual([2 ** 31 - 1, undefined, true, false])
  })
})

describe('slots', () => {
  test('are 112 bytes; a chunk adds 64, the first one 2 KiB for the bells', () => {
    const { table } = pair()
    expect([SLOT_BYTES, CAUSE_BYTES, table.stats()]).toEqual([
      112,
      92,
      { chunks: 1, slots: 64, inUse: 0, retired: 0, bytes: 64 * 112 + 64 + 2048 },
    ])
  })

  test('grow by chunks of 64 to 4096, each announced before its first slot, none ever moved', () => {
    const announced: number[] = []
    const table = new SlotTable({ onGrow: (chunk) => announced.push(chunk) })
    const [first] = table.chunks()
    const seen = new Set<number>()
    for (let i = 0; i < 20_000; i++) {
      const { number } = opened(table.open(LINK))
      expect(number >> 12).toBeLessThanOrEqual(announced.length)
      seen.add(number)
    }
    expect(seen.size).toBe(20_000)
    expect(table.stats()).toMatchObject({ chunks: 10, slots: 64 + 128 + 256 + 512 + 1024 + 2048 + 4 * 4096, inUse: 20_000 })
    expect(announced).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(table.chunks()[0]).toBe(first)
  })

  test('have numbers that are small integers to the engine: others are objects of their own in each slot, handle and view', () => {
    const table = new SlotTable()
    for (let i = 0; i < 200; i++) {
      const slot = opened(table.open(LINK))
      expect(serialize(slot.grant()?.slot).length).toBeLessThan(serialize(0.5).length)
    }
  })

  test('have a limit; beyond it, or without memory, nothing opens until something is given back', () => {
    const poor = { ...sharedMemory, allocate: (bytes: number) => sharedMemory.allocate(bytes > 1e4 + 500 ? 2 ** 60 : bytes) }
    for (const options of [{ limit: 191 }, { memory: poor }]) {
      const table = new SlotTable(options)
      const slots = Array.from({ length: 64 }, () => opened(table.open(LINK)))
      expect(table.open(LINK)).toBeUndefined()
      slots[33]?.end('canceled')
      expect(table.open(LINK)?.number).toBe(33)
      expect(table.open(LINK)).toBeUndefined()
    }
    expect(() => new SlotTable({ memory: { ...sharedMemory, allocate: () => sharedMemory.allocate(2 ** 60) } })).toThrow(
      RangeError,
    )
  })

  test('are used in turn, so they age alike, and are retired after their last generation', () => {
    const { table } = pair({ limit: 64, generations: 3 })
    const uses = new Map<number, number>()
    for (let i = 0; i < 3 * 64; i++) {
      const slot = opened(table.open(LINK))
      expect(slot.generation).toBe(Math.floor(i / 64) + 1)
      uses.set(slot.number, (uses.get(slot.number) ?? 0) + 1)
      slot.end('canceled')
    }
    expect(table.open(LINK)).toBeUndefined()
    expect([...uses.values()]).toEqual(Array.from({ length: 64 }, () => 3))
    expect(table.stats()).toMatchObject({ inUse: 0, retired: 64 })
  })

  test('have a control word for each generation and state, which the 32 bits of shared memory hold as they are, up to the last generation', () => {
    const word = new Int32Array(new SharedArrayBuffer(4))
    for (const generation of [1, 2, MAX_GENERATION - 1, MAX_GENERATION]) {
      for (const state of [FREE, OPEN, CANCELED, EXPIRED, CANCELED | CAUSED, EXPIRED | CAUSED]) {
        const told = control(generation, state)
        Atomics.store(word, 0, told)
        expect(Atomics.load(word, 0)).toBe(told)
        expect([generationOf(told), stateOf(told), told > 0]).toEqual([generation, state, true])
      }
    }
  })

  test('work in their last generation as in any other, and not after it', () => {
    const { table, reader } = pair({ limit: 64 })
    const [buffer = new SharedArrayBuffer(0)] = table.chunks()
    const mem = sharedMemory.view(buffer)
    // As if it had been used as often.
    const slot = new Slot()
    slot.place(table, mem, 5, LINK, MAX_GENERATION - 1, 0)
    expect(slot.generation).toBe(MAX_GENERATION)
    const view = accepted(reader.accept(slot.grant()))
    expect(view.read()).toBe('open')
    slot.end('deadline', Uint8Array.of(1))
    expect(view.read()).toEqual({ kind: 'deadline', cause: inBytes(1) })
    slot.free()
    expect([view.read(), generationOf(mem.load(slotAt(5) + CONTROL))]).toEqual(['stale', MAX_GENERATION])
    expect(reader.accept({ slot: 5, generation: MAX_GENERATION + 1, grant: 1 })).toBe('malformed')
  })

  test('that are given back are found among many that live long: at most every other one in use is waiting for it', () => {
    const { table, accept } = pair()
    const living = Array.from({ length: 1000 }, () => opened(table.open(LINK)))
    for (let i = 0; i < 20_000; i++) {
      const slot = opened(table.open(LINK))
      const view = accept(slot)
      slot.end('canceled')
      view.release()
    }
    expect(table.stats()).toMatchObject({ inUse: living.length, slots: 64 + 128 + 256 + 512 + 1024 + 2048 })
    for (const slot of living) slot.end('canceled')
    expect(table.stats().inUse).toBe(0)
  })
})

test('garbage in RETURNED keeps a slot held, whatever it is, and the next use of the slot heals it', () => {
  const { table } = pair({ limit: 64 })
  const words = new Int32Array(table.chunks()[0] ?? new SharedArrayBuffer(0))
  fc.assert(
    fc.property(fc.integer(), (garbage) => {
      const slot = opened(table.open(LINK))
      // Any number but the one that says "all given back".
      words[slotAt(slot.number) + RETURNED] = garbage === slot.grant()?.grant ? 0 : garbage
      slot.end('canceled')
      expect(table.stats().inUse).toBe(1)
      table.sweep(LINK)
      expect(table.stats().inUse).toBe(0)
    }),
  )
})
