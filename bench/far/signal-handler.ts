/** The transfer handler for AbortSignals that programs with Comlink write by hand: a channel for each signal that is sent. */
import * as Comlink from 'comlink'
import { MessageChannel, type MessagePort } from 'node:worker_threads'

export function installSignalHandler(): void {
  Comlink.transferHandlers.set('AbortSignal', {
    canHandle: (value): value is AbortSignal => value instanceof AbortSignal,
    serialize(signal: AbortSignal) {
      const { port1, port2 } = new MessageChannel()
      signal.addEventListener(
        'abort',
        () => {
          port1.postMessage(String(signal.reason))
          port1.close()
        },
        { once: true },
      )
      return [port2, [port2]]
    },
    deserialize(port: MessagePort) {
      const controller = new AbortController()
      port.once('message', (reason: unknown) => controller.abort(reason))
      port.unref()
      return controller.signal
    },
  })
}
