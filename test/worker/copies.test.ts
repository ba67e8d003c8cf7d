/** Two copies of the package in one thread, a program's own and a library's, that use one endpoint: they share its link. */
import { MessageChannel, Worker } from 'node:worker_threads'
import * as Comlink from 'comlink'
import * as core from 'ctxbridge'
import * as comlink from 'ctxbridge/comlink'
import * as port from 'ctxbridge/message-port'
import * as piscina from 'ctxbridge/piscina'
import * as worker from 'ctxbridge/worker'
import { afterAll, describe, expect, onTestFinished, test } from 'vitest'
import type { CopiesApi, CopiesData } from '../fixtures/worker-copies.ts'
import { tenant } from '../fixtures/worker-keys.ts'
import { run } from '../support/child-process.ts'
import { compiled } from '../support/compiled.ts'
import { turn } from '../support/gc.ts'
import { copyPackage, modulesOf, type Modules } from '../support/copies.ts'
import { empty, flag, quiet, reached, rejection } from './workers.ts'

const copied = copyPackage()
const newer = copyPackage({ version: '99.0.0' })
const bundled = copyPackage({ comlink: true })
afterAll(() => [copied, newer, bundled].forEach((copy) => copy.remove()))

const mine: Modules = { core, worker, comlink, port, piscina, Comlink }
const theirs = await modulesOf(copied)

/** Which of the two does what. */
const ways: [name: string, first: Modules, second: Modules][] = [
  ['this copy first', mine, theirs],
  ['the other copy first', theirs, mine],
]

function start({ serves = 'this', first = 'this' }: Partial<Pick<CopiesData, 'serves' | 'first'>> = {}): Worker {
  const urls = { core: `${copied.href}lib/index.js`, worker: `${copied.href}transports/worker/index.js` }
  const worker = new Worker(compiled('test/fixtures/worker-copies.ts'), { workerData: { ...urls, serves, first } })
  onTestFinished(async () => void (await worker.terminate()))
  return worker
}

function live({ core }: Modules): core.CancelableContext {
  return core.withCancel(core.background())
}

test('what the tests below have are two copies', () => {
  expect(theirs.worker.wrap).not.toBe(worker.wrap)
})

