/** The conformance suite in Node's threads: with shared memory, where it was switched off, and where there is none. */
import { Worker as NodeWorker } from 'node:worker_threads'
import { conformance, type Platform } from '../conformance/suite.ts'
import { compiled } from '../support/compiled.ts'

function platform(name: string, sharedMemory: boolean): Platform {
  return {
    name,
    sharedMemory,
    wholeInLoops: sharedMemory,
    sharedClock: true,
    options: { sharedMemory },
    start: () => new NodeWorker(compiled('test/conformance/jobs.ts'), { workerData: { sharedMemory } }),
    listen: (worker, f) => {
      ;(worker as NodeWorker).on('message', f)
      return () => (worker as NodeWorker).off('message', f)
    },
  }
}

conformance(platform('in shared memory', true))
conformance(platform('by messages alone', false))
