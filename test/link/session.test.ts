/** A link that outlives its connections: nothing is lost, and nothing runs twice. */
import fc from 'fast-check'
import { createFakeClock } from 'ctxbridge/testing'
import { describe, expect, it, test } from 'vitest'
import { type Channel, closeCode, Link, type LinkOptions } from '../../lib/bridge/link.ts'
import { Acceptor, type Connected } from '../../lib/bridge/link-acceptor.ts'
import { cause, type Context, createRoot, withCancel } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { byteCodec } from '../../transports/websocket/msgpackr.ts'
import { turn } from '../support/gc.ts'
import { callFrame, framesOf, Held, hello, pack, rejection, Side } from './support.ts'

const codec = byteCodec()

/** One connection, in memory: what each end has sent and the other one has not read. */
class Wire {
  readonly up: Uint8Array[] = []
  readonly down: Uint8Array[] = []
  /** By the side that did. */
  closed: { readonly by: 'client' | 'server'; readonly code: number } | undefined
  broken = false

  channel(by: 'client' | 'server'): Channel {
    return {
      send: (bytes) => void (this.broken || this.closed !== undefined || (by === 'client' ? this.up : this.down).push(bytes)),
      queued: () => 0,
      drained: () => undefined,
      close: (code) => void (this.closed ??= { by, code }),
      terminate: () => void (this.closed ??= { by, code: 1006 }),
    }
  }
}

/** A client and a server, and the connections between them. */
class World {
  readonly clock = createFakeClock()
  readonly root: Context = createRoot({ clock: this.clock })
  readonly acceptor: Acceptor<Uint8Array>
  readonly servers: Link[] = []
  readonly client: Link
  readonly served: object
  wire = new Wire()
  connected: Connected<Uint8Array>
  suspended = 0
  #tokens = 0

  readonly #limits: LinkOptions['limits']
  readonly #lease: LinkOptions['lease']

  constructor(served: object, limits?: LinkOptions['limits'], lease: LinkOptions['lease'] = {}) {
    this.served = served
    this.#limits = limits
    this.#lease = lease
    this.acceptor = new Acceptor({
      codec,
      maxMessage: 1_048_576,
      token: () => `token ${++this.#tokens}`,
      link: (channel, session) => {
        const link: Link = this.#link(channel, session, () => this.acceptor.forget(link))
        this.servers.push(link)
        return link
      },
    })
    this.client = this.#link(this.wire.channel('client'), 'connect', () => undefined)
    this.connected = this.acceptor.connect(this.wire.channel('server'), 'ann')
  }

  #link(channel: Channel, session: LinkOptions['session'], onClose: () => void): Link {
    return new Link({
      channel,
      codec,
      id: session === 'connect' ? 'client' : `server ${this.servers.length}`,
      root: () => this.root,
      defer: queueMicrotask,
      report: () => undefined,
      serve: this.served,
      lease: this.#lease,
      limits: this.#limits,
      session,
      onClose,
      onSuspend: () => this.suspended++,
    })
  }

  get server(): Link {
    return this.servers[0] as Link
  }

  toServer(count = Infinity): void {
    for (const bytes of this.wire.up.splice(0, count)) this.connected.receive(bytes)
  }

  toClient(count = Infinity): void {
    for (const bytes of this.wire.down.splice(0, count)) this.client.receive(bytes)
  }

  async settle(): Promise<void> {
    await turn()
    while (this.wire.up.length + this.wire.down.length > 0) {
      this.toServer()
      this.toClient()
      await turn()
    }
  }

  /** The connection breaks: what was on its way is gone. Of either side it may be unknown. */
  break({ client = true, server = true }: { client?: boolean; server?: boolean } = {}): void {
    this.wire.broken = true
    this.wire.up.length = this.wire.down.length = 0
    const reason = new LinkLostError('broke')
    if (client) this.client.detached(reason)
    if (server) this.connected.lost(reason, false)
  }

  reconnect(identity = 'ann'): void {
    this.wire = new Wire()
    this.connected = this.acceptor.connect(this.wire.channel('server'), identity)
    this.client.reconnected(this.wire.channel('client'))
  }
}

