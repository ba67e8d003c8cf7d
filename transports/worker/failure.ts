/** How a call failed, on its way back as data. */

import { BridgeError, type BridgeErrorCode } from '../../lib/errors.ts'
import { attempt } from '../../lib/given.ts'
import { type CauseLimits, causeLimits, reviveAnswer } from '../../lib/wire/cause.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { parseCause } from '../../lib/wire/cause-parse.ts'
import { isPlain } from '../../lib/wire/sendable.ts'

/** Says that the bridge itself refused a call, where the method's own errors are causes: `[code, message]`. */
type Refusal = readonly [code: BridgeErrorCode, message: string]

/**
 * Of what is thrown. An end's cause goes to each of thousands of contexts, and keeps the limits of the protocol; this goes once, to who awaits it, between threads of one program. A stack begins with the message.
 */
export const thrownLimits: CauseLimits = { ...causeLimits, maxText: 65_536, maxStack: 131_072, maxSize: 524_288 }

/** What a call failed with, as data. */
export function failureToWire(error: unknown): unknown {
  // Not by `instanceof`: a proxy may throw at that.
  const refused: Refusal | undefined = isOwn(error) ? [error.code, error.message] : undefined
  // With its stack: both threads are of one program, and nobody else sees it.
  return refused === undefined ? { threw: describeCause(error, thrownLimits, true) } : { refused }
}

/** What a failed call rejects with. */
export function failureFromWire(data: unknown): unknown {
  const { threw, refused } = (data ?? {}) as { threw?: unknown; refused?: readonly unknown[] }
  if (isRefusal(refused)) return new BridgeError(refused[0], refused[1])
  const cause = parseCause(threw, thrownLimits)
  return cause.ok ? reviveAnswer(cause.value) : new BridgeError('ERR_PROTOCOL', 'The call failed, and its error cannot be read.')
}

const codes: readonly unknown[] = [
  'ERR_NO_METHOD',
  'ERR_HANDLE',
  'ERR_UNSENDABLE',
  'ERR_PROTOCOL',
  'ERR_LIMIT',
] satisfies readonly BridgeErrorCode[]
const own = new WeakSet<BridgeError>()

function isOwn(error: unknown): error is BridgeError {
  return own.has(error as BridgeError)
}

/** An error of the bridge about a call that has come, in place of the method's. One that a method throws, of a call of its own, goes as all that it throws. */
export function refusal(
  code: 'ERR_NO_METHOD' | 'ERR_HANDLE' | 'ERR_UNSENDABLE' | 'ERR_PROTOCOL' | 'ERR_LIMIT',
  message: string,
): BridgeError {
  const error = new BridgeError(code, message)
  own.add(error)
  return error
}

/** An argument of a call of this thread's that cannot be cloned, or not even be looked at. */
export function unsendable(method: string, why: string, error: unknown): BridgeError {
  const message = `An argument of ${method}() cannot be sent to the other thread: ${why}`
  return new BridgeError('ERR_UNSENDABLE', message, { cause: error })
}

/** Why values could not be posted: of a function, also what to do. Never throws. */
export function whyUnposted(error: unknown, values: readonly unknown[]): string {
  const why = messageOf(error)
  const has = values.some(
    (value) => isFunction(value) || attempt(() => isPlain(value as object) && Object.values(value as object).some(isFunction)),
  )
  return has ? `${why} A function crosses as Comlink.proxy(f), which must be an argument, or the result, itself.` : why
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function'
}

/** Why what came cannot be read: it needs a transfer handler of Comlink that is not installed. */
export function unreadable(what: string, handler: string, where: string): string {
  const missing = `${what} needs the transfer handler ${JSON.stringify(handler)} of Comlink, which ${where} has not installed`
  const remedy = handler.startsWith('ctxbridge.') ? ': call install(Comlink) of ctxbridge/comlink there, too.' : '.'
  return missing + remedy
}

function isRefusal(refused: unknown): refused is Refusal {
  return Array.isArray(refused) && codes.includes(refused[0]) && typeof refused[1] === 'string'
}

/** The message of what was thrown by `postMessage`, a handle or a transfer handler. Never throws. */
export function messageOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error)
  } catch {
    return 'what was thrown cannot be shown.'
  }
}