describe.each(ways)('in the thread that made a worker, with %s', (_name, one, two) => {
  test.each([
    ['this', 'this'],
    ['this', 'other'],
    ['other', 'this'],
    ['other', 'other'],
  ] as const)('both call what a worker serves, and are called (there %s serves, and %s is first)', async (serves, first) => {
    const thread = start({ serves, first })
    const heard: unknown[] = []
    two.worker.expose({ hear: (ctx: core.Context, value: unknown) => heard.push(ctx.err(), value) }, thread)
    const remotes = [one, two].map((copy) => copy.worker.wrap<CopiesApi>(thread))
    for (const [i, copy] of [one, two].entries()) {
      const remote = remotes[i] as worker.Remote<CopiesApi>
      expect(await remote.add(live(copy), 1, 2)).toBe(3)
      expect(await remote.askMain(live(copy), i)).toBe(2 * (i + 1))
      // Contexts of either copy, and in the end of a call its own error.
      for (const { core } of [one, two]) {
        for (const method of ['hold', 'wait'] as const) {
          const ctx = core.withCancel(core.background())
          const at = flag()
          const error = rejection(remote[method](ctx, { flag: at }))
          await reached(at)
          ctx.cancel('why')
          expect(await error).toBe(ctx.err())
          await quiet(thread)
          expect(worker.link(thread).stats()).toMatchObject(empty)
        }
        expect(await remote.within({ ctx: core.withCancel(core.background()) })).toBe(undefined)
      }
    }
    expect(heard).toEqual([undefined, 0, undefined, 1])
    expect(await remotes[0]?.stats()).toMatchObject({ exports: 0, imports: 0 })
  })

  test('both have the link of the endpoint', () => {
    const { port1 } = new MessageChannel()
    onTestFinished(() => port1.close())
    expect(one.worker.link(port1)).toBe(two.worker.link(port1))
    one.worker.expose({ f: () => 1 }, port1)
    expect(() => two.worker.expose({ f: () => 2 }, port1)).toThrow(/^expose\(\) serves one object for each endpoint/)
  })

  test('to dispose of the link closes it for both, and each is told by its own class; either opens it again', async () => {
    const thread = start({ serves: 'other' })
    const [a, b] = [one.worker.wrap<CopiesApi>(thread), two.worker.wrap<CopiesApi>(thread)]
    await a.add(live(one), 1, 2)
    const pending = [
      [one, rejection(a.wait(live(one), { flag: flag() }))],
      [two, rejection(b.wait(live(two), { flag: flag() }))],
    ] as const
    b[Symbol.dispose]()
    for (const [{ core }, error] of pending) expect(await error).toBeInstanceOf(core.LinkLostError)
    expect(await rejection(a.add(live(one), 1, 2))).toBeInstanceOf(one.core.LinkLostError)
    expect(await rejection(b.add(live(two), 1, 2))).toBeInstanceOf(two.core.LinkLostError)
    one.worker.expose({ hear: (_ctx: core.Context, value: unknown) => value }, thread)
    expect(await two.worker.wrap<CopiesApi>(thread).askMain(live(two), 'heard')).toBe('heard')
    expect(await one.worker.wrap<CopiesApi>(thread).add(live(one), 1, 2)).toBe(3)
  })

  test('where one has closed the link, the other side hears that the other one serves', async () => {
    const { port1, port2 } = new MessageChannel()
    onTestFinished(() => port1.close())
    const remote = worker.wrap<{ f(): string }>(port2)
    one.worker.link(port1)[Symbol.dispose]()
    expect(await rejection(remote.f())).toBeInstanceOf(core.LinkLostError)
    two.worker.expose({ f: () => 'served' }, port1)
    let result: string | undefined
    while (result === undefined) {
      await turn()
      result = await remote.f().catch(() => undefined)
    }
    expect(result).toBe('served')
  })

  test('what a call is refused with is of the class of the copy that calls', async () => {
    const { port1, port2 } = new MessageChannel()
    onTestFinished(() => port1.close())
    two.worker.expose({ fail: () => Promise.reject(new RangeError('no')) }, port2)
    one.worker.wrap(port1)
    const remote = two.worker.wrap<{ fail(...args: unknown[]): void; none(): void }>(port1)
    expect(await rejection(remote.none())).toBeInstanceOf(two.core.BridgeError)
    expect(await rejection(remote.fail(() => undefined))).toBeInstanceOf(two.core.BridgeError)
    expect(await rejection(remote.fail())).toBeInstanceOf(two.core.RemoteError)
  })

  test('a context may be a property of an argument, whichever copy has taught Comlink last', async () => {
    for (const copy of [one, two]) copy.comlink.install(Comlink)
    onTestFinished(() => {
      for (const name of ['context', 'signal', 'within']) Comlink.transferHandlers.delete(`ctxbridge.${name}`)
    })
    const thread = start()
    for (const { worker } of [one, two]) {
      const remote = worker.wrap<CopiesApi>(thread)
      expect(await remote.within({ ctx: live(one) })).toBe(undefined)
    }
  })

  test('an endpoint with a connection of the other copy is refused', async () => {
    const { port1, port2 } = new MessageChannel()
    onTestFinished(() => port1.close())
    const connections = await Promise.all([one.port.connect(port1), two.port.connect(port2)])
    expect(() => two.port.connect(port1)).toThrow(/needs an endpoint without a connection/)
    for (const connection of connections) connection.close()
  })
})

test.each(['this', 'other'] as const)('each copy finds a value by its own key of that name, when %s is first', async (first) => {
  const remote = worker.wrap<CopiesApi>(start({ first, serves: 'other' }))
  expect(await remote.tenants(core.withValue(core.background(), tenant, 'acme'))).toEqual(['acme', 'acme'])
})

