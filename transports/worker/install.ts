/**
 * Contexts for programs that speak Comlink: `wrap` and `expose` of `ctxbridge/worker`, whose calls end with their contexts; and for a program that has
 * Comlink's own already, `install`.
 */

import { background, type Context, withCancel } from '../../lib/context.ts'
import { withSignal } from '../../lib/signal.ts'
import { isContext } from '../../lib/foreign.ts'
import { isKey, type Key, named } from '../../lib/key.ts'
import { reviveCause } from '../../lib/wire/cause.ts'
import { Exporter } from './exporter.ts'
import { isHandle, parseHandle } from './handle.ts'
import { warn } from './host.ts'
import { baseOf, Importer, importEnded, refused } from './importer.ts'
import { type Attach, isAttach } from './messages.ts'

export { expose, type LinkOptions, type Remote, wrap, type WrapOptions } from './index.ts'

/** As much of Comlink as is used here. */
export interface ComlinkLike {
  readonly transferHandlers: { set(name: string, handler: never): unknown }
}

export interface InstallOptions {
  /** The portable keys whose values are taken over from contexts that come in. Values of other keys are dropped. */
  readonly keys?: readonly Key<unknown>[]
}

interface Sent {
  readonly handle: unknown
  readonly attach: Attach | undefined
}

/**
 * Teaches Comlink to send a `Context`, and an `AbortSignal`, as an argument or a result: call it once on both sides, before the first call. It arrives as a context, or
 * signal, that ends with the one that was sent: a context at once and with its cause, also in a loop that never yields where memory can be shared; a
 * signal when the event loop turns, with the reason as Comlink's own errors are, by name and message.
 *
 * What arrives is given back when it has ended, is cancelled or disposed of, or is collected; and when the thread ends, where the platform tells. Comlink
 * itself knows of no contexts: a call whose context has ended goes on waiting for its answer, and one whose worker has died waits for ever. The
 * calls of this module's `wrap` do neither.
 *
 * @param comlink the module: `import * as Comlink from 'comlink'`
 * @throws TypeError when it is not, or a key is not portable
 */
export function install(comlink: ComlinkLike, { keys = [] }: InstallOptions = {}): void {
  const handlers: unknown = (comlink as Partial<ComlinkLike> | null | undefined)?.transferHandlers
  if (!(handlers instanceof Map)) throw new TypeError(`install() needs the module of Comlink, but got ${named(comlink)}.`)
  for (const key of keys as readonly unknown[]) {
    if (!isKey(key) || key.portable === undefined)
      throw new TypeError(`install() needs portable keys from createKey(), but got ${named(key)}.`)
  }
  handlers.set('ctxbridge.context', {
    canHandle: isContext,
    serialize: (ctx: Context) => send(ctx),
    deserialize: (sent: Sent) => receive(sent, keys),
  })
  handlers.set('ctxbridge.signal', {
    canHandle: (value: unknown) => value instanceof AbortSignal,
    serialize: (signal: AbortSignal) => send(withSignal(background(), signal)),
    deserialize: (sent: Sent) => receive(sent, keys).signal,
  })
}

function send(ctx: Context): readonly [Sent, readonly Transferable[]] {
  const { handle, attach } = Exporter.alone(ctx, (error, key) =>
    warn(`The value of the portable key ${named(key)} was not sent: ${String(error)}`),
  )
  return [{ handle, attach }, attach === undefined ? [] : [attach.port]]
}

function receive(sent: Partial<Sent> | null | undefined, keys: readonly Key<unknown>[]): Context {
  const { handle, attach } = sent ?? {}
  const parsed = isHandle(handle) ? parseHandle(handle) : undefined
  if (parsed === undefined) return refused('it is forged, damaged, or of another version')
  const base = baseOf(parsed, keys)
  if (parsed.end !== undefined) return importEnded(parsed.end, base)
  if (parsed.slot === undefined && parsed.told === undefined) return withCancel(base)
  if (!isAttach(attach)) return refused('it came without its channel')
  const importer = new Importer(attach, () => undefined, true)
  return importer.import(parsed, base, parsed.why === undefined ? undefined : reviveCause(parsed.why))
}
