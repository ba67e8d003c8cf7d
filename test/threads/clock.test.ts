import { expect, test } from 'vitest'
import { fromShared, toShared } from '../../transports/worker/clock.ts'

test('an instant that goes to the clock of all threads and comes back is later, by less than a millisecond', () => {
  for (const at of [0, 1, performance.now(), 1e6, 1e9]) {
    const later = fromShared(toShared(at)) - at
    expect(later).toBeGreaterThan(1e-4)
    expect(later).toBeLessThan(1)
  }
})
