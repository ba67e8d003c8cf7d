import { EventEmitter, once } from 'node:events'
import { inspect } from 'node:util'
import { Worker } from 'node:worker_threads'
import { background, type Context, LinkLostError, withCancel, withTimeout } from 'ctxbridge'
import { connect, type PostMessageEndpoint, wrap } from 'ctxbridge/message-port'
import { describe, expect, test } from 'vitest'
import { turn } from '../support/gc.ts'
import { call, hello as rawHello, pack } from '../websocket/raw.ts'
import { rejection, until } from '../websocket/support.ts'

/** An end that says what a test wants it to say, and reads only what it is told to. */
class RawEnd {
  readonly heard: { from: string; bytes?: Uint8Array; hello?: Uint8Array; close?: [number, string] }[] = []
  readonly #port: MessagePort
  readonly #id: string

  private constructor(port: MessagePort, id: string) {
    this.#port = port
    this.#id = id
    port.addEventListener('message', ({ data }: MessageEvent<RawEnd['heard'][number]>) => this.heard.push(data))
    port.start()
  }

  /** Has found the other end and has greeted it. */
  static async greeted(port: MessagePort, greeting: readonly unknown[] = hello, id = 'raw'): Promise<RawEnd> {
    const end = new RawEnd(port, id)
    await until(() => end.heard.length > 0)
    end.post({ hello: pack([greeting]) })
    return end
  }

  post(message: object): void {
    this.#port.postMessage({ ctxbridge: 'link', from: this.#id, to: this.heard[0]?.from, ...message })
  }

  say(...frames: unknown[]): void {
    this.post({ bytes: pack(frames) })
  }

  /** What the other end has closed the connection with. */
  async closed(): Promise<unknown> {
    await until(() => this.heard.at(-1)?.close !== undefined)
    return this.heard.at(-1)?.close
  }
}

const hello = [...rawHello, ['', 0]]

