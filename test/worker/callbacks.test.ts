/** Calls from a worker to the thread that made it, with contexts of the worker's. */
import * as Comlink from 'comlink'
import { background, cause, type Context, withCancel } from 'ctxbridge'
import { install } from 'ctxbridge/comlink'
import { expose, link, wrap } from 'ctxbridge/worker'
import { expect, test } from 'vitest'
import type { CallbackJobs, Callbacks } from '../fixtures/worker-callbacks.ts'
import { turn } from '../support/gc.ts'
import { empty, quiet, start } from './workers.ts'

const saw: Error[] = []

const callbacks: Callbacks = {
  async wait(ctx, flag) {
    begin(flag)
    return tell(ctx, await ctx.done)
  },
  spin(ctx, flag) {
    begin(flag)
    // A test that fails must not hang: nothing else could end such a loop.
    for (const giveUp = performance.now() + 20_000; performance.now() < giveUp; ) {
      const error = ctx.err()
      if (error !== undefined) return tell(ctx, error)
    }
    return 'never ended'
  },
}

function begin(flag: Int32Array): void {
  Atomics.store(flag, 0, 1)
  Atomics.notify(flag, 0)
}

function tell(ctx: Context, error: Error): string {
  saw.push(error)
  return `${error.name}: ${(cause(ctx) as Error).message}`
}

/** Why the worker cancels, and what is heard of that: what is too long for a slot is whole, and what is too long for a cause is cut. */
const causes: readonly (readonly [why: string, heard: string])[] = [
  ['the worker says so', 'the worker says so'],
  ['w'.repeat(900), 'w'.repeat(900)],
  ['c'.repeat(9_000), `${'c'.repeat(1_021)}…`],
]

test.each(['wait', 'spin'] as const)(
  'a callback by Comlink.proxy gets a context of the worker, which ends here with the cause of the cancel there: %s',
  async (how) => {
    install(Comlink)
    const worker = start('worker-callbacks')
    const jobs = wrap<CallbackJobs>(worker)
    const ctx = withCancel(background())
    for (const [why, heard] of causes) {
      const told = `AbortError: ${heard}`
      expect(await jobs.byProxy(Comlink.proxy(callbacks[how]), why)).toBe(told)
      expect(await jobs.byProxyBelow(ctx, Comlink.proxy(callbacks[how]), why)).toEqual([told, undefined])
    }
    expect(ctx.err()).toBe(undefined)
    expect(link(worker).stats()).toMatchObject(empty)
    expect(await jobs.stats()).toMatchObject({ slots: 0, imports: 0 })
  },
)

test.each(['wait', 'spin'] as const)(
  'a worker calls what is served here with a context of its own; its caller is told at once, and the method here sees the cause: %s',
  async (how) => {
    const worker = start('worker-callbacks')
    expose(callbacks, worker)
    const jobs = wrap<CallbackJobs>(worker)
    for (const [why, heard] of causes) {
      saw.length = 0
      expect(await jobs.byWrap(how, why)).toBe('my own end')
      // Its caller is told at once, whatever the method is at.
      while (saw.length === 0) await turn()
      expect(saw).toMatchObject([{ name: 'AbortError', cause: { message: heard } }])
    }
    await quiet(worker)
    expect(link(worker).stats()).toMatchObject(empty)
    for (let left; left?.slots !== 0; ) left = await jobs.stats()
  },
)
