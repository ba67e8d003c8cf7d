/**
 * The gateway: a process between client and service that holds no more of a job than its context. It passes the context of its own
 * handler on, and that is all it takes for a cancel to go through.
 */
import type { Context } from 'ctxbridge'
import { connect, serve, wrap } from 'ctxbridge/websocket'
import { greet, listen } from './child.ts'
import { type Hop, type Job, newHop, type Progress, recorded, type Report, type Searcher } from './job.ts'

const [serviceUrl = '', port = '0'] = process.argv.slice(2)
const server = await listen(Number(port))
const service = wrap<Searcher>(await connect(serviceUrl, { name: 'gateway' }))
const hops = new Map<number, Hop>()

const searcher: Searcher = {
  search(ctx: Context, job: Job): Promise<void> {
    const hop = newHop('gateway')
    hops.set(job.id, hop)
    return recorded(ctx, hop, () => service.search(ctx, job))
  },

  progress(ctx: Context, id: number): Promise<Progress> {
    return service.progress(ctx, id)
  },

  async report(ctx: Context, id: number): Promise<Report> {
    const own = hops.get(id) ?? newHop('gateway')
    hops.delete(id)
    const report = await service.report(ctx, id)
    return { ...report, hops: [own, ...report.hops] }
  },
}

serve(server, searcher, { name: 'gateway' })
greet(server)
