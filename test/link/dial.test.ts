/** Connecting again, by sockets that open when a test says so. */
import { createFakeClock, linkedPair } from 'ctxbridge/testing'
import { describe, expect, it } from 'vitest'
import type { Channel } from '../../lib/bridge/link.ts'
import { type Dialed, dial, type Life, type Receiver, type Sockets } from '../../lib/bridge/link-dial.ts'
import type { LinkHost } from '../../lib/bridge/link-host.ts'
import { background } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { byteCodec } from '../../transports/websocket/msgpackr.ts'
import { turn } from '../support/gc.ts'
import { framesOf, pack } from './support.ts'

/** A socket, and what was done to it. */
class Socket {
  readonly sent: Uint8Array[] = []
  closes: (number | 'terminated')[] = []
  receiver: Receiver | undefined

  readonly channel: Channel = {
    send: (bytes) => void this.sent.push(bytes),
    queued: () => 0,
    drained: () => undefined,
    close: (code) => void this.closes.push(code),
    terminate: () => void this.closes.push('terminated'),
  }

  /** The server's greeting. */
  greet(token?: string): void {
    const limits = [1_048_576, 1_000, 1_000, 16, 30_000]
    this.receiver?.receive(pack([[1, 1, limits, '', 'server', ...(token === undefined ? [] : [[token, 0]])]]))
  }
}

interface Attempt {
  readonly open: () => Socket
  readonly fail: () => void
  readonly signal: AbortSignal
}

/** A server that a test plays: greets by hand. */
class Network {
  readonly clock = createFakeClock()
  /** Attempts that wait: each opens its socket, whether or not it was given up, as one does that opens at that moment. */
  readonly attempts: Attempt[] = []
  /** What the side is told of itself; undefined when nobody listens. */
  life: Life | undefined
  readonly sockets: Sockets<Socket> = {
    watch: (life) => {
      this.life = life
      return () => (this.life = undefined)
    },
    open: (_url, _maxMessage, signal) =>
      new Promise((resolve, reject) => {
        const open = (): Socket => {
          const socket = new Socket()
          resolve(socket)
          return socket
        }
        this.attempts.push({ open, fail: () => reject(new Error('unreachable')), signal })
      }),
    channel: (socket, connect) => {
      const receiver = connect(socket.channel)
      socket.receiver = receiver
      return receiver
    },
    refused: () => false,
  }

  /** A link that is open; with a session where the server has offered one. */
  async opened(session = true): Promise<Dialed & { readonly socket: Socket }> {
    const dialing = this.dial()
    await turn()
    const socket = this.next.open()
    await turn()
    socket.greet(session ? 'token' : undefined)
    return { ...(await dialing), socket }
  }

  async dial(more: Partial<LinkHost> = {}): Promise<Dialed> {
    let ids = 0
    const host: LinkHost = {
      clock: this.clock,
      random: () => 0.5,
      id: () => `id ${++ids}`,
      codec: byteCodec,
      defer: queueMicrotask,
      reporter: () => () => undefined,
      ...more,
    }
    return dial(host, this.sockets, new URL('ws://x'), background(), {}, undefined, true)
  }

  /** A link with a session whose connection broke, and whose next attempt is under way. */
  async broken(): Promise<Dialed> {
    const dialed = await this.opened()
    dialed.socket.receiver?.lost(new LinkLostError('broke'), false)
    this.clock.advanceSync(50)
    await turn()
    if (dialed.link.stats().state !== 'suspended') throw new Error('the link does not wait for another connection')
    return dialed
  }

  get next(): Attempt {
    const [attempt] = this.attempts.splice(0)
    if (attempt === undefined) throw new Error('there is no attempt')
    return attempt
  }
}

it('a server that opens a connection and never greets is waited for 10 seconds', async () => {
  const network = new Network()
  const dialing = network.dial()
  await turn()
  const socket = network.next.open()
  await turn()
  network.clock.advanceSync(9_999)
  await turn()
  expect(socket.closes).toEqual([])
  network.clock.advanceSync(1)
  await expect(dialing).rejects.toMatchObject({
    code: 'ERR_LINK_LOST',
    message: expect.stringMatching(
      /^The server opened a connection and did not greet within 10000 ms: .+ serve\(\).+\?$/,
    ) as string,
  })
  expect([socket.closes, network.clock.timers, network.life]).toEqual([[1000], 0, undefined])
})

it('a link that cannot be made leaves no socket open', async () => {
  const network = new Network()
  const error = new Error('no chance')
  const dialing = network.dial({
    id: () => {
      throw error
    },
  })
  await turn()
  const socket = network.next.open()
  await expect(dialing).rejects.toBe(error)
  expect([socket.closes, network.clock.timers, network.life]).toEqual([['terminated'], 0, undefined])
})

describe('a link that is closed while it connects again', () => {
  it('gives the attempt up, and lets go of a socket that opens in spite of that: nothing is said on it', async () => {
    const network = new Network()
    const { link, closed } = await network.broken()
    const { open, signal } = network.next
    link.close()
    expect(signal.aborted).toBe(true)
    const socket = open()
    await turn()
    expect([socket.sent, socket.closes]).toEqual([[], ['terminated']])
    expect(await closed).toMatchObject({ code: 'ERR_LINK_LOST' })
    await turn()
    expect([link.stats().state, network.attempts.length, network.clock.timers]).toEqual(['closed', 0, 0])
  })

  it('and has greeted closes with a code: the other side has ended the session when it reads that', async () => {
    const network = new Network()
    const { link } = await network.broken()
    const socket = network.next.open()
    await turn()
    expect(framesOf(socket.sent[0] as Uint8Array)).toMatchObject([{ type: 'hello', session: { token: 'token' } }])
    link.close()
    await turn()
    expect([socket.closes, network.attempts.length, network.clock.timers]).toEqual([[1000], 0, 0])
  })
})

