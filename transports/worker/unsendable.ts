/** What is known not to cross as a result, and for which there is another way. */

/** What a generator gives, or is like it. Never throws. */
export function isStream(value: unknown): boolean {
  try {
    return (
      typeof value === 'object' &&
      value !== null &&
      'next' in value &&
      (Symbol.asyncIterator in value || Symbol.iterator in value)
    )
  } catch {
    // A proxy of somebody else's threw.
    return false
  }
}
