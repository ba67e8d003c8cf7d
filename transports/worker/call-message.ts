/**
 * A call and its answer, as they go over the endpoint, and between them, where the call asks for it, the word that its method begins: two lists at most, since both threads pay for each object.
 *
 * Comlink passes them over, since they have no `type` and no `id`, as we pass over Comlink's own.
 */

import { named } from '../../lib/given.ts'
import { encode, type Encoded } from './comlink.ts'
import { VERSION } from './messages.ts'

/** A message, and what is transferred with it. */
export type Parcel<M> = readonly [message: M, transfer: readonly Transferable[]]

const nothing: readonly never[] = []

/** Takes the place of an argument that is a context, or has some, on its way. */
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

/** Tells a call from the others of whoever made it: ours are numbers. The answer has it, too. */
export type CallId = number | string

/**
 * Args: the name of the method, and its arguments.
 * Marks: place, what stands there, place, what stands there, and so on, where it is no plain value: the name of a transfer handler, `CONTEXT` or `SIGNAL`. A place is the number
 * of an argument, or of an object and which of its keys.
 * Asks: whether the other side is to say when the method begins, which may be long after the call came.
 */
export type PackedCall = readonly [
  tag: typeof CALL,
  version: number,
  id: CallId,
  args: readonly unknown[],
  marks?: readonly unknown[] | undefined,
  asks?: true,
]
/** Posted before the method runs: so it arrives though the method may then block its thread. */
export type PackedBegun = readonly [tag: typeof BEGUN, version: number, id: CallId]
/** Asks for a word as soon as the thread yields: a `PackedBegun` of the same id, which is that of no call. */
export type PackedAsk = readonly [tag: typeof ASK, version: number, id: CallId]
/** How: left out where the value is the result; the name of a transfer handler, or `FAILED`. */
export type PackedAnswer = readonly [tag: typeof ANSWER, version: number, id: CallId, value: unknown, how?: unknown]

/**
 * Throws what a transfer handler throws.
 *
 * @param within contexts that are properties of arguments, by the number of the argument; the method's name is number 0
 * @param asks whether the other side is to say when the method begins
 */
export function packCall(
  id: CallId,
  name: string,
  list: readonly unknown[],
  within: ReadonlyMap<number, Members> | undefined,
  asks: boolean,
): Parcel<PackedCall> {
  const args: unknown[] = [name]
  const marks: unknown[] = []
  const [encoded, transfer] = encode(list.filter((arg) => !(arg instanceof SentContext))) ?? []
  let next = 0
  for (const arg of list) {
    const at = args.length
    if (arg instanceof SentContext) {
      marks.push(at, markOf(arg))
      args.push(arg.handle)
      continue
    }
    const { name: handler, value }: Encoded = encoded?.[next++] ?? { value: arg }
    const members = within?.get(at)
    if (handler !== undefined) marks.push(at, handler)
    for (const [key, sent] of members ?? []) marks.push([at, key], markOf(sent))
    args.push(members === undefined ? value : withHandles(value as object, members))
  }
  const marked = marks.length === 0 ? undefined : marks
  return [
    asks
      ? [CALL, VERSION, id, args, marked, true]
      : marked === undefined
        ? [CALL, VERSION, id, args]
        : [CALL, VERSION, id, args, marked],
    transfer ?? nothing,
  ]
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
  return [ASK, VERSION, 0]
}

/** A call as it came: the name and the arguments, with a `Sent` for each that is a context or has some, and which of them transfer handlers must read. */
export interface ReceivedCall {
  readonly args: unknown[]
  readonly handled: readonly (readonly [at: number, handler: string])[]
}

/** Undefined where it is of no form that `packCall` gives. */
export function unpackCall([, , , args, marks = nothing]: PackedCall): ReceivedCall | undefined {
  // A list may be long and empty: to go through it takes far more time than to send it.
  if (!Array.isArray(args) || !Array.isArray(marks) || args.length > MAX_ARGUMENTS) return undefined
  const list = args as unknown[]
  const handled: (readonly [number, string])[] = []
  for (let i = 0; i < marks.length; i += 2) {
    const [place, what] = [marks[i] as unknown, marks[i + 1] as unknown]
    const [at, key] = Array.isArray(place) ? (place as unknown[]) : [place]
    if (typeof at !== 'number' || !Number.isInteger(at) || !(at in list)) return undefined
    const value = list[at]
    if (place !== at) {
      if (typeof value !== 'object' || value === null || (what !== CONTEXT && what !== SIGNAL)) return undefined
      const object = value instanceof SentObject ? value : new SentObject(value as Record<string, unknown>)
      if (!object.put(key, what === SIGNAL)) return undefined
      list[at] = object
    } else if (what === CONTEXT || what === SIGNAL) list[at] = new SentContext(value, what === SIGNAL)
    else handled.push([at, typeof what === 'string' ? what : named(what)])
  }
  return { args: list, handled }
}

/** Throws what a transfer handler throws. */
export function packResult(id: CallId, result: unknown): Parcel<PackedAnswer> {
  const [encoded, transfer] = encode([result]) ?? []
  const { name, value } = encoded?.[0] ?? { value: result }
  return [name === undefined ? [ANSWER, VERSION, id, value] : [ANSWER, VERSION, id, value, name], transfer ?? nothing]
}

/** @param version what the call came with, so that whoever sent it can read that it failed */
export function packFailure(id: CallId, failure: unknown, version: number = VERSION): PackedAnswer {
  return [ANSWER, version, id, failure, FAILED]
}

/** Whether it says that the call failed, and its value how. */
export function hasFailed([, , , , how]: PackedAnswer): boolean {
  return how === FAILED
}

/** The transfer handler that must read the value of an answer. */
export function handlerOf([, , , , how]: PackedAnswer): string | undefined {
  return typeof how === 'string' ? how : undefined
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
  if (!Array.isArray(data) || data[0] !== tag || !Number.isInteger(data[1])) return false
  const id: unknown = data[2]
  return typeof id === 'number' || typeof id === 'string'
}
