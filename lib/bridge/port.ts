/** What comes over a port, or over what is like one, a worker say; and whether anything still does. */

import { after, hostClock } from '../clock.ts'

const inspect: unique symbol = Symbol.for('nodejs.util.inspect.custom')

const { MessagePort: Port } = globalThis as { readonly MessagePort?: { readonly prototype: object } }
const shownByNode: unknown = Port && Reflect.get(Port.prototype, inspect)

/** How an endpoint has ended of which nothing tells any more, since it did before anybody listened. Undefined where it is open, or nobody can tell: a browser does not. Never throws. */
export function goneBefore(endpoint: object): 'exited' | 'closed' | undefined {
  try {
    if ((endpoint as { readonly threadId?: unknown }).threadId === -1) return 'exited'
    // Node has no property for it: what it shows of a port says whether that is active, unless somebody has put a property of that name there.
    const { [inspect]: show } = endpoint as { [inspect]?: () => { readonly active?: unknown } }
    if (show === undefined || show !== shownByNode || Object.hasOwn(endpoint, 'active')) return undefined
    return show.call(endpoint).active === false ? 'closed' : undefined
  } catch {
    return undefined
  }
}

/** Calls `tell` in another turn, where the endpoint has ended by then: Node does not show before that a port was closed, and may have told so already. */
export function goneSoon(endpoint: object, tell: (how: 'exited' | 'closed') => void): void {
  if (shownByNode === undefined) return
  after(hostClock, 0, true, () => {
    const gone = goneBefore(endpoint)
    if (gone !== undefined) tell(gone)
  })
}

/** What a port tells. */
export interface PortListener {
  readonly message: (data: unknown) => void
  /** The other side is closed, or its thread is gone. Not every browser tells. May be called twice. */
  readonly closed: () => void
  /** A message came that could not be read. */
  readonly garbled: (error: unknown) => void
}

/** As much of Node's emitters and of the web's targets as is used here. */
export interface Emitter {
  on?(event: string, listener: (value: unknown) => void): unknown
  off?(event: string, listener: (value: unknown) => void): unknown
  addEventListener(event: string, listener: (event: { data?: unknown }) => void): void
  removeEventListener(event: string, listener: (event: { data?: unknown }) => void): void
  start?(): void
}

/** Listens to a port, or to what is like one; returns what stops that. */
export function listenTo(port: Emitter, { message, closed, garbled }: PortListener): () => void {
  if (typeof port.on === 'function') {
    port.on('message', message)
    port.on('messageerror', garbled)
    for (const end of ['close', 'exit']) port.on(end, closed)
    return () => {
      port.off?.('message', message)
      port.off?.('messageerror', garbled)
      for (const end of ['close', 'exit']) port.off?.(end, closed)
    }
  }
  const onMessage = (event: { data?: unknown }): void => message(event.data)
  const onGarbled = (): void => garbled(undefined)
  port.addEventListener('message', onMessage)
  port.addEventListener('close', closed)
  port.addEventListener('messageerror', onGarbled)
  port.start?.()
  return () => {
    port.removeEventListener('message', onMessage)
    port.removeEventListener('close', closed)
    port.removeEventListener('messageerror', onGarbled)
  }
}
