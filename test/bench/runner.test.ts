/** How contenders take turns, and what becomes of those that fail. */
import { expect, test, vi } from 'vitest'
import { compareClocks, ofOneClock, now } from '../../bench/harness/clock.ts'
import { Cannot, type Contender, type Started, type Suite } from '../../bench/harness/model.ts'
import { randomFrom } from '../../bench/harness/random.ts'
import { Reports } from '../../bench/harness/reports.ts'
import { measure, measureCurve } from '../../bench/harness/runner.ts'

const log: string[] = []
const progress = { at: (): void => {} }
const random = randomFrom(1)

function contender(name: string, parts: Partial<Started> = {}): Contender {
  return {
    name,
    kind: 'ours',
    start: () => ({
      prove: () => `${name} was seen`,
      round: (record) => {
        log.push(name)
        record(10)
        record(20)
        record(90)
      },
      close: () => void log.push(`${name} closed`),
      ...parts,
    }),
  }
}

function suiteOf(...contenders: Contender[]): Suite {
  log.length = 0
  return { id: 'x', title: 'X', about: '', unit: 'ns', sample: 'event', rounds: 20, warmUp: 3, contenders: () => contenders }
}

test('each has a turn in each round, in changing order, and the first rounds are not counted', async () => {
  const { results, absent } = await measure(suiteOf(contender('a'), contender('b')), { random, progress })
  expect(absent).toEqual([])
  const turns = log.filter((entry) => !entry.endsWith('closed'))
  const rounds = Array.from({ length: 23 }, (_, i) => turns.slice(2 * i, 2 * i + 2).join(''))
  expect(new Set(rounds)).toEqual(new Set(['ab', 'ba']))
  for (const { count, rounds, p50, proof, name } of results) {
    expect([count, rounds.length, proof]).toEqual([60, 20, `${name} was seen`])
    expect(rounds[0]).toBe(20)
    expect(p50).toBeCloseTo(20, 1)
  }
  expect(log.slice(-2)).toEqual(['a closed', 'b closed'])
})

test('a round of several turns has those of the others in between, and counts as one', async () => {
  const { results } = await measure({ ...suiteOf(contender('a', { turns: 3 }), contender('b')), warmUp: 1 }, { random, progress })
  const turns = log.filter((entry) => !entry.endsWith('closed')).join('')
  expect(turns).toMatch(/^((ab|ba)aa){21}$/)
  expect(results.map(({ count, rounds, first }) => [count, rounds.length, first])).toEqual([
    [180, 20, 20],
    [60, 20, 20],
  ])
})

test('the median of the first round is kept apart, and the other rounds before those that count are not kept', async () => {
  let round = 0
  const settling = contender('settling', {
    round(record) {
      round++
      for (const value of [1, 2, 3]) record(round === 1 ? value * 100 : round <= 3 ? value * 10 : value)
    },
  })
  const { results } = await measure(suiteOf(settling), { random, progress })
  expect(results.map(({ first, rounds }) => [first, new Set(rounds)])).toEqual([[200, new Set([2])]])
  const { results: cold } = await measure({ ...suiteOf(contender('a')), warmUp: 0 }, { random, progress })
  expect(cold[0]).not.toHaveProperty('first')
})

test('rounds that count for nothing, but for the first, are told so, and keep the event loop turning while they wait', async () => {
  const seen: (readonly [warm: boolean | undefined, turning: boolean])[] = []
  const waiting = contender('waiting', {
    async round(record, warm) {
      // Until then an immediate of the turn before still runs.
      await new Promise((resolve) => setTimeout(resolve))
      seen.push([warm, process.getActiveResourcesInfo().includes('Immediate')])
      record(1)
    },
  })
  await measure({ ...suiteOf(waiting), rounds: 2, warmUp: 3 }, { random, progress })
  const [counts, warm] = [[false, false] as const, [true, true] as const]
  expect(seen).toEqual([counts, warm, warm, counts, counts])
  await new Promise((resolve) => setTimeout(resolve))
  expect(process.getActiveResourcesInfo()).not.toContain('Immediate')
})

