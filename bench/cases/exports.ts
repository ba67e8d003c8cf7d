/** What many contexts cost that are exported to one worker and live all at once. */
import { background, withCancel } from 'ctxbridge'
import { type ContextHandle, type Link, link, type Remote, wrap as wrapWorker } from 'ctxbridge/worker'
import type { Jobs } from '../far/worker-jobs.ts'
import type { CurveSuite, Suite } from '../harness/model.ts'
import { must, timed } from './cost.ts'
import { foundTogether } from './lines.ts'
import { powers } from './scale.ts'
import { far as farWorker } from './worker-far.ts'

type Step = 'export' | 'import' | 'release' | 'end'

interface Exporting {
  readonly out: Link
  readonly jobs: Remote<Jobs>
  close(): Promise<void>
}

/** A worker that has taken some exports, until the code of both sides is compiled, for which a function of some lines must have run ten thousand times: what is asked here is not what a first export costs. */
async function start(): Promise<Exporting> {
  const it = farWorker('ctxbridge')
  const jobs = wrapWorker<Jobs>(it.worker)
  const out = link(it.worker)
  for (let i = 0; i < 30; i++) {
    const some = Array.from({ length: 1_000 }, () => withCancel(background()))
    await jobs.take(
      background(),
      some.map((ctx) => out.export(ctx)),
    )
    for (const ctx of some) ctx.cancel()
  }
  return { out, jobs, close: () => it.close() }
}

/** Each one's share of the steps, taken for all of n contexts. */
async function exportAll({ out, jobs }: Exporting, n: number): Promise<Record<Step, number>> {
  // What came before has left is not collected within this.
  globalThis.gc?.()
  const contexts = Array.from({ length: n }, () => withCancel(background()))
  const handles = Array.from<ContextHandle | undefined>({ length: n }).fill(undefined)
  const exporting = timed(() => {
    let i = 0
    for (const ctx of contexts) handles[i++] = out.export(ctx)
  })
  must(out.stats().exports === n, 'all were exported')
  const [importing, releasing] = await jobs.take(background(), handles as ContextHandle[])
  const ending = timed(() => {
    for (const ctx of contexts) ctx.cancel()
  })
  must(out.stats().exports === 0, 'nothing was left')
  return { export: exporting / n, import: importing / n, release: releasing / n, end: ending / n }
}

/** In a worker of its own, which nothing else has used. */
async function exportAllAfresh(n: number): Promise<Record<Step, number>> {
  const it = await start()
  try {
    return await exportAll(it, n)
  } finally {
    await it.close()
  }
}

/** Of all points of the curve, started when it is first needed. */
let shared: Promise<Exporting> | undefined

const exported: CurveSuite = {
  id: 'scale/exports',
  title: 'Contexts exported to a worker, by how many there are',
  about:
    "Each context's share of four steps, each taken for all of them in one turn of the event loop: here export and end, in the worker import and release. The last point fills the table of a thread but for some eighty slots; what is exported beyond it goes by messages, and is not measured here.",
  unit: 'ns',
  axis: 'exports',
  expected: 'constant',
  lines: foundTogether(
    { export: 'export', import: 'import', release: 'release', end: 'end' },
    [...powers(100_000), 262_000],
    async (n) => exportAll(await (shared ??= start()), n),
  ),
  async close() {
    await (await shared)?.close()
    shared = undefined
  },
}

const many = 100_000
/** What an export and its import are made of that live as long as they do, in both threads. */
const objects = 10

let kept: unknown[] = []

function keepObjects(): number {
  kept = Array.from({ length: many * objects })
  return timed(() => {
    for (let i = 0; i < kept.length; i++) kept[i] = { a: i, b: kept, c: undefined, d: undefined, e: undefined, f: i, g: i, h: i }
  })
}

const together: Suite = {
  id: 'worker/exports',
  title: 'Export, import and release of 100,000 contexts that live at once',
  about: "Each context's share of the three steps together, each taken for all of them in one turn of the event loop.",
  unit: 'ns',
  sample: 'mean',
  rounds: 5,
  warmUp: 1,
  contenders: () => [
    {
      name: 'link.export, link.import, cancel',
      kind: 'ours',
      start: () => ({
        async prove() {
          const { import: importing } = await exportAllAfresh(100)
          must(importing > 0, 'the worker imported them')
          return 'all were exported at once, imported, and given back'
        },
        async round(record) {
          const { export: exporting, import: importing, release } = await exportAllAfresh(many)
          record(exporting + importing + release)
        },
      }),
    },
    {
      name: 'as many plain objects, kept',
      kind: 'limit',
      note: `${objects} objects of 8 fields for each context, made in one thread: nothing but their allocation, and the collector that moves them`,
      start: () => ({
        prove: () => {
          must(keepObjects() > 0 && kept.length === many * objects, 'they were kept')
          kept = []
          return 'made and kept'
        },
        round(record) {
          record(keepObjects() / many)
          kept = []
        },
      }),
    },
  ],
}

export const exportSuites: readonly Suite[] = [together]
export const exportCurves: readonly CurveSuite[] = [exported]
