/**
 * From frames to what a msgpack encoder is given, and from what its decoder gave back to frames.
 *
 * What is promised here is the form of each frame. What a frame means, and whether it may come now, is not known here.
 */

import { parseCause } from './cause-parse.ts'
import {
  type CallFrame,
  type Frame,
  type FrameLimits,
  frameLimits,
  type HelloFrame,
  maxName,
  maxToken,
  PROTOCOL_VERSION,
  type WireContext,
  type WirePair,
} from './frame.ts'
import { accept, type Refused, type Result, refuse } from './result.ts'
import { isText } from './text.ts'

/** The frames as the array that is a message. There must be at least one, and no more than the receiver's limit. */
export function messageToWire(frames: readonly Frame[]): unknown[] {
  return frames.map(toWire)
}

/** The frame as the array that goes on the wire. What it holds is not copied and not checked. */
export function toWire(frame: Frame): unknown[] {
  switch (frame.type) {
    case 'hello':
      return helloToWire(frame)
    case 'call':
      return [2, frame.id, frame.method, contextToWire(frame.context), frame.args]
    case 'cancel':
      return [3, frame.id, frame.kind === 'canceled' ? 0 : 1, frame.cause ?? null]
    case 'result':
      return frame.value === undefined ? [4, frame.id] : [4, frame.id, frame.value]
    case 'error':
      return [5, frame.id, frame.error]
    case 'export':
      return [6, frame.id, contextToWire(frame.context)]
    case 'release':
      return [7, frame.id, frame.grant]
    case 'ping':
      return [8, frame.n]
    case 'pong':
      return [9, frame.n]
    case 'goaway':
      return [10, frame.reason]
    case 'retract':
      return [11, frame.id]
    case 'stream':
      return [12, frame.id]
    case 'item':
      return frame.value === undefined ? [13, frame.id] : [13, frame.id, frame.value]
    case 'credit':
      return [14, frame.id, frame.n]
    case 'ack':
      return [15, frame.n]
    case 'cancels':
      return [16, frame.ids, frame.kind === 'canceled' ? 0 : 1, frame.cause ?? null]
  }
}

function helloToWire({ version, limits, name, link, session }: HelloFrame): unknown[] {
  const { maxMessage, maxCalls, maxContexts, window, lease } = limits
  const hello: unknown[] = [1, version, [maxMessage, maxCalls, maxContexts, window, lease], name, link]
  if (session !== undefined) hello.push([session.token, session.received])
  return hello
}

function contextToWire({ left, why, values, under }: WireContext): unknown[] {
  return under === undefined ? [left ?? null, why ?? null, values] : [left ?? null, why ?? null, values, under]
}

/**
 * The frames that `data` is a message of, without those that are to be skipped: so there may be none. One frame that is refused
 * refuses all. Never throws.
 */
export function messageFromWire(data: unknown, limits: FrameLimits = frameLimits): Result<Frame[]> {
  if (!Array.isArray(data)) return refuse('message: no array of frames')
  if (data.length === 0) return refuse('message: without a frame')
  if (data.length > limits.maxFrames) return refuse('message: more frames than the limit')
  const frames: Frame[] = []
  for (const element of data as unknown[]) {
    const frame = fromWire(element, limits)
    if (!frame.ok) return frame
    if (frame.value !== undefined) frames.push(frame.value)
  }
  return accept(frames)
}

/**
 * The frame that `data` is; undefined for one of a type that is to be skipped. Takes ownership of `data`, and checks all of it
 * but arguments, results and the data of values: that these are plain is the work of whoever decoded the bytes. Never throws.
 */
export function fromWire(data: unknown, limits: FrameLimits = frameLimits): Result<Frame | undefined> {
  if (!Array.isArray(data)) return notArray
  const type: unknown = data[0]
  if (!isInteger(type, 1)) return unknownType
  // Before the length: what a hello of another version looks like, only that version knows.
  if (type === 1) return helloFromWire(data)
  if (type > 16) return type >= 64 && type <= 127 ? nothing : unknownType
  const name = names[type] as string
  if (data.length !== lengths[type] && !((type === 4 || type === 13) && data.length === 2))
    return refuse(`${name}: too few or too many elements`)
  const id: unknown = data[1]
  if ((type <= 7 || (type >= 11 && type <= 14)) && !isInteger(id, 1)) return refuse(`${name}: id is no integer from 1`)
  switch (type) {
    case 2:
      return callFromWire(id as number, data[2], data[3], data[4], limits)
    case 3:
    case 16: {
      const kind: unknown = data[2]
      if (type === 16 && !isIds(id)) return refuse('cancels: ids are no array of one or more integers from 1')
      if (kind !== 0 && kind !== 1) return refuse(`${name}: kind is neither 0 nor 1`)
      const cause = data[3] === null ? nothing : parseCause(data[3])
      if (!cause.ok) return cause
      const end = { kind: kind === 0 ? 'canceled' : 'deadline', cause: cause.value } as const
      return accept(type === 3 ? { type: 'cancel', id: id as number, ...end } : { type: 'cancels', ids: id as number[], ...end })
    }
    case 4:
      return accept({ type: 'result', id: id as number, value: data[2] as unknown })
    case 5: {
      const error = parseCause(data[2])
      return error.ok ? accept({ type: 'error', id: id as number, error: error.value }) : error
    }
    case 6: {
      const context = contextFromWire(data[2], limits)
      return context.ok ? accept({ type: 'export', id: id as number, context: context.value }) : context
    }
    case 7:
      if (!isInteger(data[2], 1)) return refuse('release: grant is no integer from 1')
      return accept({ type: 'release', id: id as number, grant: data[2] })
    case 8:
    case 9:
      if (!isInteger(id, 0)) return refuse(`${name}: n is no integer from 0`)
      return accept({ type: type === 8 ? 'ping' : 'pong', n: id })
    case 11:
      return accept({ type: 'retract', id: id as number })
    case 12:
      return accept({ type: 'stream', id: id as number })
    case 13:
      return accept({ type: 'item', id: id as number, value: data[2] as unknown })
    case 14:
      if (!isInteger(data[2], 1)) return refuse('credit: n is no integer from 1')
      return accept({ type: 'credit', id: id as number, n: data[2] })
    case 15:
      return isInteger(id, 0) ? accept({ type: 'ack', n: id }) : refuse('ack: n is no integer from 0')
    default:
      return isText(id, 0, maxName) ? accept({ type: 'goaway', reason: id }) : refuse('goaway: reason is no text up to 256')
  }
}

