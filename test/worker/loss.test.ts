import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import * as Comlink from 'comlink'
import { background, type CancelableContext, cause, LinkLostError, withCancel, withTimeout } from 'ctxbridge'
import { link, wrap } from 'ctxbridge/worker'
import { buildSync } from 'esbuild'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Request } from '../fixtures/worker-handles.ts'
import type { Jobs } from '../fixtures/worker-jobs.ts'
import type { Ended, Role } from '../fixtures/worker-unlinked.ts'
import { run } from '../support/child-process.ts'
import { compiled } from '../support/compiled.ts'
import { turn } from '../support/gc.ts'
import { asker, empty, flag, reached, rejection, start, startJobs } from './workers.ts'

describe('a worker that is gone rejects its pending calls with a LinkLostError, and its slots come back', () => {
  test('after process.exit, with its code', async () => {
    const { worker, jobs } = startJobs()
    const pending = rejection(jobs.hang(withCancel(background())))
    const error = await rejection(jobs.exit(7))
    expect(error).toBeInstanceOf(LinkLostError)
    expect(error).toMatchObject({
      name: 'LinkLostError',
      code: 'ERR_LINK_LOST',
      message: expect.stringContaining('code 7') as string,
    })
    expect(await pending).toBe(error)
    expect(link(worker).stats()).toMatchObject(empty)
  })

  test('after an uncaught exception, with that as the cause', async () => {
    const { worker, jobs } = startJobs()
    const pending = rejection(jobs.hang(withCancel(background())))
    const error = await rejection(jobs.crash())
    expect(error).toBeInstanceOf(LinkLostError)
    expect(error).toMatchObject({ message: expect.stringContaining('code 1') as string, cause: { message: 'the worker broke' } })
    expect(await pending).toBe(error)
    expect(link(worker).stats()).toMatchObject(empty)
  })

  test('after terminate() in the middle of a loop', async () => {
    const { worker, jobs } = startJobs()
    const at = flag()
    const ctx = withCancel(background())
    const call = rejection(jobs.stuck(ctx, at))
    await reached(at)
    await worker.terminate()
    const error = await call
    expect(error).toBeInstanceOf(LinkLostError)
    expect(ctx.err()).toBe(undefined)
    expect(link(worker).stats()).toMatchObject(empty)
  })

  test('at once for each further call, and for handles', async () => {
    const { worker, jobs } = startJobs()
    await jobs.add(1, 2)
    await worker.terminate()
    const error = await rejection(jobs.add(1, 2))
    expect(error).toBeInstanceOf(LinkLostError)
    expect(await rejection(jobs.look(withCancel(background())))).toBe(error)
    expect(await rejection(wrap<Jobs>(worker).add(1, 2))).toBe(error)
    expect(() => link(worker).export(background())).toThrow(LinkLostError)
    expect(link(worker).stats()).toMatchObject(empty)
  })

  test('also where it was gone before anybody wrapped it', async () => {
    const worker = start()
    await worker.terminate()
    expect(await rejection(wrap<Jobs>(worker).add(1, 2))).toBeInstanceOf(LinkLostError)
  })
})

/** The worker of most tests with all that it imports in one file, which starts with half the work: what a thousand workers take is mostly their start. */
function bundledJobs(folder: string): URL {
  const outfile = join(folder, 'worker-jobs.mjs')
  const entry = fileURLToPath(compiled('test/fixtures/worker-jobs.ts'))
  buildSync({ entryPoints: [entry], outfile, bundle: true, platform: 'node', format: 'esm' })
  return pathToFileURL(outfile)
}

