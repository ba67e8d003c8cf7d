import { comlinkSuite } from '../conformance/comlink-suite.ts'

comlinkSuite('in a browser', globalThis.crossOriginIsolated, () => {
  const worker = new Worker(new URL('../conformance/plain-comlink.ts', import.meta.url), { type: 'module' })
  return Promise.resolve({ endpoint: worker, terminate: () => worker.terminate() })
})
