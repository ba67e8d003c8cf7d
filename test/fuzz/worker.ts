/**
 * What a thread is sent by another one over the port that is between them: greetings, calls, the messages of the channel, handles, chunks of
 * memory, and what somebody wrote into that. Some of it is as it should be.
 */
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import type { Slot } from '../../lib/bridge/slot.ts'
import { type CancelableContext, cause as causeOf } from '../../lib/context.ts'
import { BridgeError } from '../../lib/errors.ts'
import { encodeCauseBytes } from '../../lib/wire/cause-bytes.ts'
import type { WorkerEndpoint } from '../../transports/worker/endpoint.ts'
import { WorkerLink } from '../../transports/worker/worker-link.ts'
import { cause } from './frames.ts'
import { plain } from './handle.ts'
import type { Random } from './random.ts'
import { shorter, type Target } from './target.ts'
import { bend, data, list, text } from './values.ts'

/** A value in which `{ $chunk: n }`, `{ $memory: bytes }` and `{ $port: 0 }` stand for what a file cannot hold. */
type Step =
  | { readonly what: 'message' | 'channel' | 'import'; readonly value: unknown }
  | { readonly what: 'end'; readonly slot: number }
  | { readonly what: 'write'; readonly at: number; readonly word: number }

export const workerTarget: Target = {
  name: 'worker',
  weight: 12,
  outcomes: ['live', 'ended', 'done', 'ERR_HANDLE', 'ERR_LINK_LOST', 'called', 'no handle'],
  make: steps,
  check: (input) => check(input as Step[]),
  smaller: (input) => shorter(input as Step[], (a, b) => [...a, ...b]),
}

const TABLE = 7
const LINK = 1
const LIFE = 'ctxbridge.abc'
/** Slots 0 to 2 are of the link, 3 is of another one. */
const SLOTS = 4

function steps(random: Random): Step[] {
  const made: Step[] = random.once(20) ? [] : [{ what: 'message', value: attach(random) }]
  for (let left = random.between(1, 16); left > 0; left--) {
    const spoil = (value: unknown): unknown => (random.once(4) ? plain(bend(value, random)) : value)
    switch (random.below(10)) {
      case 0:
        made.push({ what: 'message', value: spoil(attach(random)) })
        break
      case 1:
        made.push({ what: 'message', value: spoil(call(random)) })
        break
      case 2:
        made.push({
          what: 'message',
          value: spoil([
            'ctxbridge.answer',
            1,
            '1',
            data(random),
            ...(random.once(2) ? [random.of([0, 'proxy', text(random)])] : []),
          ]),
        })
        break
      case 3:
        made.push({ what: 'end', slot: random.below(SLOTS) })
        break
      case 4:
        if (random.once(3))
          made.push({
            what: 'write',
            at: random.once(2) ? random.below(700) : 528 + 30 * random.below(4) + random.below(9),
            word: random.of([0, 1, 2, 3, 5, 6, 7, -1, 2 ** 31 - 1, random.below(2 ** 32) | 0]),
          })
        break
      case 5:
      case 6:
        made.push({ what: 'channel', value: spoil(message(random)) })
        break
      default:
        made.push({ what: 'import', value: spoil(handle(random)) })
    }
  }
  return made
}

function attach(random: Random): unknown {
  const chunks = random.once(10)
    ? [{ $memory: random.of([0, 3, 4, 64, 10_304, 2 ** 16]) }]
    : random.once(10)
      ? []
      : [{ $chunk: 0 }]
  if (random.once(4)) return listening(random)
  const link = random.once(10) ? 2 : LINK
  // In browsers memory comes by itself.
  if (random.once(4)) return { ctxbridge: 'memory', version: 1, table: TABLE, link, chunks }
  const made = { ctxbridge: 'attach', version: 1, table: TABLE, link, chunks, port: { $port: 0 }, ...instant(random, 'now') }
  if (random.once(8)) Object.assign(made, { life: random.of([LIFE, text(random), 1]) })
  return random.once(3) ? { ...made, chunks: [], follows: true } : made
}

/** What two sides say of who began to listen when. */
function listening(random: Random): unknown {
  return {
    ctxbridge: random.of(['here', 'sent', 'got', 'again']),
    version: 1,
    count: random.of<unknown>([0, 1, 5, -1, 0.5, 2 ** 53, 'x']),
    messages: random.of<unknown>([
      undefined,
      [],
      [random.of([1, null, {}]), call(random)],
      Array.from({ length: 50 }, () => call(random)),
    ]),
  }
}

