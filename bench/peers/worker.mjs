// What other libraries do between threads. `kit` has what every contender of the bench has: latency(), Reports, now(), must().
import { readFileSync } from 'node:fs'
import { MessageChannel, Worker } from 'node:worker_threads'

const versions = JSON.parse(readFileSync(new URL('package-lock.json', import.meta.url), 'utf8')).packages
export const versionOf = (name) => versions[`node_modules/${name}`]?.version ?? 'unknown'

function far({ Reports, pinUrl }, role) {
  const { port1, port2 } = new MessageChannel()
  const worker = new Worker(new URL('far-worker.mjs', import.meta.url), {
    workerData: { role, report: port2, pinUrl },
    transferList: [port2],
  })
  const reports = new Reports()
  port1.on('message', (report) => reports.add(report))
  worker.on('error', (error) => reports.fail(error))
  return {
    worker,
    reports,
    async close() {
      port1.close()
      await worker.terminate()
    },
  }
}

/** @param role 'jsonrpc-shared', 'jsonrpc-messages' or 'jsonrpc-abort' */
function jsonrpc(kit, role, name, note) {
  return kit.latency({
    name,
    kind: 'peer',
    note: `vscode-jsonrpc ${versionOf('vscode-jsonrpc')}: ${note}`,
    async start() {
      const rpc = await import('vscode-jsonrpc/node')
      const it = far(kit, role)
      const options =
        role === 'jsonrpc-shared'
          ? {
              cancellationStrategy: {
                sender: new rpc.SharedArraySenderStrategy(),
                receiver: new rpc.SharedArrayReceiverStrategy(),
              },
            }
          : {}
      const { port1, port2 } = new MessageChannel()
      it.worker.postMessage(port2, [port2])
      const connection = rpc.createMessageConnection(
        new rpc.PortMessageReader(port1),
        new rpc.PortMessageWriter(port1),
        undefined,
        options,
      )
      connection.listen()
      return {
        reports: it.reports,
        arm() {
          const source = new rpc.CancellationTokenSource()
          const call = connection.sendRequest('watch', source.token).catch(() => {})
          return () => {
            source.cancel()
            return call
          }
        },
        async close() {
          connection.dispose()
          port1.close()
          await it.close()
        },
      }
    },
  })
}

/** What pools of other people have for a job that runs. */
const ends = (kind) => `Its ${kind} ends the thread, or leaves the job alone: no job sees it. See pool/next.`
const pools = ['piscina', 'tinypool', 'workerpool', 'poolifier'].map((name) => ({
  name,
  kind: 'peer',
  cannot: ends(name === 'workerpool' ? 'cancel()' : 'abort'),
}))

export const busy = (kit) => [
  jsonrpc(kit, 'jsonrpc-shared', 'vscode-jsonrpc, shared memory', 'a flag that can be polled, a buffer for each request'),
  {
    name: 'vscode-jsonrpc, messages',
    kind: 'peer',
    cannot: 'It tells by a message, which a loop that does not yield never receives.',
  },
  ...pools,
]

/** While it blocks, a thread can only be woken through what it waits on: theirs is a flag that must be polled, or a message. */
export const blocked = () => [
  {
    name: 'vscode-jsonrpc, shared memory',
    kind: 'peer',
    cannot: 'Its flag is stored and nobody is notified: who blocks does not look at it.',
  },
  { name: 'vscode-jsonrpc, messages', kind: 'peer', cannot: 'It tells by a message, which a blocked thread does not receive.' },
  ...pools,
]

export const idle = (kit) => [
  jsonrpc(kit, 'jsonrpc-messages', 'vscode-jsonrpc, messages', 'its own event; carries no cause'),
  jsonrpc(
    kit,
    'jsonrpc-abort',
    "vscode-jsonrpc, messages, to an 'abort' listener",
    'its own event aborts an AbortController, with a reason that is ready made; carries no cause',
  ),
  ...pools,
]

/** A fiber that is forked and interrupted: the nearest to a context that Effect has. */
export const create = async ({ cost, must }) => {
  const { Effect, Exit, Fiber } = await import('effect')
  return [
    cost({
      name: 'Effect: fork a fiber, interrupt it',
      kind: 'peer',
      note: `effect ${versionOf('effect')}: a fiber is more than a context`,
      prove() {
        const fiber = Effect.runFork(Effect.never)
        let seen
        fiber.addObserver((exit) => (seen = exit))
        fiber.interruptUnsafe()
        must(seen !== undefined && Exit.isFailure(seen), 'the fiber was interrupted')
        return 'the fiber ended with a failure'
      },
      loop(n) {
        for (let i = 0; i < n; i++) Effect.runFork(Effect.never).interruptUnsafe()
        return Fiber
      },
    }),
  ]
}
