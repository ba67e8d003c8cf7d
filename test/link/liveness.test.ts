/** Silence: who is asked, who is given up, and when. */
import { describe, expect, it } from 'vitest'
import { background, cause, type Context, withCancel } from '../../lib/context.ts'
import { CanceledError, LinkLostError } from '../../lib/errors.ts'
import { turn } from '../support/gc.ts'
import { callFrame, framesOf, Held, hello, Pair, rejection, Side } from './support.ts'

/** With the defaults, on both sides. */
async function watched(): Promise<{ pair: Pair; held: Held }> {
  const held = new Held()
  const pair = new Pair({ client: { lease: {} }, server: { lease: {}, serve: { held: held.method } } })
  await pair.settle()
  return { pair, held }
}

const types = (side: Side): string[] => side.channel.waiting.flatMap((bytes) => framesOf(bytes).map(({ type }) => type))

/** Time passes, and nothing moves between the two. */
async function silence(pair: Pair, ms: number): Promise<void> {
  pair.advance(ms)
  await turn()
}

describe('while nothing is shared', () => {
  it('nobody is asked, nobody is given up, and no timer is armed', async () => {
    const { pair } = await watched()
    expect(pair.client.clock.timers + pair.server.clock.timers).toBe(0)
    await silence(pair, 3_600_000)
    expect([...types(pair.client), ...types(pair.server)]).toEqual([])
    expect(pair.client.open && pair.server.open).toBe(true)
  })

  it('the timer of what was shared goes away by itself', async () => {
    const { pair, held } = await watched()
    const call = pair.client.link.call(background(), 'held', [])
    await pair.settle()
    held.finishAll()
    await pair.settle()
    await call
    await silence(pair, 10_000)
    expect(pair.client.clock.timers + pair.server.clock.timers).toBe(0)
    expect([...types(pair.client), ...types(pair.server)]).toEqual([])
  })
})