async function world(served: object = {}, limits?: LinkOptions['limits'], lease?: LinkOptions['lease']): Promise<World> {
  const made = new World(served, limits, lease)
  await made.settle()
  return made
}

describe('a connection that breaks', () => {
  it('ends nothing: calls go on over the next one, each runs once, and results that were lost come again', async () => {
    const held = new Held()
    const w = await world({ held: held.method, echo: (_ctx: Context, x: unknown) => x })
    const results = [1, 2].map(() => w.client.call(w.root, 'held', []))
    await w.settle()
    held.finish[0]?.('first')
    await turn()
    // The result is on its way.
    expect(w.wire.down).toHaveLength(1)
    w.break()
    expect([w.client.stats().state, w.server.stats().state, w.suspended]).toEqual(['suspended', 'suspended', 2])
    held.finish[1]?.('second')
    const during = w.client.call(w.root, 'echo', ['during'])
    await turn()
    w.reconnect()
    await w.settle()
    expect(await Promise.all([...results, during])).toEqual(['first', 'second', 'during'])
    expect(held.contexts).toHaveLength(2)
    expect(w.servers).toHaveLength(1)
    expect([w.client.stats().state, w.server.stats().state]).toEqual(['open', 'open'])
  })

  it('in the middle of a cancel loses no cancel', async () => {
    const held = new Held()
    const w = await world({ held: held.method })
    const contexts = Array.from({ length: 3 }, () => withCancel(w.root))
    const results = contexts.map((ctx) => rejection(w.client.call(ctx, 'held', [])))
    await w.settle()
    contexts[0]?.cancel('before')
    await turn()
    w.break()
    contexts[1]?.cancel('during')
    await turn()
    w.reconnect()
    contexts[2]?.cancel('after')
    await w.settle()
    expect(held.contexts.map((ctx) => cause(ctx))).toEqual(['before', 'during', 'after'])
    await Promise.all(results)
    held.finishAll()
    await w.settle()
    expect(w.server.stats().handlers).toBe(0)
  })

  it('is over when nobody comes back: 1 s after the server saw it break, 30 s after the client heard the last', async () => {
    const held = new Held()
    const w = await world({ held: held.method })
    const result = rejection(w.client.call(w.root, 'held', []))
    await w.settle()
    w.break()
    w.clock.advanceSync(999)
    expect(w.server.stats().state).toBe('suspended')
    w.clock.advanceSync(2)
    expect(w.server.stats()).toMatchObject({ state: 'closed' })
    expect(cause(held.ctx())).toMatchObject({ name: 'LinkLostError', message: 'broke' })
    expect(w.acceptor.tokens).toBe(0)
    expect(w.client.stats().state).toBe('suspended')
    w.clock.advanceSync(29_001)
    expect(await result).toBeInstanceOf(LinkLostError)
    held.finishAll()
    await turn()
    expect(w.clock.timers).toBe(0)
  })

  it('while the other side goes away in peace loses no answer, however long the next one takes within the lease', async () => {
    for (const comesBack of [true, false]) {
      const w = await world({ f: () => 'the answer' }, undefined, { resume: 5_000 })
      const call = w.client.call(w.root, 'f', [])
      const answer = comesBack ? call : rejection(call)
      await turn()
      w.toServer()
      await turn()
      let isOver = false
      const over = w.server.shutdown(60_000).then(() => (isOver = true))
      await turn()
      w.break()
      w.clock.advanceSync(4_999)
      await turn()
      expect([isOver, w.server.stats().state]).toEqual([false, 'suspended'])
      if (comesBack) w.reconnect()
      else w.clock.advanceSync(2)
      await w.settle()
      await over
      expect(await Promise.race([answer, turn()])).toBe(comesBack ? 'the answer' : undefined)
      w.clock.advanceSync(30_000)
      await answer
      expect(w.clock.timers).toBe(0)
    }
  })

  it('before the greeting, or of a link without a session, is a loss at once', () => {
    const w = new World({})
    w.client.detached(new LinkLostError('broke'))
    expect(w.client.stats().state).toBe('closed')
  })

  it('may break again while it is replaced, at any message', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            fc.constant('call' as const),
            fc.constant('finish' as const),
            fc.constant('cancel' as const),
            fc.constant('up' as const),
            fc.constant('down' as const),
            fc.constant('turn' as const),
            fc.constant('break' as const),
            fc.constant('break unseen by the server' as const),
          ),
          { maxLength: 80 },
        ),
        async (steps) => {
          const runs = new Map<number, number>()
          const running: { n: number; ctx: Context; resolve: (value: unknown) => void }[] = []
          const w = await world({
            work: (ctx: Context, n: number) => {
              runs.set(n, (runs.get(n) ?? 0) + 1)
              return new Promise((resolve) => running.push({ n, ctx, resolve }))
            },
          })
          const calls: { ctx: ReturnType<typeof withCancel>; outcome: Promise<unknown> }[] = []
          for (const step of steps) {
            if (step === 'call') {
              const ctx = withCancel(w.root)
              calls.push({ ctx, outcome: w.client.call(ctx, 'work', [calls.length]).catch((error: unknown) => error) })
            } else if (step === 'finish') {
              const done = running.shift()
              done?.resolve(done.n)
            } else if (step === 'cancel') calls.at(-1)?.ctx.cancel('why')
            else if (step === 'up') w.toServer(1)
            else if (step === 'down') w.toClient(1)
            else if (step === 'turn') await turn()
            else {
              w.break({ server: step === 'break' })
              w.reconnect()
            }
          }
          await w.settle()
          for (const { n, ctx, resolve } of running.splice(0)) {
            expect(cause(ctx)).toBe(calls[n]?.ctx.err() === undefined ? undefined : 'why')
            resolve(n)
          }
          await w.settle()
          expect([w.client.stats().state, w.server.stats().state, w.servers.length]).toEqual(['open', 'open', 1])
          for (const [n, { ctx, outcome }] of calls.entries()) {
            expect(await outcome).toBe(ctx.err() !== undefined && (await outcome) !== n ? ctx.err() : n)
            expect(runs.get(n) ?? 0).toBeLessThanOrEqual(1)
          }
          expect(w.client.stats()).toMatchObject({ calls: 0, exports: 0 })
          expect(w.server.stats()).toMatchObject({ handlers: 0, imports: 0 })
        },
      ),
      { numRuns: 300 },
    )
  })
})

