/**
 * `npm run example:tokens`: text that comes token by token from another process, and a stop button: Ctrl-C, or the 25th token. The generator over there
 * is told why, and ends in its `finally`. `-- --tokens 100` lets it go on for longer.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { background, isCanceled } from 'ctxbridge'
import { notifyContext } from 'ctxbridge/node'
import { connect, wrap } from 'ctxbridge/websocket'
import type { model } from './model.ts'

const { values } = parseArgs({ options: { tokens: { type: 'string', default: '25' } } })
const most = Number(values.tokens)

// In a group of its own, so that a Ctrl-C reaches this process alone, and the other one by its context.
const child = fork(new URL('./model.js', import.meta.url), { detached: true })
const [port] = (await once(child, 'message')) as [number]
const connection = await connect(`ws://127.0.0.1:${port}`)
const remote = wrap<typeof model>(connection)
try {
  using ctx = notifyContext(background(), 'SIGINT')
  const prompt = 'Once upon a time:'
  let shown = 0
  process.stdout.write(prompt)
  try {
    for await (const token of remote.tokens(ctx, prompt)) {
      process.stdout.write(token)
      if (++shown === most) ctx.cancel(new Error(`${most} tokens are enough`))
    }
  } catch (error) {
    if (!isCanceled(error)) throw error
  }
  const { generated, stopped } = await remote.ledger(background())
  console.log(`\n\n${shown} shown, ${generated} generated. Told to stop by: ${stopped ?? 'nobody'}`)
} finally {
  connection.close()
  child.disconnect()
}