test('a thousand workers terminated at any moment leave an empty table', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'ctxbridge-loss-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const bundle = bundledJobs(folder)
  // A link of this thread's own, to ask what it holds in all.
  const own = link(new MessageChannel().port1)
  for (let round = 0; round < 1_000; round += 5) {
    const parent = withCancel(background())
    const rounds = Array.from({ length: 5 }, async (_, n) => {
      // One that is terminated while it starts, or soon after, loads its files one by one, as those of users do.
      const { worker, jobs } = startJobs(n > 0 ? bundle : undefined)
      const exited = once(worker, 'exit')
      const calls: Promise<unknown>[] = []
      const contexts = Array.from({ length: 20 }, () => withTimeout(parent, 60_000))
      // From not yet started to right in the middle: an exit at a moment that nothing is in step with.
      if (n > 0) await jobs.add(1, 1)
      for (const [i, ctx] of contexts.entries()) {
        calls.push((i % 3 === 0 ? jobs.idle(ctx, 'done', flag()) : jobs.look(ctx)).catch((error: unknown) => error))
        if (i % 4 === 0) ctx.cancel(new Error('w'.repeat(randomInt(400))))
        if (i === randomInt(20)) void worker.terminate()
        for (let spin = randomInt(20_000); spin > 0; spin--);
        if (i % 5 === 0) await Promise.resolve()
      }
      void worker.terminate()
      await exited
      await Promise.all(calls)
      expect(link(worker).stats()).toMatchObject({ exports: 0, imports: 0, calls: 0 })
    })
    await Promise.all(rounds)
    expect(own.stats().slots).toBe(0)
  }
}, 300_000)

test('workers terminated at any moment leave an empty table, whatever was exported to them by hand, and whether they have it', async () => {
  const own = link(new MessageChannel().port1)
  for (let round = 0; round < 100; round += 5) {
    const rounds = Array.from({ length: 5 }, async (_, n) => {
      const worker = start('worker-handles')
      const exited = once(worker, 'exit')
      const mine = link(worker)
      // From not yet started to right in the middle.
      if (n > 0) await asker(worker)({ do: 'stats' })
      const last = randomInt(40)
      for (let i = 0; i < 40 && worker.threadId > 0; i++) {
        const ctx = withCancel(background())
        const handle = mine.export(ctx)
        // Of three, one is never posted, and one is given up over there.
        if (i % 3 > 0) worker.postMessage({ do: 'import', handle } satisfies Request)
        if (i % 3 > 1) worker.postMessage({ do: 'release' } satisfies Request)
        if (i % 4 === 0) ctx.cancel('h'.repeat(randomInt(400)))
        if (i === last) void worker.terminate()
        if (i % 7 === 0) await turn()
      }
      void worker.terminate()
      await exited
      expect(mine.stats()).toMatchObject({ exports: 0, imports: 0, calls: 0 })
    })
    await Promise.all(rounds)
    expect(own.stats().slots).toBe(0)
  }
}, 60_000)

test.each([true, false])(
  'of workers that are terminated at any moment while they send contexts each one ends, and nothing is left; shared memory: %s',
  async (sharedMemory) => {
    const own = link(new MessageChannel().port1)
    const causes = new Set<string>()
    for (let round = 0; round < 25; round++) {
      const worker = start('worker-exports')
      const exited = once(worker, 'exit')
      const mine = link(worker, { sharedMemory })
      const imports: CancelableContext[] = []
      const told: Promise<unknown>[] = []
      // From the first message on to the middle of many.
      let left = randomInt(30)
      worker.on('message', (handles: unknown) => {
        // The link's own messages are heard, too.
        if (!Array.isArray(handles)) return
        for (const [i, handle] of handles.entries()) {
          const ctx = mine.import(handle)
          imports.push(ctx)
          if (i % 3 === 0) told.push(ctx.done)
          if (i % 7 === 0) ctx.cancel('given back')
        }
        if (left-- !== 0) return
        for (let spin = randomInt(200_000); spin > 0; spin--);
        void worker.terminate()
      })
      worker.postMessage(sharedMemory)
      await exited
      await Promise.all(told)
      for (const ctx of imports) {
        const why = cause(ctx)
        causes.add(why instanceof LinkLostError ? 'lost' : String(why).slice(0, 3))
      }
      expect(mine.stats()).toMatchObject(empty)
    }
    expect([...causes].toSorted()).toEqual(['giv', 'lost', 'own'])
    expect(own.stats().slots).toBe(0)
  },
  60_000,
)

