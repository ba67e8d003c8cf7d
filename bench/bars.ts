/** The bars that the project has set itself: each compares two things that were measured in the same run. */
import type { BarResult, SuiteResult } from './harness/model.ts'

/** One result: the suite's id and the contender's name. */
type Place = readonly [suite: string, name: string]

export interface Bar {
  readonly id: string
  readonly text: string
  readonly what: Place
  /** What it is held against; the best of several. Left out where the bar is an absolute number. */
  readonly against?: readonly Place[]
  /** `atMost`: what / against; `times`: against / what is at least so much. */
  readonly bar: { readonly atMost: number } | { readonly times: number }
  readonly unit?: string
  readonly reason?: string
}

export const bars: readonly Bar[] = [
  {
    id: 'worker-busy',
    text: 'cancel to an err() loop in a busy worker, against a bare Atomics flag',
    what: ['worker/busy', 'ctx.err()'],
    against: [['worker/busy', 'bare Atomics flag']],
    bar: { atMost: 2 },
  },
  {
    id: 'worker-idle',
    text: "cancel to an 'abort' listener in an idle worker, against the best bare primitive",
    what: ['worker/idle', "ctx.signal, 'abort' listener"],
    against: [
      ['worker/idle', 'bare Atomics.waitAsync'],
      ['worker/idle', 'bare MessagePort, long-lived'],
    ],
    bar: { atMost: 1.25 },
    reason:
      "on Node 20 each bare primitive that ends in such an event misses it as well: see in that suite both of them, to an 'abort' listener, and a bare message that cancels a context of the worker's own. The rest is code of two threads that has not run for a while; see docs/performance.md",
  },
  {
    id: 'worker-idle-others',
    text: "the same, against the 'abort' listener of the fastest other library, and the platform's",
    what: ['worker/idle', "ctx.signal, 'abort' listener"],
    against: [
      ['worker/idle', 'transferableAbortSignal'],
      ['worker/idle', 'Comlink, handler by hand'],
      ['worker/idle', "vscode-jsonrpc, messages, to an 'abort' listener"],
    ],
    bar: { atMost: 1 },
  },
  {
    id: 'worker-idle-own',
    text: 'cancel to afterFunc in an idle worker, against the own event of the fastest other library',
    what: ['worker/idle', 'afterFunc(ctx, f)'],
    against: [['worker/idle', 'vscode-jsonrpc, messages']],
    bar: { atMost: 1 },
  },
  {
    id: 'worker-check',
    text: 'a turn of a loop that asks err() of a context of another thread',
    what: ['worker/check', 'ctx.err()'],
    bar: { atMost: 10 },
    unit: 'ns',
  },
  {
    id: 'worker-check-deadline',
    text: 'the same, with a deadline',
    what: ['worker/check', 'ctx.err(), with a deadline'],
    bar: { atMost: 20 },
    unit: 'ns',
  },
  {
    id: 'worker-call',
    text: "a call to a worker with a context, against Comlink's without",
    what: ['worker/call', 'with a context'],
    against: [['worker/call', 'Comlink, without a context']],
    bar: { atMost: 1.25 },
  },
  {
    id: 'worker-exports',
    text: 'export, import and release of a context, with 100,000 of them live',
    what: ['worker/exports', 'link.export, link.import, cancel'],
    bar: { atMost: 2_000 },
    unit: 'ns',
  },
  {
    id: 'worker-exports-bytes',
    text: 'shared memory of an export, with 100,000 of them live',
    what: ['worker/exports-bytes', 'a slot, with its share of the chunks'],
    bar: { atMost: 128 },
    unit: 'B',
  },
  {
    id: 'pool-piscina',
    text: "next job of a pool of piscina after a cancel by ctxbridge/piscina, against piscina's own abort",
    what: ['pool/next', 'piscina, by ctxbridge/piscina'],
    against: [['pool/next', 'piscina, its own abort']],
    bar: { times: 50 },
  },
  {
    id: 'pool-tinypool',
    text: "the same with tinypool and ctxbridge/tinypool, against tinypool's own abort",
    what: ['pool/next', 'tinypool, by ctxbridge/tinypool'],
    against: [['pool/next', 'tinypool, its own abort']],
    bar: { times: 50 },
  },
  {
    id: 'websocket-cancel',
    text: "cancel to a handler's observer in another process, against a bare ws frame",
    what: ['websocket/cancel', 'ctxbridge/websocket, afterFunc'],
    against: [['websocket/cancel', 'bare ws frame of the same size']],
    bar: { atMost: 1.2 },
  },
  {
    id: 'websocket-others',
    text: 'the same, against the fastest of all other libraries and the platform',
    what: ['websocket/cancel', 'ctxbridge/websocket, afterFunc'],
    against: [
      ['websocket/cancel', 'fetch abort'],
      ['websocket/cancel', 'grpc-js, call.cancel()'],
      ['websocket/cancel', 'connect, an AbortSignal'],
      ['websocket/cancel', 'tRPC over WebSocket, unsubscribe()'],
      ['websocket/cancel', 'socket.io, an event by hand'],
      ['websocket/cancel', 'vscode-jsonrpc over a socket'],
    ],
    bar: { atMost: 1 },
  },
  {
    id: 'websocket-parent',
    text: 'end 10,000 calls under one parent, against as many bare ws frames',
    what: ['websocket/storm', 'all under one parent'],
    against: [['websocket/storm', 'as many bare ws frames']],
    bar: { times: 10 },
  },
  {
    id: 'websocket-unrelated',
    text: 'end 10,000 unrelated calls in one turn, against as many bare ws frames',
    what: ['websocket/storm', 'all unrelated'],
    against: [['websocket/storm', 'as many bare ws frames']],
    bar: { times: 3 },
  },
  {
    id: 'websocket-call',
    text: 'a call without arguments and result, against an echo by bare ws and msgpackr',
    what: ['websocket/call', 'ctxbridge/websocket'],
    against: [['websocket/call', 'bare ws with msgpackr, echo']],
    bar: { atMost: 1.5 },
  },
  {
    id: 'websocket-memory',
    text: 'memory of an open call, both sides together',
    what: ['websocket/memory', 'an open call, both sides'],
    bar: { atMost: 1024 },
    unit: 'B',
  },
  {
    id: 'cancel',
    text: "make and end a context, by `finally`, which is what native `using` means, against Go's WithCancel",
    what: ['core/cancel', 'withCancel(p), disposed in finally'],
    against: [['core/cancel', "Go's WithCancel"]],
    bar: { times: 8 },
  },
  {
    id: 'timeout',
    text: "make and end a timeout, against Go's WithTimeout",
    what: ['core/timeout', 'withTimeout(p, ms), disposed in finally'],
    against: [['core/timeout', "Go's WithTimeout"]],
    bar: { times: 5 },
    reason:
      'two readings of the clock take most of it, and neither can be spared: see the limit in that suite, and docs/performance.md',
  },
  {
    id: 'children',
    text: "end 1,000 unobserved children, against Go's",
    what: ['core/children', 'cancel()'],
    against: [['core/children', "Go's cancel()"]],
    bar: { times: 20 },
  },
  {
    id: 'signal',
    text: 'timeout with a listener on its signal, against AbortSignal.any with AbortSignal.timeout',
    what: ['core/signal', 'withTimeout(p, ms).signal'],
    against: [['core/signal', 'AbortSignal.any([p, AbortSignal.timeout(ms)])']],
    bar: { times: 3 },
    reason:
      'an AbortController with one listener, made and aborted, takes a third or more by itself: see the limit in that suite',
  },
  {
    id: 'bytes',
    text: 'bytes of a live, unobserved context',
    what: ['core/bytes', 'withCancel(p)'],
    bar: { atMost: 120 },
    unit: 'B',
  },
  {
    id: 'lookup',
    text: "look up a value 100 bindings deep, against Go's",
    what: ['core/lookup-100', 'ctx.value(key)'],
    against: [['core/lookup-100', "Go's ctx.Value(key)"]],
    bar: { times: 3 },
  },
]

