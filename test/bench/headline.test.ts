/** The picture of the README. */
import { expect, test } from 'vitest'
import { bars } from '../../bench/bars.ts'
import { headlineChart, headlineSvg } from '../../bench/harness/headline.ts'
import { resultOf, runOf, suiteOf } from './runs.ts'

const message = 'It tells by a message, which a loop that does not yield never receives.'
const run = runOf([
  suiteOf(
    'worker/busy',
    [resultOf('ctx.err()', [2_000, 2_100]), resultOf('bare Atomics flag', [1_000], 'limit'), resultOf('not shown', [5])],
    [
      { name: 'transferableAbortSignal', kind: 'platform', cannot: message },
      { name: 'Comlink, handler by hand', kind: 'peer', cannot: 'It failed while it was measured: gone', failed: true },
    ],
  ),
  suiteOf('worker/idle', [resultOf('bare MessagePort, long-lived', [30_000], 'limit')]),
])

test('it shows the median and the tail of each, and that a loop never sees a message', () => {
  const picture = headlineSvg(run)
  for (const text of ['ctxbridge', '2.05 µs', 'limit: a bare Atomics flag', 'transferableAbortSignal', 'never']) {
    expect(picture).toContain(text)
  }
  expect(picture).not.toContain('not shown')
  expect(picture).not.toMatch(/NaN|Infinity|undefined/)
  expect(picture).toContain('prefers-color-scheme:dark')
})

test('a value at the edge of a phone has its label within the picture', () => {
  const apart = suiteOf('worker/busy', [resultOf('ctx.err()', [100_000]), resultOf('bare Atomics flag', [1_050], 'limit')])
  const [, narrow = ''] = headlineChart(runOf([apart])).split('<svg class="narrow"')
  expect(narrow).toMatch(/text-anchor="start">1 µs</)
})

test('one that failed says nothing, and a way without a result of ours is left out', () => {
  const picture = headlineSvg(run)
  expect(picture).not.toContain('Comlink')
  expect(picture).not.toContain('idle')
})

test('all that a bar of these ways compares is shown', () => {
  const compared = bars.filter(({ what: [suite] }) => /^(worker\/(busy|idle)|websocket\/cancel)$/.test(suite))
  expect(compared.map(({ id }) => id)).toEqual([
    'worker-busy',
    'worker-idle',
    'worker-idle-others',
    'worker-idle-own',
    'websocket-cancel',
    'websocket-others',
  ])
  for (const { id, what, against = [] } of compared) {
    for (const [i, [suite, name]] of against.entries()) {
      const picture = headlineSvg(runOf([suiteOf(suite, [resultOf(what[1], [1_000]), resultOf(name, [123_000 + i * 1_000])])]))
      expect(picture, `${id}: ${name}`).toContain(`>${123 + i} µs<`)
    }
  }
})

test('a run without any of these ways has no picture', () => {
  expect(() => headlineSvg(runOf([]))).toThrow(TypeError)
})
