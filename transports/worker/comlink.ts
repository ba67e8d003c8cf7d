/**
 * What Comlink makes of arguments and results: the only file that imports it. So `Comlink.proxy` and `Comlink.transfer` work here, and so do transfer handlers that a program has
 * installed. Calls are our own: of what else Comlink can do (read, set and construct along a path of any properties, inherited ones too) nothing is reached by anybody who sends.
 */

import * as Comlink from 'comlink'

/** A value on its way: as it is, or what the transfer handler of that name made of it. */
export interface Encoded {
  readonly name?: string
  readonly value?: unknown
}

/** A call as Comlink posts it. */
interface Posted {
  readonly id: string
  readonly argumentList: readonly Encoded[]
}

let posted: readonly Encoded[] = []
let toTransfer: readonly Transferable[] = []
let answer: (message: { readonly data: { readonly id: string } }) => void = () => undefined

/** Comlink keeps to itself what it does with a value, and what it was told to transfer with it. It does so with the arguments of a call, which is answered where it is posted. */
const carrier = Comlink.wrap<(...values: readonly unknown[]) => unknown>({
  postMessage({ id, argumentList }: Posted, transfer: readonly Transferable[] = []) {
    posted = argumentList
    toTransfer = transfer
    answer({ data: { id } })
  },
  addEventListener: (_type, listener) => {
    answer = listener as unknown as typeof answer
  },
  removeEventListener: () => undefined,
})

/**
 * Values as they are sent, and what is transferred with them. Undefined where all go as they are, and nothing with them.
 *
 * Throws what a transfer handler throws.
 */
export function encode(values: readonly unknown[]): [encoded: readonly Encoded[], transfer: readonly Transferable[]] | undefined {
  if (!values.some(needsComlink)) return undefined
  // A transfer handler may send something itself: whoever posts last is this one.
  void (carrier as unknown as (...values: readonly unknown[]) => unknown)(...values)
  const taken = [posted, toTransfer] as const
  posted = toTransfer = []
  return [...taken]
}

/** What the transfer handler of that name makes of what came, which it must be there for. Throws what it throws. */
export function decode(handler: string, value: unknown): unknown {
  return Comlink.transferHandlers.get(handler)?.deserialize(value)
}

export function hasHandler(name: string): boolean {
  return Comlink.transferHandlers.has(name)
}

/** Only an object can have something to transfer with it. */
function needsComlink(value: unknown): boolean {
  return (typeof value === 'object' && value !== null) || isHandled(value)
}

/** Whether Comlink does not send a value as it is, but what one of its transfer handlers makes of it. */
export function isHandled(value: unknown): boolean {
  for (const handler of Comlink.transferHandlers.values()) if (handler.canHandle(value)) return true
  return false
}
