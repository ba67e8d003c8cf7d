/** What comes late, or is over by then, between two ends of a channel. Both are in this thread, so that what comes first is certain. */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import * as Comlink from 'comlink'
import { once } from 'node:events'
import { background, type CancelableContext, cause, LinkLostError, withCancel } from 'ctxbridge'
import { install } from 'ctxbridge/comlink'
import { assertNoLeaks } from 'ctxbridge/testing'
import { type Link, link } from 'ctxbridge/worker'
import { expect, onTestFinished, test } from 'vitest'
import { arrived, turn } from '../support/gc.ts'
import { heard, isAttach } from './workers.ts'

interface Attached {
  readonly chunks: readonly SharedArrayBuffer[]
}

/** The attach has come to the far side. */
async function ends(sharedMemory = true): Promise<{ readonly near: Link; readonly far: Link }> {
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  const [near, far] = [link(port1, { sharedMemory }), link(port2)]
  near.export(background())
  await arrived()
  return { near, far }
}

const long = (n: number): string => `${n} ${'x'.repeat(200)}`

test.each([true, false])(
  'a context that ended, and of which that has been told, is done when it is imported later; shared memory: %s',
  async (shared) => {
    const { near, far } = await ends(shared)
    const ctx = withCancel(background())
    const handle = near.export(ctx)
    ctx.cancel('early')
    await arrived()
    const late = far.import(handle)
    await late.done
    expect(cause(late)).toBe('early')
    late.cancel()
    while (near.stats().slots > 0) await turn()
  },
)

test('by messages alone, a handle that is imported when all of its context was given back gives one that is done', async () => {
  const { near, far } = await ends(false)
  const handle = near.export(withCancel(background()))
  far.import(handle).cancel()
  while (near.stats().slots > 0) await turn()
  const late = far.import(handle)
  await late.done
  expect(cause(late)).toMatchObject({ code: 'ERR_HANDLE' })
})

test.each([true, false])(
  'a handle that names what goes by messages, and that nobody has made, gives a context that is done as soon as the other side has been asked; shared memory: %s',
  async (shared) => {
    const { near, far } = await ends(shared)
    const forged = { ...near.export(withCancel(background())), slot: -5, generation: 0, grant: 1 }
    const theirs = far.import(forged)
    expect(await theirs.done).toMatchObject({ cause: { code: 'ERR_HANDLE' } })
    expect(far.stats().imports).toBe(0)
  },
)

test('where the shared memory has been overwritten, what is imported ends, and says so', async () => {
  const { port1, port2 } = new MessageChannel()
  const attached = heard<Attached>(port2, isAttach)
  const [near, far] = [link(port1), link(port2)]
  const contexts = [near, near, near].map(() => withCancel(background()))
  const handles = contexts.map((ctx) => near.export(ctx))
  const { chunks } = await attached
  const theirs = handles.map((handle) => far.import(handle))
  const memory = chunks.map((chunk) => new Int32Array(chunk))
  const before = memory.map((words) => words.slice())
  for (const words of memory) words.fill(-1)
  for (const ctx of theirs) expect(cause(ctx)).toMatchObject({ message: 'The shared memory of the link is damaged.' })
  for (const ctx of contexts) expect(ctx.err()).toBe(undefined)
  // It is the memory of all links of this thread.
  for (const [i, words] of memory.entries()) words.set(before[i] as Int32Array)
  near[Symbol.dispose]()
  expect(near.stats().slots).toBe(0)
  port1.close()
})

test('a handle into memory that was announced and is none says that it is damaged', async () => {
  const { port1, port2 } = new MessageChannel()
  const far = link(port2)
  const { port1: channel } = new MessageChannel()
  const table = { table: 5, link: 1 }
  port1.postMessage({ ctxbridge: 'attach', version: 1, ...table, chunks: [new SharedArrayBuffer(64)], port: channel }, [channel])
  await arrived()
  const theirs = far.import({ ctxbridge: 1, ...table, slot: 0, generation: 1, grant: 1 })
  expect(cause(theirs)).toMatchObject({ code: 'ERR_HANDLE', message: expect.stringContaining('is damaged') as string })
  port1.close()
})

