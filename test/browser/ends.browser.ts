/** How threads of a real browser hear of each other's ends, of which it tells nobody; and that nothing of that is left. */
import * as Comlink from 'comlink'
import { background, type CancelableContext, withCancel } from 'ctxbridge'
import { install } from 'ctxbridge/comlink'
import { link, wrap } from 'ctxbridge/worker'
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest'
import type { ConformanceJobs } from '../conformance/jobs.ts'
import type { PlainApi } from '../conformance/plain-comlink.ts'

const workers: Worker[] = []
/** Those of threads that earlier tests have left. */
let before = new Set<string | undefined>()
beforeEach(async () => {
  const { held = [] } = await navigator.locks.query()
  before = new Set(held.map(({ name }) => name))
})
afterEach(() => {
  for (const worker of workers.splice(0)) worker.terminate()
})

/** The names of the locks of this test's threads, and of those that are waited for, with who waits. */
async function locks(): Promise<{ readonly held: string[]; readonly waits: string[] }> {
  const { held = [], pending = [] } = await navigator.locks.query()
  const ours = (all: readonly LockInfo[]): LockInfo[] =>
    all.filter(({ name }) => name?.startsWith('ctxbridge.') === true && !before.has(name))
  return {
    held: ours(held).map(({ name }) => String(name)),
    waits: ours(pending).map(({ name, clientId }) => `${clientId} for ${name}`),
  }
}

/** The name of a lock of this test's that another thread has. */
async function elsewhere(): Promise<string> {
  const { held } = await locks()
  const all = await navigator.locks.request('here', () => navigator.locks.query())
  const here = all.held?.find(({ name }) => name === 'here')?.clientId
  return all.held?.find(({ name = '', clientId }) => held.includes(name) && clientId !== here)?.name as string
}

function started(url: URL): Worker {
  const worker = new Worker(url, { type: 'module' })
  workers.push(worker)
  return worker
}

function jobsWorker(): Worker {
  return started(new URL('../conformance/jobs.ts', import.meta.url))
}

function comlinkWorker(): Comlink.Remote<PlainApi> {
  install(Comlink)
  return Comlink.wrap<PlainApi>(started(new URL('../conformance/plain-comlink.ts', import.meta.url)))
}

function heard(worker: Worker, key: string): Promise<void> {
  return new Promise((resolve) => {
    worker.addEventListener('message', ({ data }: MessageEvent<object | null>) => {
      if (typeof data === 'object' && data !== null && key in data) resolve()
    })
  })
}

/** The ends of channels that this thread has kept, and has not closed. */
function keptPorts(): Set<MessagePort> {
  const kept = new Set<MessagePort>()
  const { MessageChannel } = globalThis
  const { close } = MessagePort.prototype
  globalThis.MessageChannel = class extends MessageChannel {
    constructor() {
      super()
      kept.add(this.port1)
    }
  }
  MessagePort.prototype.close = function () {
    kept.delete(this)
    close.call(this)
  }
  onTestFinished(() => {
    globalThis.MessageChannel = MessageChannel
    MessagePort.prototype.close = close
  })
  return kept
}

/** As in pages that are not served securely, and, for what may be concluded, between two origins. */
function withoutLocks(): () => void {
  Object.defineProperty(navigator, 'locks', { value: undefined, configurable: true })
  const restore = (): void => void Reflect.deleteProperty(navigator, 'locks')
  onTestFinished(restore)
  return restore
}

test.each(['with locks', 'without locks'])(
  'quick calls of a program that speaks Comlink leave no lock and no port, %s',
  async (which) => {
    const kept = keptPorts()
    const remote = comlinkWorker()
    const restore = which === 'without locks' ? withoutLocks() : undefined
    for (let call = 0; call < 200; call++) {
      using ctx = withCancel(background())
      await remote.look(ctx, AbortSignal.abort())
    }
    // A context that has ended, and one that never does, need no channel; what cannot be sent has one that nobody gets.
    await remote.look(background(), AbortSignal.abort())
    const ctx = withCancel(background())
    await expect(remote.look(ctx, (() => undefined) as never)).rejects.toThrow('could not be cloned')
    await expect.poll(() => kept.size).toBe(0)
    restore?.()
    await expect.poll(locks).toEqual({ held: [], waits: [] })
  },
)

