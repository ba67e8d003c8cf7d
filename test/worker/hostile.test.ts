/** What throws when it is looked at: whoever gets it says so in a sentence of its own, and does not throw what was thrown. */
import type { Worker } from 'node:worker_threads'
import { background, createKey, withCancel } from 'ctxbridge'
import * as comlink from 'ctxbridge/comlink'
import * as port from 'ctxbridge/message-port'
import * as piscina from 'ctxbridge/piscina'
import * as tinypool from 'ctxbridge/tinypool'
import { expose, isLinkMessage, link, wrap } from 'ctxbridge/worker'
import * as workerpool from 'ctxbridge/workerpool'
import { describe, expect, test } from 'vitest'
import { turn } from '../support/gc.ts'
import { start } from './workers.ts'

const boom = (): never => {
  throw new Error('boom')
}

const traps = ['get', 'has', 'ownKeys', 'getPrototypeOf', 'getOwnPropertyDescriptor'] as const
const all = Object.fromEntries(traps.map((trap) => [trap, boom]))

/** The last one is made anew, as what is revoked cannot be printed. */
function hostile(): [what: string, value: object][] {
  const { proxy, revoke } = Proxy.revocable({}, {})
  const list = Proxy.revocable([], {})
  const call = Proxy.revocable(() => 1, {})
  for (const each of [revoke, list.revoke, call.revoke]) each()
  return [
    ...traps.map((trap): [string, object] => [trap, new Proxy({}, { [trap]: boom })]),
    ['everything', new Proxy({}, all)],
    ['everything of a function', new Proxy(() => 1, all)],
    ['a revoked proxy', proxy],
    ['a revoked list', list.proxy],
    ['a revoked function', call.proxy],
  ]
}

/** Longer than anybody can go through. */
const long: unknown[] = []
long.length = 2 ** 32 - 1

const sentence = /^\w+\(\) .+[^.]\.( .+\.)?$/

/** It throws a TypeError that was made here: of the platform's own none is a sentence that names the function. */
function expectSentence(what: string, f: () => unknown): void {
  let thrown: unknown
  try {
    f()
  } catch (error) {
    thrown = error
  }
  expect(thrown, what).toBeInstanceOf(TypeError)
  expect((thrown as Error).message, what).toMatch(sentence)
}

const here = (): MessagePort => {
  const { port1 } = new MessageChannel()
  return port1
}
const api = { f: () => 1 }
const pool = { run: () => Promise.resolve(), exec: () => Promise.resolve() }
const task = { method: 'f' }

const takesEndpoint: Record<string, (value: never) => unknown> = {
  wrap: (value) => wrap(value),
  'wrap with options': (value) => wrap(value, { grace: 1 }),
  link: (value) => link(value),
  expose: (value) => expose(api, value),
  'expose of it': (value) => expose(value, here()),
  'import()': (value) => link(here()).import(value),
  'export()': (value) => link(here()).export(value),
  install: (value) => comlink.install(value),
  'install of a map': (value) => comlink.install({ transferHandlers: value }),
  connect: (value) => port.connect(value),
  'wrap of a connection': (value) => port.wrap(value),
  'run of piscina': (value) => piscina.run(value, background(), 1),
  'run of tinypool': (value) => tinypool.run(value, background(), 1),
  'run of workerpool': (value) => workerpool.run(value, background(), 1, task),
  'run under it': (value) => piscina.run(pool, value, 1),
}

test.each(Object.entries(takesEndpoint))('%s', (_name, f) => {
  for (const [what, value] of hostile()) expectSentence(what, () => f(value as never))
})

const handlers = { transferHandlers: new Map<string, never>() }
const takesOptions: Record<string, (options: never) => unknown> = {
  wrap: (options) => wrap(here(), options),
  link: (options) => link(here(), options),
  expose: (options) => expose(api, here(), options),
  install: (options) => comlink.install(handlers, options),
  job: (options) => piscina.job(() => 1, options),
  'run of piscina': (options) => piscina.run(pool, background(), 1, options),
  'run of tinypool': (options) => tinypool.run(pool, background(), 1, options),
  'run of workerpool': (options) => workerpool.run(pool, background(), 1, options),
}