function helloFromWire(data: unknown[]): Result<HelloFrame> {
  const [, version, limits, name, link, session] = data
  if (!isInteger(version, 1)) return refuse('hello: version is no integer from 1')
  if (version !== PROTOCOL_VERSION) return refuse(`hello: version ${version} is not spoken here, ${PROTOCOL_VERSION} is`)
  if (data.length !== 5 && data.length !== 6) return refuse('hello: too few or too many elements')
  if (!Array.isArray(limits) || limits.length !== 5) return refuse('hello: limits are no array of 5')
  const [maxMessage, maxCalls, maxContexts, window, lease] = limits as unknown[]
  if (!isInteger(maxMessage, 1024)) return refuse('hello: maxMessage is no integer from 1024')
  if (!isInteger(maxCalls, 0)) return refuse('hello: maxCalls is no integer from 0')
  if (!isInteger(maxContexts, 0)) return refuse('hello: maxContexts is no integer from 0')
  if (!isInteger(window, 1)) return refuse('hello: window is no integer from 1')
  if (!isInteger(lease, 0)) return refuse('hello: lease is no integer from 0')
  if (!isText(name, 0, maxName)) return refuse('hello: name is no text up to 256')
  if (!isText(link, 1, maxToken)) return refuse('hello: link is no text of 1 to 64')
  const base = { type: 'hello', version, limits: { maxMessage, maxCalls, maxContexts, window, lease }, name, link } as const
  if (data.length === 5) return accept({ ...base, session: undefined })
  if (!Array.isArray(session) || session.length !== 2) return refuse('hello: session is no array of 2')
  const [token, received] = session as unknown[]
  if (!isText(token, 0, maxToken)) return refuse('hello: token is no text up to 64')
  if (!isInteger(received, 0)) return refuse('hello: received is no integer from 0')
  return accept({ ...base, session: { token, received } })
}

function callFromWire(id: number, method: unknown, context: unknown, args: unknown, limits: FrameLimits): Result<CallFrame> {
  if (!isText(method, 1, maxName)) return refuse('call: method is no text of 1 to 256')
  const parsed = contextFromWire(context, limits)
  if (!parsed.ok) return parsed
  if (!Array.isArray(args)) return refuse('call: arguments are no array')
  return accept({ type: 'call', id, method, context: parsed.value, args })
}

function contextFromWire(data: unknown, limits: FrameLimits): Result<WireContext> {
  if (!Array.isArray(data) || (data.length !== 3 && data.length !== 4)) return refuse('context: no array of 3 or 4')
  const [left, why, values, under] = data as unknown[]
  if (left !== null && !Number.isFinite(left)) return refuse('context: time left is no finite number')
  if (left === null && why !== null) return refuse('context: a cause of a deadline without a deadline')
  if (data.length === 4 && !isInteger(under, 1)) return refuse('context: under is no integer from 1')
  const cause = why === null ? nothing : parseCause(why)
  if (!cause.ok) return cause
  const pairs = pairsFromWire(values, data.length === 4, limits)
  if (!pairs.ok) return pairs
  return accept({
    left: left === null ? undefined : (left as number),
    why: cause.value,
    values: pairs.value,
    under: under as number | undefined,
  })
}

/** The pairs that `values` are. Takes ownership of them. `hides`: whether a name alone is allowed. Never throws. */
export function pairsFromWire(values: unknown, hides: boolean, limits: FrameLimits = frameLimits): Result<WirePair[]> {
  if (!Array.isArray(values)) return refuse('context: values are no array')
  if (values.length > limits.maxValues) return refuse('context: more values than the limit')
  for (let i = 0; i < values.length; i++) {
    const pair: unknown = values[i]
    if (!Array.isArray(pair) || (pair.length !== 2 && !(hides && pair.length === 1))) return refuse('context: a value is no pair')
    if (!isText(pair[0], 1, maxName)) return refuse('context: the name of a value is no text of 1 to 256')
    // Sixty-four at most, so that to compare is cheaper than to collect.
    for (let j = 0; j < i; j++) if ((values[j] as WirePair)[0] === pair[0]) return refuse('context: a value twice')
  }
  return accept(values as WirePair[])
}

function isIds(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((id) => isInteger(id, 1))
}

function isInteger(value: unknown, min: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= min
}

/** By type: what reasons call the frame, and how long it is. A result and an item may also have 2 elements, a hello 6. */
const names = [
  ...['', 'hello', 'call', 'cancel', 'result', 'error', 'export', 'release', 'ping', 'pong', 'goaway'],
  ...['retract', 'stream', 'item', 'credit', 'ack', 'cancels'],
]
const lengths = [0, 5, 5, 4, 3, 3, 3, 3, 2, 2, 2, 2, 2, 3, 3, 2, 4]

const nothing: Result<undefined> = Object.freeze(accept(undefined))
const notArray: Refused = Object.freeze(refuse('frame: no array'))
const unknownType: Refused = Object.freeze(refuse('frame: type is unknown'))
