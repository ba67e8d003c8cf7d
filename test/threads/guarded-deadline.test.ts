/** How far the looks at a deadline go by without the clock, where something else guards it. By a clock of the test's own. */
import { expect, test } from 'vitest'
import { Timetable } from '../../lib/clock.ts'
import { GuardedDeadline, type Time } from '../../lib/deadline.ts'
import { createFakeClock } from '../../transports/testing/clock.ts'

/** Due in a second. */
function make(): { deadline: GuardedDeadline; go(ms: number): void; reads(): number } {
  const clock = createFakeClock()
  let [now, reads] = [0, 0]
  const time: Time = new Timetable({ ...clock, now: () => (reads++, now) }, () => undefined)
  return { deadline: new GuardedDeadline(1_000, undefined, time), go: (ms) => (now += ms), reads: () => reads }
}

test('of looks that follow each other quickly ever fewer read the clock, at last every 16th, however many there are', () => {
  const { deadline, go, reads } = make()
  const read: number[] = []
  for (let i = 0; i < 16_000; i++) {
    const before = reads()
    expect(deadline.passed()).toBe(false)
    if (reads() > before) read.push(i)
    go(0.0005)
  }
  expect(read.slice(0, 7)).toEqual([0, 1, 3, 7, 15, 31, 47])
  expect(read.length).toBe(4 + 1_000)
})

test('it is late by no more looks than quick ones came before, and by no more than 15', () => {
  for (let quick = 0; quick < 100; quick++) {
    const { deadline, go } = make()
    for (let i = 0; i < quick; i++) deadline.passed()
    go(1_000)
    let late = 0
    while (!deadline.passed()) late++
    expect(late).toBeLessThanOrEqual(Math.min(15, Math.max(0, quick - 1)))
    expect(deadline.passed()).toBe(true)
  }
})

test('it is not late once who looks has yielded, however many quick looks came before', async () => {
  for (let quick = 0; quick < 100; quick++) {
    const { deadline, go } = make()
    for (let i = 0; i < quick; i++) deadline.passed()
    go(1_000)
    await Promise.resolve()
    expect(deadline.passed()).toBe(true)
  }
})

test('looks that are further apart all read the clock, and none is late', () => {
  const { deadline, go, reads } = make()
  for (let ms = 0; ms < 999; ms++) {
    expect(deadline.passed()).toBe(false)
    go(1)
  }
  expect(reads()).toBe(999)
  go(1)
  expect(deadline.passed()).toBe(true)
})

test('who has been told that nothing is left sees the end at the next look', () => {
  const { deadline, go } = make()
  for (let i = 0; i < 4; i++) deadline.passed()
  go(1_000)
  expect(deadline.passed()).toBe(false)
  expect(deadline.remaining()).toBe(0)
  expect(deadline.passed()).toBe(true)
})
