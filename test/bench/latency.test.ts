/** What a latency is counted from, and what a proof believes. */
import { expect, test } from 'vitest'
import { cost } from '../../bench/cases/cost.ts'
import { latency, pause } from '../../bench/cases/latency.ts'
import { late } from '../../bench/cases/thread.ts'
import { scheduled } from '../../bench/cases/websocket.ts'
import { now } from '../../bench/harness/clock.ts'
import { type Report, Reports } from '../../bench/harness/reports.ts'

const ms = 1e6

/** A far side in this thread, which sees what it is told to. */
function near(see: (cause: string) => Partial<Extract<Report, { ready: false }>>) {
  const reports = new Reports()
  return {
    reports,
    arm() {
      reports.add({ ready: true })
      return (cause: string) => reports.add({ ready: false, at: now(), ...see(cause) })
    },
  }
}

const carries = { name: 'AbortError', cause: 'proof' }
const started = (see: Parameters<typeof near>[0]) =>
  latency({ name: 'x', kind: 'ours', carries, samples: 10, start: () => near(see) }).start?.()

test('a latency counts from the act, and not from the pause before it, to the reading of the far side', async () => {
  let time = 0
  const clock = (): number => (time += 1_000)
  const its = await latency({
    name: 'x',
    kind: 'ours',
    carries,
    samples: 10,
    clock,
    start: () => near((cause) => ({ name: 'AbortError', cause, at: time + 5 * ms })),
  }).start?.()
  expect(await its?.prove()).toBe('seen as AbortError, cause: proof')
  const values: number[] = []
  await its?.round((value) => values.push(value))
  // 10 samples in five turns.
  expect(values).toEqual([5 * ms, 5 * ms])
  const sooner = await started((cause) => ({ name: 'AbortError', cause, at: 1 }))
  await expect(sooner?.prove()).rejects.toThrow('before it happened')
})

test('between ready and act some random time passes, 60 to 260 us, so that no period of either side is met in step; in a warm-up none', async () => {
  const step = 1_000
  let time = 0
  const clock = (): number => (time += step)
  const pauses = Array.from({ length: 500 }, () => {
    const before = time
    pause(clock)
    // Two readings of the clock are its own: the first, and the one that ends it.
    return (time - before) / 1_000 - 2
  })
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(58)
  expect(Math.max(...pauses)).toBeLessThanOrEqual(260)
  // As many in each quarter, but for chance.
  for (let from = 60; from < 260; from += 50) {
    expect(pauses.filter((one) => one >= from && one < from + 50).length).toBeGreaterThan(60)
  }

  let readyAt = 0
  const waited: number[] = []
  const reports = new Reports()
  const its = await latency({
    name: 'x',
    kind: 'ours',
    samples: 20,
    clock,
    start: () => ({
      reports,
      arm() {
        reports.add({ ready: true })
        readyAt = time
        return () => {
          waited.push((time - readyAt) / 1_000)
          reports.add({ ready: false, at: time })
        }
      },
    }),
  }).start?.()
  await its?.round(() => {})
  expect(waited).toHaveLength(4)
  expect(waited.every((us) => us >= 60 && us <= 263)).toBe(true)
  await its?.round(() => {}, true)
  expect(waited.slice(4)).toEqual([1, 1, 1, 1])
})

test('a proof takes no other error and no other cause', async () => {
  await expect((await started(() => ({})))?.prove()).rejects.toThrow('The far side saw the name undefined and not AbortError.')
  const lost = await started(() => ({ name: 'AbortError', cause: 'connection lost' }))
  await expect(lost?.prove()).rejects.toThrow('The far side saw the cause connection lost and not proof.')
})

test('by a schedule each event counts from the instant at which it was due, also when the near side was too late to begin it', async () => {
  const reports = new Reports()
  let acts = 0
  const its = scheduled(
    { reports, close: async () => {} },
    async () => (cause) => {
      // The first one of a round stalls this thread for so long that ten others become due.
      const stall = now() + 20 * ms
      if (acts++ === 1) while (now() < stall);
      reports.add({ ready: false, at: now(), name: 'AbortError', cause: String(cause) })
    },
    () => {},
    'seen as AbortError, cause: proof',
  )
  expect(await its.prove()).toBe('seen as AbortError, cause: proof')
  const values: number[] = []
  await its.round((value) => values.push(value))
  expect(values).toHaveLength(250)
  const [stalled = 0, second = 0, fifth = 0] = [values[0], values[1], values[4]]
  expect([stalled >= 20 * ms, second >= 18 * ms, fifth >= 12 * ms]).toEqual([true, true, true])
})

test('by a schedule, too, a proof takes no other error', async () => {
  const reports = new Reports()
  const arm = async () => () => reports.add({ ready: false, at: now(), name: 'AbortError', cause: 'connection lost' })
  const its = scheduled({ reports, close: async () => {} }, arm, () => {}, 'seen as AbortError, cause: proof')
  await expect(its.prove()).rejects.toThrow('and not "seen as AbortError, cause: connection lost"')
})

test('a cost is that of one operation: what a batch took, through how many it was of', async () => {
  const batches: [n: number, took: number][] = []
  const contender = cost({
    name: 'x',
    kind: 'ours',
    prove: () => 'it does it',
    per: 2,
    loop(n) {
      const before = now()
      while (now() < before + n * 1_000);
      batches.push([n, now() - before])
    },
  })
  const its = await contender.start?.()
  expect(await its?.prove()).toBe('it does it')
  batches.length = 0
  const values: number[] = []
  await its?.round((value) => values.push(value))
  expect(values).toHaveLength(20)
  const counted = batches.slice(-20)
  for (const [, took] of counted) expect(took).toBeGreaterThanOrEqual(500_000)
  // Half of what a turn of the loop took, and the reading of the clock around it; but for one that the system stopped in between.
  const right = counted.filter(([n, took], i) => {
    const value = values[i] ?? 0
    return value >= took / n / 2 && value < took / n
  })
  expect(right.length).toBeGreaterThan(10)
})

test('a deadline counts from its own instant: what delays several is in each of them, and whoever was not there in time has nothing to say', async () => {
  const its = await late('x', 'ours', () => ({
    all: async (due) => {
      const end = (due[9] as number) + 20 * ms
      return due.map((due, i) => ({ due, from: i === 11 ? due + 1 : 0, at: i < 10 ? end : due + 1 }))
    },
  })).start?.()
  const values: number[] = []
  await its?.round((value) => values.push(value))
  expect(values).toHaveLength(134)
  expect(values.slice(0, 10).every((value, i) => value >= 20 * ms + (9 - i) * 0.3 * ms)).toBe(true)
  expect(values.slice(10).every((value) => Math.abs(value - 1) < 0.01)).toBe(true)
  expect(its?.remark?.()).toBe('1 were due before the far side was there, warm-up included, and do not count')
})

test('a deadline that is early is an error, and counts as 0 only for who may be early', async () => {
  const early = (mayBeEarly: boolean) =>
    late('x', 'ours', () => ({ all: async (due) => due.map((due) => ({ due, from: 0, at: due - 1 })) }), mayBeEarly).start?.()
  await expect((await early(false))?.prove()).rejects.toThrow('it was never early, but it was')
  const values: number[] = []
  await (await early(true))?.round((value) => values.push(value))
  expect(new Set(values)).toEqual(new Set([0]))
})
