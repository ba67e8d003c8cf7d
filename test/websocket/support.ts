import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Context } from 'ctxbridge'
import { serve, type ServeSettings, type Service } from 'ctxbridge/websocket'
import { onTestFinished } from 'vitest'
import { type ServerOptions, WebSocketServer } from 'ws'
import type { Role, Told } from '../fixtures/websocket-shared.ts'
import { compiled } from '../support/compiled.ts'
import { turn } from '../support/gc.ts'

export interface Local {
  readonly url: string
  readonly port: number
  readonly server: WebSocketServer
  readonly service: Service
}

/** A server in this process; gone when the test is over. */
export async function local(methods: object, settings: ServeSettings = {}, options: ServerOptions = {}): Promise<Local> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: 1_048_576, ...options })
  const service = serve(server, methods, { lease: { resume: 100 }, ...settings })
  onTestFinished(() => {
    service.close()
    server.close()
    for (const socket of server.clients) socket.terminate()
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return { url: `ws://127.0.0.1:${port}`, port, server, service }
}

/** Waits until something is so, by turns of the event loop; the test's time limit bounds it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn()
}

/** Nothing is left of anybody on a server. */
export async function idle(service: Service): Promise<void> {
  await until(() => {
    const { connections, calls, handlers, contexts } = service.stats()
    return connections + calls + handlers + contexts === 0
  })
}

/** A process of the tests, and what it tells. Killed when the test is over, if it has not ended before. */
export class Process {
  readonly child: ChildProcess
  readonly exit: Promise<{ code: number | null; signal: string | null; stderr: string }>
  readonly #told: Told[] = []
  #wake: () => void = () => {}

  constructor(role: Role) {
    this.child = fork(compiled('test/fixtures/websocket-process.ts'), [JSON.stringify(role)], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    let stderr = ''
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    this.child.on('message', (told: Told) => {
      this.#told.push(told)
      this.#wake()
    })
    this.exit = new Promise((resolve) => {
      this.child.once('close', (code, signal) => resolve({ code, signal, stderr }))
    })
    onTestFinished(async () => {
      this.child.kill('SIGKILL')
      await this.exit
    })
  }

  /** The next thing of this kind that it tells, or has told and was not asked for yet. */
  async next(event: Told['event']): Promise<Told> {
    for (;;) {
      const index = this.#told.findIndex((told) => told.event === event)
      const [told] = index < 0 ? [] : this.#told.splice(index, 1)
      if (told !== undefined) return told
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  /** All that it has told so far and was not asked for yet. */
  get told(): readonly Told[] {
    return this.#told
  }

  async url(): Promise<string> {
    return (await this.next('listening')).url ?? ''
  }

  async stats(): Promise<unknown> {
    this.child.send('stats')
    return (await this.next('stats')).stats
  }

  /** Whether it has told the next thing of this kind, now that it has told all that it had to say so far; that is taken, too. */
  async has(event: Told['event']): Promise<boolean> {
    await this.stats()
    if (!this.#told.some((told) => told.event === event)) return false
    await this.next(event)
    return true
  }

  /** Asks for its statistics until they are as wanted. */
  async statsAre(wanted: Record<string, number>): Promise<void> {
    for (;;) {
      const stats = (await this.stats()) as Record<string, number>
      if (Object.entries(wanted).every(([name, value]) => stats[name] === value)) return
    }
  }
}

/** What a promise was rejected with. */
export function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => {
      throw new Error(`not rejected, but resolved with ${String(value)}`)
    },
    (error: unknown) => error,
  )
}

/** A method that waits for the end of its context; and the contexts that it was given. */
export function holding(): { hold: (ctx: Context) => Promise<never>; contexts: Context[]; started: () => Promise<Context> } {
  const contexts: Context[] = []
  let count = 0
  return {
    contexts,
    hold: (ctx) => {
      contexts.push(ctx)
      return ctx.done.then((error) => Promise.reject(error))
    },
    started: async () => {
      await until(() => contexts.length > count)
      return contexts[count++] as Context
    },
  }
}
