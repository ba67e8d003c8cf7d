/**
 * The service: a process with worker threads that are started once and stay. Its main thread lists the folder and counts nothing, so it is
 * free to hear of a cancel, and to tell how far the workers are.
 */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { background, type Context, group, race, withTimeout } from 'ctxbridge'
import { serve } from 'ctxbridge/websocket'
import { type Remote, wrap } from 'ctxbridge/worker'
import { greet, listen } from './child.ts'
import { counters, type Hop, type Job, newHop, type Progress, recorded, type Report, type Searcher } from './job.ts'
import type { SearchWorker } from './search-worker.ts'

const [workerCount = '1'] = process.argv.slice(2)
const server = await listen(0)
const workers: Remote<SearchWorker>[] = Array.from({ length: Number(workerCount) }, (_, i) =>
  wrap<SearchWorker>(new Worker(new URL('./search-worker.js', import.meta.url), { workerData: i + 1 })),
)

/** What is known of a job, from its beginning until its report was asked for. */
class Search {
  readonly hop: Hop = newHop('service')
  readonly counts = new BigInt64Array(new SharedArrayBuffer(8 * Object.keys(counters).length))
  total: number | null = null

  async run(ctx: Context, { id, dir, pattern, repeat }: Job): Promise<void> {
    const files = await this.#list(ctx, dir)
    this.total = files.length * repeat
    // One context for all of them: when a worker fails, the others need not go on.
    using searching = group(ctx)
    for (const worker of workers) searching.go((ctx) => worker.search(ctx, { id, files, repeat, pattern, counts: this.counts }))
    await searching.wait()
  }

  /** All files below a folder. Links are not followed: they may lead back up. */
  async #list(ctx: Context, dir: string): Promise<string[]> {
    const files: string[] = []
    using listing = group(ctx, { limit: 8 })
    const visit = (folder: string): void =>
      listing.go(async (ctx) => {
        for (const entry of await race(ctx, this.#read(folder))) {
          const path = join(folder, entry.name)
          if (entry.isDirectory()) visit(path)
          else if (entry.isFile()) files.push(path)
        }
      })
    visit(dir)
    await listing.wait()
    return files
  }

  async #read(folder: string): ReturnType<typeof readEntries> {
    try {
      return await readEntries(folder)
    } catch {
      Atomics.add(this.counts, counters.unreadable, 1n)
      return []
    }
  }

  progress(): Progress {
    const count = (index: number): number => Number(Atomics.load(this.counts, index))
    return {
      total: this.total,
      files: count(counters.files),
      matches: count(counters.matches),
      unreadable: count(counters.unreadable),
    }
  }
}

const readEntries = (folder: string) => readdir(folder, { withFileTypes: true })

const searches = new Map<number, Search>()

const searcher: Searcher = {
  search(ctx: Context, job: Job): Promise<void> {
    const search = new Search()
    searches.set(job.id, search)
    return recorded(ctx, search.hop, () => search.run(ctx, job))
  },

  async progress(_ctx: Context, id: number): Promise<Progress> {
    return (searches.get(id) ?? new Search()).progress()
  },

  async report(ctx: Context, id: number): Promise<Report> {
    const search = searches.get(id) ?? new Search()
    searches.delete(id)
    // The call of a worker has rejected at once, whether or not its loop had stopped. Only when it answers again it has.
    const answers = await Promise.all(workers.map((worker, i) => statusOf(ctx, worker, id, i + 1)))
    return { progress: search.progress(), hops: [search.hop, ...answers] }
  },
}

/** An idle worker answers in well under a millisecond. One that does not answer for a second is busy, cancelled or not. */
async function statusOf(ctx: Context, worker: Remote<SearchWorker>, id: number, number: number): Promise<Hop> {
  using patience = withTimeout(ctx, 1_000)
  try {
    return await worker.status(patience, id)
  } catch {
    return newHop(`worker ${number}`, { busy: true })
  }
}

// Once through all of them: from here on they are warm, and what is measured is not their start.
await Promise.all(workers.map((worker) => worker.status(background(), 0)))
serve(server, searcher, { name: 'service' })
greet(server)
