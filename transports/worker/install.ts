/**
 * Contexts for programs that speak Comlink: `wrap` and `expose` of `ctxbridge/worker`, whose calls end with their contexts; and for a program that has
 * Comlink's own already, `install`.
 */

import type { Context } from '../../lib/context.ts'
import { kindOf } from '../../lib/errors.ts'
import { isContext, scopeOf } from '../../lib/foreign.ts'
import { attempt, named, readOptions } from '../../lib/given.ts'
import type { Key } from '../../lib/key.ts'
import type { Scope } from '../../lib/scope.ts'
import { reviveCause } from '../../lib/wire/cause.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { parseCause } from '../../lib/wire/cause-parse.ts'
import { receiveContext, receiveSignal, type Sent } from './arrivals.ts'
import { type Alone, Exporter } from './exporter.ts'
import { messageOf, thrownLimits } from './failure.ts'
import { warn } from './host.ts'
import { portableKeys, switchOf } from './options.ts'
import { closeUnsent } from './port.ts'
import { standFor } from './sent-signal.ts'
import { hasWithin, isListWithOne, isSignal } from './within.ts'

export { expose, type LinkOptions, type Remote, wrap, type WrapOptions } from './index.ts'

/** As much of Comlink as is used here. */
export interface ComlinkLike {
  readonly transferHandlers: { set(name: string, handler: never): unknown }
}

export interface InstallOptions {
  /** The portable keys whose values are taken over from contexts that come in. Values of other keys are dropped. */
  readonly keys?: readonly Key<unknown>[]
  /**
   * Whether what is sent may be in shared memory. Default: true, and it is done wherever memory can be shared. Set it to false in a page that is cross-origin isolated where Comlink speaks to somebody who cannot be
   * given memory, as a shared worker or a page of another site: of a message with memory in it these read nothing, and Comlink's call waits for ever. Without it all is the same, but that a loop that never yields
   * sees nothing until it does.
   */
  readonly sharedMemory?: boolean
}

/**
 * Teaches Comlink to send a `Context`, and an `AbortSignal`, as an argument or a result: call it once on both sides, before the first call. It arrives as a context, or
 * signal, that ends with the one that was sent: a context at once and with its cause, also in a loop that never yields where memory can be shared, and
 * so does a signal, whose reason is that of the one that was sent: by kind, name, message, code and causes. What a call throws because a context ended is that context error at the caller, too.
 *
 * Each must be an argument of its own. A plain object that has one as a property, and a list, a map or a set that has one among its first hundred, is refused with a `TypeError`, unless another transfer handler takes it: what is inside of an argument Comlink does
 * not look at, and of an AbortSignal there Node makes an empty object.
 *
 * A context that arrives is given back when it has ended, is cancelled or disposed of, or is collected, which it is not when its `signal` or `done` was asked for; and when the thread ends, where the platform tells. Comlink tells no transfer handler where an argument goes: so each time
 * that a context is sent it goes with a slot and a channel of its own, until it arrives. From then on it takes one of each in a thread, however often it is sent there, as `wrap` does; and so does a signal, which arrives as the same one each time. Nobody can
 * tell whether somebody there still hears of a signal (by `AbortSignal.any`, say): so it is held until it aborts, or the one that was sent is collected, or its thread ends. Comlink itself knows of no contexts: a call whose context has ended goes on waiting for its answer, and one whose worker has died waits for ever. The
 * calls of this module's `wrap` do neither.
 *
 * @param comlink the module: `import * as Comlink from 'comlink'`
 * @throws TypeError when it is not, a key is not portable, or `sharedMemory` is no boolean
 */
export function install(comlink: ComlinkLike, options: InstallOptions = {}): void {
  const handlers = attempt(() => {
    const { transferHandlers: map } = comlink
    // What is no map throws at this, whatever it says it is.
    Map.prototype.has.call(map, 'throw')
    return map as Map<string, TransferHandler>
  })
  if (handlers === undefined) throw new TypeError(`install() needs the module of Comlink, but got ${named(comlink)}.`)
  const given = readOptions('install', options, ['keys', 'sharedMemory'], ({ keys = [], sharedMemory = true }) => ({
    keys,
    sharedMemory,
  }))
  const keys = portableKeys('install', given.keys)
  const sharedMemory = switchOf('install', given.sharedMemory)
  teachEnds(handlers)
  handlers.set('ctxbridge.context', {
    canHandle: isContext,
    serialize: (ctx: Context) => send(ctx, sharedMemory),
    deserialize: (sent: Partial<Sent> | null | undefined) => receiveContext(sent, keys),
  })
  handlers.set('ctxbridge.signal', {
    canHandle: isSignal,
    serialize: (signal: AbortSignal) => send(standFor(signal), sharedMemory, signal),
    deserialize: receiveSignal,
  })
  refuseWithin(handlers)
}