describe('options', () => {
  test.each(Object.entries(takesOptions))('of %s', (_name, f) => {
    for (const [what, trap] of Object.entries({ get: boom, all })) {
      const value = new Proxy({}, typeof trap === 'function' ? { get: trap, ownKeys: trap } : trap)
      expectSentence(what, () => f(value as never))
    }
    for (const none of [null, 1, 'text', []])
      expect(() => f(none as never)).toThrow(/^\w+\(\) needs its options to be an object, but got .+\.$/)
  })

  test('that say whether memory is shared', () => {
    for (const f of [takesOptions['wrap'], takesOptions['link'], takesOptions['expose'], takesOptions['install']])
      for (const sharedMemory of [null, 0, 'yes', {}])
        expectSentence(`${String(f)} of ${String(sharedMemory)}`, () => f?.({ sharedMemory } as never))
  })

  test('that have keys', () => {
    const takesKeys = [takesOptions['wrap'], takesOptions['link'], takesOptions['install'], takesOptions['job']]
    const odd: [string, unknown][] = hostile().flatMap(([what, value]) => [
      [what, value],
      [`a list of ${what}`, [value]],
    ])
    const local = createKey('local')
    for (const [what, keys] of [...odd, ['a number', 1], ['a long and empty list', long], ['a local key', [local]]] as const)
      for (const f of takesKeys) expectSentence(what, () => f?.({ keys } as never))
  })
})

describe('something around a port, as frameworks make,', () => {
  const around: [what: string, (port: MessagePort) => MessagePort][] = [
    ['that does nothing', (real) => new Proxy(real, {})],
    ['that throws', (real) => new Proxy(real, { get: boom })],
  ]
  test.each(around)('is no endpoint: %s', (what, make) => {
    const takes = [
      (value: MessagePort) => wrap(value),
      (value: MessagePort) => link(value),
      (value: MessagePort) => expose(api, value),
    ]
    for (const f of takes) expectSentence(what, () => f(make(here())))
    for (const f of takes) expectSentence(`an object below one, ${what}`, () => f(Object.create(make(here())) as MessagePort))
  })

  test('and around all that a worker has is no endpoint, and listens to nothing', () => {
    const around = <T extends object>(real: T): T =>
      new Proxy(real, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name)
          return typeof value === 'object' && value !== null ? around(value) : value
        },
      })
    const worker = start()
    const events = ['message', 'messageerror', 'error', 'exit']
    const count = (): number[] => events.map((event) => worker.listenerCount(event))
    const before = count()
    const takes: readonly ((value: Worker) => unknown)[] = [
      (value) => wrap(value),
      (value) => link(value),
      (value) => expose(api, value),
    ]
    for (const f of takes) expect(() => f(around(worker))).toThrow(/ itself, but got something around one, which throws\.$/)
    expect(count()).toEqual(before)
  })

  test('connects to nobody', async () => {
    await expect(port.connect(new Proxy(here(), {}))).rejects.toMatchObject({
      code: 'ERR_LINK_LOST',
      cause: { name: 'TypeError' },
    })
  })
})

/** As somebody else's: the members are there, and each throws when it is called. */
const broken = { err: boom, remaining: boom, value: boom, throwIfDone: boom, done: Promise.resolve(), deadline: undefined }

