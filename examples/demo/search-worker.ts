/**
 * A worker thread: searches files in one synchronous loop. Its event loop does not turn until the loop is over, so no message and no
 * `abort` event could reach it. `ctx.throwIfDone()` looks into shared memory.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { StringDecoder } from 'node:string_decoder'
import { threadId, workerData } from 'node:worker_threads'
import type { Context } from 'ctxbridge'
import { expose } from 'ctxbridge/worker'
import { counters, endOf, type Hop, newHop } from './job.ts'

export interface Task {
  readonly id: number
  readonly files: readonly string[]
  readonly repeat: number
  readonly pattern: string
  /** Shared memory: by `counters`. */
  readonly counts: BigInt64Array
}

export type SearchWorker = typeof worker

const name = `worker ${String(workerData)}`
let last: { readonly id: number; readonly hop: Hop } | undefined

const worker = {
  search(ctx: Context, task: Task): void {
    const hop = newHop(name, { path: String(ctx), thread: threadId })
    last = { id: task.id, hop }
    try {
      search(ctx, task)
    } catch (error) {
      hop.end = endOf(ctx)
      throw error
    }
  },

  /** Answers when nothing else runs here: so the answer alone shows that this thread is idle. */
  status(_ctx: Context, id: number): Hop {
    return last?.id === id ? last.hop : newHop(name, { thread: threadId })
  },
}

function search(ctx: Context, { files, repeat, pattern, counts }: Task): void {
  const regex = new RegExp(pattern, 'g')
  // Whoever is ready takes the next file: so all workers are busy to the end, however long one file is.
  for (let i = take(counts); i < files.length * repeat; i = take(counts)) {
    try {
      for (const line of lines(files[i % files.length] as string)) {
        // At every line: a look at a context that lives costs less than the regular expression.
        ctx.throwIfDone()
        const found = line.match(regex)
        if (found !== null) Atomics.add(counts, counters.matches, BigInt(found.length))
      }
    } catch (error) {
      ctx.throwIfDone()
      // Deleted since it was listed, or not ours to read.
      if (!(error instanceof Error && 'syscall' in error)) throw error
      Atomics.add(counts, counters.unreadable, 1n)
    }
    Atomics.add(counts, counters.files, 1n)
  }
}

function take(counts: BigInt64Array): number {
  return Number(Atomics.add(counts, counters.next, 1n))
}

const longestLine = 100_000

/** Never holds much more than a line. A line that is longer than 100,000 characters comes in parts, so that none holds up a cancel. */
function* lines(path: string): Iterable<string> {
  const fd = openSync(path, 'r')
  // Also when the caller's loop is left by an exception.
  try {
    // A file of no size is empty, or is none: to read some of those in /proc is to wait for ever.
    if (fstatSync(fd).size === 0) return
    const decoder = new StringDecoder('utf8')
    let rest = ''
    for (let n = readSync(fd, chunk); n > 0; n = readSync(fd, chunk)) {
      const parts = (rest + decoder.write(chunk.subarray(0, n))).split('\n')
      rest = parts.pop() as string
      yield* parts
      if (rest.length < longestLine) continue
      yield rest
      rest = ''
    }
    yield rest + decoder.end()
  } finally {
    closeSync(fd)
  }
}

const chunk = Buffer.alloc(65_536)

expose(worker)