it('an attempt that took too long and opens then is let go of, and another one is made', async () => {
  const network = new Network()
  const { link } = await network.broken()
  const { open, signal } = network.next
  network.clock.advanceSync(5_000)
  expect(signal.aborted).toBe(true)
  const socket = open()
  await turn()
  expect([socket.sent, socket.closes]).toEqual([[], ['terminated']])
  network.clock.advanceSync(100)
  await turn()
  expect(network.attempts).toHaveLength(1)
  link.close()
})

it('waits for a random part of a tenth of a second before it connects again: not all who have lost a server come at once', async () => {
  await using pair = await linkedPair({ serve: { f: () => 1 } })
  const { client, clock, network } = pair
  network.cut()
  // Chance is a half there.
  await clock.advance(49)
  expect([client.stats().state, network.connections]).toEqual(['suspended', 0])
  await clock.advance(10)
  expect([client.stats().state, network.connections]).toEqual(['open', 1])
})

describe('a side that wakes', () => {
  it('asks whether its connection is still good, and leaves one that does not answer soon', async () => {
    const network = new Network()
    const { link, socket } = await network.opened()
    const before = socket.sent.length
    network.life?.awake()
    await turn()
    expect(socket.sent.slice(before).flatMap(framesOf)).toMatchObject([{ type: 'ping' }])
    network.clock.advanceSync(2_000)
    expect(link.stats().state).toBe('open')
    // What has come meanwhile would be read first.
    network.clock.advanceSync(1)
    expect([link.stats().state, socket.closes]).toEqual(['suspended', ['terminated']])
    link.close()
  })

  it('keeps a connection that answers', async () => {
    const network = new Network()
    const { link, socket } = await network.opened()
    network.life?.awake()
    await turn()
    const ping = socket.sent.flatMap(framesOf).find(({ type }) => type === 'ping')
    if (ping?.type !== 'ping') throw new Error('nobody was asked')
    socket.receiver?.receive(pack([[9, ping.n]]))
    network.clock.advanceSync(2_000)
    await turn()
    expect([link.stats().state, socket.closes, network.attempts.length]).toEqual(['open', [], 0])
    link.close()
    expect(network.clock.timers).toBe(0)
  })

  it('does not wait out the pause between two attempts, which had grown', async () => {
    const network = new Network()
    const { link } = await network.broken()
    for (let i = 0; i < 8; i++) {
      network.next.fail()
      await turn()
      network.clock.advanceSync(2_500)
      await turn()
    }
    network.next.fail()
    await turn()
    expect(network.attempts).toHaveLength(0)
    network.life?.awake()
    await turn()
    expect(network.attempts).toHaveLength(1)
    // And the next pause is a short one again: half of twice the first.
    network.next.fail()
    await turn()
    network.clock.advanceSync(100)
    await turn()
    expect(network.attempts).toHaveLength(1)
    link.close()
  })

  it('gives up an attempt that is older than a second, since its network may be gone, and makes another one; a fresh one goes on', async () => {
    const network = new Network()
    const { link } = await network.broken()
    const first = network.next
    network.clock.advanceSync(1_000)
    network.life?.awake()
    expect(first.signal.aborted).toBe(false)
    network.clock.advanceSync(1)
    network.life?.awake()
    expect(first.signal.aborted).toBe(true)
    first.fail()
    await turn()
    network.clock.advanceSync(100)
    await turn()
    expect(network.attempts).toHaveLength(1)
    link.close()
  })
})

describe('a side that goes to sleep', () => {
  it('drops its connection without a word and tries nothing, until it wakes: then at once', async () => {
    const network = new Network()
    const { link, socket } = await network.opened()
    const before = socket.sent.length
    network.life?.asleep()
    await turn()
    expect([link.stats().state, socket.closes, socket.sent.length]).toEqual(['suspended', ['terminated'], before])
    network.clock.advanceSync(10_000)
    await turn()
    expect(network.attempts).toHaveLength(0)
    network.life?.awake()
    await turn()
    const again = network.next.open()
    await turn()
    again.greet('next token')
    await turn()
    expect([link.stats().state, link.token]).toEqual(['open', 'next token'])
    link.close()
    await turn()
    expect([network.life, network.clock.timers]).toEqual([undefined, 0])
  })

  it('gives up an attempt that is under way', async () => {
    const network = new Network()
    const { link } = await network.broken()
    const { signal, fail } = network.next
    network.life?.asleep()
    expect(signal.aborted).toBe(true)
    fail()
    await turn()
    network.clock.advanceSync(10_000)
    await turn()
    expect(network.attempts).toHaveLength(0)
    network.life?.awake()
    await turn()
    expect(network.attempts).toHaveLength(1)
    link.close()
  })

  it('does not try after a pause that had begun before', async () => {
    const network = new Network()
    const { link } = await network.broken()
    network.next.fail()
    await turn()
    network.life?.asleep()
    network.clock.advanceSync(10_000)
    await turn()
    expect(network.attempts).toHaveLength(0)
    link.close()
  })

  it('keeps a connection without a session, with which nothing could go on', async () => {
    const network = new Network()
    const { link, socket } = await network.opened(false)
    network.life?.asleep()
    await turn()
    expect([link.stats().state, socket.closes]).toEqual(['open', []])
    socket.receiver?.receive(pack([[8, 7]]))
    await turn()
    expect(socket.sent.flatMap(framesOf)).toContainEqual({ type: 'pong', n: 7 })
    link.close()
  })
})