test('where nobody asks for a number of rounds, events have 8 and means 6, and who asks for a few warms up less', async () => {
  const roundsOf = async (parts: Partial<Suite>, rounds?: number): Promise<readonly [counted: number, taken: number]> => {
    const { rounds: _, ...suite } = suiteOf(contender('a'))
    const { results } = await measure({ ...suite, warmUp: 14, ...parts }, { random, progress, rounds })
    return [results[0]?.rounds.length ?? 0, log.length - 1]
  }
  expect(await roundsOf({})).toEqual([8, 22])
  expect(await roundsOf({ sample: 'mean' })).toEqual([6, 20])
  expect(await roundsOf({ rounds: 3 })).toEqual([3, 17])
  expect(await roundsOf({}, 2)).toEqual([2, 6])
})

test('of the time of each, the share is told that the collector took', async () => {
  const littering = contender('littering', {
    round(record) {
      // Whether the runtime collects by itself depends on what it has learnt of what lives long.
      globalThis.gc?.()
      record(1)
    },
  })
  const { results } = await measure({ ...suiteOf(littering), rounds: 3, warmUp: 1 }, { random, progress })
  expect(results[0]?.gc).toBeGreaterThan(0.01)
  expect(results[0]?.gc).toBeLessThanOrEqual(1)
})

test('before each turn that is kept the young part of the heap is collected', async () => {
  const collected = vi.fn<(how: object) => void>(() => void log.push('gc'))
  // It can be set, but not redefined, as stubGlobal() would.
  const { gc } = globalThis
  globalThis.gc = collected as never
  try {
    await measure({ ...suiteOf(contender('a', { turns: 2 })), rounds: 3, warmUp: 2 }, { random, progress })
  } finally {
    globalThis.gc = gc
  }
  // The first round and three that count, of two turns each; one only warms up.
  expect(log.join(' ')).toBe('gc a gc a a a gc a gc a gc a gc a gc a gc a a closed')
  for (const [options] of collected.mock.calls) expect(options).toEqual({ type: 'minor' })
})

test('what a contender remarks of what it found joins its note', async () => {
  let early = 0
  const remarking = contender('remarking', { remark: () => (early > 0 ? `early ${early} times` : undefined) })
  const noted = { ...remarking, note: 'by hand' }
  const notesOf = async () =>
    (await measure(suiteOf(remarking, noted, contender('a')), { random, progress })).results.map(({ note }) => note)
  expect(await notesOf()).toEqual([undefined, 'by hand', undefined])
  early = 3
  expect(await notesOf()).toEqual(['early 3 times', 'by hand; early 3 times', undefined])
})

test('comparisons of clocks of those that were measured are kept, each once', async () => {
  const of = (between: string) => ({ between, offset: 5, error: 7, samples: 3 })
  const [shared, own, lost] = ['page', 'other', 'lost'].map(of)
  const failing = contender('failing', {
    ...(lost && { clock: lost }),
    round() {
      throw new Error('gone')
    },
  })
  const sharing = ['b', 'c'].map((name) => contender(name, { ...(shared && { clock: shared }) }))
  const all = suiteOf(contender('a'), ...sharing, contender('d', { ...(own && { clock: own }) }), failing)
  expect((await measure(all, { random, progress })).clocks).toEqual([shared, own])
  expect(await measure(suiteOf(contender('a')), { random, progress })).not.toHaveProperty('clocks')
})

test('one whose own test fails is not measured, but shown with the reason, and closed', async () => {
  const lying = contender('lying', {
    prove() {
      throw new Error('nothing was seen')
    },
  })
  const { results, absent } = await measure(suiteOf(contender('a'), lying), { random, progress })
  expect(results.map(({ name }) => name)).toEqual(['a'])
  expect(absent).toEqual([{ name: 'lying', kind: 'ours', cannot: 'Its own test failed: nothing was seen', failed: true }])
  expect(log).toContain('lying closed')
  expect(log).not.toContain('lying')
})

