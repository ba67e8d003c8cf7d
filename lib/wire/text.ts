/** Texts as UTF-8 sees them. A JavaScript string can hold what UTF-8 cannot carry: a surrogate without its partner. */

/** How many bytes `text` takes in UTF-8, or -1 where it has a lone surrogate and so takes none. Linear. */
export function utf8Length(text: string): number {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    bytes += unit < 0x800 ? 1 : 2
    if (unit < 0xd800 || unit > 0xdfff) continue
    const next = text.charCodeAt(i + 1)
    // Also when there is no next unit, since NaN is in no range.
    if (unit > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) return -1
    i++ // Two units, four bytes: two counted as units, two just added.
  }
  return bytes
}

/** Whether `value` is a string of `min` to `max` UTF-16 units that UTF-8 can carry. */
export function isText(value: unknown, min: number, max: number): value is string {
  return typeof value === 'string' && value.length >= min && value.length <= max && utf8Length(value) >= 0
}

/**
 * `text` in at most `maxBytes` bytes of UTF-8. What is too long is cut between two code points and ends with `…`, or is
 * empty where not even that fits; lone surrogates become U+FFFD. The cost is bounded by `maxBytes`, not by the text.
 */
export function cutText(text: string, maxBytes: number): string {
  // No text has fewer bytes than units, so what stands behind `maxBytes` units is cut in any case.
  const whole = text.length <= maxBytes
  const clean = (whole ? text : text.slice(0, maxBytes)).replace(/\p{Surrogate}/gu, '\ufffd')
  if (whole && utf8Length(clean) <= maxBytes) return clean
  if (maxBytes < ellipsisBytes) return ''
  let bytes = 0
  let end = 0
  for (const point of clean) {
    bytes += utf8Length(point)
    if (bytes > maxBytes - ellipsisBytes) break
    end += point.length
  }
  return `${clean.slice(0, end)}…`
}

const ellipsisBytes = 3
