/** Conversations with a link: what a peer sends it, in the order in which it sends it, with time passing in between. */
import { type Channel, closeCode, Link, type LinkOptions } from '../../lib/bridge/link.ts'
import { type CancelableContext, type Context, createRoot, withCancel, withTimeout, withValue } from '../../lib/context.ts'
import { afterFunc } from '../../lib/context.ts'
import type { LinkLostError } from '../../lib/errors.ts'
import { createKey } from '../../lib/key.ts'
import { byteCodec } from '../../transports/websocket/msgpackr.ts'
import { createFakeClock } from 'ctxbridge/testing'
import { damage } from './bytes.ts'
import { frame, hello, type Ids } from './frames.ts'
import { writeValue } from './msgpack.ts'
import type { Random } from './random.ts'
import { checkReason, shorter, type Target } from './target.ts'
import { bend, list } from './values.ts'

export interface Conversation {
  readonly session: boolean
  /** A message that comes, or milliseconds that pass. */
  readonly steps: readonly (Uint8Array | number)[]
}

export const linkTarget: Target = {
  name: 'link',
  weight: 25,
  outcomes: ['open', '1009', '4400', '4408', '4429', 'called', 'streamed'],
  make: conversation,
  check: (input) => check(input as Conversation),
  *smaller(input) {
    const { session, steps } = input as Conversation
    for (const fewer of shorter(steps as (Uint8Array | number)[], (a, b) => [...a, ...b])) yield { session, steps: fewer }
  },
}

const methods = ['echo', 'hold', 'stream', 'fail', 'long', 'none', 'constructor', '__proto__', 'toString', 'then']

/** A peer that keeps to the protocol, more or less. The link that it speaks with has opened 1 to 4. */
class Speaker {
  readonly #random: Random
  readonly #session: boolean
  #last = 0
  readonly #exports = new Set<unknown>()
  readonly #streams = new Set<unknown>()
  readonly #ids: Ids

