/** What a look at a context of another thread adds to a loop. */
import { once } from 'node:events'
import { MessageChannel } from 'node:worker_threads'
import { background, type CancelableContext, cause, type Context, withCancel, withTimeout } from 'ctxbridge'
import { link } from 'ctxbridge/worker'
import type { Suite } from '../harness/model.ts'
import { cost, must } from './cost.ts'

const hour = 3_600_000

/** Two contexts that went over a link. Its other side is in this thread, too, which is the same to who looks. */
async function imported(a: Context, b: Context): Promise<readonly [Context, Context]> {
  const { port1, port2 } = new MessageChannel()
  const [here, there] = [link(port1), link(port2)]
  const handles = [here.export(a), here.export(b)]
  for (let kind; kind !== 'attach'; ) [{ ctxbridge: kind }] = (await once(port2, 'message')) as [{ ctxbridge: string }]
  for (const port of [port1, port2]) port.unref()
  return [there.import(handles[0]), there.import(handles[1])]
}

function seen(own: CancelableContext, theirs: Context): string {
  must(theirs.err() === undefined, 'the import was live')
  own.cancel('proof')
  must(cause(theirs) === 'proof', 'a loop that did not yield saw the cause')
  return 'seen without a turn, with its cause'
}

const check: Suite = {
  id: 'worker/check',
  title: 'One check, in a hot loop, of a context of another thread',
  about: 'err() of a live context that was imported; the cost of one turn of the loop.',
  unit: 'ns',
  sample: 'mean',
  async contenders() {
    const words = new Int32Array(new SharedArrayBuffer(4))
    const poll = async (name: string, make: () => CancelableContext, below?: (ctx: Context) => Context, note?: string) => {
      const own = make()
      const [there, proof] = await imported(make(), own)
      const ctx = below?.(there) ?? there
      return cost({
        name,
        kind: 'ours',
        ...(note !== undefined && { note }),
        prove: () => seen(own, proof),
        loop(n) {
          let i = 0
          while (i < n && ctx.err() === undefined) i++
          return i
        },
      })
    }
    const [plain, timed] = [() => withCancel(background()), () => withTimeout(background(), hour)]
    return [
      await poll('ctx.err()', plain),
      await poll('ctx.err(), with a deadline', timed, undefined, 'in such a loop it reads the clock at every 16th look'),
      await poll('ctx.err() of a child', plain, withCancel),
      await poll(
        'ctx.err() of a child with a deadline of its own',
        plain,
        (ctx) => withTimeout(ctx, hour),
        'reads the clock at each look',
      ),
      cost({
        name: 'bare Atomics flag',
        kind: 'limit',
        prove: () => {
          Atomics.store(words, 0, 1)
          must(Atomics.exchange(words, 0, 0) === 1, 'the flag was seen')
          return 'the flag was seen'
        },
        loop(n) {
          let i = 0
          while (i < n && Atomics.load(words, 0) === 0) i++
          return i
        },
      }),
    ]
  },
}

export const workerCheckSuites: readonly Suite[] = [check]
