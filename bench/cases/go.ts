/** Go's own `context`, in a process of Go, where there is a `go` to build it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { goVersion } from '../harness/machine.ts'
import type { Contender } from '../harness/model.ts'
import { onAllCores } from '../harness/pin.ts'
import { projectFile } from './paths.ts'

let built: string | undefined
const version = goVersion()

function build(): string {
  if (built !== undefined) return built
  const folder = mkdtempSync(join(tmpdir(), 'ctxbridge-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  built = join(folder, 'bench')
  execFileSync('go', ['build', '-o', built, '.'], {
    cwd: fileURLToPath(projectFile('bench/go/')),
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return built
}

/** @param what a case of `bench/go/main.go` */
export function go(name: string, what: string, batches = 20): Contender {
  if (version === undefined) return { name, kind: 'go', cannot: 'There is no Go on this machine.' }
  return {
    name,
    kind: 'go',
    note: `go ${version}, a process of its own, with its collector on another core`,
    start() {
      const [command, args] = onAllCores(build())
      const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
      const lines = createInterface(child.stdout)
      const end = exited(child)
      end.catch(() => {})
      const ask = async (question: string): Promise<string> => {
        child.stdin.write(`${question}\n`)
        const [line] = (await Promise.race([once(lines, 'line'), end])) as [string]
        return line
      }
      return {
        prove: () => ask(`prove ${what}`),
        async round(record) {
          for (const value of (await ask(`${what} ${batches}`)).split(' ')) record(Number(value))
        },
        async close() {
          child.stdin.end()
          await end.catch(() => {})
        },
      }
    },
  }
}

async function exited(child: ChildProcess): Promise<never> {
  const [code] = (await once(child, 'exit')) as [number | null]
  throw new Error(`The Go program ended with code ${code}.`)
}
