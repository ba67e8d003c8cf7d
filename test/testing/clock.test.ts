/** The fake clock of `ctxbridge/testing`. */
import { createRoot, sleep, withTimeout } from 'ctxbridge'
import { assertNoLeaks, createFakeClock } from 'ctxbridge/testing'
import { expect, test } from 'vitest'

test('timers fire at their instants, in the order of these and then of setting', () => {
  const clock = createFakeClock({ now: 0 })
  const fired: [string, number][] = []
  const set = (name: string, ms: number): unknown => clock.setTimer(() => fired.push([name, clock.now()]), ms, false)
  set('c', 30)
  set('a', 10)
  const never = set('never', 15)
  set('b', 10)
  clock.clearTimer(never)
  clock.advanceSync(29)
  expect([fired, clock.timers, clock.now()]).toEqual([
    [
      ['a', 10],
      ['b', 10],
    ],
    1,
    29,
  ])
  clock.advanceSync(1)
  expect([fired.at(-1), clock.timers]).toEqual([['c', 30], 0])
})

test('what awaits goes on within an advance, and the timers that it sets fire in it', async () => {
  const clock = createFakeClock()
  const root = createRoot({ clock })
  const instants: number[] = []
  const work = (async () => {
    for (let i = 0; i < 3; i++) {
      await sleep(root, 10)
      instants.push(clock.now() - 1_000)
    }
  })()
  await clock.advance(29)
  expect(instants).toEqual([10, 20])
  await clock.advance(1)
  await work
  expect(instants).toEqual([10, 20, 30])
})

test('a blocked time fires nothing before the next advance', () => {
  const clock = createFakeClock()
  let at = 0
  clock.setTimer(() => (at = clock.now()), 5, false)
  clock.block(100)
  expect(at).toBe(0)
  clock.advanceSync(0)
  expect(at).toBe(1_100)
})

test('timers may be early and late, each by its own amount, and a deadline is never early for that', () => {
  const clock = createFakeClock({ early: 0.5, late: () => 2 })
  const ctx = withTimeout(createRoot({ clock }), 10)
  const seen: number[] = []
  ctx.signal.addEventListener('abort', () => seen.push(clock.now() - 1_000))
  clock.advanceSync(30)
  expect(seen).toEqual([11.5])
  clock.late = 0
  const next = withTimeout(createRoot({ clock }), 10)
  next.signal.addEventListener('abort', () => seen.push(clock.now() - 1_030))
  clock.advanceSync(9.9)
  expect(next.err()).toBeUndefined()
  clock.advanceSync(2)
  expect(seen[1]).toBeGreaterThanOrEqual(10)
})

test('another clock of the same time has its own origin, rate and wall', () => {
  const a = createFakeClock({ now: 0 })
  const b = a.another({ now: 500, rate: 2, wall: 0 })
  let fired = 0
  b.setTimer(() => (fired = a.now()), 10, false)
  a.advanceSync(5)
  expect([fired, b.now(), b.wall()]).toEqual([5, 510, 10])
  b.advanceSync(10)
  expect([a.now(), b.now()]).toEqual([10, 520])
  b.setWall(77)
  expect([b.wall(), b.now(), a.timers]).toEqual([77, 520, 0])
})

test('misuse is told at once', () => {
  expect(() => createFakeClock({ now: Number.NaN })).toThrow(
    "createFakeClock() needs its option 'now' to be a number, but got NaN.",
  )
  expect(() => createFakeClock({ rate: 0 })).toThrow("createFakeClock() needs its option 'rate' to be above 0, but got 0.")
  for (const wrong of [1, null, [], 'x']) {
    expect(() => createFakeClock(wrong as never)).toThrow(/^createFakeClock\(\) needs its options to be an object, but got /)
    expect(() => createFakeClock().another(wrong as never)).toThrow(/^another\(\) needs its options to be an object, but got /)
  }
  for (const wrong of [{ rate: -1 }, { rate: 0 }, { rate: Number.NaN }, { early: 'x' }, { now: () => 1 }, { wall: Infinity }]) {
    // Also where it is inherited: it is read in the same way.
    for (const options of [wrong, Object.create(wrong)]) {
      expect(() => createFakeClock(options as never)).toThrow(/^createFakeClock\(\) needs its option '/)
      expect(() => createFakeClock().another(options as never)).toThrow(/^another\(\) needs its option '/)
    }
  }
  expect(() => createFakeClock().setWall(Number.NaN)).toThrow('setWall() needs a number of milliseconds since 1970, but got NaN.')
  expect(() => createFakeClock().advanceSync(-1)).toThrow(TypeError)
  expect(() => createFakeClock().setTimer(() => undefined, 0, false)).toThrow(RangeError)
  expect(() => assertNoLeaks({} as never)).toThrow(TypeError)
})