/** As browsers say it of a message. */
function instant(random: Random, name: string): Record<string, unknown> {
  return random.once(3) ? { [name]: random.of<unknown>([0, -1e308, 1e308, 1e15, null, 'x']) } : {}
}

function handle(random: Random): Record<string, unknown> {
  const made: Record<string, unknown> = { ctxbridge: 1, table: random.once(20) ? 8 : TABLE, link: random.once(20) ? 2 : LINK }
  // Below 0: by messages alone.
  if (random.once(4)) Object.assign(made, { slot: -random.between(1, 4), generation: 0, grant: random.between(1, 3) })
  else if (!random.once(8)) {
    const slot = random.once(20) ? 4_096 : random.below(SLOTS + 1)
    Object.assign(made, { slot, generation: random.once(8) ? 2 : 1, grant: random.between(1, 3) })
  }
  if (random.once(6)) made['told'] = random.of<unknown>([[random.between(1, 4), random.between(1, 3)], [0, 1], [1], 'x'])
  if (random.once(4)) Object.assign(made, { at: random.of([0, -1, 1e15, 5e-324]) }, instant(random, 'sent'))
  if (random.once(8)) made['end'] = random.once(2) ? [3, cause(random)] : cause(random)
  if (random.once(4)) made['why'] = cause(random)
  if (random.once(4)) made['values'] = list(random, 3, () => [text(random), data(random, 1)])
  return made
}

function call(random: Random): unknown {
  const marks: unknown[] = []
  const name = random.of(['echo', 'constructor', '__proto__', 'then', 'toString', 'none', text(random)])
  const args = list(random, 4, () =>
    random.once(3)
      ? { ctx: handle(random), signal: flat(random), more: data(random, 1) }
      : random.once(2)
        ? handle(random)
        : random.once(2)
          ? flat(random)
          : data(random, 1),
  )
  for (let i = 0; i < args.length; i++) {
    const place = random.once(2) ? i + 1 : [i + 1, random.of(['ctx', 'signal', 'more', 'none', '__proto__', '0'])]
    if (!random.once(3)) marks.push(place, random.once(8) ? text(random) : random.below(2))
  }
  if (random.once(20)) return [random.of(['ctxbridge.ask', 'ctxbridge.begun']), 1, text(random)]
  return ['ctxbridge.call', 1, `${random.below(9)}`, [name, ...args], marks]
}

/** A handle as calls have it. */
function flat(random: Random): unknown {
  const { table, link, slot = 0, generation = 1, grant = 1, at, sent } = handle(random)
  return [table, link, slot, generation, grant, ...(at === undefined ? [] : sent === undefined ? [at] : [at, sent])]
}

function message(random: Random): unknown {
  const slot = (): number => random.below(SLOTS)
  switch (random.below(7)) {
    case 0:
      return [0, random.below(3), random.once(2) ? { $chunk: random.below(2) } : { $memory: random.of([0, 5, 18_496]) }]
    case 1:
      return [1, slot(), random.between(1, 2), cause(random)]
    case 2:
      return [2, list(random, 8, () => random.between(0, SLOTS))]
    case 3:
      return [
        3,
        list(random, 4, () => [
          random.between(1, 4),
          random.of(['canceled', 'deadline', 'gone', 'x']),
          random.once(3) ? undefined : cause(random),
        ]),
      ]
    case 4:
      return [random.of([4, 5, 6]), list(random, 4, () => random.between(0, 4))]
    // Those of browsers, to which Node does not listen.
    case 5:
      return random.of<unknown>([[7], [8, random.of([LIFE, text(random)]), random.once(2)], [9]])
    default:
      return random.of<unknown>([null, [], [99]])
  }
}

/** A port that keeps what it was given, and hands on at once what it is told to. */
class Endpoint implements WorkerEndpoint {
  readonly sent: unknown[] = []
  #listener: ((message: unknown) => void) | undefined

  postMessage(message: unknown): void {
    this.sent.push(structuredClone(message))
  }

  on(event: string, listener: (message: unknown) => void): void {
    if (event === 'message') this.#listener = listener
  }

  off(): void {
    this.#listener = undefined
  }

  deliver(message: unknown): void {
    this.#listener?.(message)
  }
}

