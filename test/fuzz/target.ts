/** What can be fuzzed. */
import type { Random } from './random.ts'

export interface Target {
  readonly name: string
  /** How many inputs it gets, compared with the others. */
  readonly weight: number
  /** What must happen for the inputs to be worth anything: each of these is an outcome of some. */
  readonly outcomes: readonly string[]
  /** An input: a value that `structuredClone` can clone. */
  make(random: Random): unknown
  /** What became of it. Throws, or rejects, when that is not allowed. */
  check(input: unknown): string | Promise<string>
  /** Inputs that are less than this one, of which one may fail in the same way. */
  smaller(input: unknown): Iterable<unknown>
}

/** One line that can go into a log and a close frame: what every refusal promises. */
export function checkReason(reason: string): void {
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  if (reason.length === 0 || reason.length > 100 || /[\u0000-\u001f\u007f\u2028\u2029]/.test(reason)) {
    throw new Error(`a reason that cannot be sent: ${JSON.stringify(reason)}`)
  }
}

/** Less of an array: without a part of it, which is the smaller the later. */
export function* shorter<T extends { readonly length: number; slice(from: number, to: number): T }>(
  whole: T,
  joined: (a: T, b: T) => T,
): Iterable<T> {
  for (let part = whole.length; part >= 1; part = Math.floor(part / 2)) {
    for (let at = 0; at + part <= whole.length; at += part) {
      yield joined(whole.slice(0, at), whole.slice(at + part, whole.length))
    }
  }
}
