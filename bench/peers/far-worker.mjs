// The far side of the contenders of worker.mjs.
import { parentPort, workerData } from 'node:worker_threads'
import * as rpc from 'vscode-jsonrpc/node'

const { role, report, pinUrl } = workerData
const { pinFar } = await import(pinUrl)
pinFar()

const now = () => Number(process.hrtime.bigint())
const seen = () => report.postMessage({ ready: false, at: now() })
const ready = () => report.postMessage({ ready: true })
/** Ready made: without one the platform makes an error for each abort. */
const reason = new Error('a reason')

parentPort.once('message', (port) => {
  const shared = role === 'jsonrpc-shared'
  const options = shared
    ? { cancellationStrategy: { sender: new rpc.SharedArraySenderStrategy(), receiver: new rpc.SharedArrayReceiverStrategy() } }
    : {}
  const connection = rpc.createMessageConnection(
    new rpc.PortMessageReader(port),
    new rpc.PortMessageWriter(port),
    undefined,
    options,
  )
  connection.onRequest('watch', (token) => {
    if (!shared) {
      return new Promise((resolve) => {
        const told = () => {
          seen()
          resolve(null)
        }
        if (role === 'jsonrpc-abort') {
          const controller = new AbortController()
          controller.signal.addEventListener('abort', told, { once: true })
          token.onCancellationRequested(() => controller.abort(reason))
        } else token.onCancellationRequested(told)
        ready()
      })
    }
    ready()
    while (!token.isCancellationRequested);
    seen()
    return null
  })
  connection.listen()
})
