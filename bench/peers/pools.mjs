// How soon a pool of one thread has done its next job after one that was busy was cancelled.
import { fileURLToPath } from 'node:url'
import { versionOf } from './worker.mjs'

const jobs = fileURLToPath(new URL('pool-jobs.mjs', import.meta.url))

/** @param start resolves with { spin(flag): { cancel, over }, nothing(): Promise<1>, close() } */
function pool({ nextJobs, turn }, name, note, start, samples = 3) {
  return {
    name,
    kind: 'peer',
    note,
    async start() {
      const { spin, ...it } = await start()
      const begin = async () => {
        const flag = new Int32Array(new SharedArrayBuffer(4))
        const job = spin(flag)
        while (Atomics.load(flag, 0) === 0) await turn()
        return { cancel: job.cancel, over: () => job.over }
      }
      return nextJobs({ ...it, begin }, samples)
    },
  }
}

/** Ready made: without one the platform would make an error, with its stack, for each abort. */
const reason = new Error('a reason')

function signalled(run, close) {
  return {
    spin(flag) {
      const controller = new AbortController()
      const over = run({ flag }, controller.signal).catch(() => {})
      return { cancel: () => controller.abort(reason), over }
    },
    nothing: () => run({}),
    close,
  }
}

const killed = 'it terminates the thread and starts another: what the worker had loaded is lost'

export const next = (kit) => [
  pool(kit, 'piscina, its own abort', `piscina ${versionOf('piscina')}: ${killed}`, async () => {
    const { Piscina } = await import('piscina')
    const it = new Piscina({ filename: jobs, minThreads: 1, maxThreads: 1 })
    return signalled(
      (task, signal) => it.run(task, { signal }),
      () => it.destroy(),
    )
  }),
  pool(kit, 'tinypool, its own abort', `tinypool ${versionOf('tinypool')}: ${killed}`, async () => {
    const { Tinypool } = await import('tinypool')
    const it = new Tinypool({ filename: jobs, minThreads: 1, maxThreads: 1, runtime: 'worker_threads' })
    return signalled(
      (task, signal) => it.run(task, { signal }),
      () => it.destroy(),
    )
  }),
  pool(
    kit,
    'workerpool, cancel()',
    `workerpool ${versionOf('workerpool')}: ${killed}; it waits before that, by default a second (\`workerTerminateTimeout\`)`,
    async () => {
      const workerpool = (await import('workerpool')).default
      const it = workerpool.pool(fileURLToPath(new URL('workerpool-jobs.mjs', import.meta.url)), {
        minWorkers: 1,
        maxWorkers: 1,
        workerType: 'thread',
      })
      return {
        spin(flag) {
          const job = it.exec('run', [{ flag }])
          return { cancel: () => void job.cancel(), over: Promise.resolve(job).catch(() => {}) }
        },
        nothing: () => it.exec('run', [{}]),
        close: () => it.terminate(true),
      }
    },
    1,
  ),
  {
    name: 'poolifier',
    kind: 'peer',
    cannot: 'Its abort tells the worker by a message: a busy job runs on, and the next one waits for it.',
  },
]
