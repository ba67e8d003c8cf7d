/** The demo as its user runs it: a process, of which only its output, its exit and what it leaves behind are seen. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { compiled } from '../support/compiled.ts'

export interface Run {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export class Demo {
  readonly process: ChildProcess
  readonly ended: Promise<Run>
  stdout = ''
  stderr = ''

  constructor(...args: readonly string[]) {
    // Whatever the runner's terminal is like: no colours, and not started by npm.
    const { FORCE_COLOR: _color, npm_lifecycle_event: _script, ...env } = process.env
    this.process = spawn(process.execPath, [fileURLToPath(compiled('examples/demo/main.ts')), ...args], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text))
    this.process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    this.ended = new Promise((resolve, reject) => {
      this.process.on('error', reject)
      this.process.on('close', (code, signal) => resolve({ code, signal, stdout: this.stdout, stderr: this.stderr }))
    })
  }

  /** Waits until files are being searched, so that all hops are at it, though of the workers perhaps one alone. */
  async searching(): Promise<void> {
    while (!/^ {2}[\d,]+ of [\d,]+ files? searched/m.test(this.stderr)) {
      if (this.process.exitCode !== null) throw new Error(`The demo ended before it was searching: ${this.stderr}`)
      await new Promise((resolve) => this.process.stderr?.once('data', resolve))
    }
  }

  /** The processes that it says it has: client, gateway, service. */
  get pids(): readonly number[] {
    return [...this.stdout.matchAll(/pid (\d+)/g)].map(([, pid]) => Number(pid))
  }
}

export function runDemo(...args: readonly string[]): Promise<Run> {
  return new Demo(...args).ended
}

/** Those that still run. One that has ended, and that nobody has asked for its exit code, does not run. */
export function running(pids: readonly number[]): readonly number[] {
  return pids.filter((pid) => {
    try {
      process.kill(pid, 0)
      const stat = `/proc/${pid}/stat`
      return !existsSync(stat) || !/^\d+ \(.*\) Z/.test(readFileSync(stat, 'utf8'))
    } catch {
      return false
    }
  })
}