describe('a session belongs to who opened it', () => {
  it('somebody else with its token is refused, and its owner feels nothing', async () => {
    const w = await world({ echo: (_ctx: Context, x: unknown) => x })
    const thief = new Wire()
    const connection = w.acceptor.connect(thief.channel('server'), 'eve')
    connection.receive(pack([[1, 1, [1_048_576, 0, 0, 1, 0], '', 'client', [w.client.token, 0]]]))
    expect(thief.closed).toMatchObject({ by: 'server', code: closeCode.noSession })
    expect(connection.link).toBeUndefined()
    // Nor by trying on.
    connection.receive(pack([[1, 1, [1_048_576, 0, 0, 1, 0], '', 'client']]))
    expect(w.servers).toHaveLength(1)
    const call = w.client.call(w.root, 'echo', ['well'])
    await w.settle()
    expect(await call).toBe('well')
  })

  it.each<[string, unknown[]]>([
    ['a token that was never given', ['token 99', 0]],
    ['a count above what was sent', ['token 1', 999]],
  ])('%s is refused', async (_name, session) => {
    const w = await world()
    const other = new Wire()
    w.acceptor.connect(other.channel('server'), 'ann').receive(pack([[1, 1, [1_048_576, 0, 0, 1, 0], '', 'client', session]]))
    expect(other.closed).toMatchObject({ code: closeCode.noSession })
    expect(w.server.stats().state).toBe('open')
  })

  it('whoever comes back just when the link is given up is refused, and nobody is on it any more', async () => {
    const other = new Wire()
    const fails = (): never => {
      throw new Error('x'.repeat(1_024), { cause: new Error('x'.repeat(1_024), { cause: new Error('x'.repeat(1_024)) }) })
    }
    const resumes = (): void => {
      const greeting = [1, 1, [1_048_576, 0, 0, 1, 0], '', 'client', ['token 1', 0]]
      w.acceptor.connect(other.channel('server'), 'ann').receive(pack([greeting]))
    }
    const w = await world({ fails, resumes }, { maxBacklog: 65_536 })
    const before = w.connected
    const results = Array.from({ length: 100 }, () => rejection(w.client.call(w.root, 'fails', [])))
    results.push(rejection(w.client.call(w.root, 'resumes', [])))
    await turn()
    w.toServer()
    await turn()
    expect([w.wire.closed?.code, other.closed?.code]).toEqual([closeCode.tooSlow, closeCode.noSession])
    expect([w.server.stats().state, before.link, w.acceptor.tokens]).toEqual(['closed', undefined, 0])
    w.break()
    w.client.close()
    await Promise.all(results)
  })

  it('a token is good once: what was recorded and is played again is refused', async () => {
    const w = await world({ echo: (_ctx: Context, x: unknown) => x })
    const recorded: Uint8Array[] = []
    w.break()
    w.reconnect()
    await turn()
    recorded.push(...w.wire.up)
    await w.settle()
    const call = w.client.call(w.root, 'echo', [1])
    await w.settle()
    await call
    const replay = new Wire()
    const connection = w.acceptor.connect(replay.channel('server'), 'ann')
    for (const bytes of recorded) connection.receive(bytes)
    expect(replay.closed).toMatchObject({ code: closeCode.noSession })
    expect(w.client.stats().state).toBe('open')
  })

  it('the newer connection wins: the old one is closed, and what comes on it is nothing', async () => {
    const held = new Held()
    const w = await world({ held: held.method })
    const old = w.wire
    const before = w.connected
    const result = w.client.call(w.root, 'held', [])
    await w.settle()
    // Half open: only the client knows that it is gone.
    w.client.detached(new LinkLostError('broke'))
    w.reconnect()
    await w.settle()
    expect(old.closed).toEqual({ by: 'server', code: closeCode.replaced })
    before.receive(pack([[3, 1, 0, null]]))
    before.lost(new LinkLostError('late'), true)
    expect(held.ctx().err()).toBeUndefined()
    held.finishAll('done')
    await w.settle()
    expect(await result).toBe('done')
  })

  it('a hello that is lost on its way back leaves the token before it good', async () => {
    const w = await world({ echo: (_ctx: Context, x: unknown) => x })
    w.break()
    for (let round = 0; round < 3; round++) {
      w.reconnect()
      await turn()
      w.toServer()
      // The one that was used, and the newest.
      expect(w.acceptor.tokens).toBe(2)
      w.break()
    }
    w.reconnect()
    const call = w.client.call(w.root, 'echo', ['still'])
    await w.settle()
    expect(await call).toBe('still')
    w.client.close()
    w.connected.lost(new LinkLostError('closed'), true)
    expect(w.acceptor.tokens).toBe(0)
  })
})

