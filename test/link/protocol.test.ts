/** What a peer may send, and when; and the end of the link. */
import { describe, expect, it, test } from 'vitest'
import { background, cause, withCancel, withTimeout } from '../../lib/context.ts'
import { BridgeError, CanceledError, LinkLostError } from '../../lib/errors.ts'
import { turn } from '../support/gc.ts'
import { callFrame, Held, hello, joined, noContext, pack, rejection, Side } from './support.ts'

describe('a frame that is not allowed ends the link with a code and a reason', () => {
  it.each<[string, string, unknown[][]]>([
    ['a call before hello', 'call: sent before hello', [callFrame(1, 'f')]],
    ['a cancel before hello', 'cancel: sent before hello', [[3, 1, 0, null]]],
    ['a ping before hello', 'ping: sent before hello', [[8, 1]]],
    ['a second hello', 'hello: sent twice', [hello, hello]],
    ['another version', 'hello: version 2 is not spoken here, 1 is', [[1, 2, 'anything']]],
    ['an id twice', 'call: an id that is not above all before', [hello, callFrame(1, 'f'), callFrame(1, 'f')]],
    ['a lower id', 'call: an id that is not above all before', [hello, callFrame(9, 'f'), callFrame(8, 'f')]],
    [
      'the id of a call that is over',
      'call: an id that is not above all before',
      [hello, callFrame(1, 'missing'), callFrame(1, 'f')],
    ],
    ['a cancel of what was never called', 'cancel: of what was never opened', [hello, [3, 1, 0, null]]],
    ['a result of what was never called', 'result: of what was never opened', [hello, [4, 1, 'x']]],
    ['an error of what was never called', 'error: of what was never opened', [hello, [5, 1, [0, 'x']]]],
    ['a result for a call of its own', 'result: of what was never opened', [hello, callFrame(1, 'f'), [4, 1, 'x']]],
    ['an export before hello', 'export: sent before hello', [[6, 1, noContext]]],
    ['a release of what was never exported', 'release: of what was never opened', [hello, [7, 1, 1]]],
    ['a retract of what was never exported', 'retract: of what was never opened', [hello, [11, 1]]],
    ['the id of an export for a call', 'call: an id that is not above all before', [hello, [6, 1, noContext], callFrame(1, 'f')]],
    [
      'the id of a call for an export',
      'export: an id that is not above all before',
      [hello, callFrame(1, 'f'), [6, 1, noContext]],
    ],
    ['a call under what was never exported', 'call: under what is not open', [hello, callFrame(1, 'f', [null, null, [], 7])]],
    ['a call under a call', 'call: under what is not open', [hello, callFrame(1, 'f'), callFrame(2, 'f', [null, null, [], 1])]],
    ['an export under itself', 'export: under what is not open', [hello, [6, 1, [null, null, [], 1]]]],
    ['cancels of what was never opened', 'cancels: of what was never opened', [hello, callFrame(1, 'f'), [16, [1, 2], 0, null]]],
    ['type 17', 'frame: type is unknown', [hello, [17, 1]]],
    ['type 63', 'frame: type is unknown', [hello, [63]]],
    ['type 128', 'frame: type is unknown', [hello, [128]]],
  ])('%s', async (_name, reason, frames) => {
    for (const together of [true, false]) {
      const held = new Held()
      const side = new Side({ serve: { f: held.method } })
      if (together) side.raw(...frames)
      else for (const frame of frames) side.raw(frame)
      expect(side.channel.closes).toEqual([{ code: 4400, reason }])
      expect(side.ends).toMatchObject([{ code: 'ERR_LINK_LOST', cause: { code: 'ERR_PROTOCOL', message: reason } }])
      await turn()
      // Whatever had begun has ended.
      for (const ctx of held.contexts) expect(cause(ctx)).toBeInstanceOf(LinkLostError)
      // And nothing more is heard or said.
      const { count } = side.channel
      side.raw(hello, callFrame(99, 'f'), [8, 1])
      await turn()
      expect(side.channel.closes).toHaveLength(1)
      expect(side.channel.count).toBe(count)
      expect(side.clock.timers).toBe(0)
    }
  })

  it("cannot end a context of ours: a peer's cancel is of its own calls alone", async () => {
    const held = new Held()
    const pair = await joined({ client: { serve: { g: () => {} } }, server: { serve: { held: held.method } } })
    const ctx = withCancel(pair.client.root)
    const result = rejection(pair.client.link.call(ctx, 'held', []))
    await pair.settle()
    pair.client.raw([3, 1, 0, [0, 'mine']])
    expect(pair.client.channel.closed).toMatchObject({ code: 4400 })
    expect(ctx.err()).toBeUndefined()
    expect(await result).toBeInstanceOf(LinkLostError)
    expect(pair.client.link.stats()).toMatchObject({ calls: 0, state: 'closed' })
    held.finishAll()
    await turn()
    pair.cut()
  })
})