test('contexts that came from a worker end with its loss as their cause', async () => {
  const worker = start('worker-handles')
  const ask = asker(worker)
  const mine = link(worker)
  const handle = await ask({ do: 'export' })
  const ctx = mine.import(handle)
  const seen = Promise.all([ctx.done, once(ctx.signal, 'abort')])
  expect(ctx.err()).toBe(undefined)
  expect(mine.stats()).toMatchObject({ imports: 1 })
  await worker.terminate()
  await seen
  expect(ctx.err()).toMatchObject({ name: 'AbortError' })
  expect(cause(ctx)).toBeInstanceOf(LinkLostError)
  expect(mine.stats()).toMatchObject(empty)
  expect(cause(mine.import(handle))).toBeInstanceOf(LinkLostError)
})

test.each([
  ['spin', 'exit'],
  ['block', 'exit'],
  ['spin', 'crash'],
  ['block', 'crash'],
  ['spin', 'terminate'],
  ['block', 'terminate'],
  ['spin', 'terminate, when the link to it is closed'],
] as const)('a worker that never yields sees that the thread of its context has ended: %s, %s', async (how, end) => {
  const { worker, jobs: owner } = startJobs()
  const { jobs: holder } = startJobs()
  const { port1, port2 } = new MessageChannel()
  await holder.serveOver(Comlink.transfer(port1, [port1]))
  const held = flag()
  await owner.lend(Comlink.transfer(port2, [port2]), held)
  await reached(held)
  const at = flag()
  const seen = holder.waitForKept(how, at)
  await reached(at)
  if (end.startsWith('terminate')) {
    if (end !== 'terminate') owner[Symbol.dispose]()
    await worker.terminate()
  } else await rejection(end === 'exit' ? owner.exit(0) : owner.crash())
  expect(await seen).toMatchObject({ name: 'AbortError', cause: { name: 'LinkLostError' }, turned: false })
})

test.each(['exit', 'crash', 'end by itself'] as const)(
  'a worker that never yields sees that the thread of its context has ended, though the one that made both has a link to neither: %s',
  async (end) => {
    const { port1, port2 } = new MessageChannel()
    const at = flag()
    const role = (does: Role['does'], port: MessagePort): Worker =>
      start('worker-unlinked', { workerData: { does, port, flag: at, end } satisfies Role, transferList: [port] })
    const spins = role('spin', port2)
    const seen = once(spins, 'message')
    role('lend', port1).on('error', () => undefined)
    expect(await seen).toEqual([{ err: 'AbortError', why: 'LinkLostError' } satisfies Ended])
  },
)

test('the exit of a worker that has passed on what another one has shown ends nothing of that one', async () => {
  const { worker, jobs: owner } = startJobs()
  const { jobs: holder } = startJobs()
  const between = new MessageChannel()
  await holder.serveOver(Comlink.transfer(between.port1, [between.port1]))
  const held = flag()
  await owner.lend(Comlink.transfer(between.port2, [between.port2]), held)
  await reached(held)
  const { port1, port2 } = new MessageChannel()
  const heard = once(port2, 'message')
  const asked = rejection(owner.spinOver(withCancel(background()), Comlink.transfer(port1, [port1]), flag()))
  let [message] = (await heard) as [{ readonly port?: MessagePort }]
  while (message.port === undefined) [message] = (await once(port2, 'message')) as [{ readonly port?: MessagePort }]
  const passOn =
    "const { parentPort } = require('node:worker_threads'); parentPort.on('message', (m) => m.port && parentPort.postMessage(m, [m.port]))"
  const relay = new Worker(passOn, { eval: true })
  const mine = link(relay)
  const passed = once(relay, 'message')
  relay.postMessage(message, [message.port as never])
  await passed
  await relay.terminate()
  await turn()
  await turn()
  expect(await holder.keptIsDone()).toBe(undefined)
  expect(mine.stats()).toMatchObject({ imports: 0 })
  await worker.terminate()
  await asked
})

