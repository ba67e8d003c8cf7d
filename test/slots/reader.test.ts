import { runInNewContext } from 'node:vm'
import * as fc from 'fast-check'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import {
  bellAt,
  CAUSE,
  CAUSED,
  CAUSE_BYTES,
  CONTROL,
  control,
  FREE,
  GLANCES,
  GRANTED,
  OPEN,
  RETURNED,
  RING,
  SLOT_BYTES,
  slotAt,
} from '../../lib/bridge/slot-memory.ts'
import { SlotReader } from '../../lib/bridge/slot-reader.ts'
import { SlotView } from '../../lib/bridge/slot-view.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import type { Slot, SlotHandle } from '../../lib/bridge/slot.ts'

const LINK = 3
const WORDS = SLOT_BYTES / Int32Array.BYTES_PER_ELEMENT

function setup(): { table: SlotTable; chunk: SharedArrayBuffer; words: Int32Array; reader: SlotReader } {
  const table = new SlotTable({ id: 5 })
  const reader = new SlotReader({ table: 5, link: LINK })
  const [chunk = new SharedArrayBuffer(0)] = table.chunks()
  expect(reader.attach(0, chunk)).toBeUndefined()
  return { table, chunk, words: new Int32Array(chunk), reader }
}

function granted(slot: Slot | undefined): SlotHandle {
  const handle = slot?.grant()
  if (handle === undefined) throw new Error('no handle')
  return handle
}

function accepted(view: SlotView | string): SlotView {
  if (typeof view === 'string') throw new Error(`refused: ${view}`)
  return view
}

describe('a chunk', () => {
  test('is attached once; the same one again changes nothing, another one under its number is refused', () => {
    const { chunk, reader } = setup()
    expect(reader.attach(0, chunk)).toBeUndefined()
    expect(reader.attach(0, new SlotTable({ id: 5 }).chunks()[0])).toBe('foreign')
  })

  test('of another table, of another number, or cut off is refused', () => {
    const { chunk } = setup()
    expect(new SlotReader({ table: 6, link: LINK }).attach(0, chunk)).toBe('foreign')
    expect(new SlotReader({ table: 5, link: LINK }).attach(1, chunk)).toBe('foreign')
    const short = new SharedArrayBuffer(chunk.byteLength - 128)
    new Int32Array(short).set(new Int32Array(chunk).subarray(0, short.byteLength / 4))
    expect(new SlotReader({ table: 5, link: LINK }).attach(0, short)).toBe('foreign')
  })

  test('that is none is refused', () => {
    const { chunk, reader } = setup()
    const Growable = SharedArrayBuffer as unknown as new (bytes: number, options: { maxByteLength: number }) => SharedArrayBuffer
    const growable = new Growable(chunk.byteLength, { maxByteLength: 2 * chunk.byteLength })
    for (const buffer of [
      undefined,
      null,
      0,
      {},
      new ArrayBuffer(128),
      new SharedArrayBuffer(0),
      new SharedArrayBuffer(129),
      growable,
      { [Symbol.toStringTag]: 'SharedArrayBuffer', byteLength: 128 },
      Object.create(SharedArrayBuffer.prototype),
      new Proxy(new SharedArrayBuffer(128), {}),
    ]) {
      expect(reader.attach(1, buffer)).toBe('malformed')
    }
    for (const number of [-1, 0.5, Number.NaN, '0', 2 ** 16, undefined, 1n])
      expect(reader.attach(number, chunk)).toBe('malformed')
    expect(reader.stats()).toEqual({ chunks: 1, views: 0 })
  })
})

test('a chunk is one whichever realm made it', () => {
  const { chunk } = setup()
  const reader = new SlotReader({ table: 5, link: LINK })
  const foreign = runInNewContext(`new SharedArrayBuffer(${chunk.byteLength})`) as SharedArrayBuffer
  new Int32Array(foreign).set(new Int32Array(chunk))
  expect(foreign).not.toBeInstanceOf(SharedArrayBuffer)
  expect(reader.attach(0, foreign)).toBeUndefined()
})

