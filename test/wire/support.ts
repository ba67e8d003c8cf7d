/** What the tests of the wire share: bytes by hand, an independent decoder to compare with, and what must hold everywhere. */

import { inspect, isDeepStrictEqual } from 'node:util'
import { expect } from 'vitest'
import { causeLimits, causeSize, reviveCause, type WireCause } from '../../lib/wire/cause.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { parseCause } from '../../lib/wire/cause-parse.ts'

export { referenceDecode } from './reference.ts'

/** Strict equality of data, in which a member named `constructor` is a member like others: toStrictEqual takes it for the class. */
export function expectSame(actual: unknown, expected: unknown): void {
  if (isDeepStrictEqual(actual, expected)) return
  const show = (value: unknown) => inspect(value, { depth: 20, maxStringLength: 2_000 })
  expect.fail(`got\n${show(actual)}\ninstead of\n${show(expected)}`)
}

/** Bytes from hex digits, other bytes, and texts, which give their UTF-8 without a head. */
export function raw(...parts: (string | Uint8Array | number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => (typeof part === 'string' ? hex(part) : [...part])))
}

function hex(digits: string): number[] {
  return (digits.replaceAll(' ', '').match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16))
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** A message of one frame `[64, value]`, which is skipped: so nothing but the value decides whether it is accepted. */
export function around(...value: (string | Uint8Array | number[])[]): Uint8Array {
  return raw('91 92 40', ...value)
}

/** The same numbers at every run. */
export function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** What a cause becomes on the other side. Through JSON, as nothing of this side's objects survives that. */
export function cross(cause: unknown): unknown {
  const parsed = parseCause(JSON.parse(JSON.stringify(describeCause(cause))))
  if (!parsed.ok) expect.fail(parsed.reason)
  return reviveCause(parsed.value)
}

/** What must hold for the description of anything. */
export function expectGood(cause: unknown): WireCause {
  const described = describeCause(cause)
  expect(causeSize(described)).toBeLessThanOrEqual(causeLimits.maxSize)
  const parsed = parseCause(JSON.parse(JSON.stringify(described)))
  expectSame(parsed, { ok: true, value: described })
  expectSame(describeCause(reviveCause(described)), described)
  return described
}
