/** From `cancel()` here to the moment when a worker thread sees it. */
import * as Comlink from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { transferableAbortSignal } from 'node:util'
import { MessageChannel } from 'node:worker_threads'
import { background, withCancel, withTimeout } from 'ctxbridge'
import { wrap } from 'ctxbridge/worker'
import { installSignalHandler } from '../far/signal-handler.ts'
import type { Bare, ComlinkJobs, How, Jobs, Role } from '../far/worker-jobs.ts'
import type { Contender, Suite } from '../harness/model.ts'
import { type Act, latency, type Near, untilCompiled } from './latency.ts'
import { type Far, far } from './worker-far.ts'

/** A way that is not ours: `arm` is told the worker, and returns what causes the event. */
function bare(role: Role, arm: (far: Far) => Act): () => Near {
  return () => {
    const it = far(role)
    return { reports: it.reports, arm: () => arm(it), close: () => it.close() }
  }
}

interface Choice {
  /** With a deadline, an hour away. */
  readonly timeout?: boolean
  readonly sharedMemory?: boolean
  /** The cause of what is measured; its proof has one always. Default: none, as the limits carry none. */
  readonly measured?: string
  readonly note?: string
}

function ours(how: How, name: string, { timeout = false, sharedMemory = true, measured, note }: Choice = {}): Contender {
  return latency({
    name,
    kind: 'ours',
    ...(note !== undefined && { note }),
    carries: { name: 'AbortError', cause: 'proof' },
    start() {
      const it = far('ctxbridge')
      const jobs = wrap<Jobs>(it.worker, { sharedMemory })
      return {
        reports: it.reports,
        arm() {
          const [ctx, cancel] = timeout ? withTimeout(background(), 3_600_000) : withCancel(background())
          const call = jobs.watch(ctx, how).catch((error: unknown) => {
            if (error !== ctx.err()) it.reports.fail(error as Error)
          })
          return (cause) => {
            cancel(cause === '' ? measured : cause)
            return call
          }
        },
        close: () => it.close(),
      }
    },
  })
}

/** A limit, in the same surroundings as ours: in a job that was called as ours are, with a context that nobody ends meanwhile. */
function inJob(how: Bare, act: (far: Far) => void): () => Near {
  return () => {
    const it = far('ctxbridge')
    const jobs = wrap<Jobs>(it.worker)
    return {
      reports: it.reports,
      arm() {
        const ctx = withCancel(background())
        const call = jobs.watch(ctx, how).then(ctx.cancel, (error: Error) => it.reports.fail(error))
        return () => {
          act(it)
          return call
        }
      },
      close: () => it.close(),
    }
  }
}

const raise = ({ words }: Far): void => void Atomics.store(words, 0, 1)

const post = ({ wake }: Far): void => wake.postMessage(1)

const store = ({ worker, words }: Far): Act => {
  worker.postMessage({})
  return () => Atomics.store(words, 0, 1)
}

const storeAndNotify = ({ worker, words }: Far): Act => {
  worker.postMessage({})
  return () => {
    Atomics.store(words, 0, 1)
    Atomics.notify(words, 0)
  }
}

/** Who must yield to see it. */
const [whileBusy, whileBlocked] = [
  'It tells by a message, which a loop that does not yield never receives.',
  'It tells by a message, which a blocked thread does not receive.',
]

/** All that tell by messages, ours among them. */
function unable(cannot: string): Contender[] {
  return [
    { name: 'ctxbridge, by messages alone', kind: 'ours', cannot },
    { name: 'transferableAbortSignal', kind: 'platform', cannot },
    { name: 'Comlink, handler by hand', kind: 'peer', cannot },
  ]
}

const busy: Suite = {
  id: 'worker/busy',
  title: 'Cancel to a worker in a busy loop',
  about: 'From cancel() until the loop of the worker, which never yields, has seen it and read the clock.',
  unit: 'ns',
  sample: 'event',
  warmUp: untilCompiled,
  contenders: () => [
    ours('err', 'ctx.err()'),
    ours('err', 'ctx.err(), with a deadline', { timeout: true }),
    ours('err', 'ctx.err(), with a cause', { measured: 'twelve chars' }),
    ours('aborted', 'ctx.signal.aborted'),
    latency({ name: 'bare Atomics flag', kind: 'limit', start: bare('atomics-flag', store) }),
    latency({
      name: 'bare Atomics flag, in the same job',
      kind: 'limit',
      note: 'polled in a call to the worker like those of the lines above, and not after a bare message: nothing of the cancel is ours, but what ran before it is',
      start: inJob('flag', raise),
    }),
    ...unable(whileBusy),
  ],
}