describe('a frame that is allowed', () => {
  it('of a type from 64 to 127 is skipped, alone or among others', async () => {
    const side = new Side({ serve: { f: () => 'f' } })
    side.raw(hello, [64], [100, { any: ['thing'] }], callFrame(1, 'f'), [127, 1, 2, 3])
    side.raw([64])
    await turn()
    expect(side.open).toBe(true)
    expect(side.channel.frames().flat()).toMatchObject([{ type: 'hello' }, { type: 'result', value: 'f' }])
  })

  it('of a type from 64 to 127 may even come before hello', () => {
    const side = new Side()
    side.raw([64], hello)
    expect(side.link.stats().state).toBe('open')
    expect(side.opened).toBe(1)
  })

  it('may leave a gap in the ids, at no cost', async () => {
    const side = new Side({ serve: { f: () => 'f' } })
    side.raw(hello, callFrame(1_000_000_000, 'f'), callFrame(Number.MAX_SAFE_INTEGER, 'f'))
    await turn()
    expect(side.open).toBe(true)
    expect(side.channel.frames().flat()).toMatchObject([
      { type: 'hello' },
      { id: 1_000_000_000 },
      { id: Number.MAX_SAFE_INTEGER },
    ])
  })

  it('pings: each has a pong of the same number; a pong has no answer', async () => {
    const side = new Side()
    side.raw(hello, [8, 0], [8, Number.MAX_SAFE_INTEGER], [9, 5])
    await turn()
    expect(side.channel.frames().flat().slice(1)).toEqual([
      { type: 'pong', n: 0 },
      { type: 'pong', n: Number.MAX_SAFE_INTEGER },
    ])
  })

  it('goaway: new calls are refused, those that run go on', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const running = pair.client.link.call(background(), 'held', [])
    await pair.settle()
    pair.client.raw([10, 'bye'])
    await expect(pair.client.link.call(background(), 'held', [])).rejects.toMatchObject({ code: 'ERR_GOING_AWAY' })
    held.finishAll('done')
    await pair.settle()
    expect(await running).toBe('done')
  })

  it('late results and errors are counted and change nothing', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const result = pair.client.link.call(background(), 'held', [])
    await pair.settle()
    held.finishAll('first')
    await pair.settle()
    pair.client.raw([4, 1, 'second'], [5, 1, [0, 'third']])
    expect(await result).toBe('first')
    expect(pair.client.link.stats().late).toBe(2)
    expect(pair.client.open).toBe(true)
  })
})