test('a context that throws when it is asked has said nothing', async () => {
  const ctx = Object.assign({ signal: new AbortController().signal }, broken, { value: () => undefined })
  const answer = { run: () => Promise.resolve(1) }
  await expect(piscina.run(answer, ctx as never, 1)).rejects.toThrow(/^run\(\) needs the worker's 'default' to be a job\(\)/)
})

test('the name of a job is a text', () => {
  for (const name of [Symbol('x'), 1, {}])
    for (const run of [piscina.run, tinypool.run]) expectSentence('name', () => run(pool, background(), 1, { name } as never))
})

test('a job that is called with anything else than by run needs its context', async () => {
  const work = piscina.job(() => 1) as (envelope: unknown) => Promise<unknown>
  const envelope = { ctxbridge: 'task', version: 1, state: new Int32Array(1), handle: { ctxbridge: 1 } }
  const odd = [new Map(), null, [], [0], [0, new ArrayBuffer(8)], ['x', new SharedArrayBuffer(8)]].map((chunk) => ({
    ...envelope,
    chunks: [chunk],
  }))
  for (const wrong of [...hostile().map(([, value]) => value), ...odd])
    await expect(work(wrong)).rejects.toThrow(/^A job\(\) needs its context: .+\.$/)
})

test('an argument that throws when it is looked at cannot be sent, and another call can', async () => {
  const { port1, port2 } = new MessageChannel()
  expose(api, port1)
  const remote = wrap<{ f(...args: unknown[]): number }>(port2)
  for (const [what, value] of hostile()) {
    for (const arg of [value, [value], { value }]) {
      await expect(remote.f(arg), what).rejects.toMatchObject({
        code: 'ERR_UNSENDABLE',
        message: expect.stringMatching(/^An argument of \w+\(\) cannot be sent to the other thread: ./) as unknown,
      })
    }
  }
  expect(await remote.f()).toBe(1)
  remote[Symbol.dispose]()
})

test('a connection over a port takes nothing that throws', async () => {
  for (const [what, value] of hostile()) {
    for (const options of [
      value,
      { keys: value },
      { keys: [value] },
      { limits: value },
      { lease: value },
      { serve: value },
      { context: value },
    ]) {
      // What nothing asks about may be there.
      if (
        /^(get|has|getPrototypeOf|getOwnPropertyDescriptor)$/.test(what) &&
        !('keys' in Object.getOwnPropertyDescriptors(options))
      )
        continue
      expectSentence(what, () => port.connect(here(), options))
    }
  }
  expectSentence('a long and empty list', () => port.connect(here(), { keys: long as never[] }))
  const { port1, port2 } = new MessageChannel()
  const [connection] = await Promise.all([port.connect(port1), port.connect(port2)])
  const remote = port.wrap<{ f(ctx: unknown): unknown }>(connection)
  for (const [what, value] of hostile()) {
    expectSentence(what, () => connection.export(value as never))
    expectSentence(what, () => (remote.f as (ctx: unknown) => unknown)(value))
    expectSentence(what, () => connection.close(value as never))
  }
  expectSentence('null', () => connection.close(null as never))
  connection.close()
})

test('a task that throws when it is read is what the pool makes of it', async () => {
  for (const [what, value] of hostile()) {
    for (const run of [piscina.run, tinypool.run, workerpool.run]) {
      const given: unknown[] = []
      const answer = {
        run: (envelope: unknown) => Promise.reject(given.push(envelope)),
        exec: (_: string, [envelope]: unknown[]) => Promise.reject(given.push(envelope)),
      }
      await expect(run(answer as never, background(), value, task), what).rejects.toBe(1)
      expect(given, what).toHaveLength(1)
    }
  }
})

test('no message is one of ours that throws when it is read', () => {
  for (const [what, value] of hostile()) expect(isLinkMessage(value), what).toBe(false)
})

test('a handle is read once: what was checked is what is imported, whatever it says afterwards', async () => {
  const { port1, port2 } = new MessageChannel()
  const [mine, theirs] = [link(port1), link(port2)]
  const ctx = withCancel(background())
  const handle: object = mine.export(ctx)
  while (theirs.import(handle).err()?.cause !== undefined) await turn()
  const reads = new Map<unknown, number>()
  const fickle = new Proxy(mine.export(ctx), {
    get(target, field, receiver) {
      reads.set(field, (reads.get(field) ?? 0) + 1)
      return reads.get(field) === 1 || field === 'ctxbridge' ? (Reflect.get(target, field, receiver) as unknown) : boom()
    },
  })
  const there = theirs.import(fickle)
  expect(there.err()).toBe(undefined)
  ctx.cancel()
  expect(there.err()).toMatchObject({ name: 'AbortError' })
  expect([...reads.keys()]).toEqual(expect.arrayContaining(['table', 'slot', 'end', 'values']))
  for (const end of [mine, theirs]) end[Symbol.dispose]()
})