describe('over a MessageChannel', () => {
  const pair = async () => {
    const { port1, port2 } = new MessageChannel()
    const service = { wait: (ctx: Context) => ctx.done.then((error) => error.name) }
    const [a, b] = await Promise.all([connect(port1), connect(port2, { serve: service })])
    return { a, b, port1, port2, remote: wrap<typeof service>(a) }
  }

  test('no memory of this process goes along with a message', async () => {
    const { port1, port2 } = new MessageChannel()
    const spare: number[] = []
    port2.addEventListener('message', ({ data }: MessageEvent<{ bytes?: Uint8Array; hello?: Uint8Array }>) => {
      for (const bytes of [data.bytes, data.hello])
        if (bytes !== undefined) spare.push(bytes.buffer.byteLength - bytes.byteLength)
    })
    const [a] = await Promise.all([connect(port1), connect(port2, { serve: { echo: (_ctx: Context, n: number) => n } })])
    const remote = wrap<{ echo(ctx: Context, n: number): number }>(a)
    for (let n = 0; n < 10; n++) expect(await remote.echo(background(), n)).toBe(n)
    expect(spare.length).toBeGreaterThan(10)
    expect(new Set(spare)).toEqual(new Set([0]))
    a.close()
  })

  test('other messages pass by, and closing one side ends the other', async () => {
    const { a, b, port1, port2, remote } = await pair()
    const heard = once(port2 as never, 'message')
    port1.postMessage({ somebody: 'else' })
    port1.postMessage(null)
    await heard
    const call = rejection(remote.wait(background()))
    b.close()
    expect(await call).toBeInstanceOf(LinkLostError)
    expect((await a.closed).message).toContain('1000')
    expect([a.stats().state, b.stats().state]).toEqual(['closed', 'closed'])
    port1.close()
  })

  test.each([
    ['no bytes', 'x', 1003],
    ['bytes that others can still change', new Uint8Array(new SharedArrayBuffer(1)), 1003],
    ['bytes that are no message', new Uint8Array([0xc1, 1, 2]), 4400],
    ['more than the limit', new Uint8Array(5_000), 1009],
  ])('%s end the connection with a code', async (_name, bytes, code) => {
    const { port1, port2 } = new MessageChannel()
    const [raw, b] = await Promise.all([RawEnd.greeted(port1), connect(port2, { limits: { maxMessage: 4_096 } })])
    raw.post({ bytes })
    expect(await raw.closed()).toEqual([code, expect.any(String)])
    await b.closed
    port1.close()
  })

  test.each([
    ['what has no text', [{ toString: 1, valueOf: 1 }, 'x'], 'The peer closed the connection with code 0 and the reason "x".'],
    ['no list', 'x', 'The peer closed the connection with code 0.'],
    [
      'lines, and commands to a terminal',
      [1000, 'bye".\nroot \u001b[31m\u009b31m\u2028\u202e'],
      'The peer closed the connection with code 1000 and the reason "bye\\".\\nroot \\u001b[31m\\u{9b}31m\\u{2028}\\u{202e}".',
    ],
    [
      'longer than a reason may be',
      [4400, '\0'.repeat(1e5)],
      `The peer closed the connection with code 4400 and the reason "${'\\u0000'.repeat(123)}".`,
    ],
  ])('a close of the other side that is %s ends it, and is told on one line', async (_name, close, told) => {
    const { port1, port2 } = new MessageChannel()
    const [raw, b] = await Promise.all([RawEnd.greeted(port1), connect(port2)])
    raw.post({ close })
    expect((await b.closed).message).toBe(told)
    port1.close()
  })

  test('what the other side does not read is bounded, whatever credit it gives', async () => {
    const { port1, port2 } = new MessageChannel()
    let made = 0
    async function* ticks(): AsyncGenerator<string> {
      for (;;) {
        made++
        yield 'x'.repeat(1_000)
      }
    }
    const limits = { maxBacklog: 65_536 }
    const greeting = [1, 1, [1_048_576, 0, 1_000, Number.MAX_SAFE_INTEGER, 0], 'raw', 'raw end', ['', 0]]
    const [raw, b] = await Promise.all([RawEnd.greeted(port1, greeting), connect(port2, { limits, serve: { ticks } })])
    raw.say(call(1, 'ticks'))
    await until(() => made > 0)
    for (let turns = 0; turns < 100; turns++) await turn()
    const bound = made
    expect(bound).toBeLessThan(300)
    for (let turns = 0; turns < 20; turns++) await turn()
    expect(made).toBe(bound)
    expect(b.stats().state).toBe('open')
    const messages = raw.heard.filter(({ bytes }) => bytes !== undefined).length
    raw.say([15, messages])
    await until(() => made > bound)
    b.close()
    port1.close()
  })

  test('who does not say what it has read is no peer', async () => {
    const { port1, port2 } = new MessageChannel()
    const rejected = rejection(connect(port2))
    const raw = await RawEnd.greeted(port1, rawHello)
    expect(await raw.closed()).toEqual([4400, 'hello: without a session'])
    expect(await rejected).toBeInstanceOf(LinkLostError)
    port1.close()
  })

  test('whoever comes later is found, though the first greeting was lost', async () => {
    const { port1, port2 } = new MessageChannel()
    const lost = once(port2 as never, 'message')
    port2.start()
    const first = connect(port1)
    await lost
    const [a, b] = await Promise.all([first, connect(port2, { serve: { f: () => 1 } })])
    expect(await wrap<{ f(ctx: Context): number }>(a).f(background())).toBe(1)
    a.close()
    await b.closed
    port1.close()
  })

  test('both may connect again on the same port, whatever is still on its way', async () => {
    const { port1, port2 } = new MessageChannel()
    const service = { f: () => 1 }
    const rounds = [1, 2, 3, 4, 5]
    const other = (async () => {
      for (const _ of rounds) {
        const connection = await connect(port2, { serve: service })
        const remote = wrap<typeof service & { f(ctx: Context): number }>(connection)
        while (connection.stats().state === 'open') await remote.f(background()).catch(() => undefined)
      }
    })()
    for (const _ of rounds) {
      const connection = await connect(port1, { serve: service })
      expect(await wrap<{ f(ctx: Context): number }>(connection).f(background())).toBe(1)
      connection.close()
    }
    port1.close()
    await other
  })

  test('what was meant for an end that has gone, or comes from one, is not heard; a new one takes the place of the old', async () => {
    const { port1, port2 } = new MessageChannel()
    const [raw, b] = await Promise.all([RawEnd.greeted(port1), connect(port2, { serve: { f: () => 1 } })])
    const garbage = new Uint8Array([0xc1])
    raw.post({ to: 'gone', bytes: garbage })
    raw.post({ from: 'gone', bytes: garbage })
    raw.post({ from: 1, close: [1000, ''] })
    raw.post({ from: 'x'.repeat(65), to: undefined, hello: pack([hello]) })
    raw.post({ to: 'gone', from: 'other', hello: garbage })
    raw.post({ hello: garbage })
    raw.say(call(1, 'f'))
    await until(() => raw.heard.at(-1)?.bytes !== undefined)
    expect(b.stats().state).toBe('open')
    raw.post({ from: 'other', to: undefined, hello: pack([hello]) })
    expect((await b.closed).message).toBe('The other side of the port has connected anew.')
    port1.close()
  })

  test('an endpoint has one connection at a time', async () => {
    const { a, b, port1 } = await pair()
    expect(() => connect(port1)).toThrow(/^connect\(\) needs an endpoint without a connection/)
    a.close()
    await b.closed
    const ctx = withTimeout(background(), 1)
    expect(await rejection(connect(port1, { context: ctx }))).toBe(ctx.err())
    port1.close()
  })

  test('a wait for the greeting is bounded by a context', async () => {
    const { port1 } = new MessageChannel()
    const ctx = withTimeout(background(), 10)
    expect(await rejection(connect(port1, { context: ctx }))).toBe(ctx.err())
    port1.close()
  })

  test.each<[string, string, () => Promise<MessagePort | Worker>]>([
    [
      'a port that was closed',
      'The port was closed, or given away.',
      async () => {
        const { port1 } = new MessageChannel()
        const closed = once(port1, 'close')
        port1.close()
        // It shows so a turn later.
        await closed.then(turn)
        return port1
      },
    ],
    [
      'a port that has just told that it was closed',
      'The port was closed, or given away.',
      async () => {
        const { port1 } = new MessageChannel()
        const closed = once(port1, 'close')
        port1.close()
        await closed
        return port1
      },
    ],
    [
      'a port whose other end was closed',
      'The port was closed, or given away.',
      async () => {
        const { port1, port2 } = new MessageChannel()
        const closed = once(port1, 'close')
        port1.start()
        port2.close()
        // It shows so a turn later.
        await closed.then(turn)
        return port1
      },
    ],
    [
      'a port that was given away',
      'The port was closed, or its thread has ended.',
      async () => {
        const { port1 } = new MessageChannel()
        const { port1: way, port2 } = new MessageChannel()
        way.postMessage(port1, [port1])
        port2.close()
        return port1
      },
    ],
    [
      'a worker that has exited',
      'The worker has exited.',
      async () => {
        const worker = new Worker('', { eval: true })
        await once(worker, 'exit')
        return worker
      },
    ],
  ])('%s is a lost link at once, also for who would wait for ever, and again for who tries again', async (_name, why, gone) => {
    const endpoint = await gone()
    for (let time = 0; time < 3; time++) {
      const error = await rejection(connect(endpoint, { context: background() }))
      expect(error).toBeInstanceOf(LinkLostError)
      expect(String(error)).toContain(time === 0 ? why : '')
      if (time === 1) await turn()
    }
  })

  test("a port with a property 'active' of the program's own is no lost one, nor is an endpoint that shows itself as it likes", async () => {
    const own = new MessageChannel()
    const ends = [Object.assign(own.port1, { active: false }), own.port2]
    const [one, two] = [new EventEmitter(), new EventEmitter()]
    const like = (from: EventEmitter, to: EventEmitter): PostMessageEndpoint =>
      Object.assign(from, {
        postMessage: (data: unknown) => setImmediate(() => to.emit('message', data)),
        [inspect.custom]: () => ({ active: false }),
      })
    for (const [a, b] of [ends, [like(one, two), like(two, one)]] as PostMessageEndpoint[][]) {
      const pair = await Promise.all([connect(a as never), connect(b as never)])
      await turn()
      expect(pair.map((side) => side.stats().state)).toEqual(['open', 'open'])
      pair[0].close()
      await pair[1].closed
    }
    own.port1.close()
  })

  test('an endpoint that throws at who listens to it is free again', async () => {
    const port = Object.assign(new EventEmitter(), { postMessage: () => undefined })
    const broken = Object.assign(Object.create(port) as typeof port, {
      on(): never {
        throw new Error('no listeners here')
      },
    })
    for (let time = 0; time < 2; time++) {
      const error = await rejection(connect(broken))
      expect(error).toBeInstanceOf(LinkLostError)
      expect(error).toMatchObject({ message: 'The endpoint lets nobody listen to it.', cause: { message: 'no listeners here' } })
    }
    const deaf = Object.assign(Object.create(port) as typeof port, {
      off(): never {
        throw new Error('they stay')
      },
    })
    const ctx = withCancel(background())
    for (let time = 0; time < 2; time++) {
      const waits = rejection(connect(deaf, { context: ctx }))
      ctx.cancel()
      expect(await waits).toBe(ctx.err())
    }
  })

  test('a message that cannot be read closes the connection on both sides, and says why', async () => {
    const { a, b, port2, remote } = await pair()
    const call = rejection(remote.wait(background()))
    await until(() => b.stats().handlers === 1)
    const unreadable = new Error('It could not be read.')
    if ('emit' in port2) (port2.emit as (event: string, error: unknown) => void)('messageerror', unreadable)
    const [why, there] = [await b.closed, await a.closed]
    expect(why.message).toBe('This side has closed the connection (1003, message: could not be read).')
    expect(why.cause).toBe(unreadable)
    expect(there.message).toBe('The peer closed the connection with code 1003 and the reason "message: could not be read".')
    expect(await call).toBeInstanceOf(LinkLostError)
  })

  test('without a context, the other side is waited for 10 seconds; with one, for as long as that lives', async () => {
    // A thread of its own, whose time is the test's: clock and timers are taken when the package is imported.
    const worker = new Worker(
      `let now = 0
      const timers = new Map()
      performance.now = () => now
      globalThis.setTimeout = (f, ms) => (timers.set(f, ms), f)
      globalThis.clearTimeout = (f) => void timers.delete(f)
      const { parentPort } = require('node:worker_threads')
      const pass = (ms) => {
        now += ms
        for (const [f, due] of timers) if (due <= now) timers.delete(f), f()
      }
      const states = []
      Promise.all([import('ctxbridge'), import('ctxbridge/message-port')]).then(async ([{ background }, { connect }]) => {
        const connecting = ({ port1 }, name, options) => {
          connect(port1, options).catch((error) => error).then(({ code, message }) => states.push([name, code, message]))
          return port1
        }
        const ports = [connecting(new MessageChannel(), 'bounded'), connecting(new MessageChannel(), 'patient', { context: background() })]
        for (const ms of [9_999, 1, 3_600_000]) {
          pass(ms)
          await new Promise(setImmediate)
          states.push(now)
        }
        parentPort.postMessage([states, timers.size])
        for (const port of ports) port.close()
      })`,
      { eval: true },
    )
    const [[states, timers]] = (await once(worker, 'message')) as [[unknown[], number]]
    const message = expect.stringMatching(/^The other side of the port did not connect within 10000 ms: .+'context'.+$/) as string
    expect([states, timers]).toEqual([[9_999, ['bounded', 'ERR_LINK_LOST', message], 10_000, 3_610_000], 0])
    await worker.terminate()
  })

  test('what cannot be used is told', () => {
    for (const wrong of [undefined, null, {}, 1, { postMessage: () => undefined }]) {
      expect(() => connect(wrong as never)).toThrow(/^connect\(\) needs a MessagePort/)
    }
    const many = new BroadcastChannel('many')
    expect(() => connect(many)).toThrow(/^connect\(\) needs an endpoint with one other side, but got a BroadcastChannel: /)
    many.close()
    const { port1 } = new MessageChannel()
    expect(() => connect(port1, { serve: class {} })).toThrow(TypeError)
    expect(() => connect(port1, { context: {} as never })).toThrow(/'context'/)
    expect(() => connect(port1, 1 as never)).toThrow(/options/)
    port1.close()
  })
})
