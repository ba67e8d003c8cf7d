/** Turns of the host's event loop, which are no time of a test's. */

const { setImmediate: immediately, MessageChannel } = globalThis as {
  setImmediate?: (f: () => void) => unknown
  MessageChannel: typeof globalThis.MessageChannel
}

/** Resolves when all microtasks have run, and those that they made. */
export function turn(): Promise<void> {
  if (immediately !== undefined) return new Promise((resolve) => void immediately(resolve))
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel()
    port1.addEventListener('message', () => {
      port1.close()
      resolve()
    })
    port1.start()
    port2.postMessage(undefined)
  })
}
