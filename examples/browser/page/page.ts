/** The page: one context for each press of Start. Stop cancels it, and that is all that Stop does. */
import { background, type CancelableContext, isDeadlineExceeded, withTimeout } from 'ctxbridge'
import { connect, wrap } from 'ctxbridge/websocket'
import type { Searcher } from '../work.ts'
import {
  addRun,
  chosenDeadline,
  milliseconds,
  showEcho,
  showHop,
  showHops,
  showLink,
  showOutcome,
  showProgress,
  showRunning,
  startButton,
  stopButton,
} from './view.ts'

const connection = await connect(new URL('/', location.href.replace(/^http/, 'ws')), { name: 'page' })
const searcher = wrap<Searcher>(connection)
let current: CancelableContext | undefined
/** When the context ended, by the click or by its deadline. */
let ended = 0

async function run(ms: number | undefined): Promise<void> {
  const id = crypto.randomUUID()
  const since = performance.now()
  using ctx = withTimeout(background(), ms ?? Infinity, 'the deadline of the page')
  current = ctx
  showRunning(true)
  showOutcome('The loop runs.')
  for (const name of ['page', 'gateway', 'service', 'worker thread']) showHop(name, 'live', 'runs')
  // Not below the context of the run: it is to tell of the time after its end.
  const stopped = searcher.stopped(withTimeout(background(), 600_000), id)
  try {
    for await (const progress of searcher.count(ctx, id)) showProgress(progress, since)
  } catch (error) {
    if (ctx.err() === undefined) return showOutcome(`The search was lost: ${String(error)}`)
  } finally {
    current = undefined
    showRunning(false)
    showHop('page', 'ended', 'canceled')
  }
  const byDeadline = isDeadlineExceeded(ctx.err())
  if (byDeadline) {
    ended = since + (ms ?? 0)
    showHop('page', 'ended', 'deadline exceeded')
  }
  const { hops, ...progress } = await stopped
  const took = performance.now() - ended
  showProgress(progress, since)
  showHops(hops)
  addRun(byDeadline ? 'deadline' : 'stop', took)
  const what = byDeadline ? 'the deadline' : 'the click'
  showOutcome(`${milliseconds(took)} after ${what} this page knew that the worker's loop had stopped.`)
}

startButton.form?.addEventListener('submit', (event) => {
  event.preventDefault()
  if (current === undefined) run(chosenDeadline()).catch((error: unknown) => showOutcome(String(error)))
})
stopButton.addEventListener('click', () => {
  ended = performance.now()
  current?.cancel('Stop was pressed')
})

showLink('open')
setInterval(() => showLink(connection.stats().state), 200)
setInterval(async () => {
  if (connection.stats().state !== 'open' || document.visibilityState === 'hidden') return
  const before = performance.now()
  await searcher.echo(withTimeout(background(), 1_000), 1).then(
    () => showEcho(performance.now() - before),
    () => undefined,
  )
}, 1_000)
