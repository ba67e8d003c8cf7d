/** Where threads run: the measuring thread on one core, who answers it on another, so that the system moves neither in the middle of a sample. */
import { execFileSync } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

/** The cores that this process may use; empty where the system does not say. */
export function coresOf(): number[] {
  try {
    const list = /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
    return list.split(',').flatMap((part) => {
      const [first = 0, last = first] = part.split('-').map(Number)
      return Array.from({ length: last - first + 1 }, (_, i) => first + i)
    })
  } catch {
    return []
  }
}

/** Keeps the thread that calls this, and not its process, on one core, or on a list of them. False where the system has no `taskset`. */
export function pinThread(cores: number | string): boolean {
  try {
    const thread = readlinkSync('/proc/thread-self').split('/').at(-1) as string
    execFileSync('taskset', ['-cp', String(cores), thread], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** They travel in the environment, which workers and child processes inherit: the core for the far side, and all that there are. */
const farVariable = 'CTXBRIDGE_BENCH_FAR_CORE'
const allVariable = 'CTXBRIDGE_BENCH_CORES'

/** Pins this thread, and says where the far side shall be. Call it before any worker is started. */
export function pinNear(): string {
  const cores = coresOf()
  const [near, far] = cores
  if (near === undefined || far === undefined) return 'no: there is one core, or the system does not tell'
  if (!pinThread(near)) return 'no: there is no taskset here'
  process.env[farVariable] = String(far)
  process.env[allVariable] = cores.join(',')
  return `near side on core ${near}, far side on core ${far}; helper threads of the runtime anywhere`
}

/** For workers and child processes, once, at their start. */
export function pinFar(): void {
  const [far, all] = [process.env[farVariable], process.env[allVariable]]
  if (far === undefined || all === undefined) return
  // A child inherits the one core of who started it; its helper threads shall run anywhere.
  if (isMainThread) execFileSync('taskset', ['-acp', all, String(process.pid)], { stdio: 'ignore' })
  pinThread(Number(far))
}

/** For a process that shall run on all cores, though who started it runs on one. */
export function unpin(): void {
  const all = process.env[allVariable]
  if (all !== undefined) execFileSync('taskset', ['-acp', all, String(process.pid)], { stdio: 'ignore' })
}

/** Whatever is started meanwhile runs on all cores. */
export async function onAllCoresWhile<T>(f: () => Promise<T>): Promise<T> {
  const all = process.env[allVariable]
  if (all === undefined) return f()
  pinThread(all)
  try {
    return await f()
  } finally {
    pinThread(Number.parseInt(all))
  }
}

/** A command line for a program that shall run on all cores. */
export function onAllCores(command: string): [command: string, args: string[]] {
  const all = process.env[allVariable]
  return all === undefined ? [command, []] : ['taskset', ['-c', all, command]]
}