function messagePort(role: 'message-port' | 'message-port-abort'): () => Near {
  return () => {
    const it = far(role)
    const { port1, port2 } = new MessageChannel()
    let first = true
    return {
      reports: it.reports,
      arm() {
        if (first) it.worker.postMessage({ port: port2 }, [port2])
        else it.worker.postMessage({})
        first = false
        return () => port1.postMessage(1)
      },
      close: () => {
        port1.close()
        return it.close()
      },
    }
  }
}

const idle: Suite = {
  id: 'worker/idle',
  title: 'Cancel to an idle worker',
  about: 'From cancel() until a listener runs in a worker whose event loop had nothing to do.',
  unit: 'ns',
  sample: 'event',
  warmUp: untilCompiled,
  contenders: () => [
    ours('signal', "ctx.signal, 'abort' listener"),
    ours('afterFunc', 'afterFunc(ctx, f)'),
    ours('done', 'await ctx.done'),
    ours('signal', "ctx.signal, 'abort' listener, by messages alone", {
      sharedMemory: false,
      note: '`sharedMemory: false`: as in a page that is not cross-origin isolated',
    }),
    latency({ name: 'bare Atomics.waitAsync', kind: 'limit', start: bare('wait-async', storeAndNotify) }),
    latency({
      name: "bare Atomics.waitAsync, to an 'abort' listener",
      kind: 'limit',
      note: 'the wake-up aborts an AbortController: what no AbortSignal can do without',
      start: bare('wait-async-abort', storeAndNotify),
    }),
    latency({ name: 'bare MessagePort, long-lived', kind: 'limit', start: messagePort('message-port') }),
    latency({
      name: "bare MessagePort, long-lived, to an 'abort' listener",
      kind: 'limit',
      note: 'the message aborts an AbortController: what no AbortSignal can do without',
      start: messagePort('message-port-abort'),
    }),
    latency({
      name: 'bare MessagePort, in the same job',
      kind: 'limit',
      note: 'the message comes in a call to the worker like those of the first lines, and not after a bare message: nothing of the cancel is ours, but what ran before it is',
      start: inJob('message', post),
    }),
    latency({
      name: "the same, to an 'abort' listener of a context there",
      kind: 'ours',
      note: 'the bare message cancels a context of the worker itself, which has nothing to do with this side: how much of the first line does not cross',
      start: inJob('message, to a context', post),
    }),
    latency({
      name: 'bare MessageChannel for each job',
      kind: 'limit',
      start: bare('channel-per-job', ({ worker }) => {
        const { port1, port2 } = new MessageChannel()
        worker.postMessage({ port: port2 }, [port2])
        return () => port1.postMessage(1)
      }),
    }),
    latency({
      name: 'transferableAbortSignal',
      kind: 'platform',
      note: 'the reason does not arrive',
      start: bare('transferable-signal', ({ worker }) => {
        const controller = new AbortController()
        const signal = transferableAbortSignal(controller.signal)
        worker.postMessage({ signal }, [signal as never])
        return (cause) => controller.abort(cause)
      }),
    }),
    latency({
      name: 'Comlink, handler by hand',
      kind: 'peer',
      note: 'a transfer handler that makes a MessageChannel for each signal',
      carries: { cause: 'proof' },
      start() {
        installSignalHandler()
        const it = far('comlink')
        const jobs = Comlink.wrap<ComlinkJobs>(nodeEndpoint(it.worker))
        return {
          reports: it.reports,
          arm() {
            const controller = new AbortController()
            const call = jobs.watch(controller.signal)
            return (cause) => {
              controller.abort(cause)
              return call
            }
          },
          close: () => it.close(),
        }
      },
    }),
  ],
}

const blocked: Suite = {
  id: 'worker/blocked',
  title: 'Cancel to a blocked worker',
  about: 'From cancel() until sleepSync has thrown in the worker, which blocked in it.',
  unit: 'ns',
  sample: 'event',
  warmUp: untilCompiled,
  contenders: () => [
    ours('sleepSync', 'sleepSync(ctx, ms)'),
    latency({ name: 'bare Atomics.wait', kind: 'limit', start: bare('atomics-wait', storeAndNotify) }),
    ...unable(whileBlocked),
  ],
}
export const workerSuites: readonly Suite[] = [busy, idle, blocked]