describe.each(ways)(
  'a context of another copy than the one that sends it takes its portable values along, with %s',
  (_name, one, two) => {
    const theirKey = two.core.createKey('tenant', { portable: tenant.portable as core.Codec<string> })
    const secret = two.core.createKey('secret')
    const { withValue } = two.core
    const keyed = (): core.Context => withValue(withValue(two.core.background(), secret, 'no'), theirKey, 'acme')
    // Either copy's key: who binds a value may have it from anywhere.
    const contexts: [name: string, make: () => core.Context, expected: string | undefined][] = [
      ['bound by its own key', keyed, 'acme'],
      ['bound by a key of the one that sends', () => withValue(two.core.background(), tenant, 'acme'), 'acme'],
      ['derived further there', () => two.core.withCancel(two.core.withTimeout(keyed(), 60_000)), 'acme'],
      ['derived further here', () => one.core.withCancel(one.core.withValue(keyed(), one.core.createKey('other'), 1)), 'acme'],
      [
        'derived here, there, and here again',
        () => one.core.withCancel(two.core.withCancel(one.core.withCancel(keyed()))),
        'acme',
      ],
      [
        'of this copy, derived further there',
        () => two.core.withCancel(one.core.withValue(one.core.background(), tenant, 'acme')),
        'acme',
      ],
      ['hidden there', () => withValue(keyed(), theirKey, undefined as never), undefined],
      ['hidden here', () => one.core.withValue(keyed(), theirKey, 'another'), 'another'],
    ]

    test.each(contexts)('by a handle, and by a call: %s', async (_context, make, expected) => {
      const { port1, port2 } = new MessageChannel()
      onTestFinished(() => port1.close())
      one.worker.expose({ tenant: (ctx: core.Context) => ctx.value(tenant) }, port2, { keys: [tenant] })
      const ctx = make()
      expect(one.worker.link(port1).export(ctx).values).toEqual(expected === undefined ? undefined : [['tenant', expected]])
      const remote = one.worker.wrap<{ tenant(ctx: core.Context): string | undefined }>(port1)
      expect(await remote.tenant(ctx)).toBe(expected)
    })

    test.each(contexts)('over a connection: %s', async (_context, make, expected) => {
      const { port1, port2 } = new MessageChannel()
      onTestFinished(() => port1.close())
      const serve = { tenant: (ctx: core.Context) => ctx.value(tenant) ?? null }
      const [connection, other] = await Promise.all([one.port.connect(port1), one.port.connect(port2, { serve, keys: [tenant] })])
      expect(await one.port.wrap<typeof serve>(connection).tenant(make())).toBe(expected ?? null)
      for (const each of [connection, other]) each.close()
    })
  },
)

test('more calls are served than may wait for a server, beside a copy that only calls', async () => {
  const remote = worker.wrap<CopiesApi>(start())
  let sum = 0
  for (let round = 0; round < 11; round++) {
    const calls = Array.from({ length: 1_000 }, () => remote.add(core.background(), 0, 1))
    for (const one of await Promise.all(calls)) sum += one
  }
  expect(sum).toBe(11_000)
})

test('the copy that calls, and the one that serves, use their own Comlink, whichever has the link', async () => {
  const own = await modulesOf(bundled)
  expect(own.Comlink.transferHandlers).not.toBe(Comlink.transferHandlers)
  own.Comlink.transferHandlers.set('test.big', {
    canHandle: (value): value is bigint => typeof value === 'bigint',
    serialize: (value) => [String(value), []],
    deserialize: (sent) => BigInt(sent as string) + 1n,
  })
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  for (const port of [port1, port2]) worker.link(port)
  own.worker.expose({ double: (_ctx: core.Context, value: bigint) => 2n * value }, port1)
  const remote = own.worker.wrap<{ double(ctx: core.Context, value: bigint): bigint }>(port2)
  expect(await remote.double(live(own), 20n)).toBe(43n)
})

test('an exception that ends a worker is reported once, though both copies have its link and nobody else listens', async () => {
  const { stdout, code } = await run(`
    import { Worker } from 'node:worker_threads'
    import * as mine from 'ctxbridge/worker'
    const theirs = await import('${copied.href}transports/worker/index.js')
    process.on('uncaughtException', (error) => console.log('reported:', error.message))
    const worker = new Worker('require("node:worker_threads").parentPort.once("message", () => { throw new Error("it broke") })', { eval: true, execArgv: [] })
    for (const { wrap } of [mine, theirs]) wrap(worker)
    worker.postMessage('now')
  `)
  expect({ stdout, code }).toEqual({ stdout: 'reported: it broke\n', code: 0 })
})

test('a copy of another version is refused an endpoint that is in use, and may have it afterwards, or one of its own', async () => {
  const other = await modulesOf(newer)
  const { port1, port2 } = new MessageChannel()
  onTestFinished(() => port1.close())
  const link = worker.link(port1)
  const refused =
    /^wrap\(\) cannot use this endpoint: in this thread version \d+\.\d+\.\d+ of ctxbridge uses it already, and this one is 99\.0\.0\. Install one version of it, or give one of them a port of its own, of a MessageChannel\.$/
  expect(() => other.worker.wrap(port1)).toThrow(refused)
  expect(() => other.worker.wrap(port1)).toThrow(TypeError)
  other.worker.expose({ f: () => 'served' }, port2)
  expect(() => worker.expose({}, port2)).toThrow(TypeError)
  expect(await worker.wrap<{ f(): string }>(port1).f()).toBe('served')
  link[Symbol.dispose]()
  expect(await other.worker.wrap<{ f(): string }>(port1).f()).toBe('served')
})
