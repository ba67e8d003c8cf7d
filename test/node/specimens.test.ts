/** What a thread keeps of contexts that come and go. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { link } from 'ctxbridge/worker'
import { expect, test } from 'vitest'
import { compiled } from '../support/compiled.ts'
import { collected } from '../support/gc.ts'

const storage = new AsyncLocalStorage<object>()

// The first test of this file, as it is about the first link of a thread.
test('whoever opens the first link is not kept, and nothing else is left', async () => {
  const { port1, port2 } = new MessageChannel()
  const store = new WeakRef({})
  storage.run(store.deref() as object, () => link(port1))
  expect(link(port1).stats()).toEqual({ slots: 0, chunks: 1, exports: 0, imports: 0, observers: 0, calls: 0 })
  link(port1)[Symbol.dispose]()
  port1.close()
  port2.close()
  expect(await collected(store)).toBe(true)
})

/** Functions of the way that an end takes, which know of nothing but contexts. */
const ours = ['mark', 'extend', 'takePlaces', 'Extras']

test('collections throw away no code that was compiled for an end', async () => {
  const path = fileURLToPath(compiled('test/fixtures/collections.ts'))
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', '--trace-deopt', path], { timeout: 25_000 })
  const thrown = stdout.split('\n').filter((line) => line.includes('reason: weak objects'))
  // Otherwise the engine says it in other words by now.
  expect(thrown.length).toBeGreaterThan(0)
  expect(ours.filter((name) => thrown.some((line) => line.includes(`<SharedFunctionInfo ${name}>`)))).toEqual([])
})