describe('while something is shared', () => {
  it('pings go out after 10 s of silence, and answers keep both sides alive for ever', async () => {
    const { pair, held } = await watched()
    const call = pair.client.link.call(background(), 'held', [])
    await pair.settle()
    await silence(pair, 9_999)
    expect([...types(pair.client), ...types(pair.server)]).toEqual([])
    await silence(pair, 1)
    expect([types(pair.client), types(pair.server)]).toEqual([['ping'], ['ping']])
    for (let minute = 0; minute < 10; minute++) {
      for (let second = 0; second < 60; second++) {
        await pair.settle()
        await silence(pair, 1_000)
      }
    }
    await pair.settle()
    expect(held.ctx().err()).toBeUndefined()
    held.finishAll('done')
    await pair.settle()
    expect(await call).toBe('done')
    await silence(pair, 20_000)
  })

  it('any frame is a sign of life: nobody is asked while there is talk', async () => {
    const { pair, held } = await watched()
    const call = pair.client.link.call(background(), 'held', [])
    await pair.settle()
    for (let i = 0; i < 10; i++) {
      await silence(pair, 9_000)
      expect([...types(pair.client), ...types(pair.server)]).toEqual([])
      const other = pair.client.link.call(background(), 'none', [])
      await Promise.all([pair.settle(), rejection(other)])
    }
    held.finishAll()
    await pair.settle()
    await call
  })

  it('the child stops at 25 s, with the loss as its cause, and the parent gives it up at 30 s', async () => {
    const { pair, held } = await watched()
    const ctx = withCancel(pair.client.root)
    const result = rejection(pair.client.link.call(ctx, 'held', []))
    const imported = pair.server.link.import(pair.client.link.export(ctx))
    await pair.settle()
    await silence(pair, 24_999)
    expect([held.ctx().err(), imported.err()]).toEqual([undefined, undefined])
    await silence(pair, 2)
    for (const remote of [held.ctx(), imported]) {
      expect(remote.err()).toBeInstanceOf(CanceledError)
      expect(cause(remote)).toBeInstanceOf(LinkLostError)
    }
    expect(pair.client.link.stats()).toMatchObject({ state: 'open', calls: 1 })
    await silence(pair, 5_000)
    expect(pair.client.channel.closed).toMatchObject({ code: 4408 })
    expect(await result).toBeInstanceOf(LinkLostError)
    expect(ctx.err()).toBeUndefined()
    held.finishAll()
    await turn()
    for (const side of [pair.client, pair.server]) {
      expect(side.link.stats()).toMatchObject({ state: 'closed', calls: 0, handlers: 0, exports: 0, imports: 0 })
      expect(side.clock.timers).toBe(0)
    }
  })

  it('a peer that comes back between the two is heard, and what had ended stays so', async () => {
    const { pair, held } = await watched()
    const result = pair.client.link.call(background(), 'held', [])
    await pair.settle()
    await silence(pair, 26_000)
    expect(held.ctx().err()).toBeInstanceOf(CanceledError)
    await pair.settle()
    await silence(pair, 20_000)
    await pair.settle()
    expect(pair.client.link.stats().state).toBe('open')
    held.finishAll('late, but there')
    await pair.settle()
    expect(await result).toBe('late, but there')
    await silence(pair, 10_000)
  })

  it('a context that is shared serves new calls and new imports when the peer is heard again; what was imported before stays ended', async () => {
    const { pair, held } = await watched()
    const ctx = withCancel(pair.client.root)
    const child = withCancel(ctx)
    const handle = pair.client.link.export(child)
    const before = pair.server.link.import(handle)
    // Two calls under one context make it one that is shared.
    const results = [1, 2].map(() => pair.client.link.call(ctx, 'held', []))
    await pair.settle()
    await silence(pair, 26_000)
    for (const remote of [held.ctx(0), held.ctx(1), before]) expect(cause(remote)).toBeInstanceOf(LinkLostError)
    await pair.settle()
    const error = before.err()
    const again = pair.server.link.import(pair.client.link.export(child))
    results.push(pair.client.link.call(ctx, 'held', []), pair.client.link.call(child, 'held', []))
    await pair.settle()
    expect([held.ctx(2).err(), held.ctx(3).err(), again.err()]).toEqual([undefined, undefined, undefined])
    held.finishAll('answered')
    await pair.settle()
    expect(await Promise.all(results)).toEqual(['answered', 'answered', 'answered', 'answered'])
    ctx.cancel('why')
    await pair.settle()
    expect(cause(again)).toBe('why')
    expect(before.err()).toBe(error)
    await silence(pair, 20_000)
    await pair.settle()
    await silence(pair, 20_000)
    expect(pair.client.clock.timers + pair.server.clock.timers).toBe(0)
  })

  it('a peer that gives up sooner is believed: what it has here ends at 5/6 of its lease', async () => {
    const held = new Held()
    const side = new Side({ serve: { held: held.method }, lease: {} })
    side.raw([...hello.slice(0, 2), [1_048_576, 0, 0, 1, 6_000], 'peer', 'x'])
    side.raw(callFrame(1, 'held'))
    await turn()
    side.clock.advanceSync(4_999)
    expect(held.ctx().err()).toBeUndefined()
    side.clock.advanceSync(2)
    expect(cause(held.ctx())).toBeInstanceOf(LinkLostError)
    side.link.close()
    held.finishAll()
  })

  it('a loop that stalled reads what has arrived before it judges', async () => {
    for (const arrived of [true, false]) {
      const held = new Held()
      let read: (() => void) | undefined
      const side = new Side({ serve: { held: held.method }, lease: {}, afterReading: (f) => (read = f) })
      side.raw(hello, callFrame(1, 'held'))
      await turn()
      // Nothing runs for 40 s; then the timer comes before what is in the socket.
      side.clock.block(40_000)
      side.clock.advanceSync(1)
      expect(held.ctx().err()).toBeUndefined()
      if (arrived) side.raw([9, 1])
      read?.()
      expect(side.link.stats().state).toBe(arrived ? 'open' : 'closed')
      expect(held.ctx().err() === undefined).toBe(arrived)
      side.link.close()
      held.finishAll()
      await turn()
    }
  })

  it('a peer is given up though its silence has ended all that it had here', async () => {
    const pair = new Pair({
      client: { lease: {} },
      server: { lease: {}, serve: { hold: (ctx: Context) => ctx.done.then((error) => Promise.reject(error)) } },
    })
    await pair.settle()
    const result = rejection(pair.client.link.call(background(), 'hold', []))
    await pair.settle()
    await silence(pair, 25_002)
    await silence(pair, 1)
    expect(pair.server.link.stats()).toMatchObject({ state: 'open', handlers: 0 })
    await silence(pair, 5_000)
    expect(pair.server.link.stats().state).toBe('closed')
    await result
  })

  it('ends are never a deadline', async () => {
    const { pair, held } = await watched()
    const result = rejection(pair.client.link.call(background(), 'held', []))
    await pair.settle()
    await silence(pair, 31_000)
    await silence(pair, 10)
    expect(held.ctx().err()?.code).toBe('ABORT_ERR')
    expect(await result).toMatchObject({ code: 'ERR_LINK_LOST' })
    held.finishAll()
    await turn()
  })
})

