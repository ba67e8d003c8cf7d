/** Breakages of what is between threads, by files whose tests need no program that is compiled. */
import type { Mutant } from './list.ts'

const late = ['test/worker/late.test.ts']
const channels = ['test/pools/channels.test.ts']
const clock = ['test/threads/clock.test.ts']
const grace = ['test/threads/grace.test.ts']

export const threads: readonly Mutant[] = [
  {
    file: 'transports/worker/told.ts',
    original: '    if (this.#end !== undefined) this.#tell(this.#end)\n    else if',
    replacement: '    if',
    breaks: 'who imports late, by messages, is not told the end that was told before',
    tests: late,
  },
  {
    file: 'transports/worker/exporter.ts',
    original: "        this.#ends.add([id, 'gone', undefined])\n",
    replacement: '',
    breaks: 'who imports what was given back, by messages, is not told that it is gone',
    tests: late,
  },
  {
    file: 'transports/worker/exporter.ts',
    original: '    for (const held of this.#told.values()) held.drop()\n',
    replacement: '',
    breaks: 'a closed link goes on observing what goes by messages',
    tests: late,
  },
  {
    file: 'transports/worker/exporter.ts',
    original: 'if (this.#table !== undefined && ++this.#exported % LOOKS === 0) collect(this.#table, LOOKS)',
    replacement: 'void [LOOKS, collect, this.#exported]',
    breaks: 'who exports never looks for what has come back',
    tests: late,
  },
  {
    file: 'transports/worker/remote-source.ts',
    original: 'if (view.release() && this.#end === undefined) this.#importer.reader.tellDrop()',
    replacement: 'view.release()',
    breaks: 'who gives a live context back does not count it, so that nobody looks for it',
    tests: late,
  },
  {
    file: 'transports/worker/importer.ts',
    original: 'if (this.#causes.size > MAX_CAUSES && oldest !== undefined) this.#causes.delete(oldest)',
    replacement: 'void [oldest, MAX_CAUSES]',
    breaks: 'long causes that nobody asks for are all kept',
    tests: late,
  },
  {
    file: 'transports/worker/importer.ts',
    original: '    for (const source of sources) source.lose(error)\n    for (const source of sources) source.wake()\n',
    replacement: '    for (const source of sources) {\n      source.lose(error)\n      source.wake()\n    }\n',
    breaks: 'at a loss somebody hears of it while others seem to live',
    tests: late,
  },
  {
    file: 'transports/worker/importer.ts',
    original: '    if (!this.#alone || this.#size > 0 || this.#closed) return\n',
    replacement: '    if (this.#closed || this.#size >= 0) return\n',
    breaks: 'the channel of a context that came by plain Comlink is never closed',
    tests: late,
  },
  {
    file: 'transports/worker/remote-source.ts',
    original: "this.#end ??= this.poll() ?? new End('canceled', error, unknown)",
    replacement: "this.#end ??= new End('canceled', error, unknown)",
    breaks: 'the loss of a link wins over an end that was there',
    tests: late,
  },
  {
    file: 'transports/worker/clock.ts',
    original: 'return at + origin().high',
    replacement: 'return at + origin().low',
    breaks: 'a deadline leaves a thread too early',
    tests: clock,
  },
  {
    file: 'transports/worker/clock.ts',
    original: 'return at - origin().low',
    replacement: 'return at - origin().high',
    breaks: 'a deadline arrives in a thread too early',
    tests: clock,
  },
  {
    file: 'transports/worker/grace.ts',
    original: '      this.#forget?.()\n      for',
    replacement: '      for',
    breaks: 'a worker is terminated for a method that has heeded its context in time',
    tests: grace,
  },
  {
    file: 'transports/worker/grace.ts',
    original: '      for (const stop of stops) stop()\n',
    replacement: '      void stops\n',
    breaks: 'a call that was answered goes on listening to its contexts',
    tests: grace,
  },
  {
    file: 'transports/worker/pool.ts',
    original: 'channel.exporter.posted >= MAX_POSTED',
    replacement: 'MAX_POSTED < 0',
    breaks: 'the jobs of pools have one channel for ever',
    tests: channels,
  },
  {
    file: 'transports/worker/pool.ts',
    original: '  if (--joined.jobs === 0 && joined !== channel) joined.exporter.close()\n',
    replacement: '  joined.jobs--\n',
    breaks: 'a channel that no job has any more is not closed',
    tests: channels,
  },
  {
    file: 'transports/worker/pool.ts',
    original: '    leaveOthers(table)\n',
    replacement: '    void leaveOthers\n',
    breaks: 'a worker listens to all channels that it ever had',
    tests: channels,
  },
  {
    file: 'transports/worker/pool.ts',
    original: 'if (importer.table !== table || importer.size > 0) continue',
    replacement: 'if (importer.table !== table) continue',
    breaks: 'a worker leaves the channel of a job that it is at',
    tests: channels,
  },
  {
    file: 'transports/worker/pool.ts',
    original: '      ctx.throwIfDone()\n',
    replacement: '',
    breaks: 'a job whose context has ended is called',
    tests: channels,
  },
  {
    file: 'transports/worker/pool.ts',
    original: '      forget?.()\n',
    replacement: '',
    breaks: 'a job is ended by force that has ended by itself',
    tests: channels,
  },
]
