import { comlinkSuite } from '../conformance/comlink-suite.ts'

comlinkSuite('in a browser', globalThis.crossOriginIsolated, () => {
  const worker = new Worker(new URL('../conformance/plain-comlink.ts', import.meta.url), { type: 'module' })
  return Promise.resolve({ endpoint: worker, terminate: () => worker.terminate() })
})

// A page cannot give it memory, though it may have some to give.
comlinkSuite(
  'in a shared worker',
  false,
  () => {
    const url = new URL('../conformance/plain-comlink.ts', import.meta.url)
    const { port } = new SharedWorker(url, { type: 'module', name: crypto.randomUUID() })
    return Promise.resolve({ endpoint: port, terminate: () => port.close() })
  },
  { sharedMemory: false },
)
