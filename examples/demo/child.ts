/** Child processes: how the client starts one and ends it again, and what gateway and service have in common. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type Context, race } from 'ctxbridge'
import { WebSocketServer } from 'ws'

/** What went wrong, as a sentence for the user. */
export class Failure extends Error {}

type Greeting = { readonly port: number } | { readonly failure: string }

// --- In the client -------------------------------------------------------------------------------------------------------

const grace = 2_000

/** A process that listens on a port of this machine. Dispose of it, and it is gone. */
export class Child implements AsyncDisposable {
  readonly name: string
  readonly pid: number
  readonly port: number
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>

  private constructor(name: string, child: ChildProcess, exited: Promise<unknown>, port: number) {
    this.name = name
    this.pid = child.pid as number
    this.port = port
    this.#child = child
    this.#exited = exited
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`
  }

  /** Starts a module beside this one, and waits until it listens. Throws a `Failure` when it does not, `err()` when the context ends. */
  static async start(ctx: Context, name: string, ...args: (string | number)[]): Promise<Child> {
    const child = fork(new URL(`./${name}.js`, import.meta.url), args.map(String))
    const exited = once(child, 'exit')
    try {
      // The system chooses a free port, so only the child knows it. It tells us by the channel that Node gives every fork.
      const greeted = once(child, 'message') as Promise<[Greeting]>
      const ended = exited.then(() => Promise.reject(new Failure(`The ${name} ended before it was ready.`)))
      const [greeting] = await race(ctx, Promise.race([greeted, ended]))
      if ('failure' in greeting) throw new Failure(greeting.failure)
      return new Child(name, child, exited, greeting.port)
    } catch (error) {
      await stop(child, exited)
      throw error
    }
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stop(this.#child, this.#exited)
  }
}

async function stop(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  if (child.connected) child.disconnect()
  const watchdog = setTimeout(() => child.kill('SIGKILL'), grace)
  if (child.exitCode === null && child.signalCode === null) await exited
  clearTimeout(watchdog)
}

// --- In the child --------------------------------------------------------------------------------------------------------

/**
 * Listens on a loopback port, and tells the client which one. From here on this process lives as long as the client does: its channel
 * closes however the client ends, also by SIGKILL.
 *
 * @param port 0 for one that the system chooses
 */
export async function listen(port: number): Promise<WebSocketServer> {
  process.on('disconnect', () => process.exit())
  if (!process.connected) process.exit()
  // A terminal sends Ctrl-C to all of us. The client alone decides what that means.
  process.on('SIGINT', () => {})
  const server = new WebSocketServer({ host: '127.0.0.1', port, perMessageDeflate: false, maxPayload: 1_048_576 })
  try {
    await once(server, 'listening')
  } catch (error) {
    process.send?.({ failure: explain(error as NodeJS.ErrnoException, port) })
  }
  return server
}

/** Tells the client that everything is ready. */
export function greet(server: WebSocketServer): void {
  process.send?.({ port: (server.address() as AddressInfo).port })
}

function explain(error: NodeJS.ErrnoException, port: number): string {
  if (error.code === 'EADDRINUSE') {
    return `Port ${port} is in use by another program. Give another one with --port, or leave it out: then the system chooses a free one.`
  }
  if (error.code === 'EACCES') {
    return `You are not allowed to listen on port ${port}. Give one of 1024 or above with --port, or leave it out: then the system chooses one.`
  }
  return `Nothing can listen on port ${port}: ${error.message}.`
}
