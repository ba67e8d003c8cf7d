/**
 * A call and its answer, as they go over the endpoint, and between them, where the call asks for it, the word that its method begins. Comlink's messages are objects within objects, each of which both threads pay for; these say the
 * same as two lists at most.
 *
 * Comlink passes them over, since they have no `type` and no `id`, as we pass over Comlink's own.
 */

import { named } from '../../lib/key.ts'
import { VERSION } from './messages.ts'

/** As much of Comlink's messages as is looked at here. */
export interface CallMessage {
  readonly id: string
  readonly type: string
  readonly path?: readonly string[]
  readonly name?: string
  readonly value?: unknown
  readonly argumentList?: readonly Argument[]
}

/** `RAW`: the value as it is; `HANDLER`: what the transfer handler of that name made of it. */
interface Argument {
  readonly type: string
  readonly name?: string
  readonly value?: unknown
}

/** Takes the place of an argument that is a context, or has some, on its way through Comlink. */
export abstract class Sent {
  /** The argument itself, with what `arrive` makes of each context. */
  abstract open(arrive: (sent: SentContext) => unknown): unknown
}

/** A context, or an AbortSignal, which goes as a context that ends with it. */
export class SentContext extends Sent {
  readonly handle: unknown
  readonly isSignal: boolean
  constructor(handle: unknown, isSignal: boolean) {
    super()
    this.handle = handle
    this.isSignal = isSignal
  }

  open(arrive: (sent: SentContext) => unknown): unknown {
    return arrive(this)
  }
}

/** What stands under some keys of an object. */
export type Members = Map<string, SentContext>

/** An object that came with contexts as properties. */
class SentObject extends Sent {
  readonly #object: Record<string, unknown>
  readonly #members: Members = new Map()
  constructor(object: Record<string, unknown>) {
    super()
    this.#object = object
  }

