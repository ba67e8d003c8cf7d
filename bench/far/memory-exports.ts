/** What contexts take that are exported to a worker. */
import { background, type Context, withCancel } from 'ctxbridge'
import { link, wrap } from 'ctxbridge/worker'
import { far } from '../cases/worker-far.ts'
import { bytesOf, many, ofHeap } from './bytes-of.ts'
import type { Jobs } from './worker-jobs.ts'

const parent = withCancel(background())

export async function exported(): Promise<number> {
  const out = link(far('ctxbridge').worker)
  return bytesOf(() => {
    const ctx = withCancel(parent)
    return [ctx, out.export(ctx)]
  })
}

/** Without the table, which is a buffer, and without the handle, which is sent. */
export async function exporter(): Promise<number> {
  const out = link(far('ctxbridge').worker)
  const make = (): Context => {
    const ctx = withCancel(parent)
    out.export(ctx)
    return ctx
  }
  return bytesOf(make, undefined, ofHeap)
}

export async function importer(): Promise<number> {
  const { worker } = far('ctxbridge')
  const out = link(worker)
  const contexts = Array.from({ length: many }, () => withCancel(parent))
  const bytes = await wrap<Jobs>(worker).keep(
    background(),
    contexts.map((ctx) => out.export(ctx)),
  )
  if (contexts.some((ctx) => ctx.err() !== undefined)) throw new Error('They were not live.')
  return bytes
}

/** Of the shared memory alone. */
export async function slots(): Promise<number> {
  const out = link(far('ctxbridge').worker)
  const { arrayBuffers: before } = process.memoryUsage()
  const all = Array.from({ length: many }, () => {
    const ctx = withCancel(parent)
    return [ctx, out.export(ctx)]
  })
  if (out.stats().slots !== all.length) throw new Error('They were not all exported.')
  return (process.memoryUsage().arrayBuffers - before) / many
}
