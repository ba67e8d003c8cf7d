/** What a context adds to a call that crosses, in bytes; and what it costs to export one. */
import * as Comlink from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { Serializer } from 'node:v8'
import { MessageChannel, MessagePort } from 'node:worker_threads'
import { transferableAbortSignal } from 'node:util'
import { background, type Context, withCancel, withTimeout } from 'ctxbridge'
import { connect, wrap } from 'ctxbridge/websocket'
import { expose, link, wrap as wrapWorker } from 'ctxbridge/worker'
import { installSignalHandler } from '../far/signal-handler.ts'
import type { Served } from '../far/service-types.ts'
import type { Contender, Kind, Started, Suite } from '../harness/model.ts'
import { parent, reason } from './core-common.ts'
import { cost, must } from './cost.ts'
import { bareEcho, far as farProcess, urlOf } from './websocket-far.ts'
import { far as farWorker } from './worker-far.ts'

/** What cannot be written as bytes, ports and shared memory, is passed on by reference: it counts as a number. */
class Sizer extends Serializer {
  _writeHostObject(): void {
    this.writeUint32(0)
  }

  _getSharedArrayBufferId(): number {
    return 0
  }
}

function sizeOf(message: unknown): number {
  const sizer = new Sizer()
  sizer.writeValue(message)
  return sizer.releaseBuffer().length
}

const calls = 100

const { postMessage } = MessagePort.prototype
let [bytes, counters] = [0, 0]

/** From now on all that is posted over any port of this thread is counted. Before a port is made: Comlink keeps the function. */
function startCounting(): void {
  if (counters++ > 0) return
  MessagePort.prototype.postMessage = function (message: unknown, transfer) {
    bytes += sizeOf(message)
    postMessage.call(this, message, transfer)
  }
}

function stopCounting(): void {
  if (--counters === 0) MessagePort.prototype.postMessage = postMessage
}

/** The share of each of some calls. */
async function posted(f: () => Promise<unknown>): Promise<number> {
  const before = bytes
  for (let i = 0; i < calls; i++) await f()
  // What is given back is told a turn later.
  await new Promise((resolve) => setTimeout(resolve, 5))
  return (bytes - before) / calls
}

function counted(
  name: string,
  kind: Kind,
  start: () => { call: () => Promise<unknown>; close: () => void },
  note?: string,
): Contender {
  return {
    name,
    kind,
    ...(note !== undefined && { note }),
    start(): Started {
      startCounting()
      const { call, close } = start()
      return {
        async prove() {
          must((await call()) === 1, 'the call returned what the method returns')
          must((await posted(call)) > 0, 'something was posted')
          return `the result came back; all that ${calls} calls post in both directions is counted`
        },
        round: async (record) => record(await posted(call)),
        close() {
          close()
          stopCounting()
        },
      }
    },
  }
}

const api = { nothing: (_ctx: Context): number => 1 }

/** Both ends of a channel are in this thread, so that all messages of both are seen. */
function ours(call: (jobs: ReturnType<typeof wrapWorker<typeof api>>) => Promise<unknown>) {
  return () => {
    const { port1, port2 } = new MessageChannel()
    expose(api, port2)
    const jobs = wrapWorker<typeof api>(port1)
    return { call: () => call(jobs), close: () => port1.close() }
  }
}

function comlink(call: (jobs: Comlink.Remote<{ nothing(signal?: AbortSignal): number }>) => Promise<unknown>) {
  return () => {
    installSignalHandler()
    const { port1, port2 } = new MessageChannel()
    Comlink.expose({ nothing: () => 1 }, nodeEndpoint(port2))
    const jobs = Comlink.wrap<{ nothing(signal?: AbortSignal): number }>(nodeEndpoint(port1))
    return { call: () => call(jobs), close: () => port1.close() }
  }
}

const workerBytes: Suite = {
  id: 'worker/bytes',
  title: 'Bytes of a call to a worker',
  about: 'All messages of a call and its answer, and of giving back what went along, as V8 serializes them.',
  unit: 'bytes',
  sample: 'mean',
  rounds: 5,
  warmUp: 1,
  contenders: () => [
    counted(
      'with a context that is sent again',
      'ours',
      ours((jobs) => jobs.nothing(parent)),
    ),
    counted(
      'with a context of its own for each call',
      'ours',
      ours(async (jobs) => {
        using ctx = withTimeout(background(), 60_000)
        return await jobs.nothing(ctx)
      }),
    ),
    counted(
      'Comlink, without a context',
      'peer',
      comlink((jobs) => jobs.nothing()),
    ),
    counted(
      'Comlink, with a signal of its own for each call',
      'peer',
      comlink((jobs) => jobs.nothing(new AbortController().signal)),
      'through the handler by hand: a port goes along, which is not counted',
    ),
  ],
}