  /** False where it has no such property. */
  put(key: unknown, isSignal: boolean): boolean {
    if (typeof key !== 'string' || !Object.hasOwn(this.#object, key)) return false
    this.#members.set(key, new SentContext(this.#object[key], isSignal))
    return true
  }

  open(arrive: (sent: SentContext) => unknown): unknown {
    for (const [key, sent] of this.#members) this.#object[key] = arrive(sent)
    return this.#object
  }
}

const CALL = 'ctxbridge.call'
const ANSWER = 'ctxbridge.answer'
const BEGUN = 'ctxbridge.begun'
const ASK = 'ctxbridge.ask'

/** How many arguments a call may have. No engine passes as many to a function, unless it is told to. */
const MAX_ARGUMENTS = 1 << 17

/** Says of an argument that it is the handle of a context. */
const CONTEXT = 0
/** Says of an argument that it is the handle of a context that stands for an AbortSignal. */
const SIGNAL = 1
/** Says of an answer that the call failed, and that its value is the failure as data. */
const FAILED = 0

/**
 * Marks: place, what stands there, place, what stands there, and so on, where it is no plain value: the name of a transfer handler, `CONTEXT` or `SIGNAL`. A place is the number
 * of an argument, or of an object and which of its keys.
 * Asks: whether the other side is to say when the method begins, which may be long after the call came.
 */
export type PackedCall = readonly [
  tag: typeof CALL,
  version: number,
  id: string,
  args: readonly unknown[],
  marks?: readonly unknown[] | undefined,
  asks?: true,
]
/** Posted before the method runs: so it arrives though the method may then block its thread. */
export type PackedBegun = readonly [tag: typeof BEGUN, version: number, id: string]
/** Asks for a word as soon as the thread yields: a `PackedBegun` of the same id, which is that of no call. */
export type PackedAsk = readonly [tag: typeof ASK, version: number, id: string]
/** How: left out where the value is the result; the name of a transfer handler, or `FAILED`. */
export type PackedAnswer = readonly [tag: typeof ANSWER, version: number, id: string, value: unknown, how?: unknown]

/**
 * @param within contexts that are properties of arguments, by the number of the argument
 * @param asks whether the other side is to say when the method begins
 */
export function packCall(
  { id, argumentList = [] }: CallMessage,
  within?: ReadonlyMap<number, Members>,
  asks = false,
): PackedCall {
  const args: unknown[] = []
  const marks: unknown[] = []
  for (const { name, value } of argumentList) {
    const at = args.length
    const members = within?.get(at)
    if (name !== undefined) marks.push(at, name)
    else if (value instanceof SentContext) marks.push(at, markOf(value))
    for (const [key, sent] of members ?? []) marks.push([at, key], markOf(sent))
    args.push(value instanceof SentContext ? value.handle : members === undefined ? value : withHandles(value as object, members))
  }
  const marked = marks.length === 0 ? undefined : marks
  if (asks) return [CALL, VERSION, id, args, marked, true]
  return marked === undefined ? [CALL, VERSION, id, args] : [CALL, VERSION, id, args, marked]
}

function markOf({ isSignal }: SentContext): typeof CONTEXT | typeof SIGNAL {
  return isSignal ? SIGNAL : CONTEXT
}

function withHandles(object: object, members: Members): object {
  const copy: Record<string, unknown> = { ...object }
  for (const [key, { handle }] of members) copy[key] = handle
  return copy
}

export function packBegun([, , id]: PackedCall | PackedAsk): PackedBegun {
  return [BEGUN, VERSION, id]
}

export function packAsk(): PackedAsk {
  return [ASK, VERSION, '']
}

/** The message that it was; undefined where it is of no form that `packCall` gives. */
export function unpackCall([, , id, args, marks = []]: PackedCall): CallMessage | undefined {
  // A list may be long and empty: to go through it takes far more time than to send it.
  if (!Array.isArray(args) || !Array.isArray(marks) || args.length > MAX_ARGUMENTS) return undefined
  const argumentList: Argument[] = (args as unknown[]).map((value) => ({ type: 'RAW', value }))
  for (let i = 0; i < marks.length; i += 2) {
    const [place, what] = [marks[i] as unknown, marks[i + 1] as unknown]
    const [at, key] = Array.isArray(place) ? (place as unknown[]) : [place]
    if (typeof at !== 'number' || argumentList[at] === undefined) return undefined
    const { value } = argumentList[at]
    if (place !== at) {
      if (typeof value !== 'object' || value === null || (what !== CONTEXT && what !== SIGNAL)) return undefined
      const object = value instanceof SentObject ? value : new SentObject(value as Record<string, unknown>)
      if (!object.put(key, what === SIGNAL)) return undefined
      argumentList[at] = { type: 'RAW', value: object }
    } else if (what === CONTEXT || what === SIGNAL)
      argumentList[at] = { type: 'RAW', value: new SentContext(value, what === SIGNAL) }
    else argumentList[at] = { type: 'HANDLER', name: typeof what === 'string' ? what : named(what), value }
  }
  return { id, type: 'APPLY', path: [], argumentList }
}

/** @param version what the call came with, so that whoever sent it can read that it failed */
export function packAnswer({ id, name, value }: CallMessage, failed: boolean, version: number = VERSION): PackedAnswer {
  if (failed) return [ANSWER, version, id, value, FAILED]
  return name === undefined ? [ANSWER, VERSION, id, value] : [ANSWER, VERSION, id, value, name]
}

export function unpackAnswer([, , id, value, how]: PackedAnswer): { readonly message: CallMessage; readonly failed: boolean } {
  if (typeof how !== 'string') return { message: { id, type: 'RAW', value }, failed: how === FAILED }
  return { message: { id, type: 'HANDLER', name: how, value }, failed: false }
}

/** Whether it is a call, of whatever version. */
export function isCall(data: unknown): data is PackedCall {
  return isPacked(data, CALL)
}

export function isAnswer(data: unknown): data is PackedAnswer {
  return isPacked(data, ANSWER) && data[1] === VERSION
}

export function isBegun(data: unknown): data is PackedBegun {
  return isPacked(data, BEGUN) && data[1] === VERSION
}

export function isAsk(data: unknown): data is PackedAsk {
  return isPacked(data, ASK) && data[1] === VERSION
}

function isPacked(data: unknown, tag: string): data is readonly unknown[] {
  return Array.isArray(data) && data[0] === tag && Number.isInteger(data[1]) && typeof data[2] === 'string'
}