/**
 * Holds what was measured against the bars. One against the best of several is met only when all of those were measured: whoever is not there might have
 * been the best. It can be missed without them.
 */
export function judge(suites: readonly SuiteResult[], all: readonly Bar[] = bars): BarResult[] {
  const valueOf = ([suite, name]: Place): number | undefined =>
    suites.find(({ id }) => id === suite)?.results.find((result) => result.name === name)?.p50
  const result: BarResult[] = []
  for (const { id, text, what, against, bar, unit = 'x', reason } of all) {
    // What was not asked for is not spoken of.
    if (!suites.some((suite) => suite.id === what[0])) continue
    const mine = valueOf(what)
    const others = against?.map(valueOf).filter((value) => value !== undefined)
    const least = others === undefined ? 1 : others.length === 0 ? undefined : Math.min(...others)
    const [wanted, atMost] = 'atMost' in bar ? [bar.atMost, true] : [bar.times, false]
    const words = `${atMost ? 'at most' : 'at least'} ${wanted}${unit === 'x' ? 'x' : ` ${unit}`}`
    if (mine === undefined || least === undefined) {
      result.push({ id, text, bar: words })
      continue
    }
    const measured = atMost ? mine / least : least / mine
    const met = atMost ? measured <= wanted : measured >= wanted
    const unknown = (against ?? []).filter((place) => valueOf(place) === undefined).map(([, name]) => name)
    if (met && unknown.length > 0) {
      result.push({ id, text, bar: words, measured, reason: `open, since these were not measured: ${unknown.join('; ')}` })
      continue
    }
    result.push({ id, text, bar: words, measured, met, ...(!met && reason !== undefined && { reason }) })
  }
  return result
}