describe('a handle', () => {
  test('that was made for the link is accepted, whatever else the message has', () => {
    const { table, reader } = setup()
    expect(reader.accept({ ...granted(table.open(LINK)), more: 1 })).toBeInstanceOf(SlotView)
  })

  test('is refused when it is of another link, of a chunk that is not attached, stale, or was never granted', () => {
    const { table, reader } = setup()
    const handle = granted(table.open(LINK))
    expect(reader.accept(granted(table.open(LINK + 1)))).toBe('foreign')
    expect(reader.accept({ ...handle, slot: 4096 })).toBe('unknown')
    expect(reader.accept({ ...handle, generation: 2 })).toBe('stale')
    expect(reader.accept({ ...handle, slot: 9 })).toBe('stale')
    expect(reader.accept({ ...handle, grant: 2 })).toBe('spent')
    expect(reader.stats().views).toBe(0)
    expect(reader.accept(handle)).toBeInstanceOf(SlotView)
  })

  test('is refused when its context is over and the slot is free, or serves another', () => {
    const { table, reader } = setup()
    const handle = granted(table.open(LINK))
    table.sweep(LINK)
    expect(reader.accept(handle)).toBe('stale')
    while (table.open(LINK)?.number !== handle.slot) table.sweep(LINK)
    expect(reader.accept(handle)).toBe('stale')
  })

  test('is refused when it was given back, and is no second hold while it is not', () => {
    const { table, reader } = setup()
    const slot = table.open(LINK)
    const handle = granted(slot)
    const view = accepted(reader.accept(handle))
    expect(reader.accept(handle)).toBe(view)
    expect([view.release(), slot?.returned, view.release(), slot?.returned]).toEqual([false, false, true, true])
    expect(reader.accept(handle)).toBe('spent')
    expect(slot?.returned).toBe(true)
  })

  test('of any form throws nothing and gives a view only where it is the right one', () => {
    const { table, reader } = setup()
    const handle = granted(table.open(LINK))
    const part = fc.oneof(
      fc.integer({ min: -2, max: 70 }),
      fc.integer(),
      fc.double(),
      fc.constant(2 ** 31),
      fc.bigInt(),
      fc.string(),
    )
    const forged = fc.oneof(fc.anything(), fc.record({ slot: part, generation: part, grant: part }, { requiredKeys: [] }))
    fc.assert(
      fc.property(forged, (data) => {
        const view = reader.accept(data)
        if (typeof view === 'string') return
        expect(data).toMatchObject(handle)
        view.release()
      }),
    )
    for (const odd of [
      { ...handle, generation: 0 },
      { ...handle, grant: 0 },
      { ...handle, slot: 64 },
      { ...handle, slot: 2 ** 31 },
    ]) {
      expect(reader.accept(odd)).toBe('malformed')
    }
  })
})

describe('handles of one slot', () => {
  test('may overtake each other: the slot is held until the last has come and gone', () => {
    const { table, reader } = setup()
    const slot = table.open(LINK)
    const [first, second, third] = [granted(slot), granted(slot), granted(slot)]
    expect(accepted(reader.accept(third)).release()).toBe(true)
    expect(accepted(reader.accept(second)).release()).toBe(true)
    expect([slot?.returned, reader.accept(second), reader.accept(third)]).toEqual([false, 'spent', 'spent'])
    expect(accepted(reader.accept(first)).release()).toBe(true)
    expect([slot?.returned, reader.stats().views]).toEqual([true, 0])
  })

  test('that have not come when the slot is given up are refused, unless it is imported then', () => {
    const { table, reader } = setup()
    const slot = table.open(LINK)
    const [first, second] = [granted(slot), granted(slot)]
    const view = accepted(reader.accept(second))
    expect(slot?.giveUp()).toBe(false)
    slot?.end('canceled')
    expect([slot?.giveUp(), slot?.returned]).toEqual([false, false])
    view.release()
    expect([slot?.returned, slot?.giveUp(), slot?.returned, reader.accept(first)]).toEqual([false, true, true, 'spent'])
    expect([table.stats().inUse, slot?.giveUp(), reader.accept(first)]).toEqual([0, false, 'stale'])
  })

  test('may be overtaken by any number that follow each other', () => {
    const { table, reader } = setup()
    const slot = table.open(LINK)
    const first = granted(slot)
    for (let i = 0; i < 5_000; i++) accepted(reader.accept(granted(slot))).release()
    expect([slot?.returned, reader.stats().views]).toEqual([false, 1])
    accepted(reader.accept(first)).release()
    expect([slot?.returned, reader.stats().views, reader.accept(first)]).toEqual([true, 0, 'spent'])
  })

  test('that nobody imports do not cost more and more, nor make later ones unusable', () => {
    const { table, reader } = setup()
    const slot = table.open(LINK)
    const lost: unknown[] = []
    for (let i = 0; i < 1_024; i++) {
      lost.push(granted(slot))
      accepted(reader.accept(granted(slot))).release()
    }
    expect([slot?.returned, reader.stats().views]).toEqual([false, 1])
    lost.push(granted(slot))
    accepted(reader.accept(granted(slot))).release()
    expect(reader.accept(lost[0])).toBe('spent')
    // All but that one may still come.
    for (const handle of lost.slice(1)) accepted(reader.accept(handle)).release()
    expect([slot?.returned, reader.stats().views]).toEqual([true, 0])
  })
})

