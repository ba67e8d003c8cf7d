import { once } from 'node:events'
import { MessageChannel, Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import { batch, Sender } from '../fixtures/slot-threads.ts'
import type { Imported, Owned, Role, ToImporter } from '../fixtures/slot-threads.ts'
import { compiled } from '../support/compiled.ts'

function start(role: Role): Worker {
  return new Worker(compiled('test/fixtures/slot-threads.ts'), { workerData: role, transferList: [role.port] })
}

async function next<T>(worker: Worker): Promise<T> {
  const [message] = (await once(worker, 'message')) as [T]
  return message
}

test('a million uses by two threads: each end that is read is the right one, and nothing is left', async () => {
  const uses = 1_000_000
  const { port1, port2 } = new MessageChannel()
  const importer = start({ role: 'importer', port: port2, link: 1 })
  await next(importer)
  const owner = start({ role: 'owner', port: port1, uses })
  const [imported, owned] = await Promise.all([next<Imported>(importer), next<Owned>(owner)])
  expect(imported).toMatchObject({ wrong: [], views: 0 })
  expect(imported.imports + imported.refused).toBe(owned.grants)
  // Those of which the owner gave up the ends: at least some.
  expect(imported.refused).toBeGreaterThan(0)
  expect(owned).toMatchObject({ uses, inUse: 0 })
  // Each slot served many contexts, so reuse was under test.
  expect(uses / owned.slots).toBeGreaterThan(100)
  await Promise.all([importer.terminate(), owner.terminate()])
}, 120_000)

test('importers that are terminated in the middle of their work: after the sweep every slot is free', async () => {
  const table = new SlotTable({ limit: 448 })
  for (let link = 1; link <= 20; link++) {
    const { port1, port2 } = new MessageChannel()
    const importer = start({ role: 'importer', port: port2, link })
    await next(importer)
    const post = (message: ToImporter): void => port1.postMessage(message)
    for (const [chunk, buffer] of table.chunks().entries()) post({ chunk, buffer })
    const sender = new Sender(post)
    // More than there are slots: so it has come to the middle of something when as many as this were given back.
    let used = 0
    for (let turn = 0; used < 448 + link * 100 && turn < 2_000_000; turn++) used += batch(table, link, 64, sender)
    expect(used).toBeGreaterThan(448)
    await importer.terminate()
    table.sweep(link)
    port1.close()
    expect(table.stats()).toMatchObject({ inUse: 0, retired: 0 })
  }
}, 60_000)
