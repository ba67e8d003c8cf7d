/** Connecting again, by sockets that open when a test says so. */
import { createFakeClock, linkedPair } from 'ctxbridge/testing'
import { describe, expect, it } from 'vitest'
import type { Channel } from '../../lib/bridge/link.ts'
import { type Dialed, dial, type Receiver, type Sockets } from '../../lib/bridge/link-dial.ts'
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
}

/** A server that a test plays: greets by hand. */
class Network {
  readonly clock = createFakeClock()
  /** Attempts that wait: each opens its socket, whether or not it was given up, as one does that opens at that moment. */
  readonly attempts: { readonly open: () => Socket; readonly signal: AbortSignal }[] = []
  readonly sockets: Sockets<Socket> = {
    open: (_url, _maxMessage, signal) =>
      new Promise((resolve) => {
        const open = (): Socket => {
          const socket = new Socket()
          resolve(socket)
          return socket
        }
        this.attempts.push({ open, signal })
      }),
    channel: (socket, connect) => {
      const receiver = connect(socket.channel)
      socket.receiver = receiver
      return receiver
    },
    refused: () => false,
  }

  /** A link with a session whose connection broke, and whose next attempt is under way. */
  async broken(): Promise<Dialed> {
    let ids = 0
    const host = {
      clock: this.clock,
      random: () => 0.5,
      id: () => `id ${++ids}`,
      codec: byteCodec,
      defer: queueMicrotask,
      reporter: () => () => undefined,
    }
    const dialing = dial(host, this.sockets, new URL('ws://x'), background(), {}, undefined, true)
    await turn()
    const socket = this.next.open()
    await turn()
    socket.receiver?.receive(pack([[1, 1, [1_048_576, 1_000, 1_000, 16, 30_000], '', 'server', ['token', 0]]]))
    const dialed = await dialing
    socket.receiver?.lost(new LinkLostError('broke'), false)
    this.clock.advanceSync(50)
    await turn()
    if (dialed.link.stats().state !== 'suspended') throw new Error('the link does not wait for another connection')
    return dialed
  }

  get next(): { readonly open: () => Socket; readonly signal: AbortSignal } {
    const [attempt] = this.attempts.splice(0)
    if (attempt === undefined) throw new Error('there is no attempt')
    return attempt
  }
}

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
