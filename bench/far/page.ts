/** The near side in a page: it cancels, and takes the time until the service's worker has seen it. Runs in a browser. */
import { background, withCancel } from 'ctxbridge'
import { connect, wrap } from 'ctxbridge/websocket'
import { type Act, latency, type Near } from '../cases/latency.ts'
import { compareClocks } from '../harness/clock.ts'
import type { ClockResult, Started } from '../harness/model.ts'
import { Reports } from '../harness/reports.ts'
import type { FromPage, PageBench, PageServed, ToPage, Way } from './page-types.ts'

/** In which steps a page's clock counts, in ns: 5 us where it is isolated, else 100. */
const pageTick = globalThis.crossOriginIsolated ? 5_000 : 100_000

const samples = 100

const url = location.origin.replace('http', 'ws')
const connection = await connect(`${url}/link`)
const remote = wrap<PageServed>(connection)
const socket = new WebSocket(`${url}/bare`)
const reports = new Reports()
let clockAnswer: (value: number) => void = () => {}
socket.addEventListener('message', ({ data }) => {
  const message = JSON.parse(data as string) as ToPage
  if ('clock' in message) clockAnswer(message.clock)
  else reports.add(message.report)
})
const send = (message: FromPage): void => socket.send(JSON.stringify(message))

const pageClock = (): number => performance.now() * 1e6
/** Of the service's clock against ours: one for all ways. */
let offset = 0
/** As long as a cancel of ours, without a cause. */
let frame = new Uint8Array(0)

/** What a cancel of ours is in bytes of a message: measured, not believed. */
async function cancelSize(): Promise<number> {
  const ctx = withCancel(background())
  const call = remote.watch(ctx, 'signal').catch(() => {})
  await reports.ready()
  const { send } = WebSocket.prototype
  let size = 0
  WebSocket.prototype.send = function (data) {
    size = (data as Uint8Array).byteLength
    return send.call(this, data)
  }
  ctx.cancel()
  await reports.seen()
  await call
  WebSocket.prototype.send = send
  return size
}

/** By brackets, as between all other sides; asked over the bare WebSocket. */
function compare(): Promise<ClockResult> {
  const ask = (): Promise<number> =>
    new Promise((resolve) => {
      clockAnswer = resolve
      send({ ask: 'clock' })
    })
  return compareClocks('the page and the service', ask, 1_000, pageClock, pageTick)
}

function arm(way: Way): Act {
  const how = way.endsWith('busy') ? 'busy' : 'idle'
  if (way.startsWith('bare')) {
    send({ arm: how })
    return () => socket.send(frame)
  }
  const ctx = withCancel(background())
  const call = remote.watch(ctx, how === 'busy' ? 'err' : 'signal').catch((error: unknown) => {
    if (error !== ctx.err()) reports.fail(error as Error)
  })
  return (cause) => {
    ctx.cancel(cause === '' ? undefined : cause)
    return call
  }
}

function near(way: Way): Near {
  return { reports, arm: () => arm(way) }
}

const ways = new Map<Way, Started>()

const bench: PageBench = {
  async setUp() {
    const compared = await compare()
    offset = compared.offset
    frame = new Uint8Array(await cancelSize()).fill(1)
    return compared
  },
  async prove(way) {
    const started = await latency({
      name: way,
      kind: 'ours',
      ...(way.startsWith('ours') && { carries: { name: 'AbortError', cause: 'proof' } }),
      samples,
      // Who measures it there calls for a round at once.
      turns: 1,
      clock: () => pageClock() + offset,
      start: () => near(way),
    }).start?.()
    if (started === undefined) throw new Error('There is nothing to be measured.')
    ways.set(way, started)
    return started.prove()
  },
  async round(way, warm) {
    const values: number[] = []
    await ways.get(way)?.round((value) => values.push(value), warm)
    return values
  },
}

await new Promise((resolve) => socket.addEventListener('open', resolve))
Object.assign(globalThis, { bench })
