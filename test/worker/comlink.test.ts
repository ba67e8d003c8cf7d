import { Worker } from 'node:worker_threads'
import type { Endpoint } from 'comlink'
import { comlinkSuite } from '../conformance/comlink-suite.ts'
import { compiled } from '../support/compiled.ts'

comlinkSuite('in Node', true, async () => {
  // It comes without types.
  const adapter = ['comlink', 'dist/esm/node-adapter.mjs'].join('/')
  const { default: nodeEndpoint } = (await import(adapter)) as { default: (worker: Worker) => Endpoint }
  const worker = new Worker(compiled('test/conformance/plain-comlink.ts'))
  return { endpoint: nodeEndpoint(worker), terminate: () => worker.terminate() }
})