test('contexts in a worker end when this side closes the link, and a new link works', async () => {
  const worker = start('worker-handles')
  const ask = asker(worker)
  const old = link(worker)
  const ctx = withCancel(background())
  await ask({ do: 'import', handle: old.export(ctx) })
  await ask({ do: 'observe' })
  const told = once(worker, 'message')
  old[Symbol.dispose]()
  expect(await told).toMatchObject([{ told: { err: 'AbortError', cause: { name: 'LinkLostError' } } }])
  expect(ctx.err()).toBe(undefined)
  expect(old.stats()).toMatchObject(empty)
  expect(() => old.export(ctx)).toThrow(LinkLostError)

  const fresh = link(worker)
  expect(fresh).not.toBe(old)
  expect(await ask({ do: 'import', handle: fresh.export(ctx) })).toMatchObject({ err: undefined })
  ctx.cancel('for real')
  expect(await ask({ do: 'state' })).toMatchObject([
    { cause: { name: 'LinkLostError' } },
    { err: 'AbortError', cause: 'for real' },
  ])
})

test('a busy worker sees that the link was closed', async () => {
  const worker = start('worker-handles')
  const ask = asker(worker)
  const mine = link(worker)
  const at = flag()
  const seen = ask({ do: 'spin', handle: mine.export(withCancel(background())), flag: at })
  await reached(at)
  mine[Symbol.dispose]()
  expect(await seen).toMatchObject({ err: 'AbortError', cause: { name: 'LinkLostError' } })
})

test('what is disposed of rejects its calls, terminates nothing, and is not thenable', async () => {
  const { worker, jobs } = startJobs()
  const { threadId } = await jobs.warm()
  const pending = rejection(jobs.hang(withCancel(background())))
  jobs[Symbol.dispose]()
  expect(await pending).toBeInstanceOf(LinkLostError)
  expect(await rejection(jobs.add(1, 2))).toBeInstanceOf(LinkLostError)
  expect(link(worker).stats()).toMatchObject(empty)
  expect(await wrap<Jobs>(worker).warm()).toMatchObject({ threadId })
})

test('a port that is closed is a lost link', async () => {
  const { port1, port2 } = new MessageChannel()
  const pending = rejection(wrap<Jobs>(port1).hang(withCancel(background())))
  port2.close()
  expect(await pending).toBeInstanceOf(LinkLostError)
  expect(link(port1).stats()).toMatchObject(empty)
})

test.each<[string, (port: MessagePort, other: MessagePort) => MessagePort]>([
  ['closed', (port) => (port.close(), port)],
  ['closed at its other end', (port, other) => (other.close(), port)],
  [
    'given away',
    (port) => {
      new MessageChannel().port1.postMessage(port, [port])
      return port
    },
  ],
])('a port that was %s is a lost link, whether or not that was told before anybody wrapped it', async (_how, end) => {
  for (const told of ['not yet', 'just now', 'before']) {
    const { port1, port2 } = new MessageChannel()
    const closed = once(port1, 'close')
    end(port1, port2)
    if (told !== 'not yet') await closed
    if (told === 'before') await turn()
    expect(await rejection(wrap<Jobs>(port1).look(withCancel(background())))).toBeInstanceOf(LinkLostError)
    expect(() => link(port1).export(withCancel(background()))).toThrow(LinkLostError)
    expect(link(port1).stats()).toMatchObject(empty)
    port2.close()
  }
})

test('a link that is the first to listen to a port refs that, also where it was unref-ed before', () => {
  const { port1 } = new MessageChannel()
  const isRefed = (): boolean => (port1 as unknown as { hasRef(): boolean }).hasRef()
  port1.unref()
  for (let round = 0; round < 2; round++) {
    const mine = link(port1)
    expect(isRefed()).toBe(true)
    port1.unref()
    wrap(port1)
    expect(isRefed()).toBe(false)
    mine[Symbol.dispose]()
    expect(isRefed()).toBe(false)
  }
  port1.close()
})

