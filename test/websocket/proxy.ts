/** A TCP proxy that does to connections what networks do. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

export type Direction = 'up' | 'down'

/** One connection through the proxy: up is from the client to the server. */
class Passage {
  readonly client: Socket
  readonly server: Socket
  /** What happens to the bytes of a direction: passed on, thrown away, or left unread. */
  readonly #modes: Record<Direction, 'pass' | 'drop' | 'stall'> = { up: 'pass', down: 'pass' }

  constructor(client: Socket, port: number) {
    this.client = client
    this.server = connect({ port, host: '127.0.0.1' })
    this.#join('up', this.client, this.server)
    this.#join('down', this.server, this.client)
  }

  #join(direction: Direction, from: Socket, to: Socket): void {
    from.setNoDelay(true)
    from.on('data', (bytes) => {
      if (this.#modes[direction] === 'pass') to.write(bytes)
    })
    from.on('error', () => undefined)
    // Of a direction that is dead nothing is passed on, its end neither.
    from.on('close', () => {
      if (this.#modes[direction] === 'pass') to.destroy()
    })
  }

  set(direction: Direction, mode: 'pass' | 'drop' | 'stall'): void {
    this.#modes[direction] = mode
    const from = direction === 'up' ? this.client : this.server
    if (mode === 'stall') from.pause()
    else from.resume()
  }

  /** Both ends see the end, without a close frame. */
  cut(): void {
    this.client.destroy()
    this.server.destroy()
  }

  /** Both ends see a reset. */
  reset(): void {
    this.client.resetAndDestroy()
    this.server.resetAndDestroy()
  }
}

export class Proxy {
  readonly #server = createServer((socket) => {
    const passage = new Passage(socket, this.#target)
    if (this.#blackHole) for (const direction of ['up', 'down'] as const) passage.set(direction, 'drop')
    this.passages.push(passage)
  })
  readonly #target: number
  readonly passages: Passage[] = []
  #blackHole = false

  private constructor(target: number) {
    this.#target = target
  }

  static async to(url: string): Promise<Proxy> {
    const proxy = new Proxy(Number(new URL(url).port))
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    onTestFinished(() => {
      proxy.#server.close()
      for (const passage of proxy.passages) passage.cut()
    })
    return proxy
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** The newest connection. */
  get last(): Passage {
    return this.passages.at(-1) as Passage
  }

  /** Connections that come from now on pass again; those that are there stay dead. */
  heal(): void {
    this.#blackHole = false
  }

  /** From now on nothing passes, on any connection, also on those that come. */
  partition(): void {
    this.#blackHole = true
    for (const passage of this.passages) for (const direction of ['up', 'down'] as const) passage.set(direction, 'drop')
  }
}
