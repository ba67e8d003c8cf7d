/**
 * What something is, whichever realm made it. What a port delivers is of the realm that its thread began with; a program may run in another one, as under Jest or in a context of `node:vm`, whose classes
 * are others. So nothing here goes by `instanceof`, and nothing by what an object says of itself: the getters of the platform know. None of these functions throws.
 */

/** Asks a getter of the platform's, which throws for what is none of its own. */
type Ask = (value: unknown) => unknown

function getter(prototype: object, name: string | symbol): Ask {
  const property = Object.getOwnPropertyDescriptor(prototype, name)
  return (value) => property?.get?.call(value) as unknown
}

const nameOfView = getter(Object.getPrototypeOf(Uint8Array.prototype) as object, Symbol.toStringTag)
const lengthOfBuffer = getter(ArrayBuffer.prototype, 'byteLength')
const lengthOfShared =
  typeof SharedArrayBuffer === 'undefined' ? () => undefined : getter(SharedArrayBuffer.prototype, 'byteLength')

function accepts(ask: Ask, value: unknown): boolean {
  try {
    return typeof ask(value) === 'number'
  } catch {
    return false
  }
}

/** Whether it is memory that threads share. */
export function isSharedMemory(value: unknown): value is SharedArrayBuffer {
  return accepts(lengthOfShared, value)
}

/** Whether it is a list of 32-bit integers over memory of whichever kind. */
export function isInt32Array(value: unknown): value is Int32Array {
  return nameOfView(value) === 'Int32Array'
}

/** Whether it is bytes that nobody else can change while they are read. */
export function isOwnBytes(value: unknown): value is Uint8Array {
  return nameOfView(value) === 'Uint8Array' && accepts(lengthOfBuffer, (value as Uint8Array).buffer)
}