/** An argument that has a context inside, and that nobody else sends, is told with a remedy, and not as a function that cannot be cloned. */
function refuseWithin(handlers: Map<string, TransferHandler>): void {
  const handler = {
    canHandle: (value: unknown): boolean =>
      (hasWithin(value) || isListWithOne(value)) &&
      ![...handlers.values()].some((other) => other !== handler && other.canHandle(value)),
    serialize(): never {
      const remedy =
        "give each as an argument, or a result, of its own; or as a property of an argument that is a plain object, by wrap() of 'ctxbridge/comlink'"
      const mine = new TypeError(`Comlink cannot send a context, or an AbortSignal, that is within another value: ${remedy}.`)
      // Of a result Comlink catches it in a microtask, which is the next one behind this.
      queueMicrotask(() => {
        refused = mine
        queueMicrotask(() => (refused = undefined))
      })
      throw mine
    },
    deserialize: (sent: object) => sent,
  }
  handlers.set('ctxbridge.within', handler)
}

interface TransferHandler {
  canHandle(value: unknown): boolean
  serialize(value: unknown): readonly [sent: object, transfer: readonly Transferable[]]
  deserialize(sent: object): unknown
}

const taught = new WeakSet<TransferHandler>()

/** What was refused just now. Of a result Comlink tells its caller only that it cannot be sent, and not why. */
let refused: TypeError | undefined

/** Of what is thrown Comlink sends name, message and stack. Of the end of a context, and what it caused, more is sent beside that; who was not taught reads what it always did. */
function teachEnds(handlers: Map<string, TransferHandler>): void {
  const plain = handlers.get('throw')
  if (plain === undefined || taught.has(plain)) return
  const handler: TransferHandler = {
    canHandle: (value) => plain.canHandle(value),
    serialize(thrown) {
      const { value } = thrown as { readonly value: unknown }
      const mine = messageOf(value) === 'Unserializable return value' ? refused : undefined
      refused = undefined
      const [sent, transfer] = plain.serialize(mine === undefined ? thrown : { ...(thrown as object), value: mine })
      return [kindOf(value) === undefined ? sent : { ...sent, ctxbridge: describeCause(value, thrownLimits, true) }, transfer]
    },
    deserialize(sent) {
      const cause = parseCause((sent as { readonly ctxbridge?: unknown }).ctxbridge, thrownLimits)
      if (cause.ok) throw reviveCause(cause.value)
      return plain.deserialize(sent)
    },
  }
  taught.add(handler)
  handlers.set('throw', handler)
}

/** Those who have a message that was never posted are gone, and so is the port that was to go with it. */
const gone = new FinalizationRegistry<MessagePort>(closeUnsent)

function notSent(error: unknown, key: string): void {
  warn(`The value of the portable key ${named(key)} was not sent: ${String(error)}`)
}

/**
 * Comlink does not tell when it cannot post a message, for the sake of another argument. So a context is exported only when it is read to be posted; and then the port that goes
 * with it is closed here, and the context given back, unless it has become another thread's.
 */
function send(ctx: Context, shared: boolean, signal?: AbortSignal): readonly [Sent | Alone, readonly Transferable[]] {
  const { port, alone } = Exporter.alone(ctx, notSent, shared)
  if (port === undefined) return [alone, []]
  const sent: Sent = {
    get handle() {
      queueMicrotask(() => closeUnsent(port))
      return alone.handle
    },
    get attach() {
      return alone.attach
    },
    // Until then it holds the signal: what is exported goes when that does.
    get number() {
      return numberOf(signal === undefined ? ctx : standFor(signal))
    },
  }
  gone.register(sent, port)
  return [sent, [port]]
}

let numbers = 0
const numbered = new WeakMap<Scope, number>()

/** One for all contexts that end as one. */
function numberOf(ctx: Context): number {
  const scope = scopeOf(ctx, 'install')
  let number = numbered.get(scope)
  if (number === undefined) numbered.set(scope, (number = ++numbers))
  return number
}