describe('bytes', () => {
  it.each<[string, Uint8Array]>([
    ['none', new Uint8Array()],
    ['no msgpack', new Uint8Array([0xc1])],
    ['an empty array', pack([])],
    ['a map', pack({})],
    ['a lying length', new Uint8Array([0xdd, 0xff, 0xff, 0xff, 0xff])],
    ['two values', new Uint8Array([...pack([hello]), ...pack([hello])])],
  ])('that are %s end the link', (_name, bytes) => {
    const side = new Side()
    side.link.receive(bytes)
    expect(side.channel.closed).toMatchObject({ code: 4400, reason: expect.stringMatching(/^\S.{0,99}$/) as string })
  })

  it('of every prefix of a good message end the link, and so does each bit that makes it wrong; nothing throws', async () => {
    const message = pack([
      hello,
      callFrame(1, 'f', [100.5, [6, 'E', 'm', null, null], [['k', 'v']]], [1, 'x', { a: null }]),
      [3, 1, 1, [0, 'x']],
    ])
    const bytes: Uint8Array[] = []
    for (let size = 0; size < message.length; size++) bytes.push(message.slice(0, size))
    const prefixes = bytes.length
    for (let bit = 0; bit < message.length * 8; bit++) {
      const flipped = message.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
      bytes.push(flipped)
    }
    for (const [i, one] of bytes.entries()) {
      const side = new Side({ serve: { f: () => 1 } })
      expect(() => side.link.receive(one)).not.toThrow()
      if (i < prefixes) expect(side.channel.closed).toMatchObject({ code: 4400 })
      if (!side.open) expect(side.link.stats()).toMatchObject({ state: 'closed' })
      side.link.lost(new LinkLostError('over'))
      await turn()
      expect(side.link.stats()).toMatchObject({ calls: 0, handlers: 0, queued: 0 })
      expect(side.clock.timers).toBe(0)
    }
  })
})