test('a header of the shared memory that somebody has overwritten keeps no link out that begins after that', async () => {
  const { port1, port2 } = new MessageChannel()
  const attached = heard<Attached>(port2, isAttach)
  link(port1).export(background())
  const { chunks } = await attached
  new Int32Array(chunks[0] as SharedArrayBuffer).fill(0, 0, 5)
  const { near, far } = await ends()
  const ctx = withCancel(background())
  const theirs = far.import(near.export(ctx))
  expect(theirs.err()).toBe(undefined)
  ctx.cancel('in shared memory')
  expect(cause(theirs)).toBe('in shared memory')
  link(port1)[Symbol.dispose]()
  port1.close()
})

test.each([true, false])(
  'a link that is closed observes none of the contexts that it has exported; shared memory: %s',
  async (shared) => {
    const { near, far } = await ends(shared)
    const [held, sent] = [withCancel(background()), withCancel(background())]
    const theirs = far.import(near.export(held))
    near.export(sent)
    await arrived()
    near[Symbol.dispose]()
    assertNoLeaks(held, sent)
    await theirs.done
    expect(held.err()).toBe(undefined)
  },
)

test('who goes on exporting finds what has come back, without being asked', async () => {
  const { near, far } = await ends()
  const back = Array.from({ length: 32 }, () => withCancel(background()))
  for (const ctx of back) far.import(near.export(ctx)).cancel()
  for (let i = 0; i < 64; i++) near.export(background())
  expect(() => assertNoLeaks(...back)).not.toThrow()
})

test('of many contexts that ended before anybody imported them, each has the whole of its cause, however long', async () => {
  const { near, far } = await ends()
  const contexts = Array.from({ length: 3_000 }, () => withCancel(background()))
  const handles = contexts.map((ctx) => near.export(ctx))
  for (const [i, ctx] of contexts.entries()) ctx.cancel(long(i))
  // The messages that bring them have not been read, and then they have been.
  for (const half of [handles.slice(0, 1_500), handles.slice(1_500)]) {
    for (const handle of half) expect(cause(far.import(handle))).toBe(long(handles.indexOf(handle)))
    await arrived()
  }
})

test('each handle of a context tells the whole of a long cause, also when the import of another was there at the end, and is over', async () => {
  const { near, far } = await ends()
  const ctx = withCancel(background())
  const [first, second] = [near.export(ctx), near.export(ctx)]
  const theirs = far.import(first)
  ctx.cancel(long(1))
  await arrived()
  expect(cause(theirs)).toBe(long(1))
  await arrived()
  expect(far.stats().imports).toBe(0)
  expect(cause(far.import(second))).toBe(long(1))
})

test('when a link is lost, all that came over it has ended before anybody hears of it', async () => {
  const { near, far } = await ends()
  const contexts = Array.from({ length: 3 }, () => far.import(near.export(withCancel(background()))))
  const seen: unknown[] = []
  for (const ctx of contexts)
    ctx.signal.addEventListener('abort', () => seen.push(contexts.every((other) => cause(other) instanceof LinkLostError)))
  far[Symbol.dispose]()
  expect(seen).toEqual([true, true, true])
})

test.each([true, false])('what had ended when its link was lost keeps its own cause; shared memory: %s', async (shared) => {
  const { near, far } = await ends(shared)
  const ctx = withCancel(background())
  const theirs = far.import(near.export(ctx))
  ctx.cancel('for real')
  if (!shared) await arrived()
  far[Symbol.dispose]()
  expect(cause(theirs)).toBe('for real')
})

test('the channel of a context that came by plain Comlink is closed when that is given back, or has ended', async () => {
  install(Comlink)
  const { serialize, deserialize } = Comlink.transferHandlers.get('ctxbridge.context') as Comlink.TransferHandler<
    CancelableContext,
    { readonly attach: { readonly port: MessagePort } }
  >
  for (const end of ['there', 'here'] as const) {
    const ctx = withCancel(background())
    const [sent, transfer] = serialize(ctx)
    const came = structuredClone(sent, { transfer: transfer as MessagePort[] })
    const closed = once(came.attach.port, 'close')
    const theirs = deserialize(came)
    if (end === 'there') ctx.cancel()
    else theirs.cancel()
    await closed
    expect(theirs.err()?.name).toBe('AbortError')
  }
})