async function wired(call: () => Promise<unknown>, traffic: () => Promise<number>, close: () => Promise<void>): Promise<Started> {
  const one = async (): Promise<number> => {
    const before = await traffic()
    for (let i = 0; i < calls; i++) await call()
    return ((await traffic()) - before) / calls
  }
  return {
    async prove() {
      must((await call()) === 1, 'the call returned what the method returns')
      return 'the result came back; the sockets of the far side count'
    },
    round: async (record) => record(await one()),
    close,
  }
}

const websocketBytes: Suite = {
  id: 'websocket/bytes',
  title: 'Bytes of a call over a WebSocket',
  about:
    'On the wire in both directions, with the headers of frames: a call without arguments, one at a time, and its answer, a number.',
  unit: 'bytes',
  sample: 'mean',
  rounds: 5,
  warmUp: 1,
  contenders: () => [
    {
      name: 'ctxbridge/websocket, with a deadline of its own for each call',
      kind: 'ours',
      async start() {
        const it = await farProcess()
        const connection = await connect(urlOf(it.ports.link))
        const remote = wrap<Served>(connection)
        const call = async (): Promise<number> => {
          using ctx = withTimeout(background(), 60_000)
          return await remote.nothing(ctx)
        }
        return wired(
          call,
          () => it.ask('traffic'),
          async () => {
            connection.close()
            await it.close()
          },
        )
      },
    },
    {
      name: 'bare ws with msgpackr, echo',
      kind: 'limit',
      async start() {
        const it = await farProcess()
        const { call, close } = await bareEcho(it)
        return wired(call, () => it.ask('traffic'), close)
      },
    },
  ],
}

let worker: ReturnType<typeof farWorker> | undefined

const exported: Suite = {
  id: 'worker/export',
  title: 'Export to a worker, and end',
  about: 'A context is made, exported over the link to a worker, and ended; the handle is not sent.',
  unit: 'ns',
  sample: 'mean',
  contenders: () => [
    closing(
      cost({
        name: 'link.export(ctx)',
        kind: 'ours',
        prove() {
          worker = farWorker('ctxbridge')
          const ctx = withCancel(parent)
          link(worker.worker).export(ctx)
          must(link(worker.worker).stats().exports === 1, 'it was exported')
          ctx.cancel()
          must(link(worker.worker).stats().exports === 0, 'nothing was left')
          return 'exported, ended, and given back'
        },
        loop(n) {
          if (worker === undefined) return undefined
          const out = link(worker.worker)
          let last: unknown
          for (let i = 0; i < n; i++) {
            const ctx = withCancel(parent)
            last = out.export(ctx)
            ctx.cancel()
          }
          return last
        },
      }),
      async () => worker?.close(),
    ),
    cost({
      name: 'transferableAbortSignal',
      kind: 'platform',
      note: 'made and aborted, with a reason that is ready made; what it takes to be sent is not in it',
      prove() {
        const controller = new AbortController()
        must(transferableAbortSignal(controller.signal) instanceof AbortSignal, 'it is a signal')
        return 'it is a signal'
      },
      loop(n) {
        let last: unknown
        for (let i = 0; i < n; i++) {
          const controller = new AbortController()
          last = transferableAbortSignal(controller.signal)
          controller.abort(reason)
        }
        return last
      },
    }),
    cost({
      name: 'a MessageChannel for each signal',
      kind: 'platform',
      note: 'what a handler by hand makes; made and closed',
      prove() {
        const { port1 } = new MessageChannel()
        port1.close()
        return 'made and closed'
      },
      loop(n) {
        for (let i = 0; i < n; i++) new MessageChannel().port1.close()
        return n
      },
    }),
  ],
}

function closing(contender: Contender, close: () => Promise<void> | undefined): Contender {
  const { start } = contender
  return start === undefined
    ? contender
    : { ...contender, start: async () => ({ ...(await start()), close: async () => close() }) }
}

export const crossingSuites: readonly Suite[] = [workerBytes, websocketBytes, exported]