test('one that fails while it is measured takes no other with it', async () => {
  let turns = 0
  const failing = contender('failing', {
    round() {
      if (++turns === 5) throw new Error('the far side is gone')
    },
  })
  const { results, absent } = await measure(suiteOf(failing, contender('a')), { random, progress })
  expect(results.map(({ name, count }) => [name, count])).toEqual([['a', 60]])
  expect(absent).toEqual([
    { name: 'failing', kind: 'ours', cannot: 'It failed while it was measured: the far side is gone', failed: true },
  ])
  expect(turns).toBe(5)
})

test('one that cannot be set up takes no other with it', async () => {
  const broken: Contender = {
    name: 'broken',
    kind: 'peer',
    start() {
      throw new Error('no such module')
    },
  }
  const { results, absent } = await measure(suiteOf(broken, contender('a')), { random, progress })
  expect(results.map(({ name }) => name)).toEqual(['a'])
  expect(absent).toEqual([{ name: 'broken', kind: 'peer', cannot: 'It could not be set up: no such module', failed: true }])
})

test('one whose proof says that this is beyond it has not failed', async () => {
  const limited = contender('limited', {
    prove() {
      throw new Cannot('2,000 at once are too many')
    },
  })
  const { absent } = await measure(suiteOf(limited), { random, progress })
  expect(absent).toEqual([{ name: 'limited', kind: 'ours', cannot: '2,000 at once are too many' }])
})

test('one that cannot is not even started', async () => {
  const { absent } = await measure(suiteOf({ name: 'no', kind: 'peer', cannot: 'for a reason' }), { random, progress })
  expect(absent).toEqual([{ name: 'no', kind: 'peer', cannot: 'for a reason' }])
})

test('a curve has the medians of its points', async () => {
  const asked: number[] = []
  const { lines } = await measureCurve(
    {
      id: 'x',
      title: 'X',
      about: '',
      unit: 'ns',
      axis: 'n',
      expected: 'constant',
      lines: [
        {
          name: 'line',
          points: [1, 10, 100, 100_000],
          expected: 'linear',
          measure(n) {
            asked.push(n)
            // The first of each warms up, but for the last point; one of the others is an outlier.
            return asked.filter((m) => m === n).length === 3 ? 1e9 : n * 5
          },
        },
      ],
    },
    { random, progress, rounds: 12 },
  )
  expect(lines[0]?.points).toEqual([
    [1, 5],
    [10, 50],
    [100, 500],
    [100_000, 500_000],
  ]) // prettier-ignore
  expect(lines[0]).toMatchObject({ growth: 'linear (n^1.00)', expected: 'linear' })
  expect(asked).toHaveLength(23)
})

test('clocks that do not keep step, and readers of one clock that differ, are refused', async () => {
  let pace = 0
  const jumps = (): number => now() + (pace++ < 50 ? 0 : 1_000_000)
  await expect(compareClocks('two clocks', jumps, 100)).rejects.toThrow('The clocks of two clocks do not keep step')
  const apart = await compareClocks('two readers', () => now() + 1_000_000, 100)
  expect(() => ofOneClock(apart)).toThrow('The clocks of two readers are')
  const same = await compareClocks('two readers', now, 100)
  expect(ofOneClock(same)).toBe(same)
})

test('a clock that is ahead is found out, within the error that is stated', async () => {
  const ahead = 5_000_000
  const { offset, error } = await compareClocks('two clocks', () => now() + ahead, 200)
  expect(Math.abs(offset - ahead)).toBeLessThanOrEqual(error + 1)
  expect(error).toBeLessThan(1_000_000)
})

test('reports arrive in order, and one out of order is an error', async () => {
  const reports = new Reports()
  reports.add({ ready: true })
  await reports.ready()
  const seen = reports.seen()
  reports.add({ ready: false, at: 7 })
  expect((await seen).at).toBe(7)
  reports.add({ ready: false, at: 8 })
  await expect(reports.ready()).rejects.toThrow('before it was to come')
  const waiting = reports.seen()
  reports.fail(new Error('gone'))
  await expect(waiting).rejects.toThrow('gone')
  await expect(reports.seen()).rejects.toThrow('gone')
})