test('find gives the view of a slot that a message names, only in its own generation', () => {
  const { table, reader } = setup()
  const handle = granted(table.open(LINK))
  expect(reader.find(handle.slot, handle.generation)).toBeUndefined()
  const view = accepted(reader.accept(handle))
  expect(reader.find(handle.slot, handle.generation)).toBe(view)
  expect(reader.find(handle.slot, handle.generation + 1)).toBeUndefined()
  view.release()
  expect(reader.find(handle.slot, handle.generation)).toBeUndefined()
})

describe('what has rung', () => {
  function rings(count: number): { views: SlotView[]; slots: Slot[]; reader: SlotReader; table: SlotTable; words: Int32Array } {
    const { table, reader, words } = setup()
    const slots = Array.from({ length: count }, () => table.open(LINK) as Slot)
    return { views: slots.map((slot) => accepted(reader.accept(granted(slot)))), slots, reader, table, words }
  }

  test('is named, as long as the ring holds it, and nothing else is looked at', () => {
    const { views, slots, reader, table } = rings(20)
    const seen = reader.bell() ?? 0
    expect(reader.rungSince(seen)).toEqual([])
    slots[3]?.end('canceled')
    slots[17]?.end('canceled')
    table.open(LINK + 32)?.end('canceled')
    expect(reader.rungSince(seen)).toEqual([views[3], views[17]])
    expect(reader.rungSince((reader.bell() ?? 0) - 1)).toEqual([])
  })

  test('is looked for everywhere when the ring cannot name all of it, and when the link was swept', () => {
    const { views, slots, reader, table } = rings(RING + 2)
    const seen = reader.bell() ?? 0
    for (let i = 0; i < RING - 1; i++) slots[i]?.end('canceled')
    expect(reader.rungSince(seen)).toEqual(views.slice(0, RING - 1))
    slots[RING - 1]?.end('canceled')
    expect(reader.rungSince(seen)).toEqual(views)
    const before = reader.bell() ?? 0
    table.sweep(LINK)
    expect(reader.rungSince(before)).toEqual(views)
  })

  test('is told also when the count wraps', () => {
    const { views, slots, reader, words } = rings(4)
    words[bellAt(LINK)] = 2 ** 31 - 2
    const seen = reader.bell() ?? 0
    for (const slot of slots) slot.end('canceled')
    expect(reader.rungSince(seen)).toEqual(views)
    expect(reader.bell()).toBe(-(2 ** 31) + 2)
    expect(reader.rungSince(-(2 ** 31))).toEqual(views.slice(2))
  })
})

test('what an owner left open at its death is gone for all who had it, on whichever link, and what had ended is as it was', () => {
  const table = new SlotTable({ id: 5 })
  const links = [LINK, LINK + 1]
  const readers = links.map((link) => new SlotReader({ table: 5, link }))
  const slots = Array.from({ length: 70 }, (_, i) => table.open(links[i % 2] ?? 0))
  const chunks = table.chunks()
  expect(chunks).toHaveLength(2)
  const maker = new SlotReader({ table: 5, link: 9 })
  for (const reader of [...readers, maker]) chunks.forEach((chunk, i) => expect(reader.attach(i, chunk)).toBeUndefined())
  const handles = slots.map((slot) => granted(slot))
  const views = handles.map((handle, i) => accepted(readers[i % 2]?.accept(handle) ?? ''))
  slots[2]?.end('canceled')
  slots[67]?.end('deadline')
  const seen = readers.map((reader) => reader.bell() ?? 0)
  const before = new Int32Array(chunks[1] ?? new SharedArrayBuffer(0)).slice(-2 * WORDS)
  for (let times = 0; times < 2; times++) {
    maker.ownerDied()
    const ends = views.map((view) => view.read())
    expect(ends.splice(67, 1).concat(ends.splice(2, 1))).toEqual([{ kind: 'deadline' }, { kind: 'canceled' }])
    expect(new Set(ends)).toEqual(new Set(['stale']))
    expect(views.filter((view) => view.isOpen())).toEqual([])
    readers.forEach((reader, i) => expect(reader.rungSince(seen[i] ?? 0)).toEqual(reader.views()))
    for (const reader of readers) expect(handles[0] && reader.accept(handles[0])).toBe('stale')
  }
  expect(new Int32Array(chunks[1] ?? new SharedArrayBuffer(0)).slice(-2 * WORDS)).toEqual(before)
})

