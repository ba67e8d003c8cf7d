/** The conformance suite in Web Workers of a real browser. Whether its page is cross-origin isolated is up to who serves it. */
import { expect, test } from 'vitest'
import { conformance } from '../conformance/suite.ts'

/** Put in by vitest.browser.config.ts. */
declare const ISOLATED: boolean

const isolated = globalThis.crossOriginIsolated

test('the page is what it was asked to be', () => {
  expect(isolated).toBe(ISOLATED)
})

conformance({
  name: isolated ? 'in shared memory' : 'by messages alone',
  sharedMemory: isolated,
  start: () => new Worker(new URL('../conformance/jobs.ts', import.meta.url), { type: 'module' }),
  listen: (worker, f) => {
    const listener = (event: MessageEvent): void => f(event.data)
    ;(worker as Worker).addEventListener('message', listener)
    return () => (worker as Worker).removeEventListener('message', listener)
  },
})