describe('a process', { timeout: 30_000 }, () => {
  const head = `
    import { Worker } from 'node:worker_threads'
    import { background, withCancel, withTimeout } from 'ctxbridge'
    import { link, wrap } from 'ctxbridge/worker'
    // Not with the flags of this process, whose program came by --eval.
    const worker = new Worker(new URL('${compiled('test/fixtures/worker-jobs.ts').href}'), { execArgv: [] })
    const jobs = wrap(worker)
  `

  test('ends by itself after terminate(), with deadlines, slots and observers left behind', async () => {
    const { code, stdout, stderr, hung } = await run(`${head}
      const ctx = withTimeout(background(), 3_600_000)
      ctx.signal.addEventListener('abort', () => undefined)
      const call = jobs.hang(ctx)
      call.catch((error) => console.log(error.name))
      await jobs.add(1, 2)
      link(worker).export(withCancel(ctx))
      await worker.terminate()
    `)
    expect({ code, stdout, stderr, hung }).toEqual({ code: 0, stdout: 'LinkLostError\n', stderr: '', hung: false })
  })

  test('ends by itself when its worker is unref-ed', async () => {
    const { code, stderr, hung } = await run(`${head}
      await jobs.look(withTimeout(background(), 3_600_000))
      worker.unref()
    `)
    expect({ code, stderr, hung }).toEqual({ code: 0, stderr: '', hung: false })
  })

  test('waits for the grace of a call whose context has ended, though its worker is unref-ed, and for no longer', async () => {
    const { code, stdout, hung } = await run(`${head}
      const stern = wrap(worker, { grace: 50 })
      const ctx = withCancel(background())
      const call = stern.hang(ctx)
      await stern.add(1, 2)
      worker.unref()
      ctx.cancel()
      await call.catch((error) => console.log(error.code))
    `)
    expect({ code, stdout, hung }).toEqual({ code: 0, stdout: 'ERR_CONTEXT_IGNORED\n', hung: false })
  })

  test('ends by itself also where an unref-ed worker has sent it a context', async () => {
    const { code, stdout, hung } = await run(`
      import { once } from 'node:events'
      import { Worker } from 'node:worker_threads'
      import { link } from 'ctxbridge/worker'
      const worker = new Worker(new URL('${compiled('test/fixtures/worker-handles.ts').href}'), { execArgv: [] })
      const mine = link(worker)
      worker.postMessage({ do: 'export' })
      // The attach comes first.
      let message
      do [message] = await once(worker, 'message')
      while (message.answer === undefined)
      const ctx = mine.import(message.answer)
      ctx.signal.addEventListener('abort', () => undefined)
      console.log(ctx.err(), mine.stats().imports)
      worker.unref()
    `)
    expect({ code, stdout, hung }).toEqual({ code: 0, stdout: 'undefined 1\n', hung: false })
  })

  test('waits for a pending call', async () => {
    const { code, stdout, hung } = await run(`${head}
      jobs.add(1, 2).then((sum) => { console.log(sum); worker.unref() })
    `)
    expect({ code, stdout, hung }).toEqual({ code: 0, stdout: '3\n', hung: false })
  })

  test('fails for an uncaught exception of a worker of which nobody else hears', async () => {
    const { code, stderr, hung } = await run(`${head}
      await jobs.crashLater()
    `)
    expect({ code, hung }).toEqual({ code: 1, hung: false })
    expect(stderr).toContain('nobody was waiting')
  })

  test('fails for one that came right after the last answer, before whoever waited for that has heard of it', async () => {
    const { code, stderr, hung } = await run(`${head}
      await jobs.warm()
      // The end of a worker may be told in one go with what it has said last.
      worker.on('message', () => {
        worker.unref()
        worker.emit('error', new Error('nobody was waiting'))
        worker.emit('exit', 1)
      })
      await jobs.add(1, 2)
    `)
    expect({ code, hung }).toEqual({ code: 1, hung: false })
    expect(stderr).toContain('nobody was waiting')
  })

  test('fails for one that came before the link was disposed of, and the exit after it', async () => {
    const { code, stdout, stderr, hung } = await run(`${head}
      const call = jobs.hang(withCancel(background())).catch((error) => console.log(error.message, error.cause))
      worker.emit('error', new Error('nobody was waiting'))
      jobs[Symbol.dispose]()
      await call
      await worker.terminate()
    `)
    expect({ code, stdout, hung }).toEqual({ code: 1, stdout: 'The link was closed by this thread. undefined\n', hung: false })
    expect(stderr).toContain('nobody was waiting')
  })

  test('does not fail for one that rejected a call, or that has a listener', async () => {
    // The error may be heard before the answer.
    const { code, stdout, hung } = await run(`${head}
      jobs.hang(withCancel(background())).catch((error) => console.log(error.name, error.cause.message))
      await jobs.crashLater().catch(() => undefined)
    `)
    expect({ code, stdout, hung }).toEqual({ code: 0, stdout: 'LinkLostError nobody was waiting\n', hung: false })
    const heard = await run(`${head}
      worker.on('error', (error) => console.log(error.message))
      await jobs.crashLater().catch(() => undefined)
    `)
    expect(heard).toMatchObject({ code: 0, stdout: 'nobody was waiting\n', hung: false })
    const disposed = await run(`${head}
      worker.on('error', (error) => {
        console.log(error.message)
        jobs[Symbol.dispose]()
      })
      await jobs.crashLater().catch(() => undefined)
    `)
    expect(disposed).toMatchObject({ code: 0, stdout: 'nobody was waiting\n', hung: false })
  })

  test.each([
    ['once', "worker.once('error', (error) => console.log(error.message))"],
    ['once of node:events', "once(worker, 'exit').catch((error) => console.log(error.message))"],
  ])('does not fail for one that was heard by %s, before or after wrap', async (_how, listen) => {
    for (const [before, after] of [
      [listen, ''],
      ['', listen],
    ]) {
      const { code, stdout, stderr, hung } = await run(`
        import { once } from 'node:events'
        import { Worker } from 'node:worker_threads'
        import { wrap } from 'ctxbridge/worker'
        import { background } from 'ctxbridge'
        const worker = new Worker(new URL('${compiled('test/fixtures/worker-jobs.ts').href}'), { execArgv: [] })
        ${before}
        const jobs = wrap(worker)
        ${after}
        await jobs.crashLater().catch(() => undefined)
      `)
      expect({ code, stdout, stderr, hung }).toEqual({ code: 0, stdout: 'nobody was waiting\n', stderr: '', hung: false })
    }
  })

  test('has no unhandled rejection from jobs that throw after their callers were told', async () => {
    const { code, stdout, stderr, hung } = await run(`${head}
      process.on('unhandledRejection', (error) => { console.log('unhandled', error); process.exitCode = 3 })
      const flag = new Int32Array(new SharedArrayBuffer(4))
      for (const job of ['spin', 'idle']) {
        const [ctx, cancel] = withCancel(background())
        Atomics.store(flag, 0, 0)
        const call = job === 'spin' ? jobs.spin(ctx, flag) : jobs.idle(ctx, 'done', flag)
        while (Atomics.load(flag, 0) === 0) await new Promise(setImmediate)
        cancel('over')
        await call.catch((error) => console.log(error.cause))
        while (link(worker).stats().calls > 0) await new Promise(setImmediate)
      }
      await worker.terminate()
    `)
    expect({ code, stdout, stderr, hung }).toEqual({ code: 0, stdout: 'over\nover\n', stderr: '', hung: false })
  })
})
