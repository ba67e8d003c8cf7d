/** The table of what is open: a map from ids that only grow. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { LinkTable } from '../../lib/bridge/link-table.ts'

/** Adds an id that is so much above the last one, or takes out one of those that were added. */
const step = fc.oneof(
  fc.record({ add: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 2 ** 40 })) }),
  fc.record({ take: fc.nat() }),
)

test('a table says what a map would, whatever is added and taken out', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const table = new LinkTable<string>()
      const map = new Map<number, string>()
      const ids: number[] = [0]
      for (const one of steps) {
        const id = 'add' in one ? (ids.at(-1) as number) + one.add : (ids[one.take % ids.length] as number)
        if ('add' in one) {
          ids.push(id)
          table.add(id, `value ${id}`)
          map.set(id, `value ${id}`)
        } else {
          table.delete(id)
          map.delete(id)
        }
        expect([table.size, table.get(id), table.get(id + 1), table.get(id - 1)]).toEqual([
          map.size,
          map.get(id),
          map.get(id + 1),
          map.get(id - 1),
        ])
      }
      expect(ids.map((id) => table.get(id))).toEqual(ids.map((id) => map.get(id)))
      expect(table.all()).toEqual([...map.values()])
    }),
  )
})

test('a table that was emptied takes ids of the largest that there are', () => {
  const table = new LinkTable<number>()
  for (const id of [1, 2 ** 31, 2 ** 53 - 2, 2 ** 53 - 1]) {
    table.add(id, id)
    expect(table.get(id)).toBe(id)
    if (id < 2 ** 53 - 2) table.delete(id)
  }
  expect(table.all()).toEqual([2 ** 53 - 2, 2 ** 53 - 1])
})
