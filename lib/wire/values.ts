/** Context values on the wire: only those whose keys are marked as portable, each as its key's codec has it. */

import { BridgeError } from '../errors.ts'
import type { Key } from '../key.ts'
import { frameLimits, maxName, type WirePair, type WireValue } from './frame.ts'
import { checkSendable, type SendableLimits } from './sendable.ts'
import { isText } from './text.ts'

/** For all values of a context together, except that the depth is each one's own. */
export interface ValuesLimits extends SendableLimits {
  readonly maxValues: number
}

export const valuesLimits: ValuesLimits = Object.freeze({
  maxValues: frameLimits.maxValues,
  maxDepth: 8,
  maxElements: 2_048,
  maxBytes: 16_384,
})

/** Is told why the value of a key was left out: what a codec threw, or a `BridgeError`. Must not throw. */
export type ReportValue = (error: unknown, name: string) => void

/**
 * The pairs to send for `bindings`, of which the nearest come first: a key's first binding counts, and one to `undefined` hides
 * the outer ones there as it does here (contract C44). What a codec throws, or gives that cannot be sent, or is over the limits,
 * is reported and left out; so is the second of two keys of one name, unless it has the same value, as those of two copies of the package may. Keys that are not portable are passed over.
 *
 * Does not throw, unless `bindings` or `report` do.
 */
export function encodeValues(
  bindings: Iterable<readonly [Key<unknown>, unknown]>,
  report: ReportValue,
  limits: ValuesLimits = valuesLimits,
): WireValue[] {
  const pairs: WireValue[] = []
  const seen = new Map<string, readonly [key: Key<unknown>, value: unknown]>()
  let { maxElements, maxBytes } = limits
  for (const [key, value] of bindings) {
    const { name, portable } = key
    if (portable === undefined) continue
    const other = seen.get(name)
    if (other !== undefined) {
      if (other[0] === key || Object.is(other[1], value)) continue
      report(new BridgeError('ERR_UNSENDABLE', 'Another portable key has the same name, and its value is sent.'), name)
      continue
    }
    seen.set(name, [key, value])
    if (value === undefined) continue
    if (!isText(name, 1, maxName)) {
      report(
        new BridgeError('ERR_UNSENDABLE', `A portable key needs a name of at most ${maxName} characters of well-formed text.`),
        name,
      )
      continue
    }
    if (pairs.length >= limits.maxValues) {
      report(new BridgeError('ERR_LIMIT', `A context sends at most ${limits.maxValues} values.`), name)
      continue
    }
    let data: unknown
    try {
      data = portable.encode(value)
    } catch (error) {
      report(error, name)
      continue
    }
    if (data === undefined) {
      report(new BridgeError('ERR_UNSENDABLE', 'The codec of a portable key gave undefined, which cannot be sent.'), name)
      continue
    }
    const checked = checkSendable(data, { maxDepth: limits.maxDepth, maxElements, maxBytes })
    if (!checked.ok) {
      report(new BridgeError('ERR_UNSENDABLE', `The codec of a portable key gave what cannot be sent: ${checked.reason}.`), name)
      continue
    }
    maxElements -= checked.elements
    maxBytes -= checked.bytes
    pairs.push([name, checked.value])
  }
  return pairs
}

export interface DecodedValues {
  /** In the order in which they came. */
  readonly bindings: [key: Key<unknown>, value: unknown][]
  /** How many pairs gave no binding: those of names that are not registered, and those that were reported. */
  readonly dropped: number
}

/**
 * The bindings that `pairs` from outside give for the registered `keys`; of two keys of one name, the first. Pairs of other names
 * are passed over unread, as are keys that are not portable. A name alone is a binding to undefined, which hides. What is over the limits, and what a codec refuses by throwing, is
 * reported and left out.
 *
 * Does not throw, unless `report` does.
 */
export function decodeValues(
  pairs: readonly WirePair[],
  keys: readonly Key<unknown>[],
  report: ReportValue,
  limits: ValuesLimits = valuesLimits,
): DecodedValues {
  const bindings: [Key<unknown>, unknown][] = []
  let { maxElements, maxBytes } = limits
  for (const pair of pairs) {
    const [name, data] = pair
    const key = keys.find((registered) => registered.name === name && registered.portable !== undefined)
    if (key?.portable === undefined) continue
    if (pair.length === 1) {
      bindings.push([key, undefined])
      continue
    }
    const checked = checkSendable(data, { maxDepth: limits.maxDepth, maxElements, maxBytes })
    if (!checked.ok) {
      report(new BridgeError('ERR_LIMIT', `The data of a value is not what may be received: ${checked.reason}.`), name)
      continue
    }
    maxElements -= checked.elements
    maxBytes -= checked.bytes
    try {
      bindings.push([key, key.portable.decode(checked.value)])
    } catch (error) {
      report(error, name)
    }
  }
  return { bindings, dropped: pairs.length - bindings.length }
}