describe('the end of the link', () => {
  async function busy() {
    const held = { client: new Held(), server: new Held() }
    const pair = await joined({
      client: { serve: { held: held.client.method } },
      server: { serve: { held: held.server.method } },
    })
    const ctx = withTimeout(pair.client.root, 1_000)
    const results = [
      rejection(pair.client.link.call(ctx, 'held', [])),
      rejection(pair.client.link.call(background(), 'held', [])),
      rejection(pair.server.link.call(background(), 'held', [])),
    ]
    await pair.settle()
    const contexts = [...held.client.contexts, ...held.server.contexts]
    expect(contexts).toHaveLength(3)
    return { held, pair, ctx, results, contexts }
  }

  it('by a loss rejects what waits and ends what runs, for loss and no other reason', async () => {
    const { held, pair, ctx, results, contexts } = await busy()
    for (const c of contexts) void c.signal
    pair.cut()
    const errors = await Promise.all(results)
    for (const error of errors) {
      expect(error).toBeInstanceOf(LinkLostError)
      expect(error).toBeInstanceOf(BridgeError)
    }
    for (const c of contexts) {
      expect(c.err()).toBeInstanceOf(CanceledError)
      expect(cause(c)).toBeInstanceOf(LinkLostError)
      expect(c.signal.aborted).toBe(true)
    }
    expect(ctx.err()).toBeUndefined()
    expect(pair.client.link.stats()).toMatchObject({ state: 'closed', calls: 0, handlers: 1 })
    await expect(pair.client.link.call(background(), 'held', [])).rejects.toBe(errors[0])
    held.client.finishAll()
    held.server.finishAll()
    await turn()
    expect(pair.client.channel.waiting).toEqual([])
    expect(pair.server.channel.waiting).toEqual([])
  })

  it('is told once, however often the link is lost and closed', async () => {
    const { held, pair, results } = await busy()
    const first = new LinkLostError('first')
    pair.client.link.lost(first)
    pair.client.link.lost(new LinkLostError('second'))
    pair.client.link.close()
    expect(pair.client.ends).toEqual([first])
    expect(pair.client.channel.closes).toEqual([])
    expect(await results[0]).toBe(first)
    pair.cut()
    held.client.finishAll()
    held.server.finishAll()
    await turn()
  })

  it('by close lets what was called before in this turn go out first', async () => {
    const held = new Held()
    const pair = await joined({ server: { serve: { held: held.method } } })
    const result = rejection(pair.client.link.call(background(), 'held', []))
    pair.client.link.close('enough')
    expect(await result).toBeInstanceOf(LinkLostError)
    expect(pair.client.channel.closes).toEqual([{ code: 1000, reason: 'enough' }])
    expect(pair.client.channel.frames().flat()).toMatchObject([{ type: 'call' }])
    pair.toServer()
    pair.cut()
  })

  it('by close where the peer does not read is told once', async () => {
    const pair = await joined({ server: { serve: { f: () => {} } } })
    const result = rejection(pair.client.link.call(background(), 'f', []))
    pair.client.channel.backlog = Infinity
    pair.client.link.close()
    expect(pair.client.channel.closes).toMatchObject([{ code: 1013 }])
    expect(pair.client.ends).toHaveLength(1)
    await result
    pair.cut()
  })

  it('before the handler has started keeps it from starting', async () => {
    const held = new Held()
    const side = new Side({ serve: { held: held.method } })
    side.raw(hello, callFrame(1, 'held'))
    side.link.lost(new LinkLostError('gone'))
    await turn()
    expect(held.contexts).toEqual([])
    expect(side.link.stats()).toMatchObject({ handlers: 0, queued: 0 })
  })

  it('comes after the end of a context whose listener closes the link', async () => {
    const pair = await joined({ server: { serve: { held: () => new Promise(() => {}) } } })
    const ctx = withCancel(pair.client.root)
    ctx.signal.addEventListener('abort', () => pair.client.link.close())
    const result = rejection(pair.client.link.call(ctx, 'missing', []))
    await turn()
    ctx.cancel('first')
    expect(await result).toBe(ctx.err())
    expect(pair.client.link.stats().calls).toBe(0)
    pair.cut()
  })

  it('after a deadline that no timer has told yet rejects with the deadline', async () => {
    const { held, pair, ctx, results } = await busy()
    pair.client.clock.block(1_000)
    pair.cut()
    expect(await results[0]).toBe(ctx.err())
    expect(ctx.err()).toMatchObject({ name: 'TimeoutError' })
    expect(await results[1]).toBeInstanceOf(LinkLostError)
    held.client.finishAll()
    held.server.finishAll()
    await turn()
  })

  it('leaves a listener that throws to the reporting of the tree, and ends the others', async () => {
    const { held, pair, results, contexts } = await busy()
    const order: string[] = []
    for (const c of contexts) c.signal.addEventListener('abort', () => order.push('ended'))
    pair.cut()
    await Promise.all(results)
    expect(order).toHaveLength(3)
    held.client.finishAll()
    held.server.finishAll()
    await turn()
  })
})

test('whoever sends back all that it gets is no peer', async () => {
  const serve = { f: () => 'answered by this very side' }
  const side = new Side({ serve })
  const call = rejection(side.link.call(background(), 'f', []))
  await turn()
  for (const bytes of side.channel.waiting.splice(0)) side.link.receive(bytes)
  const reason = 'hello: it is the one of this side, sent back'
  expect(side.channel.closes).toEqual([{ code: 4400, reason }])
  expect(String(await call)).toContain(`The other side does not speak the protocol of ctxbridge (${reason}`)
  expect([side.opened, side.link.stats().state]).toEqual([0, 'closed'])
})

test('stats tell the state', async () => {
  const side = new Side()
  const nothing = { calls: 0, handlers: 0, waiting: 0, exports: 0, imports: 0, queued: 0, late: 0 }
  expect(side.link.stats()).toEqual({ ...nothing, state: 'opening', queued: 1 })
  expect(side.link.peerName).toBe('')
  side.raw(hello)
  await turn()
  expect(side.link.stats()).toEqual({ ...nothing, state: 'open' })
  expect(side.link.peerName).toBe('peer')
  side.link.close()
  expect(side.link.stats()).toEqual({ ...nothing, state: 'closed' })
})
