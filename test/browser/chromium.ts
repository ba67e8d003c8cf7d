/** Chromium as a program: its tabs, driven by its own protocol. Nothing between that would keep hidden tabs awake. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { WebSocket } from 'ws'

/** `CHROMIUM` names it, or it is found as Debian installs it. */
export const chromiumPath: string | undefined = [
  process.env['CHROMIUM'],
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => path !== undefined && existsSync(path))

/** Whether there is one. Where there is none it says so; in continuous integration it throws. */
export function hasChromium(): boolean {
  if (chromiumPath !== undefined) return true
  const missing = 'The tests in a browser did not run: there is no Chromium. Install it, or name it by the variable CHROMIUM.'
  if (process.env['CI'] !== undefined) throw new Error(missing)
  process.stderr.write(`\n${missing}\n`)
  return false
}

const switches = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--remote-debugging-port=0',
]

type Answer = { readonly id: number; readonly result?: Record<string, unknown>; readonly error?: { readonly message: string } }

export class Chromium {
  readonly #process: ChildProcess
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #last = 0

  private constructor(process: ChildProcess, socket: WebSocket) {
    this.#process = process
    this.#socket = socket
    socket.on('error', () => undefined)
    socket.on('message', (text: Buffer) => {
      const answer = JSON.parse(text.toString()) as Answer
      this.#waiting.get(answer.id)?.(answer)
      this.#waiting.delete(answer.id)
    })
  }

  /** Starts one with a profile of its own, and with more switches than the usual ones; both are gone when the test is over. */
  static async launch(...more: readonly string[]): Promise<Chromium> {
    const profile = mkdtempSync(join(tmpdir(), 'ctxbridge-chromium-'))
    const child = spawn(chromiumPath ?? '', [...switches, ...more, `--user-data-dir=${profile}`, 'about:blank'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      // A group of its own: it has children, which must go with it.
      detached: true,
    })
    const exit = once(child, 'exit')
    onTestFinished(async () => {
      killGroup(child)
      await exit
      rmSync(profile, { recursive: true, force: true, maxRetries: 10 })
    })
    let said = ''
    const url = await new Promise<string>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text
        const found = /DevTools listening on (ws:\S+)/.exec(said)?.[1]
        if (found !== undefined) resolve(found)
      })
      child.on('exit', () => reject(new Error(`Chromium ended: ${said}`)))
    })
    const socket = new WebSocket(url, { perMessageDeflate: false })
    await once(socket, 'open')
    return new Chromium(child, socket)
  }

  async send(method: string, params: object = {}, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.#last
    const answer = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve))
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }))
    const { result = {}, error } = await answer
    if (error !== undefined) throw new Error(`${method}: ${error.message}`)
    return result
  }

  /** Opens a tab in front of the others, which are hidden from then on. */
  async open(url: string): Promise<Tab> {
    const { targetId } = await this.send('Target.createTarget', { url })
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true })
    const tab = new Tab(this, String(targetId), String(sessionId))
    await tab.until("document.readyState === 'complete'")
    return tab
  }

  /** At once, all of it, as a machine that loses power. */
  kill(): void {
    killGroup(this.#process)
  }
}

function killGroup({ pid, exitCode, signalCode }: ChildProcess): void {
  // Of one that has ended the number may be somebody else's by now.
  if (exitCode !== null || signalCode !== null) return
  try {
    process.kill(-(pid as number), 'SIGKILL')
  } catch {
    // It has ended before.
  }
}

export class Tab {
  readonly #browser: Chromium
  readonly #target: string
  readonly #session: string

  constructor(browser: Chromium, target: string, session: string) {
    this.#browser = browser
    this.#target = target
    this.#session = session
  }

  send(method: string, params?: object): Promise<Record<string, unknown>> {
    return this.#browser.send(method, params, this.#session)
  }

  /** The value of an expression in the page, which may be a promise of one. */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = (await this.send('Runtime.evaluate', {
      expression: `(async () => (${expression}))()`,
      awaitPromise: true,
      returnByValue: true,
      userGesture: true,
    })) as { result: { value?: unknown }; exceptionDetails?: { exception?: { description?: string } } }
    if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description ?? 'an exception in the page')
    return result.value
  }

  /** Waits until an expression is true in the page; the test's time limit bounds it. */
  async until(expression: string): Promise<void> {
    for (;;) {
      // A page that is just left cannot be asked.
      if ((await this.evaluate(expression).catch(() => false)) === true) return
    }
  }

  show(): Promise<unknown> {
    return this.#browser.send('Target.activateTarget', { targetId: this.#target })
  }

  /** As its cross does. */
  close(): Promise<unknown> {
    return this.#browser.send('Target.closeTarget', { targetId: this.#target })
  }
}
