/** What README and docs/performance.md quote is what the committed run found. A new run asks for new figures there, and this says which. */
import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { failuresOf } from '../../bench/harness/model.ts'
import { readRun } from '../../bench/run-file.ts'

const root = new URL('../../', import.meta.url)
const text = (path: string): string => readFileSync(new URL(path, root), 'utf8')
const name = /^\| `(\S+)` \|/m.exec(text('bench/results/README.md'))?.[1] ?? ''
const run = readRun(new URL(`bench/results/${name}.json`, root).pathname, 'this test')
const readme = text('README.md').replace(/\s+/g, ' ')
const performance = text('docs/performance.md')

function p50(suite: string, contender: string): number {
  const found = run.suites.find(({ id }) => id === suite)?.results.find((result) => result.name === contender)
  if (found === undefined) throw new Error(`The run has no ${contender} in ${suite}.`)
  return found.p50
}

function bar(id: string): number {
  const found = run.bars.find((one) => one.id === id)?.measured
  if (found === undefined) throw new Error(`The run has no bar ${id}.`)
  return found
}

/** A number that a text has in its place, and what it must be: this value, to as many places. */
function quoted(where: string, pattern: RegExp, value: number): [found: string | undefined, wanted: string] {
  const found = pattern.exec(where)?.[1]?.replaceAll(',', '')
  return [found, value.toFixed(found?.split('.')[1]?.length ?? 0)]
}

test('the run that is quoted is whole: with all others beside ours, and nothing that failed', () => {
  expect(failuresOf(run)).toEqual([])
  expect(run.bars.filter(({ met }) => met === undefined)).toEqual([])
})

test('the README shows and links that run', () => {
  for (const ending of ['json', 'svg']) {
    expect(existsSync(new URL(`bench/results/${name}.${ending}`, root))).toBe(true)
    expect(readme).toContain(`(bench/results/${name}.${ending})`)
  }
})

test.for([
  [/in another process \| after ([\d.]+) times what a bare `ws` frame takes/, () => bar('websocket-cancel')],
  [/10,000 calls under one context end \| ([\d.]+) times faster than as many bare frames cross/, () => bar('websocket-parent')],
  [/piscina does its next job after one was cancelled \| ([\d.]+) times sooner/, () => bar('pool-piscina')],
  [/the same for tinypool \| ([\d.]+) times sooner/, () => bar('pool-tinypool')],
  [/a call to a worker \| with a context: ([\d.]+) times as long \| as one of Comlink without/, () => bar('worker-call')],
  [/to make and end a context \| ([\d.]+) ns/, () => p50('core/cancel', 'withCancel(p), disposed in finally')],
  [/with `finally`; ([\d.]+) ns with `using`/, () => p50('core/cancel', 'using ctx = withCancel(p), compiled for Node 20')],
  [/\| Go: ([\d.]+) ns/, () => p50('core/cancel', "Go's WithCancel")],
  [/a loop in a worker sees a cancel \| after ([\d.]+) us/, () => p50('worker/busy', 'ctx.err()') / 1_000],
  [/; ([\d.]+) us with a deadline/, () => p50('worker/busy', 'ctx.err(), with a deadline') / 1_000],
  [/us with a deadline, ([\d.]+) us with a cause/, () => p50('worker/busy', 'ctx.err(), with a cause') / 1_000],
  [
    /vscode-jsonrpc, whose shared flag has neither cause nor deadline: ([\d.]+) us/,
    () => p50('worker/busy', 'vscode-jsonrpc, shared memory') / 1_000,
  ],
  [/a bare flag: ([\d.]+) us/, () => p50('worker/busy', 'bare Atomics flag') / 1_000],
  [/listener in an idle worker runs \| after ([\d.]+) us/, () => p50('worker/idle', "ctx.signal, 'abort' listener") / 1_000],
  [/`transferableAbortSignal`, which has no reason: ([\d.]+) us/, () => p50('worker/idle', 'transferableAbortSignal') / 1_000],
  [
    /a bare message that ends in such a listener: ([\d.]+) us/,
    () => p50('worker/idle', "bare MessagePort, long-lived, to an 'abort' listener") / 1_000,
  ],
  [/has set itself (\d+) bars/, () => run.bars.length],
  [/of which this run meets (\d+)/, () => run.bars.filter(({ met }) => met).length],
] as const)('the README quotes %s', ([pattern, value]) => {
  const [found, wanted] = quoted(readme, pattern, value())
  expect(found).toBe(wanted)
})

test('what a context takes is in the README to the nearest ten bytes', () => {
  const tens = (contender: string): string => String(10 * Math.round(p50('core/bytes', contender) / 10))
  const [, plain, timed] = /some (\d+) bytes for a context that nobody observes, (\d+) with a deadline/.exec(readme) ?? []
  expect([plain, timed]).toEqual([tens('withCancel(p)'), tens('withTimeout(p, ms)')])
})

test('"sooner than with any other library" is what the run found', () => {
  expect(readme).toContain('sooner than with any other library measured')
  expect(bar('websocket-others')).toBeLessThan(1)
})

/** A number with its unit; times in ns. */
function numberIn(cell: string): [value: number, places: number, scale: number] {
  const [, digits = '', unit] = /([\d.,]+)( us)?/.exec(cell) ?? []
  const scale = unit === undefined ? 1 : 1_000
  return [Number(digits.replaceAll(',', '')), digits.split('.')[1]?.length ?? 0, scale]
}