test('who is turned away before it greets is not heard any more; who greets with something else is told what is wrong', async () => {
  const w = await world()
  const silent = new Wire()
  const connected = w.acceptor.connect(silent.channel('server'), 'ann')
  connected.refuse({ code: closeCode.silent, reason: 'late' })
  expect(silent.closed).toMatchObject({ code: closeCode.silent })
  connected.receive(pack([hello]))
  expect(connected.link).toBeUndefined()
  const odd = new Wire()
  w.acceptor.connect(odd.channel('server'), 'ann').receive(pack([[8, 1]]))
  expect(odd.closed).toMatchObject({ code: closeCode.badFrame })
})

test('what was sent is kept no longer than needed', async () => {
  const w = await world({ echo: (_ctx: Context, x: unknown) => x })
  for (let i = 0; i < 200; i++) {
    const call = w.client.call(w.root, 'echo', ['x'.repeat(1_000)])
    await w.settle()
    await call
  }
  w.break()
  w.reconnect()
  await turn()
  // The greeting says how much came; of 200 calls and as many acknowledged results, few are sent again.
  w.toServer()
  expect(w.wire.down.length).toBeLessThan(20)
  expect(framesOf(w.wire.down[0] as Uint8Array)).toMatchObject([{ type: 'hello' }])
  await w.settle()
})

