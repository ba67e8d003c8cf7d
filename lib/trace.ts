/**
 * The headers of W3C Trace Context and Baggage as keys that cross boundaries: a trace id survives every hop. What comes from outside is checked by the
 * grammar of its specification, and is dropped where it does not keep to it, as the specifications ask for.
 */
import { createKey, type Key } from './key.ts'

function header(name: string, isValid: (text: string) => boolean): Key<string> {
  const check = (value: unknown): string => {
    if (typeof value === 'string' && isValid(value)) return value
    throw new TypeError(`The value of ${name} is not of the form that its specification has.`)
  }
  return createKey<string>(name, { portable: { encode: check, decode: check }, show: true })
}

/** Version 00 exactly; of a later version what begins like it. No id is all zeros. */
const traceparentForm = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:$|-[\x21-\x7e]*$)/

/** `traceparent`: version, trace id, parent id, flags. https://www.w3.org/TR/trace-context/#traceparent-header */
export const traceparent: Key<string> = header(
  'traceparent',
  (text) => text.length <= 512 && traceparentForm.test(text) && (!text.startsWith('00') || text.length === 55),
)

const stateKey = /^(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})$/
const stateValue = /^[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/

/** `tracestate`: up to 32 members of vendors. https://www.w3.org/TR/trace-context/#tracestate-header */
export const tracestate: Key<string> = header('tracestate', (text) => {
  if (text.length > 8_192) return false
  const seen = new Set<string>()
  const members = text.split(',').map(withoutBlanks)
  for (const member of members) {
    if (member === '') continue
    const [key = '', ...rest] = member.split('=')
    if (rest.length !== 1 || !stateKey.test(key) || !stateValue.test(rest[0] as string) || seen.has(key)) return false
    seen.add(key)
  }
  return seen.size > 0 && members.length <= 32
})

/** Linear, where an expression that looks for blanks at the end begins anew at each blank. */
function withoutBlanks(text: string): string {
  let [start, end] = [0, text.length]
  while (start < end && isBlank(text[start])) start++
  while (end > start && isBlank(text[end - 1])) end--
  return text.slice(start, end)
}

function isBlank(unit: string | undefined): boolean {
  return unit === ' ' || unit === '\t'
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const octets = /^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/

/** `key=value`, then properties, of which each may be a key alone. */
function isBaggageMember(member: string): boolean {
  return member.split(';').every((part, i) => {
    const at = part.indexOf('=')
    if (at < 0) return i > 0 && token.test(withoutBlanks(part))
    return token.test(withoutBlanks(part.slice(0, at))) && octets.test(withoutBlanks(part.slice(at + 1)))
  })
}

/** `baggage`: up to 64 members, 8,192 bytes together. https://www.w3.org/TR/baggage/#baggage-http-header-format */
export const baggage: Key<string> = header('baggage', (text) => {
  if (text.length === 0 || text.length > 8_192) return false
  const members = text.split(',')
  return members.length <= 64 && members.every(isBaggageMember)
})