test('docs/performance.md lists each bar with what was asked for and measured, those that are met and those that are missed', () => {
  const [, stands = ''] = performance.split('## Where it stands\n')
  const [met = '', missed = ''] = stands.split("\nIn that run Go's")[0]?.split(/^and misses (?=\d)/m) ?? []
  for (const [section, wanted] of [
    [met, true],
    [missed, false],
  ] as const) {
    const rows = section
      .split('\n')
      .flatMap((line) => (/^\| (?!bar)\S/.test(line) ? [line.split('|').map((cell) => cell.trim())] : []))
    const bars = run.bars.filter((one) => one.met === wanted)
    expect(rows).toHaveLength(bars.length)
    for (const [i, { id, bar: words, measured = Number.NaN }] of bars.entries()) {
      const [, , asked = '', found = ''] = rows[i] ?? []
      const [least, , unit] = numberIn(asked)
      expect(least * unit, id).toBe(numberIn(words)[0])
      const [value, places, scale] = numberIn(found)
      expect(value.toFixed(places), id).toBe((measured / scale).toFixed(places))
    }
  }
  for (const [pattern, value] of [
    [/Of the (\d+) the \[committed run\]/, run.bars.length],
    [/\(\.\.\/bench\/results\/README\.md\) meets (\d+)/, run.bars.filter(({ met }) => met).length],
    [/^and misses (\d+)/m, run.bars.filter(({ met }) => met === false).length],
  ] as const) {
    const [found, wanted] = quoted(performance, pattern, value)
    expect(found, String(pattern)).toBe(wanted)
  }
})

const signal = 'withTimeout(p, ms).signal'
const platformSignal = 'AbortSignal.any([p, AbortSignal.timeout(ms)])'
const idleLimit = (): number =>
  Math.min(
    ...(run.suites.find(({ id }) => id === 'worker/idle')?.results ?? [])
      .filter(
        ({ kind, name: of }) => kind === 'limit' && of.startsWith('bare') && !of.includes(' to an ') && !of.includes('same job'),
      )
      .map((one) => one.p50),
  )

test.for([
  [/sees our cancel after ([\d.]+) times what a bare Atomics flag takes/, () => bar('worker-busy')],
  [
    /the flag itself takes ([\d.]+) times what it takes alone/,
    () => p50('worker/busy', 'bare Atomics flag, in the same job') / p50('worker/busy', 'bare Atomics flag'),
  ],
  [
    /listener is at ([\d.]+) times the best bare primitive \(missed\)/,
    () => p50('worker/idle', "ctx.signal, 'abort' listener") / idleLimit(),
  ],
  [
    /that aborts a signal of the platform's is at ([\d.]+) times/,
    () => p50('worker/idle', "bare MessagePort, long-lived, to an 'abort' listener") / idleLimit(),
  ],
  [
    /a bare `waitAsync` that does at ([\d.]+) times/,
    () => p50('worker/idle', "bare Atomics.waitAsync, to an 'abort' listener") / idleLimit(),
  ],
  [
    /cancels a context of the worker's own at ([\d.]+) times/,
    () => p50('worker/idle', "the same, to an 'abort' listener of a context there") / idleLimit(),
  ],
  [/the next job is done ([\d.]+) times sooner/, () => bar('pool-piscina')],
  [/own abort, and ([\d.]+) times sooner by `ctxbridge\/tinypool`/, () => bar('pool-tinypool')],
  [/A call to a worker with a context is at ([\d.]+) times Comlink's/, () => bar('worker-call')],
  [
    /is ([\d.]+) times as fast as `AbortSignal\.any` in the committed run/,
    () => p50('core/signal', platformSignal) / p50('core/signal', signal),
  ],
  [
    /made and aborted, is at ([\d.]+) times there/,
    () => p50('core/signal', platformSignal) / p50('core/signal', 'bare AbortController with a listener, aborted'),
  ],
  [/To make and end a context is ([\d.]+) times as fast as Go's/, () => bar('cancel')],
  [/A look-up is ([\d.]+) times as fast as Go's/, () => bar('lookup')],
  [/It takes ([\d.]+) ns, where ours takes 1/, () => p50('core/cancel', "an object in and out of its parent's list")],
  [
    /two readings of the clock: ([\d.]+) times\. Ours/,
    () => p50('core/timeout', "Go's WithTimeout") / p50('core/timeout', 'two readings of the clock'),
  ],
  [/for Node 20 takes ([\d.]+) ns, of which/, () => p50('core/cancel', 'using ctx = withCancel(p), compiled for Node 20')],
  [/`const \[ctx, cancel\]`, with ([\d.]+) ns/, () => p50('core/cancel', 'const [ctx, cancel] = withCancel(p)')],
  [/With a look at each of them it is ([\d.]+) us/, () => p50('core/children', 'cancel(), then err() of each child') / 1_000],
  [/is at an observer in another process after ([\d.]+) times/, () => bar('websocket-cancel')],
  [/It is at ([\d.]+) times the fastest of all other libraries/, () => bar('websocket-others')],
  [/under one parent end ([\d.]+) times faster/, () => bar('websocket-parent')],
  [/unrelated calls end ([\d.]+) times faster/, () => bar('websocket-unrelated')],
  [/An open call takes ([\d.]+) bytes on both sides/, () => bar('websocket-memory')],
] as const)('docs/performance.md quotes %s', ([pattern, value]) => {
  const [found, wanted] = quoted(performance.replace(/\s+/g, ' '), pattern, value())
  expect(found).toBe(wanted)
})