test('a peer that never says what it has got is given up when too much is kept for it', async () => {
  const side = new Side({
    serve: { big: () => 'x'.repeat(50_000) },
    limits: { maxBacklog: 65_536 },
    session: { accept: () => 'token' },
  })
  side.raw([...hello, ['', 0]])
  let bytes = 0
  const answers: string[] = []
  for (let id = 1; id < 2_000 && side.open; id++) {
    side.raw(callFrame(id, id < 10 ? 'big' : 'none'))
    await turn()
    answers.push(...side.channel.frames().flatMap((frames) => frames.map(({ type }) => type)))
    for (const message of side.channel.waiting.splice(0)) bytes += message.length
  }
  expect(side.channel.closed).toMatchObject({ code: closeCode.tooSlow })
  // What is large is refused before.
  expect(answers.filter((type) => type === 'result')).toHaveLength(2)
  expect(bytes).toBeLessThan(4 * 65_536)
})

describe('what is said to have come', () => {
  it('and was never sent ends the link; an old count, which was sent again, says nothing', async () => {
    const w = await world({ echo: (_ctx: Context, x: unknown) => x })
    for (let i = 0; i < 40; i++) {
      const call = w.client.call(w.root, 'echo', [i])
      await w.settle()
      await call
    }
    w.connected.receive(pack([[15, 30]]))
    w.connected.receive(pack([[15, 0]]))
    w.connected.receive(pack([[15, 29]]))
    expect(w.wire.closed).toBeUndefined()
    w.connected.receive(pack([[15, 1_000]]))
    expect(w.wire.closed).toMatchObject({ by: 'server', code: closeCode.badFrame })
  })

  it('without a session is not allowed', () => {
    const side = new Side()
    side.raw(hello, [15, 0])
    expect(side.channel.closed).toMatchObject({ code: 4400, reason: 'ack: without a session' })
  })

  it('cannot be less than what is kept when a session goes on', async () => {
    const w = await world({ echo: (_ctx: Context, x: unknown) => x })
    for (let i = 0; i < 100; i++) {
      const call = w.client.call(w.root, 'echo', [i])
      await w.settle()
      await call
    }
    w.break()
    const wire = new Wire()
    w.acceptor
      .connect(wire.channel('server'), 'ann')
      .receive(pack([[1, 1, [1_048_576, 0, 0, 1, 0], '', 'client', [w.client.token, 0]]]))
    expect(wire.closed).toMatchObject({ code: closeCode.noSession })
    w.reconnect()
    await w.settle()
    expect(w.client.stats().state).toBe('open')
  })
})

it('both sides leave a connection that is silent, without a word, and go on over another one', async () => {
  const held = new Held()
  const w = await world({ held: held.method })
  const result = w.client.call(w.root, 'held', [])
  await w.settle()
  w.clock.advanceSync(10_000)
  await turn()
  w.wire.up.length = w.wire.down.length = 0
  w.clock.advanceSync(9_999)
  expect(w.client.stats().state).toBe('open')
  w.clock.advanceSync(1)
  expect([w.client.stats().state, w.suspended]).toEqual(['suspended', 2])
  expect(w.wire.closed).toEqual({ by: 'client', code: 1006 })
  w.reconnect()
  await w.settle()
  held.finishAll('done')
  await w.settle()
  expect(await result).toBe('done')
})

it('a server that is another one is not gone on with', async () => {
  const w = await world({})
  w.break()
  w.reconnect()
  w.client.receive(pack([[1, 1, [1_048_576, 0, 0, 1, 0], '', 'another server', ['token', 0]]]))
  expect(w.wire.closed).toMatchObject({ by: 'client', code: closeCode.badFrame })
  expect(w.client.stats().state).toBe('closed')
})

test('what has come is acknowledged when that is due, also where it is a cancel by which it is', async () => {
  const held = new Held()
  const w = await world({ held: held.method })
  for (let i = 0; i < 32; i++) {
    expect(w.wire.down).toEqual([])
    const ctx = withCancel(w.root)
    const result = rejection(w.client.call(ctx, 'held', []))
    await turn()
    w.toServer()
    ctx.cancel()
    await result
    w.toServer()
    await turn()
  }
  expect(w.wire.down.map(framesOf)).toEqual([[{ type: 'ack', n: 64 }]])
  held.finishAll()
  await w.settle()
  w.client.close()
})
