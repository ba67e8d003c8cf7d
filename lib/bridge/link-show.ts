/** How connections look to people: in a log, in an inspector, as text. */
import { BridgeError, LinkLostError } from '../errors.ts'

/** Has Node's inspector show an object, or those of a prototype, as text. */
export function inspectAsText<T extends object>(target: T, tell?: () => string): T {
  function inspected(this: unknown): string {
    return tell === undefined ? String(this) : tell()
  }
  return Object.defineProperty(target, Symbol.for('nodejs.util.inspect.custom'), { value: inspected, configurable: true })
}

/** On one line, with the counts that are not 0: `Connection("reports") { open, calls: 2 }`. */
export function show(what: string, state: string, counts: Readonly<Record<string, number>>): string {
  const parts = Object.entries(counts).flatMap(([name, count]) => (count === 0 ? [] : [`${name}: ${count}`]))
  const told = state === '' ? parts : [state, ...parts]
  return told.length === 0 ? `${what} { idle }` : `${what} { ${told.join(', ')} }`
}

/** What a close frame has room for. */
const longestReason = 123

/** Of a peer that has not greeted as one, or sends what no link does. */
export function notSpoken(reason: string): LinkLostError {
  const cause = new BridgeError('ERR_PROTOCOL', reason)
  return new LinkLostError(`The other side does not speak the protocol of ctxbridge (${reason}).`, { cause })
}

/** What is told of a close by the peer. Its reason is from outside: it stays on its line, no terminal obeys it, and of one that is too long the beginning is told. */
export function closedByPeer(code: number, reason: string): string {
  const told = JSON.stringify(reason.slice(0, longestReason))
  const said = reason === '' ? '' : ` and the reason ${told.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped)}`
  return `The peer closed the connection with code ${code}${said}.`
}

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)?.toString(16)}}`
}