describe('a peer that announces a longer lease than usual, as pages do', () => {
  async function announced(lease: number): Promise<{ side: Side; held: Held }> {
    const held = new Held()
    const side = new Side({ serve: { held: held.method }, lease: {} })
    side.raw([...hello.slice(0, 2), [1_048_576, 0, 0, 1, lease], 'page', 'x'])
    side.raw(callFrame(1, 'held'))
    await turn()
    return { side, held }
  }

  it.each([
    [60_000, 50_000, 60_000],
    [150_000, 125_000, 150_000],
    ['for years', 125_000, 150_000],
  ])('of %s ms is waited for as long, but not for ever: it ends at %d ms, and is given up at %d', async (lease, ends, over) => {
    const { side, held } = await announced(typeof lease === 'number' ? lease : 2 ** 53 - 1)
    const pings = (): number => types(side).filter((type) => type === 'ping').length
    side.clock.advanceSync(ends - 1)
    expect(held.ctx().err()).toBeUndefined()
    await turn()
    // It is asked as often as anybody.
    expect(pings()).toBeGreaterThan(0)
    side.clock.advanceSync(2)
    expect(cause(held.ctx())).toBeInstanceOf(LinkLostError)
    held.finishAll()
    await turn()
    expect(side.link.stats().state).toBe('open')
    side.clock.advanceSync(over - ends)
    expect(side.link.stats().state).toBe('closed')
    expect(side.clock.timers).toBe(0)
  })
})

describe('a probe', () => {
  it('asks at once, also when nothing is shared; an answer in time is all', async () => {
    const { pair } = await watched()
    pair.client.link.probe()
    await turn()
    expect(types(pair.client)).toEqual(['ping'])
    await pair.settle()
    await silence(pair, 60_000)
    expect(pair.client.link.stats().state).toBe('open')
    expect(pair.client.clock.timers).toBe(0)
  })

  it('that nobody answers within 2 s makes the side that connects leave the connection; what has arrived is read before', async () => {
    for (const arrived of [true, false]) {
      let read: (() => void) | undefined
      let suspended = 0
      const side = new Side({ lease: {}, session: 'connect', onSuspend: () => suspended++, afterReading: (f) => (read = f) })
      side.raw([...hello, ['token', 0]])
      side.link.probe()
      side.clock.advanceSync(1_999)
      expect(read).toBeUndefined()
      side.clock.advanceSync(2)
      if (arrived) side.raw([9, 1])
      read?.()
      expect(suspended).toBe(arrived ? 0 : 1)
      expect(side.channel.closed?.code).toBe(arrived ? undefined : 1006)
      side.link.close()
    }
  })
})

describe('a peer that talks and does not read', () => {
  /** Time passes, and the peer says something each second. */
  function talk(side: Side, seconds: number): void {
    for (let n = 0; n < seconds && side.open; n++) {
      side.clock.advanceSync(1_000)
      if (side.open) side.raw([9, n])
    }
  }

  it('is closed with 1013 when the same bytes wait for as long as it may be silent', async () => {
    const side = new Side({ lease: {}, serve: { f: () => 'x' } })
    side.raw(hello, callFrame(1, 'f'))
    await turn()
    side.channel.backlog = 60
    talk(side, 100)
    expect(side.channel.closed).toEqual({ code: 1013, reason: 'backlog: the peer reads too slowly' })
    expect(side.link.stats().state).toBe('closed')
    expect(side.clock.timers).toBe(0)
  })

  it('but reads, if slowly, is let be', async () => {
    const side = new Side({ lease: {}, serve: { f: () => 'x'.repeat(1_000) } })
    side.raw(hello)
    // There is always something that waits, and never the same for long.
    side.channel.backlog = 1_500
    for (let id = 1; id <= 30 && side.open; id++) {
      side.raw(callFrame(id, 'f'))
      await turn()
      talk(side, 10)
    }
    expect(side.open).toBe(true)
    side.channel.backlog = 0
    side.link.close()
  })
})
