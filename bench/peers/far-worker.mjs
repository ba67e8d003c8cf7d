// The far side of the contenders of worker.mjs.
import { parentPort, workerData } from 'node:worker_threads'
import * as rpc from 'vscode-jsonrpc/node'

const { role, report, pinUrl } = workerData
const { pinFar } = await import(pinUrl)
pinFar()

const now = () => Number(process.hrtime.bigint())
const seen = () => report.postMessage({ ready: false, at: now() })
const ready = () => report.postMessage({ ready: true })

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
        token.onCancellationRequested(() => {
          seen()
          resolve(null)
        })
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