async function check(input: readonly Step[]): Promise<string> {
  const table = new SlotTable({ id: TABLE, limit: 192 })
  const slots = Array.from({ length: SLOTS }, (_, i) => table.open(i === 3 ? 2 : LINK) as Slot)
  for (const slot of slots) for (let grants = 3; grants > 0; grants--) slot.grant()
  const ended = new Set<number>()
  let written = false
  const ports: MessagePort[] = []
  const given: MessagePort[] = []
  const real = (value: unknown): unknown =>
    replaced(value, table, () => {
      const { port1, port2 } = new MessageChannel()
      ports.push(port1)
      given.push(port2)
      return port2
    })
  const endpoint = new Endpoint()
  const link = new WorkerLink(endpoint, true, () => undefined)
  let called = 0
  link.serve({
    echo: (...args: unknown[]) => {
      called++
      for (const arg of args) String(arg)
      return 'result'
    },
  })
  const imported: { readonly ctx: CancelableContext; readonly slot: unknown; readonly own: boolean }[] = []
  let outcome = 'live'
  for (const step of input) {
    switch (step.what) {
      case 'message':
        endpoint.deliver(real(step.value))
        break
      case 'channel':
        // As if it had come over each channel that was announced.
        for (const port of ports) port.postMessage(real(step.value))
        // Of two turns of the event loop one has it.
        for (let turns = 2; turns > 0; turns--) await new Promise(setImmediate)
        break
      case 'end': {
        const { bytes } = encodeCauseBytes([0, `slot ${step.slot}`], 100)
        if (slots[step.slot]?.end('canceled', bytes, false) === true) ended.add(step.slot)
        break
      }
      case 'write': {
        written = true
        const words = new Int32Array(table.chunks()[0] as SharedArrayBuffer)
        Atomics.store(words, step.at % words.length, step.word)
        break
      }
      case 'import': {
        const value = real(step.value)
        try {
          const ctx = link.import(value)
          const { slot, end, table: of } = value as { slot?: unknown; end?: unknown; table?: unknown }
          const own = end === undefined && typeof slot === 'number' && slot >= 0 && of === TABLE
          imported.push({ ctx, slot, own })
          outcome = outcomeOf(ctx)
        } catch (error) {
          if (!(error instanceof TypeError) || !/needs a handle/.test(error.message)) throw error
          outcome = 'no handle'
        }
      }
    }
    await undefined
    for (const { ctx, slot, own } of imported) {
      const why = causeOf(ctx)
      if (!own || written || typeof why !== 'string' || !why.startsWith('slot ')) continue
      if (why !== `slot ${String(slot)}` || !ended.has(slot as number))
        throw new Error(`the context of slot ${String(slot)} has ended as ${why}`)
    }
  }
  for (let i = 0; i < 8; i++) await undefined
  link[Symbol.dispose]()
  for (const { ctx } of imported) if (ctx.err() === undefined) throw new Error('an import has outlived its link')
  const { imports, observers, calls } = link.stats()
  // One that was in a message that the link refused is nobody's, and would keep for ever what was sent to it.
  for (const port of [...ports, ...given]) port.close()
  if (imports + observers + calls > 0) throw new Error(`left behind: ${imports} imports, ${observers} observers, ${calls} calls`)
  return called > 0 && outcome === 'live' ? 'called' : outcome
}

function outcomeOf(ctx: CancelableContext): string {
  if (ctx.err() === undefined) return 'live'
  const why = causeOf(ctx)
  if (why instanceof BridgeError) return why.code
  return typeof why === 'string' && why.startsWith('slot ') ? 'ended' : 'done'
}

/** Puts memory and ports where their names stand. */
function replaced(value: unknown, table: SlotTable, port: () => MessagePort): unknown {
  if (typeof value !== 'object' || value === null) return value
  const { $chunk, $memory, $port } = value as { readonly $chunk?: unknown; readonly $memory?: unknown; readonly $port?: unknown }
  if ($chunk !== undefined) return (typeof $chunk === 'number' ? table.chunks()[$chunk] : undefined) ?? 'none yet'
  if ($memory !== undefined) return new SharedArrayBuffer(typeof $memory === 'number' && $memory > 0 ? $memory % 100_000 : 0)
  if ($port !== undefined) return port()
  if (Object.getPrototypeOf(value) !== Object.prototype && !Array.isArray(value)) return value
  const copy = (Array.isArray(value) ? [] : {}) as Record<string, unknown>
  for (const key of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[key]
    // A cycle is not gone into.
    Object.defineProperty(copy, key, {
      value: member === value ? copy : replaced(member, table, port),
      enumerable: true,
      configurable: true,
      writable: true,
    })
  }
  return copy
}
