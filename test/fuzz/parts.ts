/** Parsers that are reached through others as well, each by itself: causes in a slot's bytes, and the headers of W3C Trace Context. */
import { isDeepStrictEqual } from 'node:util'
import { decodeCauseBytes, encodeCauseBytes } from '../../lib/wire/cause-bytes.ts'
import { reviveCause } from '../../lib/wire/cause.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { baggage, traceparent, tracestate } from '../../lib/trace.ts'
import { damage, join } from './bytes.ts'
import { cause } from './frames.ts'
import type { Random } from './random.ts'
import { checkReason, shorter, type Target } from './target.ts'
import { data } from './values.ts'

export const causesTarget: Target = {
  name: 'causes',
  weight: 60,
  outcomes: ['accepted', 'cause: no JSON in UTF-8', 'cause: an unknown tag', 'cause: too few or too many elements'],
  make: (random) => {
    let bytes: Uint8Array = new TextEncoder().encode(JSON.stringify(cause(random, 9)))
    for (let left = random.of([0, 1, 1, 2]); left > 0; left--) bytes = damage(bytes, bytes, random)
    return bytes
  },
  check: (input) => checkCause(input as Uint8Array),
  smaller: (input) => shorter(input as Uint8Array, join),
}

/** What is accepted is a value whose description fits into a slot and says the same. */
function checkCause(bytes: Uint8Array): string {
  const result = decodeCauseBytes(bytes)
  if (!result.ok) {
    checkReason(result.reason)
    return result.reason
  }
  const described = describeCause(reviveCause(result.value))
  if (!isDeepStrictEqual(described, result.value) && result.value[0] !== 7)
    throw new Error('revived and described as something else')
  const { bytes: short } = encodeCauseBytes(described, 100)
  if (short.length > 100) throw new Error(`shortened to ${short.length} bytes, and not to 100`)
  const again = decodeCauseBytes(short)
  if (!again.ok) throw new Error(`shortened to what is none: ${again.reason}`)
  if (again.value[0] !== described[0] && described[0] > 2) throw new Error('shortened to another kind')
  return 'accepted'
}

const headers = { traceparent, tracestate, baggage }
type Header = readonly [name: keyof typeof headers, value: unknown]

export const traceTarget: Target = {
  name: 'trace',
  weight: 60,
  outcomes: [
    'traceparent accepted',
    'tracestate accepted',
    'baggage accepted',
    'traceparent refused',
    'tracestate refused',
    'baggage refused',
  ],
  make: (random): Header => {
    const name = random.of(['traceparent', 'tracestate', 'baggage'] as const)
    return [name, random.once(20) ? data(random) : changed(random, header(random, name))]
  },
  check: (input) => checkHeader(input as Header),
  *smaller(input) {
    const [name, value] = input as Header
    if (typeof value !== 'string') return
    for (const less of shorter(value.split(''), (a, b) => [...a, ...b])) yield [name, less.join('')]
  },
}

function header(random: Random, name: keyof typeof headers): string {
  const some = (make: () => string, most: number): string => Array.from({ length: 1 + random.small(most) }, make).join(',')
  const word = (letters: string, most: number): string =>
    Array.from({ length: 1 + random.small(most) }, () => letters[random.below(letters.length)]).join('')
  if (name === 'traceparent') {
    const hex = (length: number): string => Array.from({ length }, () => random.below(16).toString(16)).join('')
    const version = random.once(3) ? hex(2) : '00'
    return `${version}-${random.once(20) ? '0'.repeat(32) : hex(32)}-${hex(16)}-${hex(2)}${version === '00' ? '' : random.of(['', '-', '-more', 'more'])}`
  }
  const blank = (): string => random.of(['', '', '', ' ', '\t', ' '.repeat(random.small(300))])
  if (name === 'tracestate') {
    return some(
      () =>
        `${blank()}${word('abcz0159_-*/', 20)}${random.once(4) ? `@${word('abz', 14)}` : ''}=${word('abc !~:;', 30)}${blank()}`,
      34,
    )
  }
  const part = (): string =>
    `${blank()}${word("abcXYZ019!#$%&'*+-.^_`|~", 20)}${blank()}=${blank()}${word('abcXYZ019!#$%&()/:<>?@[]{}|~', 40)}${blank()}`
  return some(
    () => [part(), ...Array.from({ length: random.small(4) }, () => (random.once(3) ? word('abc', 9) : part()))].join(';'),
    66,
  )
}

function changed(random: Random, header: string): string {
  if (random.once(2)) return header
  const at = random.below(header.length + 1)
  const more = random.of([
    '',
    ',',
    ';',
    '=',
    '-',
    ' ',
    '\t',
    '\n',
    '\0',
    'ä',
    '"',
    '\\',
    'A',
    '0',
    ' '.repeat(random.small(9_000)),
    ';a=b'.repeat(random.small(2_100)),
  ])
  return header.slice(0, at) + more + header.slice(at + random.below(3))
}

/** What is accepted comes out as it was, and could stand in a header: one line of ASCII without a control character but the tab. */
function checkHeader([name, value]: Header): string {
  const { portable } = headers[name]
  if (portable === undefined) throw new Error('cannot cross')
  let decoded: unknown
  try {
    decoded = portable.decode(value)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    return `${name} refused`
  }
  if (decoded !== value || typeof value !== 'string') throw new Error('decoded as something else')
  if (portable.encode(value) !== value) throw new Error('encoded as something else')
  if (!/^[\t\x20-\x7e]{1,8192}$/.test(value)) throw new Error('no header could hold it')
  if (name === 'traceparent' && !isTraceparent(value)) throw new Error('no traceparent')
  if (name === 'tracestate' && value.split(',').length > 32) throw new Error('more than 32 members')
  if (name === 'baggage' && value.split(',').length > 64) throw new Error('more than 64 members')
  return `${name} accepted`
}

/** As https://www.w3.org/TR/trace-context/#traceparent-header says it, piece by piece. */
function isTraceparent(text: string): boolean {
  const hex = (part: string, length: number): boolean => part.length === length && /^[0-9a-f]*$/.test(part)
  const [version = '', trace = '', parent = '', flags = '', ...more] = text.split('-')
  const fits = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2) && version !== 'ff'
  return fits && !/^0+$/.test(trace) && !/^0+$/.test(parent) && (version !== '00' || more.length === 0)
}
