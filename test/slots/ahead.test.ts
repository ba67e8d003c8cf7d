import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Ahead } from '../../dist/lib/bridge/ahead.js'

test('numbers that come in any order, and more than once, are all received when the last of them is', () => {
  const orders = fc.integer({ min: 1, max: 60 }).chain((most) => fc.array(fc.integer({ min: 1, max: most }), { maxLength: 200 }))
  fc.assert(
    fc.property(orders, (order) => {
      const ahead = new Ahead()
      const came = new Set<number>()
      let received = 0
      for (const number of order) {
        if (number > received) received = ahead.receive(number, received)
        came.add(number)
        let gapless = 0
        while (came.has(gapless + 1)) gapless++
        expect(received).toBe(gapless)
        const beyond = [...came].filter((one) => one > gapless)
        expect(ahead.isEmpty).toBe(beyond.length === 0)
        for (let one = gapless + 1; one <= 61; one++) expect(ahead.has(one)).toBe(came.has(one))
      }
    }),
  )
})
