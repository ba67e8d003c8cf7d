/**
 * Comlink carries the calls: the only file that imports it. What can be an argument or a result by itself can be one here: `Comlink.proxy`
 * and `Comlink.transfer` work, and so do transfer handlers that a program has installed.
 *
 * Comlink is given one function to serve, and its messages reach it one by one, made here of what came: the rest of what it can do (read, set and
 * construct along a path of any properties, inherited ones too) is never asked for, and not reached by anybody who does.
 */

import * as Comlink from 'comlink'
import type { CallMessage } from './call-message.ts'

/** What is between Comlink and a port. */
export interface CallPort {
  post(message: CallMessage, transfer: readonly Transferable[]): void
  /** Set by Comlink's side; takes each message that came. */
  receive: (message: CallMessage) => void
}

/** Calls the function that is served on the other side of `port`. Posts synchronously. Never rejects, unless a transfer handler throws. */
export function callerOf(port: CallPort): (args: readonly unknown[]) => Promise<unknown> {
  const remote = Comlink.wrap<(...args: readonly unknown[]) => unknown>(endpointOf(port)) as unknown as (
    ...args: readonly unknown[]
  ) => Promise<unknown>
  return (args) => remote(...args)
}

/** Serves `f`, which must not throw or reject, to the other side of `port`. */
export function serve(f: (...args: readonly unknown[]) => Promise<unknown>, port: CallPort): void {
  Comlink.expose(f, endpointOf(port))
}

/** The name of the first transfer handler that a message needs and Comlink has not got; undefined where Comlink can read all of it. */
export function missingHandler({ name, argumentList = [] }: Pick<CallMessage, 'name' | 'argumentList'>): string | undefined {
  return [name, ...argumentList.map((argument) => argument.name)].find(
    (needed) => needed !== undefined && !Comlink.transferHandlers.has(needed),
  )
}

/** Whether Comlink does not send a value as it is, but what one of its transfer handlers makes of it. */
export function isHandled(value: unknown): boolean {
  for (const handler of Comlink.transferHandlers.values()) if (handler.canHandle(value)) return true
  return false
}

function endpointOf(port: CallPort): Comlink.Endpoint {
  return {
    postMessage: (message: CallMessage, transfer: readonly Transferable[] = []) => port.post(message, transfer),
    addEventListener: (_type, listener) => {
      const handle = listener as unknown as (event: { data: CallMessage }) => void
      port.receive = (message) => handle({ data: message })
    },
    removeEventListener: () => undefined,
  }
}
