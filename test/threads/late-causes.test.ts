import { expect, onTestFinished, test, vi } from 'vitest'
import { DATA, type WireCause } from '../../lib/wire/cause.ts'
import { KEPT_FOR, LateCauses, MAX_KEPT } from '../../transports/worker/late.ts'

const text = (length: number): WireCause => [DATA, 'x'.repeat(length)]

test('of causes that nobody has asked for, so many are kept, and they are the last ones', () => {
  const causes = new LateCauses()
  for (let slot = 0; slot < MAX_KEPT + 2; slot++) causes.add(slot, 1, text(200))
  expect([0, 1, 2, MAX_KEPT + 1].map((slot) => causes.get(slot, 1)?.length)).toEqual([undefined, undefined, 2, 2])
  expect(causes.get(2, 2)).toBe(undefined)
})

test('large ones are kept up to 16 MiB in all; one that comes again counts once', () => {
  const causes = new LateCauses()
  for (let slot = 0; slot < 15; slot++) for (const _again of [1, 2, 3]) causes.add(slot, 1, text(1024 * 1024))
  expect(causes.get(0, 1)).toBeDefined()
  for (const slot of [15, 16]) causes.add(slot, 1, text(1024 * 1024))
  expect([0, 1, 2, 16].map((slot) => causes.get(slot, 1) === undefined)).toEqual([true, true, false, false])
})

test('none is kept for longer than the end that it belongs to', () => {
  const now = vi.spyOn(performance, 'now')
  onTestFinished(() => now.mockRestore())
  const causes = new LateCauses()
  now.mockReturnValue(1_000)
  causes.add(1, 1, text(200))
  now.mockReturnValue(2_000)
  causes.add(2, 1, text(200))
  now.mockReturnValue(1_000 + KEPT_FOR)
  causes.expire()
  expect([1, 2].map((slot) => causes.get(slot, 1) === undefined)).toEqual([true, false])
  causes.clear()
  expect(causes.get(2, 1)).toBe(undefined)
})
