/** Two links joined in memory. Nothing moves between them until a test says so. */
import { Packr } from 'msgpackr'
import { createFakeClock } from 'ctxbridge/testing'
import { onTestFinished } from 'vitest'
import { type Channel, Link, type LinkOptions } from '../../lib/bridge/link.ts'
import { type Context, createRoot } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import type { Frame } from '../../lib/wire/frame.ts'
import { byteCodec, decodeMessage } from '../../transports/websocket/msgpackr.ts'
import { turn } from '../support/gc.ts'

/** Holds the messages of one side until they are taken. */
class ScriptedChannel implements Channel {
  readonly waiting: Uint8Array[] = []
  /** How many messages were ever sent, and the longest of them. */
  count = 0
  longest = 0
  backlog = 0
  /** Whether what was not taken counts as not read. */
  fills = false
  /** Who is to be told that less waits. */
  onDrain: (() => void) | undefined
  readonly closes: { readonly code: number; readonly reason: string }[] = []

  send(bytes: Uint8Array): void {
    if (this.closes.length > 0) throw new Error('sent after close')
    this.count++
    this.longest = Math.max(this.longest, bytes.length)
    this.waiting.push(bytes)
  }

  queued(): number {
    return this.backlog + (this.fills ? this.waiting.reduce((sum, { length }) => sum + length, 0) : 0)
  }

  drained(f: () => void): void {
    this.onDrain = f
  }

  /** Tells that less waits now, to whoever has asked. */
  drain(): void {
    const f = this.onDrain
    this.onDrain = undefined
    f?.()
  }

  close(code: number, reason: string): void {
    this.closes.push({ code, reason })
  }

  terminate(): void {
    this.closes.push({ code: 1006, reason: '' })
  }

  get closed(): { readonly code: number; readonly reason: string } | undefined {
    return this.closes[0]
  }

  /** The frames of each message that waits. */
  frames(): Frame[][] {
    return this.waiting.map((bytes) => framesOf(bytes))
  }
}

let ends = 0

export type SideOptions = Partial<Omit<LinkOptions, 'channel' | 'codec'>>

/** One end. */
export class Side {
  readonly channel = new ScriptedChannel()
  readonly clock = createFakeClock()
  readonly root: Context = createRoot({ clock: this.clock })
  readonly reported: unknown[] = []
  readonly ends: LinkLostError[] = []
  opened = 0
  readonly link: Link

  constructor(options: SideOptions = {}) {
    this.link = new Link({
      channel: this.channel,
      codec: byteCodec(options.limits?.maxMessage),
      id: `end ${++ends}`,
      root: () => this.root,
      defer: queueMicrotask,
      report: (error) => this.reported.push(error),
      onOpen: () => this.opened++,
      onClose: (reason) => this.ends.push(reason),
      ...options,
    })
  }

  /** Takes arrays as a peer could send them. */
  raw(...frames: unknown[]): void {
    this.link.receive(pack(frames))
  }

  get open(): boolean {
    return this.channel.closed === undefined
  }
}

export class Pair {
  readonly client: Side
  readonly server: Side

  constructor({ client = {}, server = {} }: { readonly client?: SideOptions; readonly server?: SideOptions } = {}) {
    this.client = new Side({ name: 'client', ...client })
    this.server = new Side({ name: 'server', ...server })
  }

  /** Delivers the next messages that the client has sent, at most so many. */
  toServer(count = Infinity): void {
    carry(this.client, this.server, count)
  }

  toClient(count = Infinity): void {
    carry(this.server, this.client, count)
  }

  /** Delivers in both directions until nothing moves any more. */
  async settle(): Promise<void> {
    await turn()
    while (this.client.channel.waiting.length + this.server.channel.waiting.length > 0) {
      this.toServer()
      this.toClient()
      await turn()
    }
  }

  /** Both clocks move on together. */
  advance(ms: number): void {
    this.client.clock.advanceSync(ms)
    this.server.clock.advanceSync(ms)
  }

  /** The connection breaks: what was not delivered never will be. */
  cut(): void {
    for (const side of [this.client, this.server]) {
      side.channel.waiting.length = 0
      side.link.lost(new LinkLostError('cut'))
    }
  }
}

function carry(from: Side, to: Side, count: number): void {
  for (const bytes of from.channel.waiting.splice(0, count)) to.link.receive(bytes)
  from.channel.drain()
}

/** Two that have greeted each other. When the test is over nothing may be left of its calls: no entry, no timer. */
export async function joined(options?: ConstructorParameters<typeof Pair>[0]): Promise<Pair> {
  const pair = new Pair(options)
  await pair.settle()
  onTestFinished(() => {
    for (const { link, clock } of [pair.client, pair.server]) {
      const { calls, handlers, exports, imports, queued } = link.stats()
      if (calls + handlers + exports + imports + queued + clock.timers > 0) {
        const tables = `${calls} calls, ${handlers} handlers, ${exports} exports, ${imports} imports`
        throw new Error(`left behind: ${tables}, ${queued} frames, ${clock.timers} timers`)
      }
    }
  })
  return pair
}

/** A handler that a test finishes by hand, and the contexts that it was given. */
export class Held {
  readonly contexts: Context[] = []
  readonly args: unknown[][] = []
  readonly finish: ((value?: unknown) => void)[] = []

  /** The method, to be served. */
  readonly method = (ctx: Context, ...args: unknown[]): Promise<unknown> => {
    this.contexts.push(ctx)
    this.args.push(args)
    return new Promise((resolve) => this.finish.push(resolve))
  }

  finishAll(value?: unknown): void {
    for (const finish of this.finish.splice(0)) finish(value)
  }

  /** The context of the only call so far, or of a given one. */
  ctx(index = 0): Context {
    const ctx = this.contexts[index]
    if (ctx === undefined) throw new Error('the handler was not started')
    return ctx
  }
}

const packr = new Packr({ useRecords: false, variableMapSize: true })

export function pack(data: unknown): Uint8Array {
  return new Uint8Array(packr.pack(data))
}

export function framesOf(bytes: Uint8Array): Frame[] {
  const frames = decodeMessage(bytes)
  if (!frames.ok) throw new Error(frames.reason)
  return frames.value
}

/** What a promise was rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => {
      throw new Error(`not rejected, but resolved with ${String(value)}`)
    },
    (error: unknown) => error,
  )
}

/** Wire forms of frames that tests send by hand. */
export const hello = [1, 1, [1_048_576, 1_000, 1_000, 16, 0], 'peer', 'end of a peer']
export const noContext = [null, null, []]
export const callFrame = (id: number, method: string, context: unknown = noContext, args: unknown[] = []): unknown[] => [
  2,
  id,
  method,
  context,
  args,
]
