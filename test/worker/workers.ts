/** Real worker threads for tests, and the ways to be in step with them: no test sleeps to wait for one. */
import { once } from 'node:events'
import { type MessagePort, Worker, type WorkerOptions } from 'node:worker_threads'
import { link, type Remote, wrap } from 'ctxbridge/worker'
import { afterEach, vi } from 'vitest'
import type { Flag, Jobs } from '../fixtures/worker-jobs.ts'
import type { Request } from '../fixtures/worker-handles.ts'
import { tenant } from '../fixtures/worker-keys.ts'
import { compiled } from '../support/compiled.ts'
import { turn } from '../support/gc.ts'

// Starting a thread takes long on a busy machine. No test depends on how long.
vi.setConfig({ testTimeout: 30_000 })

const running = new Set<Worker>()

afterEach(async () => {
  await Promise.all([...running].map((worker) => worker.terminate()))
  running.clear()
})

/** A worker that is terminated after the test: of a fixture, or of a file that was made of one. */
export function start(fixture: string | URL = 'worker-jobs', options: WorkerOptions = {}): Worker {
  const file = typeof fixture === 'string' ? compiled(`test/fixtures/${fixture}.ts`) : fixture
  const worker = new Worker(file, { stderr: true, ...options })
  running.add(worker)
  return worker
}

export function startJobs(fixture?: URL): { worker: Worker; jobs: Remote<Jobs> } {
  const worker = start(fixture)
  return { worker, jobs: wrap<Jobs>(worker, { keys: [tenant] }) }
}

export function flag(): Flag {
  return new Int32Array(new SharedArrayBuffer(4))
}

/** Until the other thread has set the flag. */
export async function reached(flag: Int32Array, value = 1): Promise<void> {
  while (Atomics.load(flag, 0) < value) await turn()
}

/** Until the worker has answered all calls, also those whose callers were told something else. */
export async function quiet(worker: Worker): Promise<void> {
  while (link(worker).stats().calls > 0) await turn()
}

export interface Asker {
  (request: Request): Promise<unknown>
}

/**
 * Calls with a deadline that is so many ms away, and with one twice as far until `call` says that its method has run: it does not where the deadline passes before the
 * worker comes to the call.
 */
export async function inTime(ms: number, call: (ms: number) => Promise<boolean>): Promise<void> {
  while (!(await call(ms))) ms *= 2
}

/** Speaks to `worker-handles.ts` by messages of the test's own, one question at a time. */
export function asker(worker: Worker): Asker {
  return async (request) => {
    worker.postMessage(request)
    for (;;) {
      const [message] = (await once(worker, 'message')) as [unknown]
      if (typeof message === 'object' && message !== null && 'answer' in message) return message.answer
    }
  }
}

/** The rejection of a promise; fails where there is none. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise
  } catch (error) {
    return error
  }
  throw new Error('The promise was fulfilled.')
}

export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** The next message for which that holds. What a link posts of its own comes in between. */
export async function heard<T = unknown>(from: Worker | MessagePort, which: (message: unknown) => boolean): Promise<T> {
  for (;;) {
    const [message] = (await once(from as Worker, 'message')) as [T]
    if (which(message)) return message
  }
}

/** The next attach, whose kind a message bears. */
export const isAttach = (message: unknown): boolean => (message as { ctxbridge?: unknown }).ctxbridge === 'attach'

export const empty = { slots: 0, exports: 0, imports: 0, observers: 0, calls: 0 }
