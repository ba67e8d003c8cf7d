/** Streams, which do not cross as a result. */

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
