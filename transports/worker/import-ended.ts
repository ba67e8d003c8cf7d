/** Contexts that are done when they arrive, and what else of one its handle says by itself. */

import { withRemote } from '../../lib/boundary.ts'
import { hostClock } from '../../lib/clock.ts'
import { background, type CancelableContext, type Context, withValue } from '../../lib/context.ts'
import { End } from '../../lib/end.ts'
import { BridgeError, ContextError, kindOf, withoutStack } from '../../lib/errors.ts'
import type { SlotRefusal } from '../../lib/bridge/slot-reader.ts'
import { named } from '../../lib/given.ts'
import type { Key } from '../../lib/key.ts'
import { Source } from '../../lib/source.ts'
import { reviveCause, type WireCause } from '../../lib/wire/cause.ts'
import { decodeValues } from '../../lib/wire/values.ts'
import type { ParsedHandle } from './handle.ts'
import { warn } from './host.ts'

/** What an import is called in a path. */
export const importLabel = 'Import'

const gone =
  'nothing is known of it any more: it was imported and given back before, its context ended long ago, or it was never made'

/** Why a handle is of no use. */
export const reasons: Record<SlotRefusal, string> = {
  malformed: 'it is forged or damaged',
  unknown: 'its part of the table was never announced',
  foreign: 'it was made for another link',
  stale: gone,
  spent: gone,
  corrupt: 'the shared memory that it points to is damaged',
}

/** A context that is done, because its handle cannot be imported. */
export function refused(why: string): CancelableContext {
  return ended(background(), new End('canceled', unusable(why), hostClock.now()))
}

/** As an error. */
export function unusable(why: string): BridgeError {
  return withoutStack(() => new BridgeError('ERR_HANDLE', `The handle cannot be imported: ${why}.`))
}

/** What an import gets its values from, below others. A value that cannot be read is told of, and left out. */
export function baseOf(
  { values }: ParsedHandle,
  keys: readonly Key<unknown>[],
  report: (error: unknown, key: string) => void = (error, key) =>
    warn(`The value of the portable key ${named(key)} was not received: ${String(error)}`),
  below: Context = background(),
): Context {
  if (values === undefined) return below
  const { bindings } = decodeValues(values, keys, report)
  return bindings.reduce((ctx, [key, value]) => withValue(ctx, key, value), below)
}

/** A context that is done, as its handle says. */
export function importEnded(end: WireCause, base: Context): CancelableContext {
  const error = reviveCause(end)
  if (!(error instanceof ContextError)) return refused('it says that its context has ended, but not how')
  return ended(base, new End(kindOf(error) ?? 'canceled', undefined, hostClock.now(), error))
}

/** A context that is done: with what a handle says. */
export function ended(base: Context, end: End): CancelableContext {
  return withRemote(base, new Ended(end), Number.POSITIVE_INFINITY, undefined)
}

class Ended extends Source {
  readonly #end: End

  constructor(end: End) {
    super()
    this.#end = end
  }

  poll(): End {
    return this.#end
  }

  override label(): string {
    return importLabel
  }
}