describe('garbage in the memory', () => {
  test('is told from a slot that an owner wrote', () => {
    const { table, words, reader } = setup()
    const slot = table.open(LINK)
    const handle = granted(slot)
    const at = slotAt(handle.slot)
    const during = (word: number, value: number): unknown => {
      const before = words[at + word] ?? 0
      words[at + word] = value
      const refusal = reader.accept(handle)
      words[at + word] = before
      return refusal
    }
    expect(during(CONTROL, -1)).toBe('stale')
    expect(during(CONTROL, control(handle.generation, OPEN) | (1 << 31))).toBe('stale')
    expect(during(CONTROL, control(handle.generation, FREE))).toBe('stale')
    expect(during(RETURNED, -1)).toBe('corrupt')
    expect(during(RETURNED, 2)).toBe('corrupt')
    expect(during(GRANTED, -1)).toBe('spent')
    const view = accepted(reader.accept(handle))
    slot?.end('canceled', Uint8Array.of(1))
    words[at + CAUSE] = 101
    expect(view.read()).toBe('corrupt')
    words[at + CAUSE] = -1
    expect(view.read()).toBe('corrupt')
    words[at + CAUSE] = 1
    expect(view.read()).toEqual({ kind: 'canceled', cause: { bytes: Uint8Array.of(1), shortened: false } })
    for (const garbage of [-1, 0, control(handle.generation, OPEN | CAUSED), control(handle.generation, CAUSED)]) {
      words.fill(garbage)
      expect(view.read()).toBe('corrupt')
    }
    for (const free of [control(handle.generation, FREE), control(handle.generation + 1, OPEN)]) {
      words.fill(free)
      expect(view.read()).toBe('stale')
    }
  })

  test('of any kind throws nothing, and costs nobody else a slot', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(WORDS - 1), fc.oneof(fc.integer(), fc.nat(300)))), fc.nat(3), (writes, moment) => {
        const { table, words, reader } = setup()
        const slot = table.open(LINK)
        const other = table.open(LINK)
        const handle = granted(slot)
        const foul = (now: number): void => {
          if (now === moment) for (const [word, value] of writes) words[slotAt(handle.slot) + word] = value
        }
        foul(0)
        const view = reader.accept(handle)
        foul(1)
        const looked = view instanceof SlotView ? [view.isOpen()] : []
        slot?.end('deadline', Uint8Array.of(1, 2))
        foul(2)
        const end = view instanceof SlotView ? view.read() : view
        const cause = typeof end === 'string' ? undefined : end.cause
        const length = typeof cause === 'object' ? cause.bytes.length : (cause?.length ?? 0)
        expect([looked.length, length <= CAUSE_BYTES]).toEqual([view instanceof SlotView ? 1 : 0, true])
        if (view instanceof SlotView) view.release()
        foul(3)
        other?.end('canceled')
        expect(table.stats().inUse).toBeLessThanOrEqual(1)
        table.sweep(LINK)
        expect(table.stats()).toMatchObject({ inUse: 0, retired: 0 })
      }),
    )
  })
})

test('whoever looks at slots in a loop, at one or at several in turn, loads each of them atomically again and again', () => {
  const { table, reader } = setup()
  const views = Array.from({ length: 4 }, () => accepted(reader.accept(granted(table.open(LINK)))))
  const loads = vi.spyOn(Atomics, 'load')
  onTestFinished(() => loads.mockRestore())
  for (const some of [views.slice(0, 1), views.slice(0, 2), views]) {
    const loaded = (): unknown[] => loads.mock.calls.map(([, at]) => at)
    for (let round = 0; round < 3; round++) {
      loads.mockClear()
      for (let look = 0; look < GLANCES; look++) for (const view of some) view.isOpen()
      expect(new Set(loaded())).toEqual(new Set(some.map((view) => slotAt(view.slot) + CONTROL)))
      expect(loaded()).toHaveLength(some.length)
    }
  }
})