test('a thread has one lock, and waits once for that of another, however many channels they have; nothing is left when the last one is closed', async () => {
  const worker = jobsWorker()
  const remote = comlinkWorker()
  const jobs = wrap<ConformanceJobs>(worker)
  const contexts: CancelableContext[] = []
  const told: Promise<unknown>[] = []
  const links = [link(worker)]
  for (let n = 0; n < 10; n++) {
    const { port1, port2 } = new MessageChannel()
    links.push(link(port1), link(port2))
    link(port2).export(withCancel(background()))
    link(port1).export(withCancel(background()))
    const ctx = withCancel(background())
    contexts.push(ctx)
    await new Promise((resolve) =>
      told.push(
        remote.wait(
          ctx,
          Comlink.proxy(() => resolve(undefined)),
        ),
      ),
    )
  }
  expect(await jobs.add(1, 2)).toBe(3)
  // Three threads: this one waits for itself, too, as both ends of some links are in it.
  await expect.poll(locks).toMatchObject({ held: { length: 3 }, waits: { length: 5 } })
  const { held, waits } = await locks()
  expect([new Set(held).size, new Set(waits).size]).toEqual([3, 5])
  for (const each of links) each[Symbol.dispose]()
  await expect.poll(locks).toMatchObject({ held: { length: 2 }, waits: { length: 2 } })
  for (const ctx of contexts) ctx.cancel('the end')
  await Promise.all(told)
  await expect.poll(locks).toEqual({ held: [], waits: [] })
})

test('a worker that is terminated at the moment that it is heard of is missed', async () => {
  for (let round = 0; round < 5; round++) {
    const worker = jobsWorker()
    const begun = heard(worker, 'started')
    const call = wrap<ConformanceJobs>(worker).hang(withCancel(background()))
    await begun
    worker.terminate()
    await expect(call).rejects.toMatchObject({ code: 'ERR_LINK_LOST' })
  }
})

interface HeldBack {
  /** What has come since. */
  readonly messages: readonly unknown[]
  hold(): void
  release(): void
}

/** Messages of a worker, or of all ports, that can be held back from who listens from now on. */
function heldBack(target: MessagePort | Worker): HeldBack {
  const { addEventListener } = target
  const messages: (() => void)[] = []
  let holds = false
  target.addEventListener = function (this: MessagePort, type: string, listener: (event: Event) => void): void {
    const later = (event: Event): void => {
      if (holds) messages.push(() => listener(event))
      else listener(event)
    }
    addEventListener.call(this, type, (type === 'message' ? later : listener) as never)
  }
  onTestFinished(() => {
    target.addEventListener = addEventListener
  })
  return {
    messages,
    hold() {
      holds = true
    },
    release() {
      holds = false
      for (const deliver of messages.splice(0)) deliver()
    },
  }
}

// As in Firefox, where two ports do not keep to an order.
test('a worker is missed also where it was dead before anything came over its channel', async () => {
  const channels = heldBack(MessagePort.prototype)
  channels.hold()
  const worker = jobsWorker()
  const begun = heard(worker, 'started')
  const call = wrap<ConformanceJobs>(worker).hang(withCancel(background()))
  await begun
  await expect.poll(locks).toMatchObject({ held: { length: 2 } })
  worker.terminate()
  await expect.poll(locks).toMatchObject({ held: { length: 1 } })
  channels.release()
  await expect(call).rejects.toMatchObject({ code: 'ERR_LINK_LOST', message: 'The other thread has ended.' })
})

// As in Firefox and WebKit, where locks and messages do not keep to an order.
test('an answer that comes when its worker was seen to be dead is an answer', async () => {
  const worker = jobsWorker()
  const answers = heldBack(worker)
  const jobs = wrap<ConformanceJobs>(worker)
  await jobs.add(1, 1)
  await expect.poll(locks).toMatchObject({ held: { length: 2 }, waits: { length: 2 } })
  const name = await elsewhere()
  answers.hold()
  const call = jobs.add(1, 2)
  await expect.poll(() => answers.messages.length).toBe(1)
  // Whoever asks for a lock after others gets it after them.
  const free = navigator.locks.request(name, () => undefined)
  worker.terminate()
  await free
  answers.release()
  expect(await call).toBe(3)
  await expect.poll(() => String(link(worker))).toContain('closed')
})
