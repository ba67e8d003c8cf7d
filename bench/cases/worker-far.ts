/** A worker thread of the bench: started, asked, and closed from here. */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { clockSamples, type FarData, type Role } from '../far/worker-jobs.ts'
import { compareClocks } from '../harness/clock.ts'
import type { ClockResult } from '../harness/model.ts'
import { type Report, Reports } from '../harness/reports.ts'
import { farProgram } from './paths.ts'

export interface Far {
  readonly worker: Worker
  /** Whoever listens there gets what is posted here. */
  readonly wake: MessagePort
  readonly words: Int32Array<SharedArrayBuffer>
  readonly reports: Reports
  close(): Promise<void>
}

export function far(role: Role): Far {
  const { port1, port2 } = new MessageChannel()
  const waking = new MessageChannel()
  const words = new Int32Array(new SharedArrayBuffer(128))
  const data: FarData = { role, report: port2, wake: waking.port2, words }
  const worker = new Worker(farProgram('worker'), { workerData: data, transferList: [port2, waking.port2] })
  const reports = new Reports()
  port1.on('message', (report: Report) => reports.add(report))
  worker.on('error', (error) => reports.fail(error))
  worker.on('exit', () => reports.fail(new Error('The worker has exited.')))
  return {
    worker,
    wake: waking.port1,
    words,
    reports,
    async close() {
      port1.close()
      waking.port1.close()
      await worker.terminate()
    },
  }
}
export async function workerClock(): Promise<ClockResult> {
  const { worker, words, reports, close } = far('clock')
  const readings = new BigInt64Array(words.buffer)
  worker.postMessage({})
  await reports.ready()
  let question = 0
  const ask = (): number => {
    Atomics.store(words, 0, ++question)
    while (Atomics.load(words, 1) !== question);
    return Number(Atomics.load(readings, 1))
  }
  const result = await compareClocks('this thread and a worker', ask, clockSamples)
  await close()
  return result
}