  constructor(random: Random, session: boolean) {
    this.#random = random
    this.#session = session
    this.#ids = {
      fresh: () => (random.once(60) ? random.between(0, this.#last) : this.#last + random.of([1, 1, 1, 2, 1_000])),
      own: () => (random.once(60) ? this.#last + random.small(5) : random.between(1, Math.max(1, this.#last))),
      theirs: () => (random.once(60) ? random.between(5, 9) : random.between(1, 4)),
      method: () => (random.once(30) ? 'x'.repeat(random.small(256)) : random.of(methods)),
    }
  }

  frame(): unknown[] {
    for (;;) {
      const one = frame(this.#random, this.#ids)
      if (!this.#fits(one) && !this.#random.once(60)) continue
      this.#note(one)
      return one
    }
  }

  /** Many calls at once. */
  burst(): unknown[] {
    return Array.from({ length: this.#random.between(1, 100) }, () => [2, ++this.#last, 'hold', [null, null, []], []])
  }

  /** Whether a peer may say so now. */
  #fits(one: readonly unknown[]): boolean {
    const [type, id] = one as [number, number]
    const context = (type === 2 ? one[3] : type === 6 ? one[2] : []) as unknown[]
    if (context.length === 4 && !this.#exports.has(context[3])) return false
    if (type === 3 || type === 11 || type === 14) return id <= this.#last
    if (type === 16) return (one[1] as number[]).every((each) => each <= this.#last)
    if (type === 7) return id === 1 && one[2] === 1
    if (type === 13) return this.#streams.has(id)
    if (type === 15) return this.#session && id < 2
    return true
  }

  #note(one: readonly unknown[]): void {
    const [type, id] = one as [number, number]
    if (type === 2 || type === 6) this.#last = Math.max(this.#last, id)
    if (type === 6) this.#exports.add(id)
    else if (type === 3 || type === 11) this.#exports.delete(id)
    else if (type === 16) for (const each of one[1] as number[]) this.#exports.delete(each)
    else if (type === 12) this.#streams.add(id)
  }
}

function conversation(random: Random): Conversation {
  const [session, wanted] = [random.once(2), random.once(2)]
  const spoiled = random.once(3)
  const steps: (Uint8Array | number)[] = []
  const say = (frames: unknown[]): void => {
    let bytes = writeValue(spoiled && random.once(12) ? bend(frames, random) : frames, random, 0)
    if (spoiled && random.once(12)) bytes = damage(bytes, bytes, random)
    steps.push(bytes)
  }
  const speaker = new Speaker(random, session && wanted)
  if (!random.once(40)) say([hello(random, wanted ? 'always' : 'never')])
  for (let left = random.below(random.of([3, 8, 20])); left > 0; left--) {
    if (random.once(8)) steps.push(random.of([1, 10, 1_000, 10_000, 26_000]))
    else if (random.once(150)) say([hello(random)])
    else if (random.once(60)) say(speaker.burst())
    else if (random.once(200)) steps.push(writeValue([[64, 'x'.repeat(20_000)]], random, 0))
    else say([speaker.frame(), ...list(random, 4, () => speaker.frame())])
  }
  return { session, steps }
}

const known = createKey<unknown>('traceparent', { portable: { encode: String, decode: String } })
const codec = byteCodec()
const codes: readonly number[] = Object.values(closeCode)

/** A channel whose other side is this test, which reads all that comes. */
class Wire implements Channel {
  readonly closes: number[] = []
  /** The peer's announced limit. */
  maxMessage = 1_048_576
  streamed = false
  /** What a peer must not be sent. */
  fault: Error | undefined

  send(bytes: Uint8Array): void {
    const frames = codec.decode(bytes)
    if (!frames.ok) this.fault = new Error(`a message that no peer takes: ${frames.reason}`)
    else if (bytes.length > this.maxMessage)
      this.fault = new Error(`${bytes.length} bytes to a peer that takes ${this.maxMessage}`)
    else if (this.closes.length > 0) this.fault = new Error('sent behind a close')
    else if (frames.value.some(({ type }) => type === 'stream')) this.streamed = true
  }

  queued(): number {
    return 0
  }

  drained(): void {}

  close(code: number, reason: string): void {
    checkReason(reason)
    if (!codes.includes(code)) this.fault = new Error(`closed with ${code}`)
    this.closes.push(code)
  }

  terminate(): void {
    this.closes.push(1006)
  }
}

/** The contexts that methods were called with, and whether any was. */
class Served {
  readonly contexts: Context[] = []
  echo = (ctx: Context, ...args: unknown[]): unknown => {
    this.contexts.push(ctx)
    ctx.value(known)
    return args[0]
  }
  hold = (ctx: Context): Promise<void> => {
    this.contexts.push(ctx)
    return new Promise((resolve) => void afterFunc(ctx, resolve))
  }
  stream = async function* (this: void, ctx: Context): AsyncGenerator<number> {
    for (let i = 0; i < 6 && ctx.err() === undefined; i++) yield i
  }
  fail = (ctx: Context): never => {
    this.contexts.push(ctx)
    throw new Error('failed', { cause: ctx })
  }
  long = (): string => 'long '.repeat(1_000)
}

async function check({ session, steps }: Conversation): Promise<string> {
  const clock = createFakeClock()
  const wire = new Wire()
  const served = new Served()
  const ends: LinkLostError[] = []
  const options: LinkOptions = {
    channel: wire,
    codec: byteCodec(16_384),
    id: 'here',
    name: 'fuzzed',
    root: () => createRoot({ clock }),
    defer: queueMicrotask,
    report: () => undefined,
    serve: served,
    keys: [known],
    limits: { maxMessage: 16_384, maxCalls: 6, maxContexts: 4, maxAbandoned: 60, abandonedPerSecond: 10, window: 4 },
    lease: {},
    onOpen: () => {
      const greeted = steps.find((step) => typeof step !== 'number')
      const frames = greeted === undefined ? undefined : codec.decode(greeted)
      const [first] = frames?.ok === true ? frames.value : []
      if (first?.type === 'hello') wire.maxMessage = first.limits.maxMessage
    },
    onClose: (reason) => ends.push(reason),
    ...(session && { session: { accept: () => 'token' } }),
  }
  const link = new Link(options)
  const own = withValue(withCancel(createRoot({ clock })), known, 'x'.repeat(40))
  const calls: Promise<unknown>[] = [link.call(own, 'a', [1]), link.call(own, 'b', ['x'.repeat(300)])]
  calls.push(link.call(withTimeout(own, 20_000), 'c', []))
  const settled = calls.map((call) => call.then(drain, () => undefined))
  const handles = [link.export(own)]
  const imported: CancelableContext[] = []
  for (const step of steps) {
    if (typeof step === 'number') clock.advanceSync(step)
    else link.receive(step)
    await turn()
    if (own.err() !== undefined) throw new Error('the peer has ended a context of this side')
    const { handlers, imports } = link.stats()
    if (handlers > 6 || imports > 4 + 1) throw new Error(`more than the limits: ${handlers} handlers, ${imports} imports`)
    if (link.stats().state === 'open' && imported.length < 2)
      imported.push(link.import({ ...handles[0], link: 'peer', export: [1, 1] }))
  }
  const [code] = wire.closes
  const called = served.contexts.length > 0
  for (const ctx of imported) ctx.cancel()
  link.close()
  await turn()
  await Promise.all(settled)
  // What waits until all that has come is read is over by then.
  clock.advanceSync(1)
  if (wire.fault !== undefined) throw wire.fault
  if (wire.closes.length !== 1 || ends.length !== 1)
    throw new Error(`closed ${wire.closes.length} times, over ${ends.length} times`)
  for (const ctx of served.contexts) if (ctx.err() === undefined) throw new Error('a context of a call has outlived its link')
  const { calls: open, handlers, exports, imports, queued } = link.stats()
  if (open + handlers + exports + imports + queued + clock.timers > 0) {
    throw new Error(
      `left behind: ${open} calls, ${handlers} handlers, ${exports} exports, ${imports} imports, ${queued} frames, ${clock.timers} timers`,
    )
  }
  if (code !== undefined) return String(code)
  return wire.streamed ? 'streamed' : called ? 'called' : 'open'
}

/** Lets all go on that waits for nothing but its turn: what is served here awaits a few times at most. */
async function turn(): Promise<void> {
  for (let i = 0; i < 12; i++) await undefined
}

/** Reads a stream to its end. */
async function drain(value: unknown): Promise<void> {
  if (typeof value !== 'object' || value === null || !(Symbol.asyncIterator in value)) return
  try {
    for await (const item of value as AsyncIterable<unknown>) void item
  } catch {
    // It may end as it likes.
  }
}
