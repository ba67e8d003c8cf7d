/** How a cause becomes smaller, so that what matters most is what remains. */

import {
  BIGINT,
  CANCELED,
  causeOf,
  cutMark,
  DATA,
  DEADLINE,
  ERROR,
  isError,
  LINK_LOST,
  SPECIAL,
  TRACED,
  type WireCause,
  type WireError,
  withCause,
} from './cause.ts'
import { cutText, utf8Length } from './text.ts'

/**
 * `cause` if it fits, else as much of it as does. All stacks go first, then the deepest causes, and `…` marks where they were; then the
 * message of the error that remains is cut, then its code goes, then its name is cut. Its kind always stays. Of a cause that is no
 * error, a text is cut, and data gives way to a description.
 *
 * @param fits whether a cause is small enough; one that is smaller than a cause that fits must fit, too
 */
export function shortenCause(cause: WireCause, fits: (shorter: WireCause) => boolean): WireCause {
  if (fits(cause)) return cause
  const plain = withoutStacks(cause)
  return plain === cause ? shorten(cause, fits) : shortenCause(plain, fits)
}

function withoutStacks(cause: WireCause): WireCause {
  if (!isError(cause)) return cause
  const inner = causeOf(cause)
  const plain = inner === null ? null : withoutStacks(inner)
  if (cause[0] === TRACED) return [ERROR, cause[1], cause[2], cause[3], plain]
  return plain === inner ? cause : withCause(cause, plain)
}

function shorten(cause: WireCause, fits: (shorter: WireCause) => boolean): WireCause {
  const errors: WireError[] = []
  let tail: WireCause | null = cause
  for (; tail !== null && isError(tail); tail = causeOf(tail)) errors.push(tail)
  // The first to go is what stands at the end and is no error, if something does.
  for (let kept = tail === null ? errors.length - 1 : errors.length; kept >= 1; kept--) {
    const shorter = errors.slice(0, kept).reduceRight<WireCause>((inner, error) => withCause(error, inner), cutMark)
    if (fits(shorter)) return shorter
  }
  return isError(cause)
    ? shortenError(withCause(cause, causeOf(cause) === null ? null : cutMark), fits)
    : shortenLeaf(cause, fits)
}

function shortenError(error: WireError, fits: (shorter: WireCause) => boolean): WireCause {
  switch (error[0]) {
    case CANCELED:
    case DEADLINE:
      return error
    case LINK_LOST: {
      const [, message, inner] = error
      return longest(message, (cut) => [LINK_LOST, cut, inner], fits) ?? [LINK_LOST, '', inner]
    }
    case TRACED: // without its stack by now
    case ERROR: {
      const [, name, message, code] = error
      const inner = causeOf(error)
      return (
        longest(message, (cut) => [ERROR, name, cut, code, inner], fits) ??
        longest(message, (cut) => [ERROR, name, cut, null, inner], fits) ??
        longest(name, (cut) => [ERROR, cut, '', null, inner], fits) ?? [ERROR, '', '', null, inner]
      )
    }
  }
}

function shortenLeaf(leaf: WireCause, fits: (shorter: WireCause) => boolean): WireCause {
  const [tag, content] = leaf
  let text = ''
  if (tag === SPECIAL || tag === BIGINT) text = content
  else if (tag === DATA)
    text = typeof content === 'string' ? content : `${Array.isArray(content) ? 'an array' : 'an object'} too large to be sent`
  return longest(text, (cut) => [DATA, cut], fits) ?? [DATA, '']
}

/** What `make` makes of as much of `text` as fits; undefined if it does not fit even without the text. */
function longest(text: string, make: (cut: string) => WireCause, fits: (shorter: WireCause) => boolean): WireCause | undefined {
  let best = make('')
  if (!fits(best)) return undefined
  let low = 1
  let high = utf8Length(text)
  while (low <= high) {
    const middle = (low + high) >> 1
    const candidate = make(cutText(text, middle))
    if (fits(candidate)) {
      best = candidate
      low = middle + 1
    } else {
      high = middle - 1
    }
  }
  return best
}
